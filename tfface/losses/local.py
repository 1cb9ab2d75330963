"""Masked neighbourhoods: Gaussian averages and erosion that don't see what lies off the face."""

import tensorflow as tf


def gaussian_matrix(size, sigma):
    """[size, size] float32, row i the Gaussian weights of all pixels for an average around pixel i; σ in px.

    A product with a band matrix beats a depthwise convolution on CPUs by far. Weights beyond the border are missing,
    not folded back, and those under 1e-4 of the peak are 0.
    """
    position = tf.range(size, dtype=tf.float32)
    distance = (position[:, None] - position[None, :]) / sigma
    weights = tf.exp(-0.5 * tf.square(distance))
    return tf.where(weights > 1e-4, weights, 0.0)


def local_mean(values, mask, sigma):
    """The Gaussian-weighted mean of the valid pixels around each pixel.

    Args:
        values: [B, H, W, C].
        mask: [B, H, W, 1], weights ≥ 0.
        sigma: px.

    Returns:
        [B, H, W, C]; 0 where nothing valid is within reach.
    """
    values = tf.convert_to_tensor(values)
    mask = tf.cast(mask, values.dtype)
    shape = tf.shape(values)
    rows = tf.cast(gaussian_matrix(shape[1], sigma), values.dtype)
    columns = tf.cast(gaussian_matrix(shape[2], sigma), values.dtype)
    stacked = tf.transpose(tf.concat([values * mask, mask], axis=-1), [0, 3, 1, 2])
    blurred = tf.transpose(tf.matmul(tf.matmul(rows, stacked), columns), [0, 2, 3, 1])
    return blurred[..., :-1] / tf.maximum(blurred[..., -1:], 1e-6)


def erode(mask, margin):
    """The mask [B, H, W, 1] without the pixels within `margin` px, in x or y, of a pixel that is 0."""
    if not margin:
        return mask
    outside = 1.0 - tf.convert_to_tensor(mask)
    for window in ([1, 2 * margin + 1, 1, 1], [1, 1, 2 * margin + 1, 1]):
        outside = tf.nn.max_pool2d(outside, window, 1, "SAME")
    return 1.0 - outside
