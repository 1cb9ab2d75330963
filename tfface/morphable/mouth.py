"""The inside of the mouth as one sheet behind the lips, where teeth are, in place of a pocket down to the throat.

A photograph shows teeth there and nothing of the pocket, whose creases were all that an open mouth showed of it. The
sheet takes the photograph's teeth as its texture, from the side too, and moves with the lips.
"""

from typing import NamedTuple

import numpy as np

from tfface.geometry.mesh import pieces
from tfface.morphable.model import MorphableModel

BEHIND_MM = 7.0
"""How far behind the line where the lips meet the sheet lies."""
_SLOPE = 0.4
"""Share of the way from the rim to the middle in which the sheet comes to lie that far behind."""


class Sheet(NamedTuple):
    """Where the sheet's M vertices are, given its rim of R."""

    inside: np.ndarray
    """`[M]` int, the vertices of the sheet."""
    rim: np.ndarray
    """`[R]` int, the lips' vertices around them, in order."""
    weights: np.ndarray
    """`[M, R]`, rows sum to 1: what a vertex takes from each vertex of the rim."""
    disc: np.ndarray
    """`[M + R, 2]`, the sheet and its rim spread over the unit disc, without folds (Tutte 1963)."""

    def positions(self, vertices: np.ndarray) -> np.ndarray:
        """`[M, 3]` mm of vertices `[V, 3]` in the face model's frame."""
        depth = (1.0 - np.linalg.norm(self.disc[: len(self.inside)], axis=1)) / _SLOPE
        depth = np.clip(depth, 0.0, 1.0)
        depth = BEHIND_MM * depth * depth * (3.0 - 2.0 * depth)
        return self.movements(vertices) - depth[:, None] * np.array([0.0, 0.0, 1.0])

    def movements(self, offsets: np.ndarray) -> np.ndarray:
        """`[M, …]` of what moves the vertices, `[V, …]`: the sheet follows its rim."""
        return np.tensordot(self.weights, np.asarray(offsets, np.float64)[self.rim], axes=1)


def mouth_sheet(triangles: np.ndarray, mouth: np.ndarray) -> Sheet:
    """The sheet over the vertices of the mouth's inside.

    Each lies at the mean of its neighbours, which, with the rim held, has one solution.

    Args:
      triangles: `[T, 3]` int, consistently wound.
      mouth: `[V]` bool, the vertices inside.

    Raises:
      ValueError: the triangles that touch them don't make one disc.
    """
    triangles = np.asarray(triangles)
    touching = triangles[mouth[triangles].any(axis=1)]
    edges = {(int(a), int(b)) for t in touching for a, b in zip(t, np.roll(t, -1), strict=True)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    inside = np.nonzero(mouth)[0]
    rim = _loop(following)
    vertices, pairs = len(inside) + len(rim), {tuple(sorted(edge)) for edge in edges}
    if set(rim) != set(np.unique(touching)) - set(inside.tolist()) or vertices - len(pairs) + len(touching) != 1:
        raise ValueError("expected the inside of the mouth to be one disc with a rim of other vertices")
    place = {int(v): i for i, v in enumerate([*inside, *rim])}
    a, b = np.array([[place[v] for v in pair] for pair in sorted(pairs)]).T
    laplacian = np.zeros((vertices, vertices))
    laplacian[a, b] = laplacian[b, a] = -1.0
    laplacian -= np.diag(laplacian.sum(axis=1))
    count = len(inside)
    weights = np.linalg.solve(laplacian[:count, :count], -laplacian[:count, count:])
    angle = 2.0 * np.pi * np.arange(len(rim)) / len(rim)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Sheet(inside, np.array(rim), weights, np.concatenate([weights @ circle, circle]))


def with_sheet(model: MorphableModel) -> MorphableModel:
    """A face model whose region `mouth` is a sheet; its texture coordinates spread it out twice as wide as high.

    What belongs to the region on one side of the face only becomes lips.
    """
    marked = model.region_mask("mouth")
    mouth = marked & marked[model.mirror]
    sheet = mouth_sheet(model.triangles, mouth)
    changed = ("mean", "identity_basis", "expression_basis", "uv", "regions")
    arrays = {name: np.array(getattr(model, name)) for name in changed}
    arrays["regions"][marked & ~mouth] = model.region_names.index("lips")
    arrays["mean"][sheet.inside] = sheet.positions(model.mean)
    for name in ("identity_basis", "expression_basis"):
        arrays[name][sheet.inside] = sheet.movements(arrays[name])
    vertices = np.concatenate([sheet.inside, sheet.rim])
    # The disc turned so that the corner of the mouth at the greatest x comes to lie at the right.
    corner = sheet.disc[len(sheet.inside) + np.argmax(model.mean[sheet.rim, 0])]
    turned = np.zeros((len(model.mean), 2))
    turned[vertices] = sheet.disc @ np.array([[corner[0], -corner[1]], [corner[1], corner[0]]]) * [0.5, 0.25]
    # Only pieces of the layout that lie on the sheet altogether: at its rim some triangles belong to the lips' piece.
    of_piece = pieces(model.uv_triangles, len(model.uv))
    vertex = np.zeros(len(model.uv), int)
    vertex[model.uv_triangles] = model.triangles
    for piece in np.unique(of_piece[model.uv_triangles]):
        chosen = of_piece == piece
        if np.isin(vertex[chosen], vertices).all():
            low, high = model.uv[chosen].min(axis=0), model.uv[chosen].max(axis=0)
            arrays["uv"][chosen] = (low + high) / 2.0 + turned[vertex[chosen]] * (high - low).min()
    return model.replace(**arrays)


def _loop(following: dict[int, int]) -> list[int]:
    """One round of a rim."""
    start = min(following)
    loop, here = [start], following[start]
    while here != start and len(loop) <= len(following):
        loop.append(here)
        here = following[here]
    return loop
