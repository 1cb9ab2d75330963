"""What stands before faces or is worn on them: glasses, caps and fringes, hair at the sides, hands and microphones.

All are drawn on grey crops from the projected landmarks, so that they sit on a face wherever it looks, whether it was
rendered or photographed.
"""

import numpy as np
import tensorflow as tf

from tfface.losses.landmarks import ProjectedLandmarks
from tfface.pipelines.sampling import seeds, uniform

GLASSES, HEADWEAR, SIDE_HAIR = 0.15, 0.12, 0.1
"""Shares of faces that wear them."""


def smooth_noise(batch: int, size: int, rows: int, columns: int, seed: tf.Tensor) -> tf.Tensor:
    """Noise `[batch, size, size, 1]` in 0…1 that varies over size/rows px down and size/columns px across."""
    return tf.image.resize(uniform([batch, rows, columns, 1], seed), [size, size], "bicubic")


def _paint(image, tone, cover):
    return image * (1.0 - cover) + tf.clip_by_value(tone, 0.0, 1.0) * cover


def _soft(inside, width):
    """1 where `inside` > 0, 0 where it isn't, with an edge of `width`."""
    return tf.sigmoid(inside * (4.0 / width))


class Occluders:
    """Covers some faces in part.

    Args:
      model: a `MorphableModel`.
      size: width of the square crops, px.
    """

    def __init__(self, model, size: int = 200):
        self.size = size
        self.landmarks = ProjectedLandmarks(model, size)

    def __call__(self, image: tf.Tensor, r: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The grey crops `[B, size, size, 1]` of faces r `[B, 290]`, some covered; the same seed covers the same."""
        wear, blobs = seeds(seed, 2)
        points = self.landmarks(r)[..., :2]
        eyes = tf.reduce_mean(points[:, 36:42], axis=1), tf.reduce_mean(points[:, 42:48], axis=1)
        middle = (eyes[0] + eyes[1]) / 2.0
        across = eyes[1] - eyes[0]
        down = tf.reduce_mean(points[:, 48:68], axis=1) - middle
        # Turned far, the two directions coincide and nothing can be drawn along them.
        area = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
        shows = area > 0.3 * tf.reduce_sum(down**2, axis=-1)
        axis = tf.range(self.size, dtype=tf.float32) + 0.5
        x, y = axis[None, None, :] - middle[:, 0, None, None], axis[None, :, None] - middle[:, 1, None, None]
        area = tf.maximum(area, 1.0)[:, None, None]
        across, down = (v[:, :, None, None] for v in (across, down))
        # Every pixel in the face's own frame: s in distances between the eyes, t in distances from eyes to mouth.
        s = (x * down[:, 1] - y * down[:, 0]) / area
        t = (y * across[:, 0] - x * across[:, 1]) / area
        worn = self._worn(image, s[..., None], t[..., None], wear)
        image = tf.where(shows[:, None, None, None], worn, image)
        return occlude(image, blobs)

    def _worn(self, image, s, t, seed):
        batch = image.shape[0]
        which, glasses, head, side = seeds(seed, 4)
        chosen = uniform([batch, 3], which) < [GLASSES, HEADWEAR, SIDE_HAIR]
        for index, draw, its_seed in (
            (2, self._side_hair, side),
            (1, self._headwear, head),
            (0, self._glasses, glasses),
        ):
            image = tf.where(chosen[:, index, None, None, None], draw(image, s, t, its_seed), image)
        return image

    def _glasses(self, image, s, t, seed):
        shape, tones, tinted, shine = seeds(seed, 4)
        one = [image.shape[0], 1, 1, 1]
        width, height, power, rim, sink = (
            uniform(one, shape + i, low, high)
            for i, (low, high) in enumerate(((0.36, 0.46), (0.2, 0.42), (2.0, 5.0), (0.03, 0.16), (-0.02, 0.1)))
        )
        tone, dark = uniform(one, tones, 0.0, 0.45), uniform(one, tones + 1, 0.0, 0.25)
        # Sunglasses are every fourth; other lenses let all through.
        opaque = tf.where(uniform(one, tinted) < 0.25, uniform(one, tinted + 1, 0.5, 1.0), 0.0)
        off = tf.abs(s) - 0.5
        reach = (tf.abs(off) / width) ** power + (tf.abs(t - sink) / height) ** power
        distance = tf.maximum(reach, 1e-6) ** (1.0 / power)
        image = _paint(image, dark, opaque * _soft(1.0 - distance, 0.1))
        streak = _soft(0.08 - tf.abs(off + t - uniform(one, shine, -0.3, 0.3)), 0.05) * _soft(1.0 - distance, 0.1)
        image = _paint(
            image, 0.95, streak * tf.where(uniform(one, shine + 1) < 0.3, uniform(one, shine + 2, 0.2, 0.9), 0.0)
        )
        frame = _soft(rim / 2.0 - tf.abs(distance - 1.0), 0.06)
        level = _soft(rim / 6.0 + 0.01 - tf.abs(t - sink + 0.4 * height), 0.03)
        bridge = level * _soft(0.5 - width - tf.abs(s), 0.03)
        arms = level * _soft(tf.abs(s) - 0.5 - width, 0.03) * _soft(1.3 - tf.abs(s), 0.03)
        return _paint(image, tone, tf.maximum(frame, tf.maximum(bridge, arms)))

    def _headwear(self, image, s, t, seed):
        """A cap, a scarf or a fringe: all above a bent line over the brows."""
        shape, tones, strands = seeds(seed, 3)
        batch = image.shape[0]
        one = [batch, 1, 1, 1]
        edge = (
            uniform(one, shape, 0.25, 0.75)
            + uniform(one, shape + 1, -0.12, 0.12) * s**2
            + uniform(one, shape + 2, -0.15, 0.15) * s
        )
        ragged = uniform(one, shape + 3, 0.0, 0.25) * (smooth_noise(batch, self.size, 2, 40, strands) - 0.5)
        above = _soft(-t - edge + ragged, 0.08)
        within = _soft(1.0 - (s / 1.75) ** 2 - ((t + 0.4) / 1.9) ** 2, 0.1)
        texture = uniform(one, tones, 0.0, 0.7) + uniform(one, tones + 1, 0.0, 0.4) * (
            smooth_noise(batch, self.size, 6, 50, strands + 1) - 0.5
        )
        return _paint(image, texture, above * within)

    def _side_hair(self, image, s, t, seed):
        """Hair beside the face, down to the chin or further, on one side or both."""
        shape, tones, strands = seeds(seed, 3)
        batch = image.shape[0]
        one = [batch, 1, 1, 1]
        lean = uniform(one, shape, -0.35, 0.35)
        edge = uniform(one, shape + 1, 0.85, 1.15) + 0.15 * (smooth_noise(batch, self.size, 30, 2, strands) - 0.5)
        beside = _soft(tf.abs(s - lean) - edge + 0.1 * t**2, 0.08) * _soft(1.9 - tf.abs(s), 0.1)
        length = _soft(uniform(one, shape + 2, 0.6, 2.5) - t, 0.2) * _soft(t + 1.6, 0.2)
        texture = uniform(one, tones, 0.0, 0.5) + uniform(one, tones + 1, 0.0, 0.4) * (
            smooth_noise(batch, self.size, 6, 60, strands + 1) - 0.5
        )
        return _paint(image, texture, beside * length)


def occlude(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Covers some faces with one or two soft-edged ellipses of flat, noisy grey: hands, microphones, other heads."""
    batch, size = image.shape[0], image.shape[1]
    where, shape, tone, grain, present = seeds(seed, 5)
    axis = tf.linspace(-1.0, 1.0, size)
    for i in range(2):
        offset = tf.constant([i, i], where.dtype)
        angle = uniform([batch], where + offset, 0.0, 2.0 * np.pi)
        radius = uniform([batch], present + offset, 0.45, 1.0)
        half = uniform([batch, 2], shape + offset, 0.08, 0.45)
        turn = uniform([batch], shape + offset + 7, 0.0, np.pi)
        dx = axis[None, None, :] - (radius * tf.cos(angle))[:, None, None]
        dy = axis[None, :, None] - (radius * tf.sin(angle))[:, None, None]
        c, s = tf.cos(turn)[:, None, None], tf.sin(turn)[:, None, None]
        distance = tf.sqrt(
            ((c * dx + s * dy) / half[:, 0, None, None]) ** 2 + ((c * dy - s * dx) / half[:, 1, None, None]) ** 2
        )
        cover = tf.sigmoid((1.0 - distance) * 25.0)[..., None]
        cover *= tf.cast(uniform([batch, 1, 1, 1], tone + offset + 3) < 0.25, tf.float32)
        texture = uniform([batch, 1, 1, 1], tone + offset) * 0.9
        texture += (smooth_noise(batch, size, 50, 50, grain + offset) - 0.5) * 0.15
        image = _paint(image, texture, cover)
    return image


def strands(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Covers part of every face `[B, S, S, 1]` with loose hair: locks in one bent direction that part at their ends."""
    where, course, tone, waves = seeds(seed, 4)
    batch, size = image.shape[0], image.shape[1]
    one = [batch, 1, 1, 1]
    axis = tf.linspace(-1.0, 1.0, size)
    x, y = axis[None, None, :, None], axis[None, :, None, None]
    # Mostly downwards; a strand follows the level lines of `across`.
    angle = tf.random.stateless_normal(one, course) * 0.7
    bend = 0.5 * (smooth_noise(batch, size, 3, 3, course + 1) - 0.5)
    across = x * tf.cos(angle) + y * tf.sin(angle) + bend
    along = y * tf.cos(angle) - x * tf.sin(angle)
    hair = tf.zeros_like(image)
    for k in range(6):
        waviness, phase, drift = (uniform(one, waves + 3 * k + i) for i in range(3))
        # From 3 to 50 waves over the crop: locks and, at 200 px, strands of 4 px.
        waves_across = 3.0 * 17.0 ** ((k + waviness) / 6.0)
        hair += tf.sin(np.pi * waves_across * across + 2.0 * np.pi * phase + (drift - 0.5) * 6.0 * along) / 6.0**0.5
    region = smooth_noise(batch, size, 4, 4, where) - uniform(one, where + 1, 0.45, 0.75)
    cover = _soft(region + uniform(one, where + 2, 0.0, 0.15) * hair, uniform(one, where + 3, 0.02, 0.3))
    texture = uniform(one, tone, 0.0, 0.75) + uniform(one, tone + 1, 0.03, 0.2) * hair
    return _paint(image, texture, uniform(one, tone + 2, 0.5, 1.0) * cover)
