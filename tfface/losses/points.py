"""How far located points lie from where they are: of the points themselves, and of the maps that they were read off."""

import tensorflow as tf

from tfface.networks.point_head import cell_centres

SPREAD = 0.7
"""Standard deviation of the wanted scores around a point, cells."""


def point_distance(located, truth, size):
    """Mean distance [B] in px of points [B, K, 3] in half crop widths from true ones [B, K, 3] in px.

    Smooth at zero: √(d² + 1) − 1, so that no single point rules.
    """
    half = size / 2.0
    squared = tf.reduce_sum(tf.math.squared_difference(located * half + [half, half, 0.0], truth), axis=-1)
    return tf.reduce_mean(tf.sqrt(squared + 1.0) - 1.0, axis=-1)


def map_surprise(maps, truth, size):
    """Cross-entropy [B] of the scores' softmax with a Gaussian around each true point, above its least.

    The gradient through a soft-argmax is faint as long as the scores are flat; this one isn't.

    Args:
        maps: [B, H, W, 2·K], scores first, as `SoftArgmax` reads them.
        truth: [B, K, 3], px.
        size: width of the crop, px.

    Returns:
        [B], mean over the points; 0 where all scores are as wanted.
    """
    height, width = maps.shape[1:3]
    points = maps.shape[-1] // 2
    scores = tf.reshape(tf.cast(maps[..., :points], tf.float32), [-1, height * width, points])
    place = truth[..., :2] / (size / 2.0) - 1.0

    def line(centres, at):
        """log of the Gaussian along one axis, [B, cells, K]."""
        cell = float(centres[1] - centres[0])
        return -0.5 * tf.square((centres[None, :, None] - at[:, None]) / (SPREAD * cell))

    x, y = line(cell_centres(width), place[..., 0]), line(cell_centres(height), place[..., 1])
    wanted = tf.reshape(y[:, :, None] + x[:, None], [-1, height * width, points])
    log_wanted = tf.nn.log_softmax(wanted, axis=1)
    difference = log_wanted - tf.nn.log_softmax(scores, axis=1)
    return tf.reduce_mean(tf.reduce_sum(tf.exp(log_wanted) * difference, axis=1), axis=-1)
