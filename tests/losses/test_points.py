"""How far located points lie from where they are, against slow references."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.losses.points import SPREAD, map_surprise, point_distance
from tfface.networks.point_head import SoftArgmax, cell_centres


def test_distance_is_in_pixels():
    located = tf.constant([[[0.0, 0.0, 0.0], [0.1, -0.2, 0.3]]])
    truth = tf.constant([[[100.0, 100.0, 0.0], [110.0, 80.0, 0.0]]])
    assert float(point_distance(located, truth, 200)[0]) == pytest.approx((0 + np.sqrt(30**2 + 1) - 1) / 2, rel=1e-5)


def wanted_scores(truth, size, cells):
    """Scores whose softmax is the Gaussian around each point, one cell at a time."""
    centres = cell_centres(cells)
    step = float(centres[1] - centres[0])
    scores = np.zeros((len(truth), cells, cells, truth.shape[1]), np.float32)
    for b, points in enumerate(truth):
        for k, (x, y, _) in enumerate(points / (size / 2.0) - 1.0):
            for i in range(cells):
                for j in range(cells):
                    away = ((centres[j] - x) ** 2 + (centres[i] - y) ** 2) / (SPREAD * step) ** 2
                    scores[b, i, j, k] = -0.5 * away
    return scores


def test_maps_surprise_by_how_much_they_are_not_the_gaussian():
    truth = np.array([[[100.0, 100.0, 0.0], [60.0, 130.0, 0.0]]], np.float32)
    scores = wanted_scores(truth, 200, 9)
    maps = np.concatenate([scores, np.zeros_like(scores)], axis=-1)
    assert float(map_surprise(maps, truth, 200)[0]) == pytest.approx(0, abs=1e-4)
    share = np.exp(scores) / np.exp(scores).sum((1, 2), keepdims=True)
    flat = float(map_surprise(np.zeros_like(maps), truth, 200)[0])
    divergence = (share * np.log(np.maximum(share, 1e-30) * 81)).sum((1, 2)).mean()
    assert flat == pytest.approx(divergence, rel=1e-4)
    # The wanted maps are read back as the points that they were made of.
    np.testing.assert_allclose(SoftArgmax()(maps)[0, :, :2] * 100 + 100, truth[0, :, :2], atol=0.5)


def test_points_beyond_the_map_give_finite_gradients():
    maps = tf.Variable(np.random.default_rng(0).normal(size=(1, 5, 5, 2)).astype(np.float32))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(map_surprise(maps, tf.constant([[[900.0, -400.0, 0.0]]]), 200))
    assert np.isfinite(value) and np.all(np.isfinite(tape.gradient(value, maps)))
