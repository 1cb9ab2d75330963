"""Face albedo in the model's low-dimensional subspace, solved per image (eq. 10 and 12)."""

import tensorflow as tf

from tfface.images import LUMA
from tfface.losses.least_squares import robust_least_squares


def grey_albedo(model):
    """The model's albedo mean and basis as grey values.

    Args:
        model: a face model with `albedo_mean` [V, 3] and `albedo_basis` [V, 3, K], linear RGB.

    Returns:
        mean [V, 1] and basis [V, K], float32.
    """
    luma = tf.constant(LUMA)
    mean = tf.einsum("vc,c->v", tf.cast(model.albedo_mean, tf.float32), luma)[:, None]
    basis = tf.einsum("vck,c->vk", tf.cast(model.albedo_basis, tf.float32), luma)
    return mean, basis


def compose_albedo(mean, basis, coefficients):
    """Eq. 10: ρ = μ_T + A_T α_T.

    Args:
        mean: [B, H, W, 1]; basis: [B, H, W, K]; coefficients: [B, K] in standard deviations.

    Returns:
        [B, H, W, 1].
    """
    return mean + tf.reduce_sum(basis * coefficients[:, None, None, :], axis=-1, keepdims=True)


def estimate_albedo(image, shading, mean, basis, mask, prior=1e-4, iterations=0):
    """Eq. 12: the albedo coefficients of each image, given its lighting.

    Args:
        image: [B, H, W, 1] intensities.
        shading: [B, H, W, 1], ⟨l*, Y(z₀)⟩.
        mean, basis: [B, H, W, 1] and [B, H, W, K], the model's albedo seen in each pixel.
        mask: [B, H, W, 1], weights ≥ 0 of the pixels to trust.
        prior: a coefficient of one standard deviation costs as much as a mean squared residual of this size
            (1e-4: one hundredth of the intensity range, rms). 0 is the paper's plain least squares.
        iterations: rounds of Huber re-weighting.

    Returns:
        [B, K] in standard deviations; zeros for an image without valid pixels.
    """
    batch, unknowns = tf.shape(basis)[0], basis.shape[-1]
    return robust_least_squares(
        tf.reshape(basis * shading, [batch, -1, unknowns]),
        tf.reshape(image - mean * shading, [batch, -1]),
        tf.reshape(tf.cast(mask, basis.dtype), [batch, -1]),
        ridge=prior,
        iterations=iterations,
    )
