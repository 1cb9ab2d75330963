"""Distance between projected points of two representations, the landmarks first: what a person sees as misalignment."""

import numpy as np
import tensorflow as tf

from tfface.geometry.camera import project
from tfface.morphable import representation
from tfface.morphable.representation import camera


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
