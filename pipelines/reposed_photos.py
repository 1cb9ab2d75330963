"""Photographs turned in depth: a fitted photograph's own skin on its own mesh, in another pose before its background.

Photographs mostly look at the camera. Their fits tell where every vertex is, so the picture can be carried over to the
same head, slightly reshaped, in any other pose. Real skin, beards, glasses and light meet known geometry that way, as
in the face profiling of Zhu et al. (2016), which warps the background along instead of filling it in.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tfface.morphable import representation
from tfface.morphable.representation import split
from tfface.pipelines.sampling import SamplingConfig, sample_pose, seeds
from tfface.rendering.feedback import FeedbackRenderer
from tfface.rendering.sampling import sample_bilinear
from tfface.rendering.visibility import coverage, interpolate


@dataclasses.dataclass(frozen=True)
class ReposeConfig:
    """How photographs are turned.

    Attributes:
      pose: spread of the new poses.
      identity_std: of the noise added to each identity coefficient: the skin follows the new shape.
      light: strongest change of light across the face, as a share.
    """

    pose: SamplingConfig = SamplingConfig(yaw_degrees=90.0, pitch_degrees=40.0)
    identity_std: float = 0.6
    light: float = 0.35


class PhotoReposer:
    """Renders photographed faces in new poses.

    Args:
      model: a `MorphableModel`.
      size: width of the crops, px.
      config: how.
    """

    def __init__(self, model, size: int = 200, config: ReposeConfig | None = None):
        self.config = config or ReposeConfig()
        self.model = model
        self.size = size
        self.renderer = FeedbackRenderer(model, size)
        scalp = model.region_names.index("scalp")
        self.scalp = (np.asarray(model.regions) == scalp).astype(np.float32)

    def new_r(self, r: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """r `[B, 290]` in another pose, with a slightly other head; expression and scale stay."""
        batch = r.shape[0]
        who, where, keep = seeds(seed, 3)
        identity, expression, pose = split(r)
        noise = tf.random.stateless_truncated_normal([batch, representation.IDENTITY_SIZE], who)
        drawn = sample_pose(batch, where, self.config.pose)
        # Mostly a new pose altogether; some faces only move away from their own.
        near = tf.random.stateless_uniform([batch, 1], keep) < 0.25
        turned = tf.where(near, pose[:, :3] + 0.3 * drawn[:, :3], drawn[:, :3])
        place = tf.concat([drawn[:, 3:5], pose[:, 5:] + drawn[:, 5:]], -1)
        return representation.join(
            identity + noise * self.config.identity_std, expression, tf.concat([turned, place], -1)
        )

    def __call__(
        self, image: tf.Tensor, r: tf.Tensor, valid: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A new picture of the same skin.

        Args:
          image: `[B, S, S, 1]` in 0…1, S the size of the reposer.
          r: `[B, 290]` of the face in it.
          valid: `[B, S, S, 1]`, 0 where the crop leaves the photograph.
          seed: `[2]` int.

        Returns:
          image `[B, S, S, 1]` and r `[B, 290]`.
        """
        move, hair, lamp, strength = seeds(seed, 4)
        batch = image.shape[0]
        new = self.new_r(r, move)
        source, source_normals, source_visibility = self.renderer.geometry(r)
        _, normals, visibility = self.renderer.geometry(new)
        # A vertex that the photograph shows from the front is trusted; the mirrored one stands in for the others.
        facing = tf.clip_by_value(source_normals[..., 2:] * 3.0 - 0.4, 0.0, 1.0)
        partner = np.asarray(self.model.mirror)
        place = source[..., :2]
        scalp = tf.broadcast_to(self.scalp[None, :, None], tf.shape(facing))
        attributes = tf.concat(
            [place, facing, tf.gather(place, partner, axis=1), tf.gather(facing, partner, axis=1), normals, scalp], -1
        )
        maps = tf.ensure_shape(
            interpolate(visibility, self.model.triangles, attributes), [batch, self.size, self.size, 10]
        )
        pair = tf.concat([image, valid], -1)
        own, other = sample_bilinear(pair, maps[..., 0:2]), sample_bilinear(pair, maps[..., 3:5])
        own_weight = maps[..., 2:3] * own[..., 1:]
        other_weight = maps[..., 5:6] * other[..., 1:] * (1.0 - own_weight) * 0.5
        # Seen from nowhere: hair on the scalp, the face's mean elsewhere.
        total = tf.reduce_sum(own_weight, [1, 2], keepdims=True) + 1e-3
        mean = tf.reduce_sum(own_weight * own[..., :1], [1, 2], keepdims=True) / total
        shade = mean * tf.random.stateless_uniform([batch, 1, 1, 1], hair, 0.2, 1.0)
        unseen = mean + maps[..., 9:] * (shade - mean)
        rest = 0.02
        face = own_weight * own[..., :1] + other_weight * other[..., :1] + rest * unseen
        face /= own_weight + other_weight + rest
        light = tf.random.stateless_normal([batch, 1, 1, 3], lamp)
        light *= tf.math.rsqrt(tf.reduce_sum(light * light, -1, keepdims=True) + 1e-6)
        power = tf.random.stateless_uniform([batch, 1, 1, 1], strength) * self.config.light
        face *= 1.0 + power * tf.reduce_sum(light * maps[..., 6:9], -1, keepdims=True)
        mask = coverage(visibility)
        soft = tf.nn.avg_pool2d(mask, 3, 1, "SAME") * mask
        background = fill_hole(image, valid * (1.0 - _dilate(coverage(source_visibility), 9)))
        return tf.clip_by_value(face * soft + background * (1.0 - soft), 0.0, 1.0), new


def fill_hole(image: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """The image `[B, S, S, C]` where `known` `[B, S, S, 1]` is 1, smoothly continued where it is 0 (push–pull)."""
    size = image.shape[1]
    filled = image * known
    weight = known
    result, trust = filled, known
    levels = []
    while size > 3:
        size //= 2
        filled = tf.image.resize(filled, [size, size], "area")
        weight = tf.image.resize(weight, [size, size], "area")
        levels.append((filled, weight))
    full = image.shape[1]
    for filled, weight in levels:
        # Divided only after interpolation: cells that know nothing must not bleed into their neighbours.
        sums, weights = tf.image.resize(filled, [full, full]), tf.image.resize(weight, [full, full])
        value = tf.math.divide_no_nan(sums, weights)
        certain = tf.clip_by_value(weights * 4.0, 0.0, 1.0)
        result += (1.0 - trust) * certain * value
        trust += (1.0 - trust) * certain
    return result + (1.0 - trust) * 0.5


def _dilate(mask: tf.Tensor, size: int) -> tf.Tensor:
    return tf.nn.max_pool2d(mask, size, 1, "SAME")
