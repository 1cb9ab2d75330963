"""The criterion of corrections: its terms spelt out, and moves of places against projections by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.geometry.camera import rotation_matrix
from tfface.losses.estimates import EstimateCriterion, EstimateWeights, PlaceMoves, robust
from tfface.morphable import representation
from tfface.rendering.aligned_view import AlignedView


@pytest.mark.parametrize("softness", [0.25, 0.5])
def test_photographs_count_by_their_landmarks(model, softness):
    weights = EstimateWeights(features=0.0, prior=0.0, softness=softness)
    criterion = EstimateCriterion(model, 200, weights)
    true = np.zeros((1, 290), np.float32)
    found = true + np.eye(1, 290, 0, dtype=np.float32)
    synthetic, photo = (float(criterion(true, found, np.float32([share]))[0]) for share in (0, 1))
    points = criterion.points(found) - criterion.points(true)
    beside = np.sqrt(np.square(points[0, :, :2]).sum(-1) + softness**2) - softness
    deep = points[0, :, 2] - points[0, :, 2].numpy().mean()
    shape = 0.05 * float(criterion.gram[0, 0])
    assert synthetic == pytest.approx(beside.mean() + 0.5 * (np.sqrt(deep**2 + 0.25) - 0.5).mean() + shape, rel=1e-3)
    assert photo == pytest.approx(beside[:68].mean() + 0.1 * beside.mean() + 0.6 * shape, rel=1e-3)


def test_features_and_the_prior_count_too(model):
    true, found = np.zeros((1, 290), np.float32), np.full((1, 290), 0.1, np.float32)
    found[:, 284:] = 0.0
    plain, more = (
        float(EstimateCriterion(model, 200, EstimateWeights(features=f, prior=p))(true, found, np.zeros(1, "f4"))[0])
        for f, p in ((0.0, 0.0), (0.5, 0.02))
    )
    criterion = EstimateCriterion(model, 200, EstimateWeights())
    wanted = plain + 0.5 * float(criterion.features.distance(true, found)[0]) + 0.02 * 284 * 0.01
    assert more == pytest.approx(wanted, rel=1e-4)


def test_landmarks_are_measured_in_the_picture(model):
    criterion = EstimateCriterion(model, 200, EstimateWeights())
    true, found = np.zeros((2, 290), np.float32), np.zeros((2, 290), np.float32)
    found[1, 287:289] = 0.03, 0.04
    np.testing.assert_allclose(criterion.landmarks_px(true, found), [0.0, 5.0], atol=1e-3)


@pytest.fixture(scope="module")
def places(model):
    return PlaceMoves(AlignedView(model, 200))


def test_the_right_moves_leave_nothing(model, places):
    draw = np.random.default_rng(0)
    true, estimate = (
        np.concatenate([0.5 * draw.normal(size=(2, 284)), 0.2 * draw.normal(size=(2, 6))], 1).astype(np.float32)
        for _ in range(2)
    )
    # By hand, of single vertices: places are their weighted means.
    there, here = (representation.vertices_image(model, r, 200).numpy() for r in (true, estimate))
    for which in (0, 1):
        means = [np.einsum("nk,nkc->nc", places.weights, v[which][places.corners]) for v in (there, here)]
        way = (means[0] - means[1]) * [1.0, -1.0, 1.0] / (np.exp(estimate[which, 289]) * 200 / 240)
        rotation = rotation_matrix(estimate[which, None, 284:287]).numpy()[0]
        moves = np.zeros((2, 16, 16, 3), np.float32)
        moves[which] = (way @ rotation).reshape(16, 16, 3)
        np.testing.assert_allclose(places.away(moves, estimate, true)[which], 0.0, atol=2e-3)
        np.testing.assert_allclose(places.away(0.0 * moves, estimate, true)[which], means[1] - means[0], atol=2e-3)


def test_only_places_that_are_seen_count_and_depth_about_its_mean(model, places):
    r = np.zeros((1, 290), np.float32)
    moves, seen = np.zeros((1, 16, 16, 3), np.float32), np.zeros((1, 32, 32, 1), np.float32)
    moves[0, 3, 4], moves[0, 9, 9] = [3.0, 4.0, 0.0], [7.0, 7.0, 7.0]
    seen[0, 6:8, 8:10] = 1.0
    beside, deep = places.distance(moves, r, r, seen, 0.25)
    # One place of one, beside the 1 that keeps empty faces from dividing by zero.
    assert float(beside[0]) == pytest.approx(0.5 * float(robust((5.0 * 200 / 240) ** 2, 0.25)), rel=1e-3)
    assert float(deep[0]) == pytest.approx(0.0, abs=1e-4)
    seen[...] = 1.0
    moves[...] = [0.0, 0.0, 2.0]
    beside, deep = places.distance(moves, r, r, seen, 0.25)
    assert float(beside[0]) == pytest.approx(0.0, abs=1e-4) and float(deep[0]) < 1e-3
    moves[:, 8:] = [0.0, 0.0, -2.0]
    assert float(places.distance(moves, r, r, seen, 0.25)[1][0]) > 1.0


def test_robust_distances_have_gradients_at_zero():
    x = tf.zeros([3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = robust(tf.square(x), 0.5)
    np.testing.assert_array_equal(tape.gradient(y, x), np.zeros(3))
