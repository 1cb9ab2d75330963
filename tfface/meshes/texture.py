"""The texture of a face: the photo where it shows the skin, its mirrored side and the albedo model where it doesn't.

Three layers in linear light, mixed per texel:

1. the photo, where the surface is seen, faces the camera, lies inside the picture and isn't covered by something else,
   nor stands beside the head of the photo, where that is smaller than the mesh;
2. the photo at the mirrored point, times the ratio of light there and here;
3. the face model's albedo, fitted to the seen skin, in the light fitted to it.

Before 2 and 3 are mixed in, each is multiplied by a smooth field on the mesh that makes it agree with those before it
where both are known and carries that agreement on over the unseen parts, so that no border shows. The field lives on
the mesh, not in the texture, and so runs across the texture's seams.
"""

import dataclasses

import numpy as np

from tfface.geometry.ramps import smooth_step
from tfface.meshes.appearance import Appearance, fit_appearance, to_srgb
from tfface.meshes.atlas import Atlas, atlas
from tfface.meshes.drawing import smooth_normals
from tfface.meshes.fields import Fields, log_ratio
from tfface.meshes.look import Look, folded_lids
from tfface.meshes.person import Person, evened
from tfface.meshes.texels import texels as texels_of

SIZES = (512, 1024, 2048)
_FACING = (0.15, 0.5)
"""Cosines to the camera between which the photo fades in."""
_BRIGHTER = 1.5
"""How much brighter than the other side one may be that the photo doesn't show."""
_FADE = 0.012
"""Width of the fade beside hidden parts, in texture widths."""


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
    layout = atlas(model)
    photo, points = _photo_around(face)
    size = size or _fitting_size(layout, model, points)
    if size < 16:
        raise ValueError(f"expected a texture of at least 16 texels a side, received {size}")
    texels = texels_of(layout, model, size)
    normals = smooth_normals(face.vertices, model.triangles)
    lids = folded_lids(model, face.vertices)
    facing = smooth_step(normals[:, 2], *_FACING) * (1.0 - lids)
    in_mouth = texels.gather(model.region_mask("mouth")) > 0.5

    def weighed(hidden, mirrored=False):
        """How far the photo counts where it isn't hidden."""
        # Between the lips the photo is all there is: teeth are neither painted nor on the other side.
        weight = texels.gather(facing, mirrored) * texels.fade(hidden, _FADE)
        return np.where(in_mouth, np.float32(~hidden), weight)

    look = Look(face, photo, points, model)
    colors, hidden, from_rim = look(texels.gather(points))
    weight = texels.gather(facing) * ~hidden
    mean_color, total = texels.to_vertices(colors, weight)
    skin = model.region_mask("skin", "lips", "brows").astype(np.float32)
    appearance = fit_appearance(model, mean_color, normals, np.minimum(total, 1.0) * skin)
    light, shade = _light(appearance, normals, model)
    painted = evened(appearance.albedo, model) * light

    person = Person(model, texels, painted, colors, weight, from_rim)
    weight = weighed(hidden | person.covered(colors, hidden, from_rim))
    mirrored, hidden, from_rim = look(texels.gather(points, mirrored=True))
    hidden |= person.covered(mirrored, hidden, from_rim, mirrored=True)
    # A gaze isn't symmetric, nor is what lies between parted lips.
    one_sided = texels.gather(model.region_mask("eyes", "mouth"))
    mirror_weight = weighed(hidden, mirrored=True) * (1.0 - one_sided)
    # Light on a side that isn't seen is a guess.
    ratio = texels.gather(light) / texels.gather(light, mirrored=True)
    mirrored = mirrored * np.minimum(ratio, _BRIGHTER)

    tones, hair = person.tones(colors, weight, shade)
    fields = Fields(texels, model.triangles, _kinds(model, hair))
    agreement = fields.carried(log_ratio(colors, mirrored), weight * mirror_weight)
    mirrored = mirrored * np.exp(texels.gather(agreement))
    # Little of a lid is seen, and that is lashes: it takes the tone of what is around it. Hair has a tone of its own.
    both = [weight, (1.0 - weight) * mirror_weight * (texels.gather(hair) < 0.5)] * (texels.gather(lids) < 0.1)
    telling = both.sum(axis=0)
    known = (both[0][:, None] * colors + both[1][:, None] * mirrored) / np.maximum(telling, 1e-6)[:, None]
    painted = texels.gather(painted)
    painted = painted * np.exp(texels.gather(fields.carried(log_ratio(known, painted), telling, tones)))
    filled = painted + mirror_weight[:, None] * (mirrored - painted)
    mixed = filled + weight[:, None] * (colors - filled)

    seen = np.full((size, size), np.nan, np.float32)
    seen[texels.inside] = weight
    return Texture(to_srgb(texels.padded(mixed)), layout, seen, appearance)


def _kinds(model, hair):
    """`[V]`: 0 skin, then hair, eyes, inside of the mouth, whose tones have little to do with each other."""
    kind = np.where(hair, 1, 0)
    kind[model.region_mask("eyes")] = 2
    kind[model.region_mask("mouth")] = 3
    return kind


def _light(appearance, normals, model):
    """Light `[V, 3]` on the vertices, for painting, and how bright it is `[V]`, 1 at most, from the camera's side.

    Nothing in the photo tells how dark the unseen back is; it gets at least three quarters of what a surface that
    faces the camera gets. Eyeballs lie in their sockets: all of it gets the light of their front.
    """
    front = appearance.shade(np.array([0.0, 0.0, 1.0]))
    light = np.maximum(appearance.shade(normals), 0.75 * front)
    light[model.region_mask("eyes")] = front
    return light, np.minimum(light.mean(axis=1) / front.mean(), 1.0)


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
