"""Pictures at places between their pixels."""

import tensorflow as tf


def sample_bilinear(image: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """`image` `[B, H, W, C]` at `points` `[B, …, 2]` (x, y; pixel centres at + 0.5), `[B, …, C]`; the edge repeats."""
    height, width, channels = image.shape[1:]
    x = tf.clip_by_value(points[..., 0] - 0.5, 0.0, width - 1.001)
    y = tf.clip_by_value(points[..., 1] - 0.5, 0.0, height - 1.001)
    left, top = tf.cast(x, tf.int32), tf.cast(y, tf.int32)
    fx, fy = (x - tf.cast(left, tf.float32))[..., None], (y - tf.cast(top, tf.float32))[..., None]
    first = tf.reshape(tf.range(tf.shape(image)[0]) * (height * width), [-1] + [1] * (points.shape.rank - 2))
    corner = first + top * width + left
    flat = tf.reshape(image, [-1, channels])
    upper = tf.gather(flat, corner) * (1.0 - fx) + tf.gather(flat, corner + 1) * fx
    lower = tf.gather(flat, corner + width) * (1.0 - fx) + tf.gather(flat, corner + width + 1) * fx
    return upper * (1.0 - fy) + lower * fy
