"""Where each triangle lies in a texture: the face model's UV islands, laid out so that the face gets the texels."""

import dataclasses
import functools

import numpy as np

_SHELF = 0.15
"""Share of the texture's height for the small islands, below the largest."""
_GAP = 0.012
"""Free border around each island, in texture widths: what mipmaps mix in."""
_MOST_ISLANDS = 16
"""A face model in more pieces than this keeps its own layout."""


@dataclasses.dataclass(frozen=True, eq=False)
class Atlas:
    """A UV layout of a face model's mesh."""

    uv: np.ndarray
    """`[U, 2]` float32 in 0…1, origin at the lower left; the first V belong to the mesh's vertices in their order, the
    others are second coordinates of vertices on seams."""
    triangles: np.ndarray
    """`[T, 3]` int32 into `uv`, in the order of the mesh's triangles."""
    source: np.ndarray
    """`[U]` int32: the mesh's vertex of each texture coordinate."""


@functools.lru_cache(maxsize=4)
def atlas(model) -> Atlas:
    """The layout of a face model.

    Its largest island (the head) is turned upright, stretched where vertices are dense, which is where a face has
    detail, and laid over the upper part of the texture; the others stand below it in a row, eyes and mouth
    enlarged.

    Args:
      model: a face model with `triangles`, `uv`, `uv_triangles`, `mean` and `region_mask`.
    """
    from tfface.geometry.mesh import pieces

    uv, triangles, source = _one_vertex_each(model)
    islands = pieces(triangles, len(uv))
    count = islands.max() + 1
    if count <= _MOST_ISLANDS:
        uv = _laid_out(uv.astype(np.float64), triangles, islands, model, source)
    return Atlas(uv.astype(np.float32), triangles, source)


def _one_vertex_each(model):
    """(uv, triangles, source): a texture vertex per pair of vertex and coordinate, the first of each vertex first."""
    pairs = np.stack([model.triangles.reshape(-1), model.uv_triangles.reshape(-1)], axis=1)
    pairs, index = np.unique(pairs, axis=0, return_inverse=True)
    first = np.r_[True, pairs[1:, 0] != pairs[:-1, 0]]
    count = len(model.mean)
    used = pairs[first]
    # A vertex without triangles still needs a place, so that the first V are the mesh's own.
    source = np.r_[np.arange(count), pairs[~first, 0]].astype(np.int32)
    uv = np.zeros((len(source), 2), np.float32)
    uv[used[:, 0]] = model.uv[used[:, 1]]
    uv[count:] = model.uv[pairs[~first, 1]]
    place = np.where(first, pairs[:, 0], count + np.cumsum(~first) - 1)
    return uv, place[index.reshape(-1)].reshape(-1, 3).astype(np.int32), source


def _laid_out(uv, triangles, islands, model, source):
    mean, enlarged = model.mean[source], model.region_mask("eyes", "mouth")[source]
    numbers, sizes = np.unique(islands[triangles[:, 0]], return_counts=True)
    order = numbers[np.argsort(-sizes)]
    placed = np.zeros_like(uv)
    largest = islands == order[0]
    placed[largest] = _spread(uv, triangles, largest, mean)
    room = _SHELF if len(order) > 1 else 0.0
    placed[largest] = _GAP + placed[largest] * [1 - 2 * _GAP, 1 - room - 2 * _GAP] + [0, room]
    # The row of small islands: sides in proportion to their size in millimetres, then as large as fits.
    boxes = []
    for number in order[1:]:
        chosen = islands == number
        flat = _upright(uv, triangles, chosen, mean)
        flat -= flat.min(axis=0)
        area = _areas(mean, triangles[chosen[triangles[:, 0]]])
        scale = np.sqrt(area / max(np.abs(_signed(uv, triangles[chosen[triangles[:, 0]]])).sum(), 1e-12))
        boxes.append((chosen, flat * scale * (3.0 if enlarged[chosen].mean() > 0.5 else 1.0)))
    if boxes:
        sides = np.array([box.max(axis=0) for _, box in boxes])
        gaps = _GAP * (len(boxes) + 1)
        scale = min((1 - gaps) / sides[:, 0].sum(), (_SHELF - 2 * _GAP) / sides[:, 1].max())
        left = _GAP
        for chosen, box in boxes:
            placed[chosen] = box * scale + [left, _GAP]
            left += box[:, 0].max() * scale + _GAP
    return placed


def _spread(uv, triangles, chosen, mean):
    """An island upright in 0…1 × 0…1, half of each axis shared out by the number of vertices, without folding."""
    flat = _upright(uv, triangles, chosen, mean)
    flat = (flat - flat.min(axis=0)) / np.ptp(flat, axis=0)
    inside = triangles[chosen[triangles[:, 0]]]
    everywhere = np.zeros_like(uv)
    everywhere[chosen] = flat
    before = np.sign(_signed(everywhere, inside))
    knots = np.linspace(0, 1, 33)
    for strength in (0.6, 0.4, 0.2):
        for axis in (0, 1):
            share = np.interp(knots, np.sort(flat[:, axis]), np.linspace(0, 1, len(flat)))
            share[0], share[-1] = 0.0, 1.0
            everywhere[chosen, axis] = np.interp(flat[:, axis], knots, (1 - strength) * knots + strength * share)
        # Corners move along straight lines between knots only roughly: a long triangle may fold.
        if (np.sign(_signed(everywhere, inside)) == before).all():
            return everywhere[chosen]
    return flat


def _upright(uv, triangles, chosen, mean):
    """An island's coordinates `[N, 2]`, turned by quarters so that the head's up is up in the texture."""
    flat, points = uv[chosen] - uv[chosen].mean(axis=0), mean[chosen] - mean[chosen].mean(axis=0)
    across, up = flat.T @ points[:, 1]
    if abs(across) > abs(up):
        flat = flat[:, ::-1] * ([-1, 1] if across > 0 else [1, -1])
    elif up < 0:
        flat = -flat
    return flat


def _signed(uv, triangles):
    a, b, c = (uv[triangles[:, corner]] for corner in range(3))
    return 0.5 * ((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))


def _areas(points, triangles):
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
