"""The whole-face networks' grids against obvious references."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.networks import cell_net


def test_cells_are_means_of_blocks():
    values = np.random.default_rng(0).random((2, 128, 192, 3)).astype(np.float32)
    cells = cell_net.to_cells(values, 64).numpy()
    # The longer side has 64 cells, so the shorter one fills two thirds of the grid.
    blocks = values[:, :126].reshape(2, 42, 3, 64, 3, 3).mean((2, 4))
    np.testing.assert_allclose(cells[:, :42], blocks, atol=1e-5)
    assert np.all(cells[:, 43:] == 0)


def test_cells_of_any_size_keep_the_mean():
    for size in (50, 64, 91, 200):
        values = np.random.default_rng(size).random((1, size, size, 1)).astype(np.float32)
        np.testing.assert_allclose(tf.reduce_mean(cell_net.to_cells(values, 64)), values.mean(), atol=1e-5)


def test_the_spline_agrees_with_scipys():
    from scipy.interpolate import BSpline

    control = np.random.default_rng(1).random((1, 64, 64, 1)).astype(np.float32)
    found = cell_net.from_cells(control, np.zeros((1, 200, 200, 1), np.float32)).numpy()[0, ..., 0]
    place = (np.arange(8, 192) + 0.5) * 64 / 200 - 0.5  # away from the border, where rows are made to sum to 1
    basis = np.stack([BSpline.basis_element(np.arange(i - 2, i + 3), extrapolate=False)(place) for i in range(64)], -1)
    basis = np.nan_to_num(basis)
    np.testing.assert_allclose(found[8:192, 8:192], basis @ control[0, ..., 0] @ basis.T, atol=1e-5)


def test_a_grid_finer_than_the_picture_repeats_its_pixels():
    values = np.random.default_rng(4).random((1, 32, 32, 2)).astype(np.float32)
    np.testing.assert_allclose(cell_net.to_cells(values, 128), values.repeat(4, 1).repeat(4, 2), atol=1e-5)


def test_a_picture_as_wide_as_the_grid_is_its_cells():
    values = np.random.default_rng(6).random((1, 64, 64, 2)).astype(np.float32)
    assert cell_net.to_cells(values, 64) is values
    oblong = np.concatenate([values, values[:, :32]], axis=1)
    assert cell_net.to_cells(oblong, 64).shape == (1, 64, 64, 2)


def test_cells_are_as_wide_as_they_say():
    assert float(cell_net.cell_px(np.zeros((1, 60, 200, 1), np.float32), 64)) == pytest.approx(200 / 64)


def test_the_network_starts_as_its_constant():
    network = cell_net.build_cell_net("some", (4, 6), 3, 16, bias=2.5)
    values = np.random.default_rng(5).random((2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(network(values), np.full((2, 16, 16, 1), 2.5), atol=1e-6)
    assert network.name == "some_net" and all(layer.name.startswith(("some", "face")) for layer in network.layers)


def test_widths_without_a_level_are_refused():
    with pytest.raises(ValueError, match="expected 1 to 6 positive widths, received \\(4, 0\\)"):
        cell_net.build_cell_net("some", (4, 0), 3, 16)


def test_more_levels_than_a_grid_has_are_refused():
    with pytest.raises(ValueError, match="halves a grid of 12 cells evenly for `some`, received \\(4, 4, 4, 4\\)"):
        cell_net.build_cell_net("some", (4, 4, 4, 4), 3, 12)
    assert cell_net.build_cell_net("some", (4, 4, 4), 3, 12).output_shape == (None, 12, 12, 1)
