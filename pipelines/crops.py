"""Cutting square face crops and changing them at random, in TensorFlow operations only.

Squares are (centre x, centre y, side) in the image's continuous coordinates (docs/conventions.md), so cutting
is one scaling and one shift; nothing is rounded to whole pixels.
"""

import dataclasses

import tensorflow as tf

from tfface.images import LUMA


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
    """Random changes of a crop.

    Attributes:
        flip: whether to mirror every second crop.
        shift: the square's centre moves by up to this share of its side, in x and in y.
        scale: the square's side changes by a factor of up to exp(±this).
        gamma: brightness is raised to a power of up to exp(±this).
        noise: standard deviation, 0…1, of up to which noise is added to the networks' input; the clean image
            stays in "clean" for the criterion, so that noise never pays as detail.
    """

    flip: bool = True
    shift: float = 0.03
    scale: float = 0.06
    gamma: float = 0.2
    noise: float = 0.0

    @classmethod
    def none(cls) -> "AugmentationConfig":
        """No change at all."""
        return cls(flip=False, shift=0.0, scale=0.0, gamma=0.0, noise=0.0)


def decode_grey(path):
    """The image file at `path` as grey [H, W, 1] float32 in 0…1, Rec. 601 luma of its sRGB values."""
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return to_grey(image)


def to_grey(image):
    """uint8 [H, W, 1 or 3] as grey [H, W, 1] float32 in 0…1."""
    image = tf.cast(image, tf.float32) / 255.0
    if image.shape[-1] == 1:
        return image
    return tf.reduce_sum(image * LUMA, axis=-1, keepdims=True)


def cut_square(image, square, size):
    """The square of an image, resampled with an antialiased triangle filter.

    Args:
        image: [H, W, C] float32.
        square: [3], centre x, centre y and side in px of the image.
        size: px, width of the result.

    Returns:
        crop [size, size, C] and valid [size, size, 1]: 1 where the crop lies inside the image; the crop is 0
        outside.
    """
    scale = size / square[2]
    corner = square[:2] - square[2] / 2.0
    translation = -corner * scale
    crop = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=[size, size],
        scale=tf.stack([scale, scale]),
        translation=tf.stack([translation[1], translation[0]]),
        kernel_type="triangle",
        antialias=True,
    )[0]
    extent = tf.cast(tf.shape(image)[:2], tf.float32)
    valid = inside_bounds(tf.stack([0.0, 0.0, extent[1], extent[0]]), square, size)
    return tf.ensure_shape(crop * valid, [size, size, image.shape[-1]]), valid


def inside_bounds(bounds, square, size):
    """1 where a crop's pixel centre lies half a pixel or more inside a rectangle of the image, else 0.

    Args:
        bounds: [4], x0, y0, x1, y1 in px of the image.
        square: [3] and size: the crop, as in `cut_square`.

    Returns:
        [size, size, 1] float32.
    """
    steps = (tf.range(size, dtype=tf.float32) + 0.5) * square[2] / size - square[2] / 2.0
    x, y = square[0] + steps, square[1] + steps
    inside_x = tf.cast((x >= bounds[0] + 0.5) & (x <= bounds[2] - 0.5), tf.float32)
    inside_y = tf.cast((y >= bounds[1] + 0.5) & (y <= bounds[3] - 0.5), tf.float32)
    return (inside_y[:, None] * inside_x[None, :])[..., None]


def jitter_square(square, seed, config):
    """A moved and scaled square, and r's pose change that goes with it.

    Args:
        square: [3].
        seed: [2] int.
        config: an `AugmentationConfig`.

    Returns:
        The new square [3], and (shift x, shift y, factor): the centre moved by shift·side, the side grew by
        factor.
    """
    draw = tf.random.stateless_uniform([3], seed, -1.0, 1.0)
    shift = draw[:2] * config.shift
    factor = tf.exp(draw[2] * config.scale)
    moved = tf.concat([square[:2] + shift * square[2], square[2:] * factor], axis=0)
    return moved, tf.concat([shift, factor[None]], axis=0)


def adapt_r(r, change):
    """r [290] of the same face in the square changed by `change` [3] (from `jitter_square`)."""
    u, v, s = r[287], r[288], r[289]
    factor = change[2]
    pose = tf.stack([(u - 2.0 * change[0]) / factor, (v - 2.0 * change[1]) / factor, s - tf.math.log(factor)])
    return tf.concat([r[:287], pose], axis=0)


def change_brightness(crop, seed, config):
    """The crop raised to a random power."""
    exponent = tf.exp(tf.random.stateless_uniform([], seed, -config.gamma, config.gamma))
    return tf.pow(tf.clip_by_value(crop, 0.0, 1.0), exponent)


def add_noise(crop, seed, config):
    """The crop with Gaussian noise of a random strength."""
    strength_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
    strength = tf.random.stateless_uniform([], strength_seed, 0.0, config.noise)
    noise = tf.random.stateless_normal(tf.shape(crop), noise_seed)
    return tf.clip_by_value(crop + strength * noise, 0.0, 1.0)
