"""The inside of the mouth as one sheet behind the lips, where teeth are, in place of a pocket down to the throat.

A photograph shows teeth there and nothing of the pocket, whose creases were all that an open mouth showed of it. The
sheet takes the photograph's teeth as its texture, from the side too. Its upper part, where the upper teeth are, belongs
to the skull: it reaches up behind the upper lip and down to the teeth's edges, and stays when lips and jaw move. The
rest stretches from there to the lower lip.
"""

from typing import NamedTuple

import numpy as np

from tfface.geometry.mesh import directed_edges, open_edges, pieces
from tfface.geometry.ramps import smooth_step
from tfface.morphable.model import MorphableModel

BEHIND_MM = 7.0
"""How far behind the line where the lips meet the sheet lies."""
_SLOPE = 0.4
"""Share of the way from the rim to the middle in which the sheet comes to lie that far behind."""
_TEETH_MM = (-8.0, 14.0)
"""Mm above where the lips meet: the edges of the upper teeth, and the gum, were the sheet behind the rim as well."""
_STRETCHED = 0.5
"""Share of the lower half of the sheet in which holding still goes over into following the lower lip."""


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
        """`[M, 3]` mm of vertices `[V, 3]` in the face model's frame, of a face whose mouth is shut."""
        height, behind = self._heights(vertices), self._behind()
        edge, gum = _TEETH_MM
        above = edge + np.where(height > 0.0, (gum - edge) * height, edge * height)
        offsets = np.stack([np.zeros_like(above), above, np.full_like(above, -BEHIND_MM)], axis=1)
        return self.movements(vertices) + behind[:, None] * offsets

    def movements(self, offsets: np.ndarray) -> np.ndarray:
        """`[M, …]` of what changes the head's shape, `[V, …]`: the sheet follows its rim."""
        return np.tensordot(self.weights, np.asarray(offsets, np.float64)[self.rim], axes=1)

    def expressions(self, vertices: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """`[M, …]` of what expressions move, `[V, …]`: the lower part follows its rim, the teeth stay.

        Args:
          vertices: `[V, 3]` mm, which tell what is above.
          offsets: `[V, …]`.
        """
        following = 1.0 - self._behind() * smooth_step(self._heights(vertices) / _STRETCHED + 1.0)
        moved = self.movements(offsets)
        return following.reshape(-1, *[1] * (moved.ndim - 1)) * moved

    def _behind(self) -> np.ndarray:
        """`[M]`, 0 at the rim, 1 where the sheet lies wholly behind it."""
        return smooth_step((1.0 - np.linalg.norm(self.disc[: len(self.inside)], axis=1)) / _SLOPE)

    def _heights(self, vertices: np.ndarray) -> np.ndarray:
        """`[M]`, 1 at the upper lip, −1 at the lower."""
        # The corners of the mouth are the rim's leftmost and rightmost; above is the side on which the rim lies higher.
        count, rim = len(self.inside), np.asarray(vertices)[self.rim]
        corners = self.disc[count + np.argmax(rim[:, 0])] - self.disc[count + np.argmin(rim[:, 0])]
        up = np.array([-corners[1], corners[0]]) / np.linalg.norm(corners)
        up *= np.sign((self.disc[count:] @ up) @ (rim[:, 1] - rim[:, 1].mean()))
        height = self.disc[:count] @ up
        chord = np.sqrt(np.maximum(1.0 - np.square(self.disc[:count]).sum(axis=1) + height**2, 1e-6))
        return height / chord


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
    edges = directed_edges(touching)
    inside = np.nonzero(mouth)[0]
    rim = _loop(open_edges(edges))
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
    arrays["identity_basis"][sheet.inside] = sheet.movements(arrays["identity_basis"])
    arrays["expression_basis"][sheet.inside] = sheet.expressions(model.mean, arrays["expression_basis"])
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
