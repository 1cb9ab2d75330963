"""Small weighted least-squares problems, one per image, as normal equations.

The problems of eq. 11 and 12 have 4 to 10 unknowns and tens of thousands of pixels, so forming the Gram
matrix is one matrix product and solving it is free. Sums are divided by the weights' total: ridges then mean
the same at any image size and any number of valid pixels.
"""

import numpy as np
import tensorflow as tf

# A relative ridge that keeps the Gram matrix invertible when directions are missing (a flat wall has one
# normal).
_RELATIVE_RIDGE = 1e-6


def weighted_least_squares(design, target, weights, ridge=0.0):
    """argmin over x of Σ w (D x − t)² / Σ w + ridge ‖x‖², for every image of a batch.

    Args:
        design: [B, N, K], one row per pixel.
        target: [B, N].
        weights: [B, N], ≥ 0; rows with weight 0 are ignored (they must still be finite).
        ridge: Tikhonov weight, in the units of the mean squared residual.

    Returns:
        [B, K]; zeros for an image all of whose weights are 0.
    """
    total = tf.maximum(tf.reduce_sum(weights, axis=1), 1e-12)[:, None, None]
    weighted = design * weights[..., None]
    gram = tf.matmul(weighted, design, transpose_a=True) / total
    moment = tf.matmul(weighted, target[..., None], transpose_a=True) / total
    return _solve_normal_equations(gram, moment[..., 0], ridge)


def least_squares_of_rows(rows, target, weights, ridge):
    """`weighted_least_squares` of the design's transpose `[B, K, N]`, which is far faster.

    Sums over long rows leave float32 a digit less, so that nearly collinear rows need a ridge.
    """
    total = tf.maximum(tf.reduce_sum(weights, axis=1), 1e-12)[:, None, None]
    weighted = rows * weights[:, None]
    gram = tf.matmul(weighted, rows, transpose_b=True) / total
    moment = tf.matmul(weighted, target[..., None]) / total
    return _solve_normal_equations(gram, moment[..., 0], ridge)


def _solve_normal_equations(gram, moment, ridge):
    unknowns = gram.shape[-1]
    identity = tf.eye(unknowns, dtype=gram.dtype)
    # The trace; TFLite has no operation for diagonals.
    scale = tf.reduce_sum(gram * identity, axis=[1, 2], keepdims=True) / unknowns
    damping = ridge + _RELATIVE_RIDGE * scale + 1e-12
    return solve_positive(gram + damping * identity, moment)


def solve_positive(matrix, right):
    """The solution x [B, K] of A x = b for symmetric positive definite A [B, K, K] and b [B, K].

    Gauss–Jordan elimination, unrolled: it needs no pivots for such matrices, and unlike TensorFlow's own solvers its
    operations exist in TFLite and ONNX. K is a handful.
    """
    rows = tf.concat([matrix, right[..., None]], axis=-1)
    size = matrix.shape[-1]
    # Graphs have many of these, so each takes few operations: zeros but for the pivot's row pick it and leave it out.
    for pivot, at in enumerate(np.eye(size, dtype=rows.dtype.as_numpy_dtype)[..., None]):
        column, row = tf.slice(rows, [0, 0, pivot], [-1, size, 1]), tf.slice(rows, [0, pivot, 0], [-1, 1, size + 1])
        row /= tf.slice(row, [0, 0, pivot], [-1, 1, 1])
        rows = (1.0 - at) * rows - ((1.0 - at) * column - at) * row
    return rows[..., -1]


def robust_least_squares(design, target, weights, ridge=0.0, iterations=0, cutoff=1.345):
    """`weighted_least_squares`, then `iterations` rounds of Huber re-weighting.

    Residuals beyond `cutoff` robust standard deviations (1.2533 × the mean absolute residual) pull with
    constant
    force: shadows, highlights, hair and moles bend the fit less.

    Args:
        design, target, weights, ridge: as in `weighted_least_squares`.
        iterations: rounds of re-weighting; 0 is plain least squares.
        cutoff: in standard deviations; 1.345 is 95 % efficient on Gaussian noise.

    Returns:
        [B, K].
    """
    solution = weighted_least_squares(design, target, weights, ridge)
    total = tf.maximum(tf.reduce_sum(weights, axis=1, keepdims=True), 1e-12)
    for _ in range(iterations):
        residual = tf.abs(tf.einsum("bnk,bk->bn", design, solution) - target)
        deviation = 1.2533 * tf.reduce_sum(weights * residual, axis=1, keepdims=True) / total
        huber = tf.minimum(1.0, cutoff * deviation / tf.maximum(residual, 1e-9))
        solution = weighted_least_squares(design, target, weights * huber, ridge)
    return solution
