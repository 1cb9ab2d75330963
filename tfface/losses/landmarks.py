"""Distances of landmarks: between two representations' projections, and within a face, which is what makes features."""

import numpy as np
import tensorflow as tf

from tfface.geometry.camera import project
from tfface.morphable import representation
from tfface.morphable.representation import camera

FEATURES = {
    "eyelids": ((37, 41), (38, 40), (43, 47), (44, 46)),
    "eyes": ((36, 39), (42, 45), (36, 45), (39, 42)),
    "brows": ((17, 36), (19, 37), (21, 39), (22, 42), (24, 44), (26, 45), (17, 21), (21, 22), (22, 26)),
    "mouth": ((61, 67), (62, 66), (63, 65), (48, 54), (48, 51), (51, 54), (48, 57), (54, 57)),
    "lips": ((50, 58), (51, 57), (52, 56)),
    "nose": ((27, 30), (27, 33), (31, 35), (33, 51)),
    "outline": ((0, 16), (3, 13), (4, 12), (6, 10), (8, 27), (8, 57)),
}
"""Pairs of landmarks whose offsets make a feature's shape."""


class ProjectedLandmarks:
    """Projects the 68 landmarks of r without decoding the whole mesh.

    Args:
      model: a `MorphableModel`.
      size: width of the crop that distances are measured in, px.
      vertices: ids `[N]` of other vertices to project; None takes the landmarks.
    """

    def __init__(self, model, size: int = 200, vertices=None):
        ids = np.asarray(model.landmarks if vertices is None else vertices)
        self.size = size
        self.count = len(ids)
        self.mean = model.mean[ids].reshape(1, -1).astype(np.float32)
        basis = np.concatenate([model.identity_basis[ids], model.expression_basis[ids]], axis=-1)
        self.basis = basis.reshape(-1, representation.GEOMETRY_SIZE).T.astype(np.float32)

    def __call__(self, r: tf.Tensor) -> tf.Tensor:
        """r `[B, 290]` → `[B, N, 3]` px: x right, y down, z nearer."""
        r = tf.cast(r, tf.float32)
        points = tf.matmul(r[:, : representation.GEOMETRY_SIZE], self.basis) + self.mean
        return project(
            tf.reshape(points, [-1, self.count, 3]), *camera(r[:, representation.GEOMETRY_SIZE :], self.size)
        )

    def distance(self, r_true: tf.Tensor, r_pred: tf.Tensor) -> tf.Tensor:
        """Mean distance `[B]` in px, smooth at zero: √(d² + 1) − 1, so that no single point rules."""
        squared = tf.reduce_sum(tf.math.squared_difference(self(r_true), self(r_pred)), axis=-1)
        return tf.reduce_mean(tf.sqrt(squared + 1.0) - 1.0, axis=-1)


class FeatureShape:
    """Offsets between landmarks of the same feature, in the head's own frame and without its pose.

    A lid that is 1 px too low moves a landmark that pose has already displaced by 4 px to a distance of 4.1: a
    distance between landmarks hardly asks for it, and the answer is a face with its eyes half shut and its mouth half
    open. Differences of landmarks see nothing else. The idea is that of the eye closure loss of Feng et al., "Learning
    an Animatable Detailed 3D Face Model from In-The-Wild Images" (SIGGRAPH 2021), here in 3D and for all features.

    Args:
      model: a `MorphableModel`.
    """

    def __init__(self, model):
        pairs = np.asarray(model.landmarks)[np.concatenate([np.asarray(pairs) for pairs in FEATURES.values()])]
        basis = np.concatenate([model.identity_basis[pairs], model.expression_basis[pairs]], axis=-1)
        self.count = len(pairs)
        offsets = basis[:, 0] - basis[:, 1]
        self.basis = offsets.reshape(-1, representation.GEOMETRY_SIZE).T.astype(np.float32)

    def distance(self, r_true: tf.Tensor, r_pred: tf.Tensor) -> tf.Tensor:
        """Mean distance `[B]` of the offsets of two r `[B, 290]` in mm, smooth at zero: √(d² + 0.2²) − 0.2."""
        difference = tf.cast(r_pred - r_true, tf.float32)[:, : representation.GEOMETRY_SIZE]
        offsets = tf.reshape(tf.matmul(difference, self.basis), [-1, self.count, 3])
        squared = tf.reduce_sum(tf.square(offsets), axis=-1)
        return tf.reduce_mean(tf.sqrt(squared + 0.04) - 0.2, axis=-1)
