"""A photo as seen from a head in it: what it shows of each place, and what it doesn't."""

import functools

import numpy as np

from tfface.geometry.ramps import smooth_step
from tfface.meshes.appearance import to_linear
from tfface.meshes.drawing import draw
from tfface.resampling import resample

_OUTLINE_MM = 3.0
"""So near to the head's outline a fit that is a little off shows what is behind the head."""
_BEHIND_MM = 2.0
"""A point so far behind the surface in front of it is hidden."""
_RENDER_SIDE = 900
"""px of the z-buffer that tells what is seen, so that small photos don't lose thin parts."""
_COARSER = 3
"""Distances need only every so many of its px."""
_COARSEST = 2 * _COARSER
"""And what is background every so many."""
_DEEP_MM = 18.0
"""So far inside the outline is nothing but the person, however much larger than the head the mesh is."""
_AROUND_MM = (5.0, 15.0, 45.0)
"""How far outside it what is behind begins, where dark things begin to be that and no longer hair, and the end."""
_DARK = 0.6
"""Dark is what has less than this share of the person's median brightness (sRGB)."""
_PER_MM = 0.1 / 40.0
"""A mm of way counts as much as so much of a colour (sRGB, 0…1): compared is what is near."""
_UNLIKE, _NEARER = 0.08, 0.6
"""Background is at least so far from the person's colours, and nearer to those around by this factor."""
_NEIGHBOURS = 3
"""The third nearest counts, as one may be noise."""
_UNFOLDS = (1.2, 1.6)
"""A lid's area when closed, in areas when open, from which and up to which it counts as folded under."""
_FOLDED = (1.5, 3.0)
"""The same in its areas in the photo."""


class Look:
    """A photo, seen from a head in it.

    Args:
      face: see `texture.face_texture`.
      photo: `[H, W, 3]` uint8.
      points: `[V, 3]` px of it, the head's vertices.
      model: the face model.
    """

    def __init__(self, face, photo, points, model):
        from scipy import ndimage

        self.linear, self.mm_per_px = to_linear(photo), face.mm_per_px
        self.low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        self.step = max((high - self.low).max(), 1e-6) / _RENDER_SIDE
        columns, rows = (np.ceil((high - self.low) / self.step).astype(int) + 1).tolist()
        scaled = (points - [*self.low, 0.0]) / self.step
        bare = ~model.region_mask("ears", "neck")
        drawn, head = draw(scaled, model.triangles, np.stack([scaled[:, 2], bare], axis=1), rows, columns)
        self.surface = np.where(head, drawn[..., 0] * self.step, -1e9)
        # Ears and neck may be covered: what lies beside them is as little to be relied on as what lies beside the head.
        masks = [np.pad(mask[1::_COARSER, 1::_COARSER], 1) for mask in (head, drawn[..., 1] > 0.5)]
        self.from_outline, self.from_rim = (
            np.float32(ndimage.distance_transform_edt(mask)[1:-1, 1:-1] * (_COARSER * self.step * self.mm_per_px))
            for mask in masks
        )
        self.background = _background(face, head[_COARSER::_COARSEST, _COARSER::_COARSEST], _COARSEST * self.step)

    def __call__(self, place):
        """What the photo shows at places `[N, 3]` px.

        Returns:
          Colours `[N, 3]` linear RGB, whether that is something else `[N]`, and the distance from the outline of the
          face without ears and neck `[N]` mm.
        """
        from scipy import ndimage

        x, y, z = place.T
        height, width = self.linear.shape[:2]
        at = y - 0.5, x - 0.5
        colors = [ndimage.map_coordinates(self.linear[..., c], at, order=1, mode="nearest") for c in range(3)]
        row, column = (y - self.low[1]) / self.step, (x - self.low[0]) / self.step
        surface = ndimage.map_coordinates(self.surface, (row - 0.5, column - 0.5), order=0, cval=-1e9)
        at = row / _COARSER - 0.5, column / _COARSER - 0.5
        from_outline, from_rim = (ndimage.map_coordinates(d, at, order=1) for d in (self.from_outline, self.from_rim))
        hidden = (z < surface - _BEHIND_MM / self.mm_per_px) | (from_outline < _OUTLINE_MM)
        at = row / _COARSEST - 0.5, column / _COARSEST - 0.5
        hidden |= ndimage.map_coordinates(self.background, at, order=0)
        hidden |= (x < 0) | (y < 0) | (x > width) | (y > height)
        return np.stack(colors, axis=-1), hidden, from_rim


def _background(face, head, step):
    """`[h, w]` bool: where the mesh covers what is behind the head, as it may be larger than the head.

    There are colours that stand around the head nearby and that the person doesn't have nearby. Hair that stands out is
    around the head, too, but then mostly the person has its colour, or it is dark and ends soon.

    Args:
      face: see `texture.face_texture`.
      head: `[h, w]` bool, the mesh, on a grid that begins where the mesh does.
      step: px of the photo from one of its points to the next.
    """
    from scipy import ndimage
    from scipy.spatial import cKDTree

    mm = step * face.mm_per_px
    margin = int(np.ceil(_AROUND_MM[-1] / mm))
    head = np.pad(head, margin)
    left, top = face.vertices_image[:, :2].min(axis=0) - margin * step
    colors = resample(face.image, left, top, step, *head.shape) / 255.0
    row, column = np.indices(head.shape)
    x, y = left + (column + 0.5) * step, top + (row + 0.5) * step
    photo = (x > 0) & (y > 0) & (x < face.image.shape[1]) & (y < face.image.shape[0])
    within, beyond = (ndimage.distance_transform_edt(mask) * mm for mask in (head, ~head))
    person = photo & (within > _DEEP_MM)
    found = np.zeros(head.shape, bool)
    if not person.any():
        return found[margin:-margin, margin:-margin]
    grey = colors.mean(axis=-1, keepdims=True)
    # Hair and skin vary in brightness more than in hue.
    features = [1.4 * grey, 1.5 * (colors - grey), _PER_MM * mm * row[..., None], _PER_MM * mm * column[..., None]]
    features = np.concatenate(features, axis=-1)
    begin = np.where(grey[..., 0] < _DARK * np.median(grey[person]), _AROUND_MM[1], _AROUND_MM[0])
    around = photo & (beyond > begin) & (beyond < _AROUND_MM[2])
    asked = photo & ~person & (beyond <= _AROUND_MM[0])
    # Where there are fewer neighbours they are infinitely far.
    to_person, to_around = (
        cKDTree(features[known]).query(features[asked], k=_NEIGHBOURS)[0][:, -1] for known in (person, around)
    )
    found[asked] = (to_person > _UNLIKE) & (to_around < _NEARER * to_person)
    # At its border both are mixed.
    found = ndimage.binary_dilation(ndimage.binary_opening(found), np.ones((3, 3)))
    return found[margin:-margin, margin:-margin]


def folded_lids(model, vertices):
    """`[V]` 0…1: the skin of lids that a photo hardly shows and a blink unfolds.

    Args:
      model: the face model.
      vertices: `[V, 3]` mm, as in the photo.
    """
    closed, unfolds = _blink(model)
    a, b, c = (vertices[model.triangles[:, corner], :2] for corner in range(3))
    seen = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    seen = _around(np.maximum(seen, 0.0), model.triangles, len(vertices))
    return unfolds * smooth_step(closed / np.maximum(seen, 1e-6), *_FOLDED)


@functools.lru_cache(maxsize=2)
def _blink(model):
    """Around each vertex, the area `[V]` in mm² with closed eyes; how far a blink unfolds it, 0…1."""
    names, mean, areas = list(model.action_names), np.asarray(model.mean, np.float64), []
    weights = sum(np.float64(np.array(names) == name) for name in ("eyeBlinkLeft", "eyeBlinkRight"))
    offsets = model.expression_basis @ (weights @ model.actions)
    for shape in (mean, mean + offsets):
        a, b, c = (shape[model.triangles[:, corner]] for corner in range(3))
        areas.append(_around(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1), model.triangles, len(mean)))
    return areas[1], smooth_step(areas[1] / np.maximum(areas[0], 1e-9), *_UNFOLDS)


def _around(areas, triangles, count):
    return np.bincount(triangles.reshape(-1), np.repeat(areas, 3), count)
