"""The texture of a face: the photo where it shows the skin, its mirrored side and the albedo model where it doesn't.

Three layers in linear light, mixed per texel:

1. the photo, where the surface is seen, faces the camera and lies inside the picture;
2. the photo at the mirrored point, times the ratio of light there and here;
3. the face model's albedo, fitted to the seen skin, in the light fitted to it.

Before 2 and 3 are mixed in, each is multiplied by a smooth field on the mesh that makes it agree with 1 where both are
known and carries that agreement on over the unseen parts, so that no border shows. The field lives on the mesh, not in
the texture, and so runs across the texture's seams.
"""

import dataclasses
import functools

import numpy as np

from tfface.meshes.appearance import Appearance, fit_appearance, to_linear, to_srgb
from tfface.meshes.atlas import Atlas, atlas
from tfface.meshes.drawing import draw, smooth_normals

SIZES = (512, 1024, 2048)
_RENDER_SIDE = 900
"""px of the z-buffer that tells what is seen, so that small photos don't lose thin parts."""
_BEHIND_MM = 2.0
"""A point so far behind the surface in front of it is hidden."""
_FACING = (0.15, 0.5)
"""Cosines to the camera between which the photo fades in."""
_FADE = 0.012
"""Width of the fade beside hidden parts, in texture widths."""
_FIELD_LIMIT = 3.0
"""Largest |ln ratio| that is carried on."""
_FIELD_SPREAD = 0.7
"""|ln ratio| from its kind's median at which what was seen counts a quarter: clothes aren't skin, nor a wall hair."""


@dataclasses.dataclass(frozen=True, eq=False)
class Texture:
    """A texture and what was found on the way."""

    image: np.ndarray
    """`[S, S, 3]` uint8 sRGB; row 0 is the upper end (v = 1)."""
    atlas: Atlas
    """Where the triangles lie in it."""
    seen: np.ndarray
    """`[S, S]` float32 0…1: how much of each texel comes straight from the photo; NaN outside the islands."""
    appearance: Appearance
    """The light and albedo of the face."""

    def at(self, uv: np.ndarray) -> np.ndarray:
        """Colours `[N, 3]` uint8 at coordinates `[N, 2]`, nearest texel."""
        size = len(self.image)
        column, row = (np.clip(np.floor(value * size).astype(int), 0, size - 1) for value in (uv[:, 0], 1 - uv[:, 1]))
        return self.image[row, column]


def face_texture(face, model, size: int | None = None) -> Texture:
    """The texture of a reconstructed face.

    Args:
      face: has `vertices`, `vertices_image`, `triangles`, `image` and `mm_per_px` as `Face` documents them.
      model: the face model it was made with.
      size: side in texels; by default the least of `SIZES` that keeps the photo's resolution on the face.

    Raises:
      ValueError: a size below 16.
    """
    from scipy import ndimage

    layout = atlas(model)
    photo, points = _photo_around(face)
    size = size or _fitting_size(layout, model, points)
    if size < 16:
        raise ValueError(f"expected a texture of at least 16 texels a side, received {size}")
    inside, corners, barycentric = _texels(layout, model, size)
    normals = smooth_normals(face.vertices, model.triangles)
    depth, left, top, step = _z_buffer(points, model.triangles)
    linear = to_linear(photo)

    def gather(values, index):
        return np.einsum("nk,nkc->nc", barycentric, values[index])

    def share_of(*regions):
        return gather(model.region_mask(*regions).astype(np.float32)[:, None], corners)[:, 0]

    def seen_through(index):
        """Photo colour and weight of each texel, were it at the given vertices."""
        place = gather(points, index)
        x, y, z = place.T
        colors = np.stack(
            [ndimage.map_coordinates(linear[..., c], (y - 0.5, x - 0.5), order=1, mode="nearest") for c in range(3)], -1
        )
        surface = ndimage.map_coordinates(depth, ((y - top) / step - 0.5, (x - left) / step - 0.5), order=0, cval=-1e9)
        hidden = z < surface - _BEHIND_MM / face.mm_per_px
        hidden |= (x < 0) | (y < 0) | (x > photo.shape[1]) | (y > photo.shape[0])
        facing = _smooth_step(gather(normals, index)[:, 2], *_FACING)
        weight = facing * _soft(hidden, inside, max(_FADE * size, 1.5))
        # Between the lips the photo is all there is: teeth are neither painted nor on the other side.
        return colors, np.where(in_mouth, np.float32(~hidden), weight)

    in_mouth = share_of("mouth") > 0.5
    colors, weight = seen_through(corners)
    mirrored, mirror_weight = seen_through(np.asarray(model.mirror)[corners])
    skin = model.region_mask("skin", "lips", "brows").astype(np.float32)
    mean_color, total = _to_vertices(colors, weight, corners, barycentric, len(model.mean))
    appearance = fit_appearance(model, mean_color, normals, np.minimum(total, 1.0) * skin)
    light = _light(appearance, normals, model)
    mirrored = mirrored * gather(light, corners) / gather(light, np.asarray(model.mirror)[corners])
    # Of one tone all over: seen hair says which, and the albedo model's own differences would tint what isn't seen.
    scalp, albedo = model.region_mask("scalp"), appearance.albedo.copy()
    albedo[scalp] = np.median(albedo[scalp], axis=0)
    painted = gather(albedo * light, corners)

    fields = _Fields(model, corners, barycentric)
    painted = painted * np.exp(gather(fields.carried(colors, painted, weight), corners))
    mirrored = mirrored * np.exp(
        gather(fields.carried(colors, mirrored, weight * mirror_weight, settle=False), corners)
    )
    # A gaze isn't symmetric, nor is what lies between parted lips.
    mirror_weight = mirror_weight * (1.0 - share_of("eyes", "mouth"))
    filled = painted + mirror_weight[:, None] * (mirrored - painted)
    mixed = filled + weight[:, None] * (colors - filled)

    image = np.zeros((size, size, 3), np.float32)
    image[inside] = mixed
    seen = np.full((size, size), np.nan, np.float32)
    seen[inside] = weight
    return Texture(to_srgb(_padded(image, inside)), layout, seen, appearance)


def _light(appearance, normals, model):
    """Light `[V, 3]` on the vertices, for painting.

    Nothing in the photo tells how dark the unseen back is; it gets at least three quarters of what a surface that
    faces the camera gets. Eyeballs lie in their sockets: all of it gets the light of their front.
    """
    front = appearance.shade(np.array([0.0, 0.0, 1.0]))
    light = np.maximum(appearance.shade(normals), 0.75 * front)
    light[model.region_mask("eyes")] = front
    return light


def _photo_around(face):
    """The part of the photo under the mesh and the vertices `[V, 3]` in its px."""
    points = np.asarray(face.vertices_image, np.float64)
    height, width = face.image.shape[:2]
    low = np.clip(np.floor(points[:, :2].min(axis=0)) - 2, 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(points[:, :2].max(axis=0)) + 2, low + 1, [width, height]).astype(int)
    return face.image[low[1] : high[1], low[0] : high[0]], points - [*low, 0.0]


def _fitting_size(layout, model, points):
    """The least size at which the face's triangles have as many texels as the photo has pixels."""
    face = model.region_mask("skin")[model.triangles].all(axis=1)
    pixels = np.abs(_area2(points[model.triangles[face], :2]))
    texels = np.abs(_area2(layout.uv[layout.triangles[face]].astype(np.float64)))
    wanted = np.sqrt(pixels.sum() / max(texels.sum(), 1e-12))
    return next((size for size in SIZES if size >= wanted), SIZES[-1])


def _area2(corners):
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])


@functools.lru_cache(maxsize=2)
def _texels(layout, model, size):
    """Of the texels inside islands: mask `[S, S]`, corner vertices `[N, 3]` and barycentric coordinates `[N, 3]`."""
    from tfface.rendering.visibility import rasterize

    flat = np.concatenate([layout.uv * [size, -size] + [0, size], np.zeros((len(layout.uv), 1))], axis=1)
    visibility = rasterize(np.float32(flat)[None], layout.triangles, size, size)
    triangle = visibility.triangle[0].numpy()
    inside = triangle >= 0
    return inside, model.triangles[triangle[inside]], visibility.barycentric[0].numpy()[inside]


def _z_buffer(points, triangles):
    """Depth of the surface in px, −1e9 off it, and where its raster lies: (depth, left, top, px per raster px)."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    step = max((high - low).max(), 1e-6) / _RENDER_SIDE
    columns, rows = (np.ceil((high - low) / step).astype(int) + 1).tolist()
    scaled = (points - [*low, 0.0]) / step
    depth, mask = draw(scaled, triangles, scaled[:, 2:], rows, columns)
    return np.where(mask, depth[..., 0] * step, -1e9), low[0], low[1], step


def _soft(hidden, inside, width):
    """1 far from hidden texels, 0 in them, with a ramp of `width` texels between; specks are dropped first."""
    from scipy import ndimage

    # Outside counts as hidden while specks are dropped, so that thin islands and their borders aren't taken for specks.
    mask = ~inside
    mask[inside] = hidden
    mask = ndimage.binary_opening(mask, np.ones((3, 3))) & inside
    if not mask.any():
        return np.ones(len(hidden), np.float32)
    distance = ndimage.distance_transform_edt(~mask)
    return _smooth_step(distance[inside], 0.0, width)


def _smooth_step(values, low, high):
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.float32(share * share * (3 - 2 * share))


def _to_vertices(values, weight, corners, barycentric, count):
    """Weighted means of texels around each vertex `[V, C]`, and the total weight `[V]` in texels."""
    share = (weight[:, None] * barycentric).reshape(-1)
    index = corners.reshape(-1)
    total = np.bincount(index, share, count)
    repeated = np.repeat(values, 3, axis=0)
    means = [np.bincount(index, share * repeated[:, c], count) for c in range(values.shape[1])]
    return np.stack(means, axis=-1) / np.maximum(total, 1e-9)[:, None], total


class _Fields:
    """Smooth fields on the mesh that agree with what texels say where they say something."""

    def __init__(self, model, corners, barycentric):
        from scipy import sparse

        self.model, self.corners, self.barycentric = model, corners, barycentric
        self.count = len(model.mean)
        triangles = model.triangles
        edges = np.unique(np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
        a, b = edges.T
        # Tone is carried on within a kind of surface: skin says little about hair, lips about skin.
        kind = self._kinds()
        joined = np.where(kind[a] == kind[b], 1.0, 0.05)
        graph = sparse.coo_matrix((joined, (a, b)), (self.count, self.count))
        graph = graph + graph.T
        self.laplacian = sparse.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph
        self.kind = kind

    def _kinds(self):
        """`[V]`: 0 skin, then hair, eyes, inside of the mouth, whose tones have little to do with each other."""
        kind = np.zeros(self.count, int)
        for number, name in enumerate(("scalp", "eyes", "mouth"), start=1):
            kind[self.model.region_mask(name)] = number
        return kind

    def carried(self, wanted, have, weight, settle=True):
        """ln(wanted / have) as a smooth field `[V, 3]` that knows it where `weight` is above 0.

        Far from there it settles at the kind's median, or at 0.
        """
        from scipy.sparse import diags
        from scipy.sparse.linalg import factorized

        ratio = np.log(np.maximum(wanted, 2e-3)) - np.log(np.maximum(have, 2e-3))
        mean, total = _to_vertices(
            np.clip(ratio, -_FIELD_LIMIT, _FIELD_LIMIT), weight, self.corners, self.barycentric, self.count
        )
        known = np.minimum(total, 1.0)
        rest = np.zeros((self.count, 3))
        if settle:
            face = self.model.region_mask("skin") & (known > 0.5)
            for kind in range(4):
                chosen = self.kind == kind
                # Of hair only its own tone says something; all else follows the skin, that is, the photo's exposure.
                seen = chosen & (known > 0.5)
                seen = seen if kind == 1 and seen.sum() >= 10 else face
                if seen.any():
                    rest[chosen] = np.median(mean[seen], axis=0)
            known = known / (1.0 + (np.linalg.norm(mean - rest, axis=1) / _FIELD_SPREAD) ** 2) ** 2
        pull = 0.01
        solve = factorized((self.laplacian + diags(known + pull)).tocsc())
        right = known[:, None] * mean + pull * rest
        return np.stack([solve(right[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def _padded(image, inside, reach: int = 16):
    """Colours carried on beyond the islands, so that filters at their borders see no black; the rest is their mean."""
    from scipy import ndimage

    distance, (row, column) = ndimage.distance_transform_edt(~inside, return_indices=True)
    return np.where((distance <= reach)[..., None], image[row, column], image[inside].mean(axis=0))
