"""Coefficients and basis on grids: sums that are exact, steps that move vertices by what they say."""

import numpy as np
import pytest

from tfface.morphable.grid import GRID_MM, coefficient_steps, exact_basis


@pytest.fixture(scope="module")
def coefficients(model):
    """Of random faces, in whole steps, `[100, 284]`."""
    r = np.random.default_rng(2).normal(size=(100, 284)).astype(np.float32)
    return np.round(r / model.steps) * model.steps


def test_sums_are_exact_in_any_order(model, coefficients):
    exact = coefficients.astype(np.float64) @ model.geometry_basis.astype(np.float64)
    order = np.random.default_rng(3).permutation(284)
    one_by_one = np.zeros(exact.shape, np.float32)
    for row in order:
        one_by_one += coefficients[:, row, None] * model.geometry_basis[row]
    np.testing.assert_array_equal(one_by_one, exact)
    decoded = model.decode(coefficients[:, :200], coefficients[:, 200:]).numpy()
    np.testing.assert_array_equal(decoded, exact.astype(np.float32).reshape(decoded.shape) + model.mean)


def test_the_basis_is_hardly_another(model, coefficients):
    basis = np.concatenate([model.identity_basis, model.expression_basis], axis=-1).reshape(-1, 284).T
    away = np.abs(coefficients.astype(np.float64) @ (basis.astype(np.float64) - model.geometry_basis))
    assert 0 < away.max() < 0.002
    np.testing.assert_array_equal(exact_basis(model.geometry_basis, model.steps), model.geometry_basis)


def test_steps_are_powers_of_two_and_move_vertices_by_what_they_say_with_few_edges(model):
    np.testing.assert_array_equal(model.steps, np.exp2(np.round(np.log2(model.steps))))
    r = np.random.default_rng(2).normal(size=(200, 284))
    offsets = (np.round(r / model.steps) * model.steps - r) @ model.geometry_basis
    away = np.linalg.norm(offsets.reshape(200, -1, 3), axis=-1)
    assert np.sqrt(np.mean(away**2)) == pytest.approx(GRID_MM, rel=0.05) and away.max() < 7 * GRID_MM
    # Steps of other powers that move the vertices as much have more edges.
    moved = np.sum(model.geometry_basis.astype(np.float64) ** 2, axis=1)
    for power in (0.0, -0.5, -1.0):
        other = moved ** (power / 2)
        other *= np.sqrt(np.sum(moved * model.steps**2.0) / np.sum(moved * other**2))
        assert np.sum(1 / model.steps) < np.sum(1 / other)


def test_a_basis_that_moves_nothing_has_steps():
    steps = coefficient_steps(np.zeros((2, 6), np.float32))
    assert np.all(np.isfinite(steps)) and np.all(steps > 0)
    np.testing.assert_array_equal(exact_basis(np.zeros((2, 6), np.float32), steps), np.zeros((2, 6)))
