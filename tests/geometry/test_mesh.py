"""Mesh normals against explicit loops and closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.geometry.mesh import cross, normalize, vertex_faces, vertex_normals


def sphere():
    import trimesh

    mesh = trimesh.creation.icosphere(3)
    return mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32)


def test_vertex_faces_lists_each_triangle_of_each_vertex():
    triangles = np.array([[0, 1, 2], [2, 1, 3]])
    table = vertex_faces(triangles, 5)
    rows = [sorted(t for t in row if t < 2) for row in table]
    assert rows == [[0], [0, 1], [0, 1], [1], []]


def test_vertex_faces_refuses_what_is_not_a_mesh():
    with pytest.raises(ValueError, match=r"expected triangles of shape \[T, 3\]"):
        vertex_faces(np.zeros((2, 4), int), 5)
    with pytest.raises(ValueError, match="expected vertex indices in 0…4"):
        vertex_faces(np.array([[0, 1, 5]]), 5)


def test_normals_of_a_sphere_are_its_points():
    vertices, triangles = sphere()
    normals = vertex_normals(vertices[None], triangles, vertex_faces(triangles, len(vertices))).numpy()[0]
    np.testing.assert_allclose(normals, vertices, atol=0.02)


def test_normals_equal_a_loop_and_are_differentiable_at_degenerate_vertices():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(6, 3)).astype(np.float32)
    triangles = np.array([[0, 1, 2], [2, 1, 3], [4, 4, 4]], np.int32)
    table = vertex_faces(triangles, 6)
    expected = np.zeros_like(vertices)
    for a, b, c in triangles:
        for vertex in {a, b, c}:
            expected[vertex] += np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = np.divide(expected, length, out=np.zeros_like(expected), where=length > 0)
    points = tf.constant(vertices[None])
    with tf.GradientTape() as tape:
        tape.watch(points)
        normals = vertex_normals(points, triangles, table)
    np.testing.assert_allclose(normals.numpy()[0], expected, atol=1e-5)
    assert np.all(np.isfinite(tape.gradient(normals, points).numpy()))


def test_cross_and_normalize_equal_numpy():
    a, b = np.random.default_rng(1).normal(size=(2, 7, 3)).astype(np.float32)
    np.testing.assert_allclose(cross(a, b).numpy(), np.cross(a, b), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(normalize(a).numpy(), axis=1), 1, atol=1e-5)
    assert np.all(normalize(np.zeros((1, 3), np.float32)).numpy() == 0)
