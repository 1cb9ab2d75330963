"""Cast shadows against a march along every ray, at any size, and what they leave of lights."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import map_coordinates, zoom

from tfface.rendering.cast_shadow import DISTANCES, light_seen
from tfface.rendering.shading import directional, specular

SIZE = 80


def _unit(*direction):
    return np.float32(direction / np.linalg.norm(direction))


def _balls():
    """Depth of two half balls on a plane, `[SIZE, SIZE]` px."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    balls = [np.sqrt(np.maximum(r**2 - (x - cx) ** 2 - (y - cy) ** 2, 0)) for cx, cy, r in ((30, 40, 14), (58, 30, 8))]
    return np.maximum(*balls)


def _seen(depth, mask, directions, width):
    depth, mask = (tf.constant(value[None, :, :, None], tf.float32) for value in (depth, mask))
    directions = tf.constant(np.float32(directions)[None])
    return light_seen(depth, mask, directions, tf.fill([1, directions.shape[1]], width)).numpy()[0]


def _marched(depth, direction):
    """Whether each pixel sees a point-like light, by small steps along its ray."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    free = np.ones(depth.shape, bool)
    for t in np.arange(DISTANCES[0], DISTANCES[-1], 0.25):
        s = t / np.hypot(*direction[:2])
        there = map_coordinates(depth, [y + s * direction[1], x + s * direction[0]], order=1, cval=-1e4)
        free &= there <= depth + s * direction[2]
    return free


@pytest.mark.parametrize("direction", [(-0.8, -0.2, 0.5), (0.6, -0.6, 0.4), (0.1, 0.9, 0.6)])
def test_shadows_fall_where_rays_are_blocked(direction):
    depth, direction = _balls(), _unit(*direction)
    seen = _seen(depth, np.ones_like(depth), [direction], 0.01)[..., 0]
    marched = _marched(depth, direction)
    assert 0.05 < (~marched).mean() < 0.5
    assert ((seen > 0.5) == marched).mean() > 0.975


def test_wide_lights_have_soft_edges_and_the_same_middle():
    depth, direction = _balls(), _unit(-0.8, -0.2, 0.5)
    hard, soft = (_seen(depth, np.ones_like(depth), [direction], width)[..., 0] for width in (0.02, 0.3))
    assert ((soft > 0.05) & (soft < 0.95)).sum() > 5 * ((hard > 0.05) & (hard < 0.95)).sum()
    assert np.abs(soft - hard)[np.abs(soft - 0.5) > 0.45].mean() < 0.05


def test_each_light_has_its_own_shadow_and_none_from_the_front_or_from_beyond_the_mask():
    depth = _balls()
    ways = [_unit(-0.8, -0.2, 0.5), _unit(0.6, -0.6, 0.4), _unit(0.0, 0.0, 1.0)]
    together = _seen(depth, np.ones_like(depth), ways, 0.1)
    for light, way in enumerate(ways):
        np.testing.assert_allclose(
            together[..., light], _seen(depth, np.ones_like(depth), [way], 0.1)[..., 0], atol=1e-5
        )
    assert (together[..., 2] == 1.0).all()
    flat = np.where(depth > 0, 0.0, 1.0)
    np.testing.assert_array_equal(_seen(depth, flat, ways, 0.1), 1.0)


def test_the_rim_of_the_mask_casts_no_shadow_on_itself():
    # A tilted plane that ends within cells of four pixels, lit from where it goes on.
    y, x = np.mgrid[:400, :400].astype(np.float32)
    inside = (np.hypot(x - 201, y - 202) < 150).astype(np.float32)
    seen = _seen(0.2 * x + 50, inside, [_unit(*way, 0.6) for way in ((1, 0), (-1, 0), (0, 1), (-1, -1))], 0.1)
    np.testing.assert_array_equal(seen, 1.0)


def test_large_pictures_have_the_same_shadows():
    depth, way = np.pad(_balls(), 10), _unit(-0.8, -0.2, 0.5)
    small = _seen(depth, np.ones_like(depth), [way], 0.1)[..., 0]
    large = _seen(np.repeat(np.repeat(depth, 4, 0), 4, 1) * 4, np.ones([400, 400]), [way], 0.1)[..., 0]
    # Edges lie within cells.
    away = np.abs(large.reshape(100, 4, 100, 4).mean((1, 3)) - small)
    assert away.mean() < 0.01 and (away > 0.25).mean() < 0.005 < (small < 0.5).mean()
    odd = _seen(zoom(depth, 1.37, order=1) * 1.37, np.ones([137, 137]), [way], 0.1)[..., 0]
    away = np.abs(zoom(odd, 100 / 137, order=1) - small)
    assert away.mean() < 0.03


def test_hidden_light_is_missing_from_shading():
    normals = tf.constant(np.broadcast_to(_unit(0.2, -0.1, 1.0), [1, 2, 2, 3]))
    ways = tf.constant([[_unit(0.3, 0.0, 1.0), _unit(-0.5, 0.2, 1.0)]])
    strengths, seen = tf.constant([[0.7, 0.4]]), np.zeros([1, 2, 2, 2], np.float32)
    seen[0, 0, :, 0], seen[0, 0, 0, 1] = 1.0, 0.5
    for shade in (directional, lambda *args, **how: specular(*args, tf.constant([10.0]), **how)):
        each = [shade(normals, ways[:, k : k + 1], strengths[:, k : k + 1])[0, 0, 0, 0] for k in range(2)]
        found = shade(normals, ways, strengths, seen=seen).numpy()[0, ..., 0]
        np.testing.assert_allclose(found, [[each[0] + 0.5 * each[1], each[0]], [0.0, 0.0]], rtol=1e-5)
