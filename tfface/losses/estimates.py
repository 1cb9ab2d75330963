"""How far an estimate of a face is from the truth, as the corrections of CoarseNet are trained on it."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfface.geometry.camera import project
from tfface.losses.geometry import geometry_gram, gmse
from tfface.losses.landmarks import FeatureShape, ProjectedLandmarks
from tfface.morphable import representation
from tfface.networks.point_head import point_vertices

_POINTS = 468
"""Vertices whose projections count: the 68 landmarks and others spread over the face. With those of the whole head, of
which the picture tells little, landmarks came nearer half as fast."""


@dataclasses.dataclass(frozen=True)
class EstimateWeights:
    """Weights of `EstimateCriterion`, beside 1 per px of the points.

    Attributes:
        features: of the distances within features, mm (see `losses.landmarks.FeatureShape`).
        depth: of distances in depth, px, about their mean.
        shape: of GMSE (4), mm².
        prior: of the squared error of the coefficients.
        photo_points, photo_shape: what points beside the landmarks, and shape, count on photographs, whose fits know
            little but landmarks; where a synthetic face has 1. Depth doesn't count at all there.
        softness: px below which distances in the picture count by their squares.
    """

    features: float = 0.3
    depth: float = 0.5
    shape: float = 0.05
    prior: float = 0.02
    photo_points: float = 0.1
    photo_shape: float = 0.6
    softness: float = 0.5


class EstimateCriterion:
    """What a correction makes small.

    Args:
      model: a `MorphableModel`.
      size: width of the crop, px.
      weights: see `EstimateWeights`.
    """

    def __init__(self, model, size: int, weights: EstimateWeights):
        on_face = model.face_vertices()
        self.weights = weights
        self.points = ProjectedLandmarks(model, size, point_vertices(model, _POINTS, on_face))
        self.features, self.gram = FeatureShape(model), geometry_gram(model, on_face)

    def __call__(self, true: tf.Tensor, found: tf.Tensor, photo: tf.Tensor) -> tf.Tensor:
        """`[B]` of the true and the found r `[B, 290]` and whether they are of photographs `[B]`, 0 or 1."""
        weights = self.weights
        away = self.points(found) - self.points(true)
        beside = robust(tf.reduce_sum(tf.square(away[..., :2]), axis=-1), weights.softness)
        marks, rest = tf.reduce_mean(beside[:, :68], axis=1), tf.reduce_mean(beside, axis=1)
        deep = away[..., 2] - tf.reduce_mean(away[..., 2], axis=1, keepdims=True)
        deep = tf.reduce_mean(robust(tf.square(deep), 0.5), axis=1)
        wrong = tf.square(found - true)[:, : representation.GEOMETRY_SIZE]
        shape = weights.shape * gmse(true, found, self.gram)
        synthetic = rest + weights.depth * deep + shape
        photographs = marks + weights.photo_points * rest + weights.photo_shape * shape
        return (
            synthetic
            + photo * (photographs - synthetic)
            + weights.features * self.features.distance(true, found)
            + weights.prior * tf.reduce_sum(wrong, axis=1)
        )

    def landmarks_px(self, true: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        """Mean distance of the landmarks in the picture, `[B]` px."""
        away = self.points(found)[:, :68, :2] - self.points(true)[:, :68, :2]
        return tf.reduce_mean(tf.norm(away, axis=-1), axis=1)


class PlaceMoves:
    """Where places of the face should move to, beside where `networks.look_net` says.

    Args:
      view: the `AlignedView` whose cells, 2×2 at a time, are those places.
    """

    def __init__(self, view):
        nodes = view.corners.reshape(32, 32, 3)[1::2, 1::2], view.weights.reshape(32, 32, 3)[1::2, 1::2]
        self.corners, weights = (part.reshape(-1, 3) for part in nodes)
        self.weights = weights.astype(np.float32)
        self.model, self.size = view.model, view.size

    def places(self, r: tf.Tensor) -> tuple[tf.Tensor, representation.Camera]:
        """`[B, 256, 3]` px of r `[B, 290]`, and its camera."""
        identity, expression, pose = representation.split(r)
        camera = representation.camera(pose, self.size)
        corners = tf.gather(self.model.decode(identity, expression), self.corners, axis=1)
        return project(tf.reduce_sum(corners * self.weights[None, :, :, None], axis=2), *camera), camera

    def away(self, moves: tf.Tensor, estimate: tf.Tensor, true: tf.Tensor) -> tf.Tensor:
        """What `moves` `[B, 16, 16, 3]`, mm in the estimated head's frame, lack of the way from `estimate` to `true`:
        `[B, 256, 3]` px."""
        there, _ = self.places(true)
        here, camera = self.places(estimate)
        moved = tf.matmul(tf.reshape(moves, [-1, 256, 3]), camera.rotation, transpose_b=True)
        return moved * tf.constant([1.0, -1.0, 1.0]) * camera.scale[:, None, None] - (there - here)

    def distance(self, moves, estimate, true, seen, softness: float) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean robust distances `[B]` px of the places that are seen: in the picture, and in depth about its mean.

        Args:
          moves, estimate, true: see `away`.
          seen: `[B, 32, 32, 1]`, how well each cell is seen.
          softness: px below which distances in the picture count by their squares.
        """
        away = self.away(moves, estimate, true)
        seen = tf.reshape(tf.nn.avg_pool2d(seen, 2, 2, "VALID"), [-1, 256])
        share = seen / (tf.reduce_sum(seen, axis=1, keepdims=True) + 1.0)
        beside = robust(tf.reduce_sum(tf.square(away[..., :2]), axis=-1), softness)
        deep = away[..., 2] - tf.reduce_sum(away[..., 2] * share, axis=1, keepdims=True)
        return tf.reduce_sum(share * beside, axis=1), tf.reduce_sum(share * robust(tf.square(deep), 0.5), axis=1)


def robust(squared: tf.Tensor, softness: float) -> tf.Tensor:
    """√(d² + s²) − s of d²: smooth at zero, and no single point rules."""
    return tf.sqrt(squared + softness**2) - softness
