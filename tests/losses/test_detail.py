"""The criterion on known surfaces: a slow reference, zero for the truth, blind to offsets and to what isn't valid."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.losses.detail import detail_criterion, painted


def surfaces(seed=0, size=20):
    y, x = np.mgrid[:size, :size].astype(np.float32)
    rng = np.random.default_rng(seed)
    truth = 0.3 * x - 0.1 * y + np.sin(x / 2) + 0.1 * rng.normal(size=(size, size))
    coarse = 0.2 * x + 0.05 * y
    shape = [1, size, size, 1]
    return tf.reshape(tf.constant(truth, tf.float32), shape), tf.reshape(tf.constant(coarse, tf.float32), shape)


def test_the_truth_costs_nothing_and_an_offset_neither():
    truth, coarse = surfaces()
    terms = detail_criterion(truth + 5.0, truth, coarse, tf.ones_like(truth))
    assert float(terms.total[0]) == pytest.approx(0, abs=1e-4) and float(terms.closer[0]) == pytest.approx(1, abs=1e-3)
    assert float(detail_criterion(coarse, truth, coarse, tf.ones_like(truth)).closer[0]) == pytest.approx(0, abs=1e-6)


def test_normals_are_compared_pixel_by_pixel():
    truth, coarse = surfaces()
    valid = np.zeros(truth.shape, np.float32)
    valid[:, 1:-1, 1:-1] = 1
    found = float(detail_criterion(coarse, truth, coarse, valid).normals[0])
    t, c = truth.numpy()[0, ..., 0].astype(np.float64), coarse.numpy()[0, ..., 0].astype(np.float64)

    def normal(z, i, j):
        n = np.array([-(z[i, j + 1] - z[i, j - 1]) / 2, -(z[i + 1, j] - z[i - 1, j]) / 2, 1.0])
        return n / np.linalg.norm(n)

    inner = range(2, 18)  # a pixel beside one that doesn't count has a one-sided slope
    lengths = [np.sqrt(((normal(t, i, j) - normal(c, i, j)) ** 2).sum() + 9e-4) - 0.03 for i in inner for j in inner]
    assert found == pytest.approx(np.mean(lengths), rel=1e-4)


def test_what_is_not_valid_does_not_count():
    truth, coarse = surfaces()
    valid = np.zeros(truth.shape, np.float32)
    valid[:, 4:12, 4:12] = 1
    spoilt = np.array(coarse)
    spoilt[:, 13:] += 100.0
    one, other = (detail_criterion(z, truth, coarse, valid).total for z in (coarse, spoilt))
    np.testing.assert_allclose(one, other, rtol=1e-6)
    assert float(detail_criterion(coarse, truth, coarse, 0 * valid).total[0]) == 0


def test_gradients_are_finite_and_lead_to_the_truth():
    truth, coarse = surfaces()
    refined = tf.Variable(coarse)
    before = float(detail_criterion(refined, truth, coarse, tf.ones_like(truth)).total[0])
    for _ in range(100):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(detail_criterion(refined, truth, coarse, tf.ones_like(truth)).total)
        gradient = tape.gradient(total, refined)
        assert np.all(np.isfinite(gradient))
        refined.assign_sub(20.0 * gradient)
    assert float(detail_criterion(refined, truth, coarse, tf.ones_like(truth)).total[0]) < 0.7 * before


def test_paint_is_told_from_a_smooth_change_of_tone():
    y, x = np.mgrid[-1 : 1 : 96 * 1j, -1 : 1 : 96 * 1j]
    spot = x**2 + y**2 < 0.002
    albedo = np.exp(0.3 * x) * np.where(spot, 0.5, 1.0)
    mask = np.ones((1, 96, 96, 1), np.float32)
    marks = painted(tf.constant(albedo[None, ..., None], tf.float32), tf.constant(mask))[0, ..., 0].numpy()
    assert marks[spot].min() > 0.9 and marks[(x**2 + y**2 > 0.05) & (abs(x) < 0.9)].max() < 0.05
