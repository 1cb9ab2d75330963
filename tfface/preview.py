"""The preview sheet of a face: photo, overlay, coarse and fine shape, normals, depth, light, albedo, and its sides."""

import dataclasses

import numpy as np

from tfface.errors import InputError
from tfface.face import Face
from tfface.meshes.appearance import to_linear, to_srgb
from tfface.meshes.detail import displaced_head
from tfface.meshes.drawing import draw, smooth_normals, turned
from tfface.resampling import resample

TILES = (
    *("photo", "overlay", "coarse", "fine"),
    *("normals", "depth", "light", "albedo"),
    *("shape, left", "shape, right", "texture, left", "texture, right"),
)

_Y_UP = np.array([1.0, -1.0, 1.0], np.float32)
"""Between y up and the image's y down, either way."""
_PAPER = 250
_MARGIN = 10
_CAPTION = 22
# Image space: x right, y down, z nearer. A key light that grazes the face from the upper left, which is what shows
# wrinkles, and a weak fill from the right.
KEY = np.array([-0.52, -0.52, 0.68], np.float32)
_FILL = np.array([0.80, 0.10, 0.55], np.float32)


def preview_sheet(face: Face, tile: int = 320, columns: int = 4) -> np.ndarray:
    """All tiles with captions on one sheet.

    Args:
      face: a reconstructed face.
      tile: width and height of each picture, px.
      columns: pictures per row.

    Returns:
      `[rows·…, columns·…, 3]` uint8 RGB.
    """
    return contact_sheet(preview_tiles(face, tile).items(), columns)


@dataclasses.dataclass(frozen=True, eq=False)
class Views:
    """A face as seen from the photo's camera, on a square grid of its own.

    Attributes:
      photo: `[S, S, 3]` float32 0…255, paper beyond the photo's border.
      inside: `[S, S, 1]` 1 where the photo reaches.
      alpha: `[S, S, 1]` 1 on the mesh.
      coarse, fine: `[S, S, 3]` unit image-space normals without facets, without and with detail.
      depth: `[S, S]` of the fine surface in the grid's px, NaN off the mesh.
      reached: `[S, S, 1]` share of the light that reaches the surface: half of it between the lips, elsewhere all.
    """

    photo: np.ndarray
    inside: np.ndarray
    alpha: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    depth: np.ndarray
    reached: np.ndarray

    def picture(self, kind: str, light=None) -> np.ndarray:
        """One of photo, overlay, coarse, fine, normals and depth: `[S, S, 3]` float32 0…255.

        Args:
          kind: the name.
          light: direction of the key light, `[3]`: x right, y down, z nearer; the sheet's own by default.

        Raises:
          InputError: there is no such picture.
        """
        if kind == "photo":
            return self.photo
        if kind == "overlay":
            shaded = shade(self.fine, albedo=(186, 204, 232), key=light) * self.reached
            return self.photo + 0.7 * self.alpha * (shaded - self.photo)
        if kind in ("coarse", "fine"):
            return _over_paper(shade(getattr(self, kind), key=light) * self.reached, self.alpha)
        if kind == "normals":
            return _over_paper((self.fine * _Y_UP * 0.5 + 0.5) * 255.0, self.alpha)
        if kind == "depth":
            return _over_paper(_depth_colors(self.depth), self.alpha)
        raise InputError(f"expected photo, overlay, coarse, fine, normals or depth, received {kind!r}")


def views(face: Face, size: int) -> Views:
    """The `Views` of a face on `size`×`size` px around it.

    The mesh is rendered anew, because the photo's own pixels may be much coarser than the grid's.
    """
    left, top, side = _square_around(face)
    step = side / size
    coarse, coarse_normals, reached = _coarse(face, left, top, step, size)
    detail = np.nan_to_num(face.patch.fine - face.patch.coarse)
    window = (left - face.patch.left, top - face.patch.top, step, size, size, "zero")
    # Depth scales with the picture, so that the normals of a tile are those of the photo.
    detail = resample(detail, *window) / step
    inside = resample(np.ones(face.image.shape[:2]), left, top, step, size, size, "zero")[..., None].clip(0, 1)
    return Views(
        photo=_over_paper(resample(face.image, left, top, step, size, size), inside),
        inside=inside,
        alpha=np.isfinite(coarse)[..., None].astype(np.float32),
        coarse=coarse_normals,
        fine=_bent(coarse_normals, np.where(np.isfinite(coarse), detail, np.nan)),
        depth=coarse + detail,
        reached=reached,
    )


def preview_tiles(face: Face, tile: int = 320) -> dict[str, np.ndarray]:
    """The pictures of the sheet: `[tile, tile, 3]` uint8 by the names in `TILES`, all of one square around the face."""
    # Drawn at twice the size and averaged, so that outlines are smooth.
    size = 2 * tile
    seen = views(face, size)
    pictures = {name: seen.picture(name) for name in TILES[:6]}
    both = seen.alpha * seen.inside
    light, albedo = _light_and_albedo(face, seen.photo, seen.fine, both[..., 0] > 0.5)
    pictures |= {"light": _over_paper(light, seen.alpha), "albedo": _over_paper(albedo, both)}
    head = Head(face)
    for where, yaw in (("left", -np.pi / 3), ("right", np.pi / 3)):
        pictures[f"shape, {where}"], pictures[f"texture, {where}"] = head.pictures(yaw, size, size)
    return {name: halved(pictures[name]) for name in TILES}


def _coarse(face: Face, left: float, top: float, step: float, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the face's mesh in the tile's px: depth `[size, size]`, NaN off it, normals without facets, and `reached`."""
    points = (face.vertices_image - np.array([left, top, 0.0])) / step
    normals = smooth_normals(face.vertices, face.triangles) * _Y_UP
    reached = 1.0 - 0.5 * face.region("mouth")[:, None]
    values, mask = draw(points, face.triangles, np.hstack([points[:, 2:], normals, reached]), size, size)
    normals = _unit(values[..., 1:4])
    normals[~mask] = (0.0, 0.0, 1.0)
    return np.where(mask, values[..., 0], np.nan), normals, values[..., 4:]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def _light_and_albedo(face: Face, photo: np.ndarray, normals: np.ndarray, mask: np.ndarray):
    """What the fitted light makes of a white face, and the photo divided by it; both as bright as suits a tile."""
    light = face.texture.appearance.shade(normals * _Y_UP)
    parts = []
    for values, bright in ((light, 0.85), (to_linear(photo) / light, 0.6)):
        top = np.percentile(values[mask], 97) if mask.any() else 1.0
        parts.append(to_srgb(values * (bright / max(top, 1e-6))).astype(np.float32))
    return parts


class Head:
    """The whole head with its detail, un-posed, to be looked at from any side.

    Args:
      face: a reconstructed face.
      rounds: see `displaced_head`; each takes four times as long to draw.
    """

    def __init__(self, face: Face, rounds: int = 2):
        self.texture = face.texture
        mesh = displaced_head(face, rounds)
        self.vertices, self.normals = mesh.vertices @ face.rotation, mesh.normals @ face.rotation
        self.uv, self.triangles = mesh.uv, mesh.triangles
        low, high = self.vertices.min(axis=0), self.vertices.max(axis=0)
        self.centre = 0.5 * (low + high)
        # Wide enough for every yaw.
        self.extent = max(float(np.linalg.norm((high - low)[[0, 2]])), float((high - low)[1]))

    def pictures(self, yaw: float, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The head turned by `yaw` radians over paper, as clay and with its texture: `[H, W, 3]` float32 0…255."""
        scale = 0.94 * min(height, width) / self.extent
        points = turned(self.vertices - self.centre, yaw) * _Y_UP * scale + [0.5 * width, 0.5 * height, 0.0]
        attributes = np.concatenate([turned(self.normals, yaw) * _Y_UP, self.uv], axis=1)
        values, mask = draw(points, self.triangles, attributes, height, width)
        colors = self.texture.at(values[..., 3:].reshape(-1, 2)).reshape(height, width, 3).astype(np.float32)
        alpha = mask[..., None].astype(np.float32)
        return _over_paper(shade(_unit(values[..., :3])), alpha), _over_paper(colors, alpha)


def halved(picture: np.ndarray) -> np.ndarray:
    """Means of 2×2 pixels, as uint8."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    return np.uint8(np.rint(picture.reshape(height, 2, width, 2, 3).mean(axis=(1, 3)).clip(0, 255)))


def shade(normals: np.ndarray, albedo=(214, 210, 204), key=None) -> np.ndarray:
    """Lambertian shading of image-space normals `[H, W, 3]` → `[H, W, 3]` float32 in 0…255.

    Args:
      normals: x right, y down, z nearer.
      albedo: the colour of a fully lit surface.
      key: direction of the stronger light `[3]`; from the upper left by default.
    """
    key = KEY if key is None else np.asarray(key, np.float32)
    key = np.maximum(normals @ (key / np.linalg.norm(key)), 0.0)
    fill = np.maximum(normals @ (_FILL / np.linalg.norm(_FILL)), 0.0)
    light = 0.10 + 0.92 * key + 0.20 * fill
    return (light[..., None] * np.asarray(albedo, np.float32)).clip(0, 255)


def contact_sheet(pictures, columns: int) -> np.ndarray:
    """Captioned pictures of one size in rows.

    Args:
      pictures: (caption, `[H, W, 3]` uint8) pairs.
      columns: pictures per row.

    Returns:
      One `[…, …, 3]` uint8 picture.
    """
    from PIL import Image, ImageDraw, ImageFont

    pictures = list(pictures)
    height, width = pictures[0][1].shape[:2]
    columns = max(1, min(columns, len(pictures)))
    rows = -(-len(pictures) // columns)
    sheet = Image.new(
        "RGB",
        (columns * (width + _MARGIN) + _MARGIN, rows * (height + _CAPTION + _MARGIN) + _MARGIN),
        (_PAPER,) * 3,
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for index, (caption, picture) in enumerate(pictures):
        row, column = divmod(index, columns)
        x, y = _MARGIN + column * (width + _MARGIN), _MARGIN + row * (height + _CAPTION + _MARGIN)
        sheet.paste(Image.fromarray(picture), (x, y))
        draw.text((x + width / 2, y + height + _CAPTION / 2), caption, fill=(90, 90, 90), font=font, anchor="mm")
    return np.asarray(sheet)


def _square_around(face: Face, margin: float = 0.06) -> tuple[float, float, float]:
    """(left, top, side) of a square in the photo with the whole head and a little air."""
    low, high = face.vertices_image[:, :2].min(axis=0), face.vertices_image[:, :2].max(axis=0)
    side = float((high - low).max()) * (1.0 + 2.0 * margin)
    left, top = (low + high - side) / 2
    return float(left), float(top), side


def _over_paper(picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return _PAPER + alpha * (picture - _PAPER)


def _bent(normals: np.ndarray, detail: np.ndarray) -> np.ndarray:
    """Smooth normals `[H, W, 3]` with the slopes of a detail `[H, W]` (px, NaN off the face) added to theirs."""
    from tfface.face import depth_normals

    bend = depth_normals(detail)
    slopes = normals[..., :2] / np.maximum(normals[..., 2:], 0.02) + np.nan_to_num(bend[..., :2] / bend[..., 2:])
    return _unit(np.concatenate([slopes, np.ones_like(slopes[..., :1])], axis=-1))


def _depth_colors(depth: np.ndarray) -> np.ndarray:
    """Near is bright: matplotlib's magma between the 1st and 99th percentile, without its black end."""
    import matplotlib

    valid = np.isfinite(depth)
    if not valid.any():
        return np.full((*depth.shape, 3), float(_PAPER))
    low, high = np.percentile(depth[valid], (1, 99.5))
    share = np.where(valid, (depth - low) / max(high - low, 1e-6), 0.0).clip(0, 1)
    return matplotlib.colormaps["magma"](0.12 + 0.86 * share)[..., :3] * 255.0
