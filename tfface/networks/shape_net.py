"""What the coarse surface has wrong over centimetres: a cheek that is fuller or a forehead that is rounder.

The paper leaves that to end-to-end training of CoarseNet, which hardly moves it. Here a network of `cell_net` sees the
whole face and answers with smooth relief. It is not in the paper.
"""

import tensorflow as tf

from tfface.networks.cell_net import sides

CELLS = 64
"""The grid's width; the crop is averaged down to it, and the answer is a uniform cubic B-spline's control points."""

RELIEF_SCALE = 0.1
"""What the network's answers are multiplied by, in widths of the face: its first steps then move a face by
millimetres."""


def without_plane(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """`[B, H, W, 1]` less its best-fitting plane over the mask: a tilt is the pose's, and a shift shows nowhere."""
    height, width = sides(values)

    def mean(x):
        return tf.reduce_sum(x * mask, [1, 2, 3], keepdims=True) / area

    area = tf.maximum(tf.reduce_sum(mask, [1, 2, 3], keepdims=True), 1.0)
    x, y = (tf.linspace(-1.0, 1.0, count) for count in (width, height))
    x, y, z = (v - mean(v + tf.zeros_like(mask)) for v in (x[None, None, :, None], y[None, :, None, None], values))
    xx, yy, xy, zx, zy = mean(x * x), mean(y * y), mean(x * y), mean(z * x), mean(z * y)
    # A face of one pixel or one row has no plane.
    determinant = tf.maximum(xx * yy - xy * xy, 1e-6)
    return z - x * (zx * yy - zy * xy) / determinant - y * (zy * xx - zx * xy) / determinant
