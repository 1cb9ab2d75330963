"""Normals of triangle meshes, in operations that survive export."""

import numpy as np
import tensorflow as tf


def vertex_faces(triangles: np.ndarray, vertex_count: int) -> np.ndarray:
    """For each vertex the triangles that touch it, padded with the index `len(triangles)`.

    Vertex normals are gathered through this table instead of scattered from the triangles, because a scatter with
    repeated indices keeps only the last value once converted to ONNX.

    Args:
      triangles: `[T, 3]` int.
      vertex_count: V.

    Returns:
      `[V, N]` int32, N the highest number of triangles at one vertex.
    """
    triangles = np.asarray(triangles)
    if triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(f"expected triangles of shape [T, 3], received {list(triangles.shape)}")
    if triangles.size and (triangles.min() < 0 or triangles.max() >= vertex_count):
        raise ValueError(
            f"expected vertex indices in 0…{vertex_count - 1}, received {triangles.min()}…{triangles.max()}"
        )
    vertex = triangles.reshape(-1)
    face = np.repeat(np.arange(len(triangles)), 3)
    order = np.argsort(vertex, kind="stable")
    vertex, face = vertex[order], face[order]
    counts = np.bincount(vertex, minlength=vertex_count)
    starts = np.cumsum(counts) - counts
    table = np.full((vertex_count, max(int(counts.max(initial=1)), 1)), len(triangles), np.int32)
    table[vertex, np.arange(len(vertex)) - starts[vertex]] = face
    return table


def cross(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Cross product `[..., 3]` from multiplications only: `tf.linalg.cross` has no TFLite builtin."""
    ax, ay, az = tf.unstack(a, axis=-1)
    bx, by, bz = tf.unstack(b, axis=-1)
    return tf.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def normalize(vectors: tf.Tensor, epsilon: float = 1e-12) -> tf.Tensor:
    """Unit vectors `[..., 3]`; zero where the input is zero, with finite gradients there."""
    return vectors * tf.math.rsqrt(tf.reduce_sum(vectors * vectors, axis=-1, keepdims=True) + epsilon)


def vertex_normals(vertices: tf.Tensor, triangles, faces_of_vertex) -> tf.Tensor:
    """Area-weighted unit normals, outward for triangles that wind counter-clockwise seen from outside.

    Args:
      vertices: `[B, V, 3]` in a right-handed frame.
      triangles: `[T, 3]` int.
      faces_of_vertex: `[V, N]` from `vertex_faces`.

    Returns:
      `[B, V, 3]`; zero at a vertex without triangles.
    """
    corners = tf.gather(vertices, triangles, axis=1)
    face = cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    padded = tf.pad(face, [[0, 0], [0, 1], [0, 0]])
    return normalize(tf.reduce_sum(tf.gather(padded, faces_of_vertex, axis=1), axis=2))
