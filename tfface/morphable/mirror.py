"""The mirror image of a face: what r becomes when its photograph is flipped."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfface.morphable import representation


@dataclass(frozen=True)
class Mirror:
    """A face model's reflection in its own coefficients, left–right.

    A principal component of asymmetric heads need not be symmetric or antisymmetric, so mirroring mixes
    coefficients: identity' = identity·M_id + o_id, expression' = expression·M_exp. The mirrored basis is
    projected back onto the basis by least squares; `residual` says what part of the mean square displacement
    that loses.

    Attributes:
        identity: [200, 200] float32, M_id.
        identity_offset: [200] float32, o_id, from an asymmetric mean face; near 0.
        expression: [84, 84] float32, M_exp.
        residual: largest share lost, of the identity and of the expression basis.
    """

    identity: np.ndarray
    identity_offset: np.ndarray
    expression: np.ndarray
    residual: float

    @classmethod
    def of(cls, model) -> "Mirror":
        """The mirror of a face model.

        Args:
            model: has `mean` [V, 3], `identity_basis` [V, 3, 200], `expression_basis` [V, 3, 84] and `mirror` [V], the
                index of each vertex' partner.
        """
        partner = np.asarray(model.mirror)

        def reflect(values):
            return values[partner] * np.array([-1.0, 1.0, 1.0]).reshape(1, 3, *[1] * (values.ndim - 2))

        mean = np.asarray(model.mean, np.float64)
        identity, id_lost, inverse = _project(np.asarray(model.identity_basis, np.float64), reflect)
        expression, exp_lost, _ = _project(np.asarray(model.expression_basis, np.float64), reflect)
        offset = inverse @ (reflect(mean) - mean).reshape(-1)
        return cls(
            identity.astype(np.float32),
            offset.astype(np.float32),
            expression.astype(np.float32),
            max(id_lost, exp_lost),
        )

    def __call__(self, r):
        """r [B, 290] of the face in the flipped image: mirrored geometry, θ_y, θ_z and u negated."""
        identity, expression, pose = representation.split(r)
        sign = tf.constant([1.0, -1.0, -1.0, -1.0, 1.0, 1.0])
        return representation.join(
            tf.matmul(identity, self.identity) + self.identity_offset,
            tf.matmul(expression, self.expression),
            pose * sign,
        )


def _project(basis, reflect):
    """(M [K, K] for row vectors, share of the reflected basis' energy lost, pseudo-inverse [K, 3V])."""
    flat = basis.reshape(-1, basis.shape[-1])
    reflected = reflect(basis).reshape(flat.shape)
    # Normal equations, a tenth of the time of QR: in float64 nothing is lost that float32 would show.
    gram = np.linalg.pinv(flat.T @ flat, rcond=1e-12, hermitian=True)
    matrix = gram @ (flat.T @ reflected)
    lost = np.sum((reflected - flat @ matrix) ** 2) / np.sum(reflected**2)
    return matrix.T, float(lost), gram @ flat.T
