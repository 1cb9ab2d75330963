"""Normals, slopes and the Laplacian of depth maps against analytic surfaces."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.geometry.depth import laplacian, normals_from_depth, slopes_from_depth


def _grid(size):
    centre = np.arange(size) + 0.5
    x, y = np.meshgrid(centre, centre)
    return x.astype(np.float32)[None, ..., None], y.astype(np.float32)[None, ..., None]


def _disc(x, y, size, radius):
    return ((x - size / 2) ** 2 + (y - size / 2) ** 2 < radius**2).astype(np.float32)


def test_plane_is_exact_up_to_the_edge_of_any_mask():
    x, y = _grid(21)
    mask = _disc(x, y, 21, 7.3)
    depth = (0.3 * x - 0.7 * y + 5.0) * mask
    expected = np.array([-0.3, 0.7, 1.0]) / np.sqrt(1 + 0.09 + 0.49)
    normals = normals_from_depth(depth, mask).numpy()
    inside = mask[0, ..., 0] > 0
    np.testing.assert_allclose(normals[0][inside], np.tile(expected, (inside.sum(), 1)), atol=1e-5)
    assert np.all(normals[0][~inside] == 0)
    np.testing.assert_allclose(laplacian(depth, mask), 0, atol=1e-5)


def test_sphere_normals_point_away_from_its_centre():
    size, radius = 101, 80.0
    x, y = _grid(size)
    mask = _disc(x, y, size, 45)
    dx, dy = x - size / 2, y - size / 2
    depth = np.sqrt(radius**2 - dx**2 - dy**2) * mask
    expected = np.concatenate([dx, dy, depth], -1) / radius
    normals = normals_from_depth(depth, mask).numpy()
    inner = _disc(x, y, size, 43)[0, ..., 0] > 0
    assert np.abs(normals[0][inner] - expected[0][inner]).max() < 2e-3
    rim = (mask[0, ..., 0] > 0) & ~inner
    assert np.abs(normals[0][rim] - expected[0][rim]).max() < 0.02
    curvature = laplacian(depth, mask).numpy()[0, ..., 0]
    assert curvature[50, 50] == pytest.approx(-2 / radius, rel=0.01)


def test_isolated_pixels_and_empty_masks_are_finite():
    mask = np.zeros((2, 5, 5, 1), np.float32)
    mask[0, 2, 2] = 1
    depth = tf.Variable(np.full((2, 5, 5, 1), 7.0, np.float32))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(normals_from_depth(depth, mask)) + tf.reduce_sum(laplacian(depth, mask))
    np.testing.assert_array_equal(normals_from_depth(depth, mask)[0, 2, 2], [0, 0, 1])
    assert np.all(np.isfinite(tape.gradient(value, depth)))


def test_steps_are_not_slopes():
    depth = np.concatenate([np.zeros((1, 6, 5, 1)), np.full((1, 6, 5, 1), 20.0)], axis=2).astype(np.float32)
    mask = np.ones_like(depth)
    assert np.abs(slopes_from_depth(depth, mask)).max() == 10
    np.testing.assert_array_equal(slopes_from_depth(depth, mask, max_step=4.0), 0)
    np.testing.assert_array_equal(laplacian(depth, mask, max_step=4.0), 0)


@pytest.mark.parametrize("function", [normals_from_depth, laplacian])
def test_gradient_agrees_with_finite_differences(function):
    rng = np.random.default_rng(0)
    depth = rng.normal(size=(1, 5, 6, 1))
    mask = (rng.random((1, 5, 6, 1)) > 0.2).astype(np.float64)
    theoretical, numerical = tf.test.compute_gradient(lambda z: function(z, mask), [tf.constant(depth)], delta=1e-5)
    np.testing.assert_allclose(theoretical[0], numerical[0], atol=1e-6)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"expected depth of shape \[B, H, W, 1\], received \(5, 5\)"):
        normals_from_depth(np.zeros((5, 5), np.float32), np.zeros((5, 5), np.float32))
