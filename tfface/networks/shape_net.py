"""A whole-face network beside FineNet's hypercolumn: what the coarse surface has wrong over centimetres.

FineNet's convolutions see 44 px at a time, which is what wrinkles ask for, and tells nothing of a cheek that is fuller
or a forehead that is rounder than the coarse face's. The paper leaves that to end-to-end training of CoarseNet, which
hardly moves it. Here a small U-Net (Ronneberger et al. 2015) sees the whole face at 64×64 cells and answers with smooth
relief. It is not in the paper.
"""

import keras
import tensorflow as tf

CELLS = 64
"""The grid's width; the crop is averaged down to it, and its answer is a uniform cubic B-spline's control points."""

RELIEF_SCALE = 0.1
"""What the last convolution's answers are multiplied by, in widths of the face: its first steps then move a face by
millimetres."""


def build_shape_net(widths: tuple[int, ...], channels: int) -> keras.Model:
    """The network `[B, 64, 64, channels]` → `[B, 64, 64, 1]`, which starts as zero.

    Args:
        widths: channels of each level; every further one has half the resolution.
        channels: of the input.
    """
    if not 1 <= len(widths) <= 6 or min(widths) < 1:
        raise ValueError(f"expected 1 to 6 positive widths, received {widths}")

    def conv(x, filters, name):
        return keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=name
        )(x)

    x = inputs = keras.Input((CELLS, CELLS, channels), name="face")
    levels = []
    for level, filters in enumerate(widths, start=1):
        if level > 1:
            x = keras.layers.AveragePooling2D(2, name=f"shape_pool{level}")(x)
        x = conv(conv(x, filters, f"shape{level}_1"), filters, f"shape{level}_2")
        levels.append(x)
    for level in range(len(widths) - 1, 0, -1):
        x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"shape_up{level}")(x)
        x = keras.layers.Concatenate(name=f"shape_join{level}")([x, levels[level - 1]])
        x = conv(x, widths[level - 1], f"shape{level}_3")
    relief = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros", dtype="float32", name="relief")(x)
    return keras.Model(inputs, relief, name="shape_net")


def cell_px(values: tf.Tensor) -> tf.Tensor:
    """Width of a cell in pixels of `[B, H, W, C]`; a float."""
    return tf.cast(_maximum(*_sides(values)), tf.float32) / CELLS


def to_cells(values: tf.Tensor) -> tf.Tensor:
    """`[B, H, W, C]` averaged over the cells of a square of the longer side, `[B, 64, 64, C]`; zero beyond."""
    height, width = _sides(values)
    side = _maximum(height, width)
    return _along_axes(values, _box_weights(height, side), _box_weights(width, side))


def from_cells(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """The cubic B-spline with control points `[B, 64, 64, C]` at the pixels of `like`: `[B, H, W, C]`, smooth."""
    height, width = _sides(like)
    side = _maximum(height, width)
    return _along_axes(values, _spline_weights(height, side), _spline_weights(width, side))


def without_plane(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """`[B, H, W, 1]` less its best-fitting plane over the mask: a tilt is the pose's, and a shift shows nowhere."""
    height, width = _sides(values)

    def mean(x):
        return tf.reduce_sum(x * mask, [1, 2, 3], keepdims=True) / area

    area = tf.maximum(tf.reduce_sum(mask, [1, 2, 3], keepdims=True), 1.0)
    x, y = (tf.linspace(-1.0, 1.0, count) for count in (width, height))
    x, y, z = (v - mean(v + tf.zeros_like(mask)) for v in (x[None, None, :, None], y[None, :, None, None], values))
    xx, yy, xy, zx, zy = mean(x * x), mean(y * y), mean(x * y), mean(z * x), mean(z * y)
    # A face of one pixel or one row has no plane.
    determinant = tf.maximum(xx * yy - xy * xy, 1e-6)
    return z - x * (zx * yy - zy * xy) / determinant - y * (zy * xx - zx * xy) / determinant


def _sides(values):
    shape = tf.shape(values)
    return tuple(shape[axis] if values.shape[axis] is None else values.shape[axis] for axis in (1, 2))


def _maximum(a, b):
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else tf.maximum(a, b)


def _along_axes(values, rows, columns):
    return tf.einsum("ih,bhwc,jw->bijc", rows, values, columns)


def _box_weights(length, side):
    """`[64, length]`: shares of the pixels in each cell's interval of a line of `side` pixels."""
    step = tf.cast(side, tf.float32) / CELLS
    low = tf.range(CELLS, dtype=tf.float32)[:, None] * step
    pixel = tf.range(tf.cast(length, tf.float32))[None]
    return tf.maximum(tf.minimum(low + step, pixel + 1.0) - tf.maximum(low, pixel), 0.0) / step


def _spline_weights(length, side):
    """`[length, 64]`: the uniform cubic B-spline at the pixels' centres; rows sum to 1."""
    pixel = tf.range(tf.cast(length, tf.float32))[:, None]
    place = (pixel + 0.5) * (CELLS / tf.cast(side, tf.float32)) - 0.5
    away = tf.abs(place - tf.range(CELLS, dtype=tf.float32)[None])
    near = 2.0 / 3.0 - away**2 + 0.5 * away**3
    far = tf.maximum(2.0 - away, 0.0) ** 3 / 6.0
    weights = tf.where(away < 1.0, near, far)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)
