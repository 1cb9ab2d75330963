"""GMSE (4) against the explicit norm, and its balance with the pose."""

import keras
import numpy as np
import pytest

from tfface.losses.geometry import RepresentationLoss, balanced_pose_weight, geometry_gram, gmse, pose_mse


class _Model:
    def __init__(self, vertices=30):
        rng = np.random.default_rng(0)
        self.identity_basis = rng.normal(size=(vertices, 3, 200)).astype(np.float32)
        self.expression_basis = rng.normal(size=(vertices, 3, 84)).astype(np.float32)


def _pair():
    rng = np.random.default_rng(1)
    return rng.normal(size=(4, 290)).astype(np.float32), rng.normal(size=(4, 290)).astype(np.float32)


def test_gmse_is_the_mean_squared_vertex_distance():
    model, (a, b) = _Model(), _pair()
    basis = np.concatenate([model.identity_basis, model.expression_basis], -1)
    vertices = np.einsum("vck,bk->bvc", basis, (a - b)[:, :284])
    expected = np.mean(np.sum(vertices**2, -1), -1)
    np.testing.assert_allclose(gmse(a, b, geometry_gram(model)), expected, rtol=1e-4)
    some = np.arange(30) < 7
    expected = np.mean(np.sum(vertices[:, some] ** 2, -1), -1)
    np.testing.assert_allclose(gmse(a, b, geometry_gram(model, some)), expected, rtol=1e-4)


def test_balance_gives_equal_errors_at_the_start():
    model, (r, _) = _Model(), _pair()
    gram = geometry_gram(model)
    weight = balanced_pose_weight(r, gram)
    geometry = np.mean(gmse(r, np.zeros_like(r), gram))
    assert weight * np.mean(pose_mse(r, np.zeros_like(r))) == pytest.approx(geometry, rel=1e-4)


def test_the_loss_is_a_keras_loss():
    model, (a, b) = _Model(), _pair()
    loss = RepresentationLoss(geometry_gram(model), pose_weight=3.0)
    expected = np.mean(gmse(a, b, loss.gram) + 3.0 * pose_mse(a, b))
    assert float(loss(a, b)) == pytest.approx(float(expected), rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(a, b)) == pytest.approx(float(expected), rel=1e-5)


def test_a_wrong_width_is_refused():
    with pytest.raises(ValueError, match=r"expected r of shape \[B, 290\], received \(4, 284\)"):
        gmse(np.zeros((4, 284), np.float32), np.zeros((4, 290), np.float32), np.zeros((284, 284), np.float32))
