"""Rims without steps: what is filled, what is left alone, and the default head's own rim."""

import collections

import numpy as np

from tfface.morphable.model import MorphableModel
from tfface.morphable.rim import fill_notches, level_rim


def _strip(heights):
    """A band of quads in two triangles each, its lower rim at the given heights."""
    count = len(heights)
    top = np.stack([np.arange(count), np.full(count, 2.0), np.zeros(count)], axis=1)
    low = np.stack([np.arange(count), heights, np.zeros(count)], axis=1)
    left = np.arange(count - 1)
    first = np.stack([left, left + count, left + count + 1], axis=1)
    second = np.stack([left, left + count + 1, left + 1], axis=1)
    return np.concatenate([top, low]), np.concatenate([first, second])


def _areas(vertices, triangles):
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)[:, 2] / 2


def test_an_even_rim_is_left_alone():
    vertices, triangles = _strip(np.zeros(5))
    filled, uv = fill_notches(vertices, triangles, triangles + 7)
    np.testing.assert_array_equal(filled, triangles)
    np.testing.assert_array_equal(uv, triangles + 7)


def test_a_notch_is_filled_in_the_same_winding():
    vertices, triangles = _strip(np.array([0.0, 0.0, 1.5, 0.0, 0.0]))
    filled, uv = fill_notches(vertices, triangles, triangles + 7)
    np.testing.assert_array_equal(filled[: len(triangles)], triangles)
    assert [set(triangle) for triangle in filled[len(triangles) :].tolist()] == [{6, 7, 8}]
    np.testing.assert_array_equal(uv, filled + 7)
    areas = _areas(vertices, filled)
    assert (np.sign(areas) == np.sign(areas[0])).all()
    assert abs(areas.sum()) == 8.0


def test_the_default_head_has_one_even_symmetric_rim(model):
    edges = collections.Counter(
        (triangle[i], triangle[(i + 1) % 3]) for triangle in model.triangles.tolist() for i in range(3)
    )
    assert max(edges.values()) == 1
    rim = {a: b for a, b in edges if (b, a) not in edges}
    start = min(rim)
    loop = [start]
    while rim[loop[-1]] != start:
        loop.append(rim[loop[-1]])
    assert len(loop) == len(rim)
    assert {int(model.mirror[v]) for v in loop} == set(loop)
    again, _ = fill_notches(model.mean, model.triangles, model.uv_triangles)
    assert len(again) == len(model.triangles)


def test_a_rim_comes_to_lie_in_a_plane_and_nothing_else_moves():
    vertices, triangles = _strip(np.array([0.1, -0.2, 0.3, 0.0, -0.1]))
    vertices[:5, 1] = [2.2, 2.0, 1.9, 2.0, 2.1]
    vertices[:, 2] = np.where(np.arange(10) < 5, 3.0, -3.0)
    inner = vertices.copy()
    inner[2] += [0.0, 0.0, 5.0]  # on the rim as well, as all of a strip is
    levelled = level_rim(inner, triangles)
    np.testing.assert_array_equal(levelled[:, [0, 2]], inner[:, [0, 2]])
    plane = np.column_stack([np.ones(10), inner[:, [0, 2]]])
    left = levelled[:, 1] - plane @ np.linalg.lstsq(plane, levelled[:, 1], rcond=None)[0]
    np.testing.assert_allclose(left, 0, atol=1e-9)


def test_the_default_heads_neck_ends_in_a_plane():
    model = MorphableModel.default()
    moved = np.linalg.norm(level_rim(model.mean, model.triangles) - model.mean, axis=1)
    assert moved.max() < 1e-3
