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


def join_columns(*columns: tf.Tensor) -> tf.Tensor:
    """Vectors `[N]` as the columns of `[N, C]`: one gather then fetches them all. Far faster than stacking along −1."""
    return tf.transpose(tf.stack(columns))


def split_columns(rows: tf.Tensor) -> list[tf.Tensor]:
    """The way back from `join_columns`: what computes with each alone is far faster so."""
    return tf.unstack(tf.transpose(rows), num=rows.shape[1])


def corners(values: tf.Tensor, triangles) -> tf.Tensor:
    """What each triangle's three corners have, one after the other.

    Args:
      values: of vertices, `[V, C]`, or `[B, V, C]` of meshes that share their triangles.
      triangles: `[T, 3]` int32.

    Returns:
      `[T, 3 C]`, or `[B·T, 3 C]`, mesh by mesh: batched gathers are slower and harder to convert.
    """
    values, triangles = tf.convert_to_tensor(values), tf.convert_to_tensor(triangles, tf.int32)
    channels = values.shape[-1]
    if values.shape.rank == 3:
        first = tf.range(tf.shape(values)[0]) * tf.shape(values)[1]
        triangles = tf.reshape(triangles[None] + first[:, None, None], [-1, 3])
        values = tf.reshape(values, [-1, channels])
    return tf.reshape(tf.gather(values, triangles), [-1, 3 * channels])


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
    ax, ay, az, bx, by, bz, cx, cy, cz = split_columns(corners(vertices, triangles))
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    batch = tf.shape(vertices)[0]
    face = tf.reshape(tf.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx]), [3, batch, -1])
    # Not tf.pad, and not behind the transpose: TFLite takes as long for that as for the gather.
    padded = tf.transpose(tf.concat([face, tf.zeros([3, batch, 1])], axis=2), [1, 2, 0])
    # A sum over the first of both axes: over the second it takes three times as long.
    return normalize(tf.reduce_sum(tf.gather(padded, tf.transpose(faces_of_vertex), axis=1), axis=1))


def directed_edges(triangles: np.ndarray) -> set[tuple[int, int]]:
    """The edges of triangles `[T, 3]`, each from one vertex to the next as they are wound."""
    return {(a, b) for t in np.asarray(triangles).tolist() for a, b in zip(t, [*t[1:], t[0]], strict=True)}


def open_edges(edges: set[tuple[int, int]]) -> dict[int, int]:
    """Those of `directed_edges` that one triangle only has: from each vertex of a rim to the next."""
    return {a: b for a, b in edges if (b, a) not in edges}


def pieces(triangles: np.ndarray, count: int) -> np.ndarray:
    """`[count]` number of the connected piece that each vertex of triangles `[T, 3]` belongs to."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = triangles[:, [0, 1]].reshape(-1), triangles[:, [1, 2]].reshape(-1)
    return connected_components(coo_matrix((np.ones(len(a)), (a, b)), (count, count)), directed=False)[1]
