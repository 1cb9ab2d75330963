"""CoarseNet's criterion: the geometry mean square error of eq. 4 and the squared error of the pose."""

import keras
import numpy as np
import tensorflow as tf

from tfface.morphable import representation


def geometry_gram(model, vertices=None):
    """G = AᵀA / V of A = [A_id | A_exp], so that eq. 4 is dᵀGd: no need to decode any vertex.

    Args:
        model: a face model with `identity_basis` [V, 3, 200] and `expression_basis` [V, 3, 84] in mm.
        vertices: [V] bool, the vertices to average over; None takes all.

    Returns:
        [284, 284] float32, mm² per vertex.
    """
    basis = np.concatenate([np.asarray(model.identity_basis), np.asarray(model.expression_basis)], axis=-1)
    if vertices is not None:
        basis = basis[np.asarray(vertices, bool)]
    flat = basis.reshape(-1, basis.shape[-1]).astype(np.float64)
    return (flat.T @ flat / len(basis)).astype(np.float32)


def gmse(r_true, r_predicted, gram):
    """Eq. 4: the squared distance between two geometries, before pose.

    The paper sums over all coordinates; this is that sum divided by the number of vertices: the mean squared
    distance of a vertex from its place, in mm², whatever the mesh.

    Args:
        r_true, r_predicted: [B, 290].
        gram: [284, 284], from `geometry_gram`.

    Returns:
        [B], mm².

    Raises:
        ValueError: r is not 290 wide.
    """
    for r in (r_true, r_predicted):
        if r.shape[-1] != representation.SIZE:
            raise ValueError(f"expected r of shape [B, {representation.SIZE}], received {tuple(r.shape)}")
    difference = (r_predicted - r_true)[:, : representation.GEOMETRY_SIZE]
    return tf.reduce_sum(tf.matmul(difference, gram) * difference, axis=-1)


def pose_mse(r_true, r_predicted):
    """Mean squared error of the six normalised pose parameters (§3.3), [B]."""
    difference = (r_predicted - r_true)[:, representation.GEOMETRY_SIZE :]
    return tf.reduce_mean(tf.square(difference), axis=-1)


def balanced_pose_weight(r, gram, r_start=None):
    """The weight of `pose_mse` at which it equals GMSE before training (§3.3).

    Args:
        r: [N, 290], representations as the training data draws them.
        gram: [284, 284].
        r_start: [N, 290], what the untrained network answers; None is r₀ = 0.

    Returns:
        A float, mm².
    """
    r = tf.convert_to_tensor(r, tf.float32)
    start = tf.zeros_like(r) if r_start is None else tf.convert_to_tensor(r_start, tf.float32)
    geometry = float(tf.reduce_mean(gmse(r, start, gram)))
    return geometry / max(float(tf.reduce_mean(pose_mse(r, start))), 1e-12)


@keras.saving.register_keras_serializable(package="tfface")
class RepresentationLoss(keras.losses.Loss):
    """GMSE (4) + weight · pose MSE of r [B, 290], a Keras loss in mm².

    Args:
        gram: [284, 284], from `geometry_gram`.
        pose_weight: mm², from `balanced_pose_weight`.
    """

    def __init__(self, gram, pose_weight=1.0, name="representation_loss", **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.gram = np.asarray(gram, np.float32)
        self.pose_weight = float(pose_weight)

    def call(self, y_true, y_pred):
        return gmse(y_true, y_pred, self.gram) + self.pose_weight * pose_mse(y_true, y_pred)

    def get_config(self):
        return super().get_config() | {"gram": self.gram.tolist(), "pose_weight": self.pose_weight}
