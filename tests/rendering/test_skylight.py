"""Ambient occlusion: planes see the whole sky, folds don't, and rays that are followed one by one agree."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from tfface.rendering.skylight import DISTANCES, REFLECTED, sky_seen

WIDTH = 400


def _seen(depth, mask=None):
    mask = np.ones_like(depth) if mask is None else mask
    return sky_seen(depth[None, :, :, None].astype(np.float32), mask[None, :, :, None])[0, ..., 0].numpy()


def _direct(seen):
    """The share of the sky alone, before what is reflected."""
    return seen * (1.0 - REFLECTED) / (1.0 - REFLECTED * seen)


@pytest.mark.parametrize("slope", [0.0, 0.5, 2.0])
def test_a_plane_hides_nothing_of_its_sky(slope):
    y, x = np.mgrid[:60, :WIDTH]
    np.testing.assert_allclose(_seen(slope * x - 0.3 * y), 1.0, atol=1e-5)


@pytest.mark.parametrize("degrees", [15.0, 30.0, 60.0])
def test_the_bottom_of_a_v_sees_what_its_walls_leave(degrees):
    wall = np.tan(np.radians(degrees))
    depth = np.tile(wall * np.abs(np.arange(WIDTH) - 200.0), (60, 1))
    # Across twice, at 45° four times, along twice: sin² of how high the wall stands there.
    angles = np.arctan(wall * np.abs(np.cos(np.radians(np.arange(8) * 45.0))))
    share = 1.0 - np.mean(np.sin(angles) ** 2)
    expected = share / (1.0 - REFLECTED * (1.0 - share))
    np.testing.assert_allclose(_seen(depth)[30, 200], expected, rtol=1e-3)


def test_it_agrees_with_rays_followed_one_by_one():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :WIDTH].astype(np.float64)
    depth = np.zeros_like(x)
    for _ in range(12):
        fx, fy, phase = *rng.uniform(-0.5, 0.5, 2), rng.uniform(0, 6.28)
        depth += 0.5 * np.sin(fx * x + fy * y + phase)
    seen = _direct(_seen(depth))
    slope_y, slope_x = np.gradient(depth)
    steps = np.arange(0.5, max(DISTANCES), 0.25)[:, None]
    found, true = [], []
    for row, column in rng.integers([30, 100], [60, 300], (60, 2)):
        normal = np.array([-slope_x[row, column], -slope_y[row, column], 1.0])
        normal /= np.linalg.norm(normal)
        # Lambert's cosine: a point on the sphere that touches the surface.
        rays = rng.normal(size=(2000, 3))
        rays = rays / np.linalg.norm(rays, axis=1, keepdims=True) + normal
        rays = rays[rays[:, 2] > 1e-3]
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        at = [row, column, depth[row, column]] + steps[:, :, None] * rays[None, :, [1, 0, 2]]
        ground = map_coordinates(depth, [at[..., 0], at[..., 1]], order=1)
        free = ~(ground > at[..., 2] + 0.05).any(0)
        found.append(seen[row, column])
        true.append(free.mean())
    # Five distances in eight directions are a coarse horizon: 0.85, and 0.945 where 0.965 is seen.
    assert np.corrcoef(found, true)[0, 1] > 0.8
    assert abs(np.mean(found) - np.mean(true)) < 0.03


def test_what_is_off_the_mask_hides_nothing():
    depth = np.zeros((60, WIDTH))
    depth[:, 200:] = 40.0
    mask = np.ones_like(depth)
    assert _seen(depth)[30, 199] < 0.9
    mask[:, 200:] = 0.0
    np.testing.assert_allclose(_seen(depth, mask), 1.0, atol=1e-6)
