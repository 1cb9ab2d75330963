"""Z-buffer visibility against the slow reference."""

import numpy as np
import pytest
import tensorflow as tf
from reference import rasterize as slow

from tfface.rendering.visibility import coverage, interpolate, rasterize


def soup(count, size, seed):
    """Random, overlapping, intersecting triangles, some of them partly or wholly outside."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(-0.2 * size, 1.2 * size, (count, 1, 3))
    vertices = (centers + rng.normal(0, size / 6, (count, 3, 3))).reshape(-1, 3).astype(np.float32)
    return vertices, np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


def compare(vertices, triangles, height, width, cull=False):
    """Checks one mesh: same coverage, same depth, and the same triangle wherever depths aren't tied."""
    visibility = rasterize(vertices[None], triangles, height, width, cull=cull)
    depth = interpolate(visibility, triangles, vertices[None, :, 2:]).numpy()[0, :, :, 0]
    index, weights, expected = slow(vertices, triangles, height, width, cull)
    assert np.array_equal(visibility.triangle.numpy()[0] >= 0, index >= 0)
    span = np.ptp(vertices[:, 2])
    np.testing.assert_allclose(depth, expected, atol=span * 1e-4 + 1e-4)
    same = visibility.triangle.numpy()[0] == index
    assert same.mean() > 0.99
    np.testing.assert_allclose(visibility.barycentric.numpy()[:, 0].transpose(1, 2, 0)[same], weights[same], atol=2e-3)


@pytest.mark.parametrize("cull", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_random_triangles(seed, cull):
    vertices, triangles = soup(25, 24, seed)
    compare(vertices, triangles, 24, 31, cull)


def test_edges_through_the_centres_of_pixels_are_drawn_and_nothing_beside_them():
    rng, size, count = np.random.default_rng(3), 40, 3000
    corners = rng.integers(-20, 2 * size, (count, 3, 2))
    # Of every other one, an edge is level and short, anywhere beside the third corner.
    corners[::2, 2] = corners[::2, 1] + np.stack([rng.integers(1, 4, count // 2), np.zeros(count // 2, int)], -1)
    area = np.linalg.det((corners[:, 1:] - corners[:, :1]).astype(float)).round()
    corners = corners[area != 0]
    order = rng.permuted(np.tile(np.arange(3), (len(corners), 1)), axis=1)
    corners = np.take_along_axis(corners, order[..., None], axis=1)
    vertices = np.concatenate([corners + 0.5, rng.normal(size=(len(corners), 3, 1))], -1).astype(np.float32)
    seen = rasterize(vertices, np.array([[0, 1, 2]], np.int32), size, size).triangle.numpy() >= 0
    # In whole numbers, where the sign of an area is exact.
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    sides = []
    for k in range(3):
        (ax, ay), (bx, by) = (corners[:, (k + i) % 3].T[:, :, None, None] for i in (0, 1))
        sides.append((bx - ax) * (y - ay) - (by - ay) * (x - ax))
    expected = np.all(np.array(sides) >= 0, 0) | np.all(np.array(sides) <= 0, 0)
    np.testing.assert_array_equal(seen, expected)


def test_large_triangle_covers_everything():
    vertices = np.array([[-1000, -1000, 5], [3000, -1000, 5], [-1000, 3000, 9]], np.float32)
    compare(vertices, np.array([[0, 1, 2]], np.int32), 20, 30)


def test_nearer_triangle_hides_the_farther_one():
    flat = np.array([[0, 0], [20, 0], [0, 20]], np.float32)
    vertices = np.concatenate([np.c_[flat, np.full(3, z)] for z in (1.0, 3.0, 2.0)]).astype(np.float32)
    triangles = np.arange(9, dtype=np.int32).reshape(3, 3)
    seen = rasterize(vertices[None], triangles, 10, 10).triangle.numpy()
    assert set(np.unique(seen)) == {1}


def test_degenerate_and_outside_triangles_draw_nothing():
    vertices = np.array([[1, 1, 0], [5, 5, 0], [9, 9, 0], [-9, -9, 0], [-2, -9, 0], [-9, -2, 0], [2, 2, 1]], np.float32)
    triangles = np.array([[0, 1, 2], [3, 4, 5], [6, 6, 6]], np.int32)
    visibility = rasterize(vertices[None], triangles, 10, 10)
    assert np.all(visibility.triangle.numpy() == -1)
    assert np.all(visibility.barycentric.numpy() == 0)
    assert np.all(coverage(visibility).numpy() == 0)


def test_not_a_number_draws_nothing_and_spoils_nothing():
    vertices, triangles = soup(10, 24, 7)
    broken = vertices.copy()
    broken[0] = np.nan
    both = rasterize(np.stack([broken, vertices]), triangles, 24, 24)
    alone = rasterize(vertices[None], triangles, 24, 24)
    assert not np.any(both.triangle.numpy()[0] == 0)
    np.testing.assert_array_equal(both.triangle.numpy()[1], alone.triangle.numpy()[0])


def test_depth_that_is_not_a_number_draws_nothing_and_spoils_nothing():
    vertices, triangles = soup(10, 24, 7)
    broken = vertices.copy()
    broken[4, 2] = np.nan
    both = rasterize(np.stack([broken, vertices]), triangles, 24, 24)
    alone = rasterize(vertices[None], triangles, 24, 24)
    assert np.all(both.triangle.numpy()[0] == -1)
    np.testing.assert_array_equal(both.triangle.numpy()[1], alone.triangle.numpy()[0])
    np.testing.assert_array_equal(both.barycentric.numpy()[:, 1], alone.barycentric.numpy()[:, 0])


@pytest.mark.parametrize("width", [1e-3, 1e-5, 3e-6])
@pytest.mark.parametrize("plane", [5.0, 95.0])
def test_needles_have_no_depth_but_their_own(width, plane):
    # Upright, beside columns of pixels' centres, from one end of all depths to the other within their width.
    rng = np.random.default_rng(1)
    x = (rng.permutation(60)[:40, None] + 0.5) + rng.uniform(-2e-5, 2e-5, (40, 1)) + rng.uniform(-2, 2, (40, 3)) * width
    y = np.array([3.2, 30.7, 56.9]) + rng.uniform(-3, 3, (40, 3))
    z = rng.permuted(np.tile([10.0, 90.0, 50.0], (40, 1)), axis=1)
    all_over = np.array([[-99, -99, plane], [300, -99, plane], [-99, 300, plane]])
    vertices = np.concatenate(
        [all_over, np.stack([x, y, z], -1).reshape(-1, 3), [[-50, -50, 0], [-50, -50, 200]]]
    ).astype(np.float32)
    triangles = np.arange(len(vertices) - 2, dtype=np.int32).reshape(-1, 3)
    visibility = rasterize(vertices[None], triangles, 60, 60)
    seen = visibility.triangle.numpy()[0]
    assert np.all(seen >= 0) and np.any(seen > 0) == (plane < 10.0)
    assert visibility.barycentric.numpy().min() >= -1e-6 and visibility.barycentric.numpy().max() <= 1.0


@pytest.mark.parametrize("seed", range(3))
def test_a_large_mesh_has_no_crack(seed):
    rng = np.random.default_rng(seed)
    side, size = 60, 2000
    grid = np.stack(np.meshgrid(np.linspace(-5, size + 5, side), np.linspace(-5, size + 5, side)), -1).reshape(-1, 2)
    # Some on pixels' centres, some edges level or upright.
    grid = np.where(rng.random(grid.shape) < 0.5, np.round(grid) + 0.5, grid + rng.normal(0, 0.3, grid.shape))
    vertices = np.c_[grid, rng.normal(0, 3, len(grid))].astype(np.float32)
    index = np.arange(side * side).reshape(side, side)
    a, b, c, d = (index[i : side - 1 + i, j : side - 1 + j].ravel() for i in (0, 1) for j in (0, 1))
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)]).astype(np.int32)
    assert np.all(rasterize(vertices[None], triangles, size, size).triangle.numpy() >= 0)


def test_batch_equals_one_by_one_and_pixels_shared_by_neighbours_leave_no_crack():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(2, 38, 8), np.linspace(2, 38, 8)), -1).reshape(-1, 2)
    meshes = [
        np.c_[grid + rng.normal(0, 0.5, grid.shape), rng.normal(0, 1, len(grid))].astype(np.float32) for _ in range(3)
    ]
    quads = np.array([[r * 8 + c, r * 8 + c + 1, r * 8 + c + 8, r * 8 + c + 9] for r in range(7) for c in range(7)])
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [2, 1, 3]]]).astype(np.int32)
    batched = rasterize(np.stack(meshes), triangles, 40, 40)
    for i, mesh in enumerate(meshes):
        alone = rasterize(mesh[None], triangles, 40, 40).triangle.numpy()[0]
        np.testing.assert_array_equal(batched.triangle.numpy()[i], alone)
        assert np.all(alone[6:34, 6:34] >= 0)


def test_works_in_a_graph_with_any_batch():
    vertices, triangles = soup(8, 16, 3)
    run = tf.function(
        lambda v: rasterize(v, triangles, 16, 16).triangle,
        input_signature=[tf.TensorSpec([None, None, 3], tf.float32)],
    )
    for batch in (1, 3):
        assert run(np.repeat(vertices[None], batch, 0)).shape == (batch, 16, 16)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"expected vertices of shape \[B, V, 3\]"):
        rasterize(np.zeros((5, 3), np.float32), np.zeros((1, 3), np.int32), 4, 4)
    with pytest.raises(ValueError, match="expected at most 2²⁴ pixels at a time, received 2 × 3000 × 3000"):
        rasterize(np.zeros((2, 5, 3), np.float32), np.zeros((1, 3), np.int32), 3000, 3000)
    with pytest.raises(ValueError, match=r"expected triangles of shape \[T, 3\]"):
        rasterize(np.zeros((1, 5, 3), np.float32), np.zeros((1, 4), np.int32), 4, 4)
