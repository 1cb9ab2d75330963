"""The representation r: identity, expression and pose of one face in a square crop (§3.1)."""

from typing import NamedTuple

import tensorflow as tf

from tfface.geometry import camera as geometry_camera

IDENTITY_SIZE = 200
EXPRESSION_SIZE = 84
POSE_SIZE = 6
SIZE = IDENTITY_SIZE + EXPRESSION_SIZE + POSE_SIZE
GEOMETRY_SIZE = IDENTITY_SIZE + EXPRESSION_SIZE

CROP_MM = 240.0
"""What a crop shows at s = 0, in mm at the face's depth; so f₀ = size / 240."""


class Representation(NamedTuple):
    """The three parts of r."""

    identity: tf.Tensor
    """`[B, 200]`, standard deviations."""
    expression: tf.Tensor
    """`[B, 84]`, standard deviations."""
    pose: tf.Tensor
    """`[B, 6]`: θ_x, θ_y, θ_z in radians; u, v in half crop widths; s = ln(f / f₀)."""


class Camera(NamedTuple):
    """A weak-perspective camera of a crop."""

    rotation: tf.Tensor
    """`[B, 3, 3]`."""
    translation: tf.Tensor
    """`[B, 2]` px, where the mesh's origin falls."""
    scale: tf.Tensor
    """`[B]` px per mm."""


def split(r: tf.Tensor) -> Representation:
    """Splits r `[B, 290]`.

    Raises:
      ValueError: the last dimension isn't 290.
    """
    if r.shape[-1] != SIZE:
        raise ValueError(f"expected r of shape [B, {SIZE}], received {list(r.shape)}")
    return Representation(*tf.split(r, [IDENTITY_SIZE, EXPRESSION_SIZE, POSE_SIZE], axis=-1))


def join(identity: tf.Tensor, expression: tf.Tensor, pose: tf.Tensor) -> tf.Tensor:
    """r `[B, 290]` of its parts; the inverse of `split`."""
    for name, part, size in (
        ("identity", identity, IDENTITY_SIZE),
        ("expression", expression, EXPRESSION_SIZE),
        ("pose", pose, POSE_SIZE),
    ):
        if part.shape[-1] != size:
            raise ValueError(f"expected {name} of shape [B, {size}], received {list(part.shape)}")
    return tf.concat([identity, expression, pose], axis=-1)


def camera(pose: tf.Tensor, size) -> Camera:
    """The camera of a crop of `size`×`size` px for pose `[B, 6]`."""
    size = tf.cast(size, tf.float32)
    rotation = geometry_camera.rotation_matrix(pose[:, :3])
    translation = (1.0 + pose[:, 3:5]) * (size / 2.0)
    scale = tf.exp(pose[:, 5]) * (size / CROP_MM)
    return Camera(rotation, translation, scale)


def vertices_image(model, r: tf.Tensor, size) -> tf.Tensor:
    """Eq. (1) and (5): the vertices of r in a crop of `size`×`size` px.

    Args:
      model: a `MorphableModel`.
      r: `[B, 290]`.
      size: width of the square crop, px.

    Returns:
      `[B, V, 3]` px: x right, y down, z nearer.
    """
    identity, expression, pose = split(r)
    return geometry_camera.project(model.decode(identity, expression), *camera(pose, size))


def interpolate(r_gt: tf.Tensor, r_rnd: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Eq. (3): r_t = β·r_gt + (1 − β)·r_rnd, with β `[B, 1]` or a scalar in 0…1."""
    return beta * r_gt + (1.0 - beta) * r_rnd
