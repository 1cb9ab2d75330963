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


def local_means(maps, mask, sigma):
    """The Gaussian-weighted means of the valid pixels around each pixel.

    Args:
        maps: a list of [B, H, W, 1].
        mask: [B, H, W, 1], weights ≥ 0.
        sigma: px.

    Returns:
        As many [B, H, W, 1]; 0 where nothing valid is within reach.
    """
    maps = [tf.convert_to_tensor(x) for x in maps]
    mask = tf.cast(mask, maps[0].dtype)
    shape = tf.shape(mask)
    rows = tf.cast(gaussian_matrix(shape[1], sigma), mask.dtype)
    columns = tf.cast(gaussian_matrix(shape[2], sigma), mask.dtype)
    stacked = tf.stack([tf.squeeze(x, -1) for x in [*(x * mask for x in maps), mask]], axis=1)
    *sums, weight = tf.unstack(tf.matmul(tf.matmul(rows, stacked), columns)[..., None], axis=1)
    weight = tf.maximum(weight, 1e-6)
    return [total / weight for total in sums]


def erode(mask, margin):
    """The mask [B, H, W, 1] without the pixels within `margin` px, in x or y, of a pixel that is 0."""
    if not margin:
        return mask
    outside = 1.0 - tf.convert_to_tensor(mask)
    for window in ([1, 2 * margin + 1, 1, 1], [1, 1, 2 * margin + 1, 1]):
        outside = tf.nn.max_pool2d(outside, window, 1, "SAME")
    return 1.0 - outside
