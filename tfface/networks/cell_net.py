"""Whole-face networks beside FineNet's hypercolumn: small U-Nets (Ronneberger et al. 2015) on a coarse grid of cells.

The paper's convolutions see 40 px at a time, which is what wrinkles ask for. What depends on the whole face is asked on
these grids, which belong to the face and not to the pixels. None of this is in the paper.
"""

import keras
import tensorflow as tf


def build_cell_net(name: str, widths: tuple[int, ...], channels: int, cells: int, bias: float = 0.0) -> keras.Model:
    """The network `[B, cells, cells, channels]` → `[B, cells, cells, 1]`, which starts as a constant.

    Args:
        name: of the network; its layers' names start with it.
        widths: channels of each level; every further one has half the resolution.
        channels: of the input.
        cells: the grid's width.
        bias: the constant.
    """
    if not 1 <= len(widths) <= 6 or min(widths) < 1:
        raise ValueError(f"expected 1 to 6 positive widths, received {widths}")
    if cells % 2 ** (len(widths) - 1):
        raise ValueError(
            f"expected widths whose number halves a grid of {cells} cells evenly for `{name}`, received {widths}"
        )

    def conv(x, filters, part):
        return keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=f"{name}{part}"
        )(x)

    x = inputs = keras.Input((cells, cells, channels), name="face")
    levels = []
    for level, filters in enumerate(widths, start=1):
        if level > 1:
            x = keras.layers.AveragePooling2D(2, name=f"{name}_pool{level}")(x)
        x = conv(conv(x, filters, f"{level}_1"), filters, f"{level}_2")
        levels.append(x)
    for level in range(len(widths) - 1, 0, -1):
        x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_up{level}")(x)
        x = keras.layers.Concatenate(name=f"{name}_join{level}")([x, levels[level - 1]])
        x = conv(x, widths[level - 1], f"{level}_3")
    answer = keras.layers.Conv2D(
        1,
        3,
        padding="same",
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(bias),
        dtype="float32",
        name=f"{name}_answer",
    )(x)
    return keras.Model(inputs, answer, name=f"{name}_net")


def cell_px(values: tf.Tensor, cells: int) -> tf.Tensor:
    """Width in pixels of one of `cells` along the longer side of `[B, H, W, C]`; a float."""
    return tf.cast(_maximum(*sides(values)), tf.float32) / cells


def to_cells(values: tf.Tensor, cells: int) -> tf.Tensor:
    """`[B, H, W, C]` averaged over the cells of a square of the longer side, `[B, cells, cells, C]`; zero beyond."""
    height, width = sides(values)
    if isinstance(height, int) and height == width == cells:
        return values
    side = _maximum(height, width)
    return _along_axes(values, _box_weights(height, side, cells), _box_weights(width, side, cells))


def from_cells(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """The cubic B-spline with control points `[B, cells, cells, C]` at the pixels of `like`: `[B, H, W, C]`, smooth."""
    (height, width), cells = sides(like), values.shape[1]
    side = _maximum(height, width)
    return _along_axes(values, _spline_weights(height, side, cells), _spline_weights(width, side, cells))


def sides(values) -> tuple:
    """Height and width of `[B, H, W, C]`: numbers where they are known, else tensors."""
    shape = tf.shape(values)
    return tuple(shape[axis] if values.shape[axis] is None else values.shape[axis] for axis in (1, 2))


def _maximum(a, b):
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else tf.maximum(a, b)


def _along_axes(values, rows, columns):
    # Two plain matrix products. Not by tf.matmul: on CPUs, TensorFlow 2.21 now and then writes past its buffers where
    # [M, N] is multiplied with [B, 1, N, K]; and not by an einsum, which ONNX's runtime is slow with.
    products = tf.tensordot(tf.tensordot(values, rows, [[1], [1]]), columns, [[1], [1]])
    return tf.transpose(products, [0, 2, 3, 1])


def _box_weights(length, side, cells):
    """`[cells, length]`: shares of the pixels in each cell's interval of a line of `side` pixels."""
    step = tf.cast(side, tf.float32) / cells
    low = tf.range(cells, dtype=tf.float32)[:, None] * step
    pixel = tf.range(tf.cast(length, tf.float32))[None]
    return tf.maximum(tf.minimum(low + step, pixel + 1.0) - tf.maximum(low, pixel), 0.0) / step


def _spline_weights(length, side, cells):
    """`[length, cells]`: the uniform cubic B-spline at the pixels' centres; rows sum to 1."""
    pixel = tf.range(tf.cast(length, tf.float32))[:, None]
    place = (pixel + 0.5) * (cells / tf.cast(side, tf.float32)) - 0.5
    away = tf.abs(place - tf.range(cells, dtype=tf.float32)[None])
    near = 2.0 / 3.0 - away**2 + 0.5 * away**3
    far = tf.maximum(2.0 - away, 0.0) ** 3 / 6.0
    weights = tf.where(away < 1.0, near, far)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)
