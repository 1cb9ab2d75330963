"""Evens out the rim of an open mesh: cut along quads, it has steps where it changes from one row to the next."""

import numpy as np

from tfface.geometry.mesh import directed_edges, open_edges

WIDEST_NOTCH_DEGREES = 150.0
"""A rim vertex whose outer angle is below this lies in a notch."""


def fill_notches(vertices, triangles, uv_triangles, widest: float = WIDEST_NOTCH_DEGREES):
    """Closes the notches of a mesh's rims by triangles between vertices that are there.

    Always the sharpest notch gets a triangle of its vertex and the two beside it, until none is left; triangles that
    were there, and their order, stay.

    Args:
      vertices: `[V, 3]`.
      triangles: `[T, 3]`, consistently wound.
      uv_triangles: `[T, 3]`, texture coordinates of their corners.
      widest: outer angle in degrees at which a rim counts as even.

    Returns:
      triangles `[T + N, 3]` and uv_triangles `[T + N, 3]`.
    """
    vertices = np.asarray(vertices, np.float64)
    corner_uv = {}
    angle = np.zeros(len(vertices))
    edges = set()
    for triangle, uv in zip(np.asarray(triangles).tolist(), np.asarray(uv_triangles).tolist(), strict=True):
        _count(triangle, vertices, angle, edges)
        corner_uv.update(zip(triangle, uv, strict=True))
    following = open_edges(edges)
    before = {b: a for a, b in following.items()}
    limit, added = np.radians(360.0 - widest), []
    while following:
        notch = max(following, key=lambda vertex: angle[vertex])
        previous, following_one = before[notch], following[notch]
        if angle[notch] <= limit or following.get(following_one) == previous:
            break
        triangle = [following_one, notch, previous]
        _count(triangle, vertices, angle, edges)
        added.append(triangle)
        del following[notch], before[notch]
        following[previous], before[following_one] = following_one, previous
    if not added:
        return np.asarray(triangles), np.asarray(uv_triangles)
    added_uv = [[corner_uv[vertex] for vertex in triangle] for triangle in added]
    return np.concatenate([triangles, added]), np.concatenate([uv_triangles, added_uv])


def level_rim(vertices, triangles) -> np.ndarray:
    """`[V, 3]`, the vertices with those of the rim moved up or down onto the plane that lies best among them.

    Args:
      vertices: `[V, 3]`, y up.
      triangles: `[T, 3]`, consistently wound; all open edges count as one rim.
    """
    rim = sorted(open_edges(directed_edges(triangles)))
    levelled = np.array(vertices, np.float64)
    plane = np.column_stack([np.ones(len(rim)), levelled[rim][:, [0, 2]]])
    levelled[rim, 1] = plane @ np.linalg.lstsq(plane, levelled[rim, 1], rcond=None)[0]
    return levelled


def _count(triangle, vertices, angle, edges) -> None:
    """Adds a triangle's angles to those of its vertices, and its directed edges."""
    for i in range(3):
        here, after, last = (triangle[(i + k) % 3] for k in range(3))
        one, other = vertices[after] - vertices[here], vertices[last] - vertices[here]
        cosine = one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12)
        angle[here] += np.arccos(np.clip(cosine, -1.0, 1.0))
        edges.add((here, after))
