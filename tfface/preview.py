"""The preview sheet of a face: photo, overlay, coarse and fine shape, normals, depth."""

import numpy as np

from tfface.face import Face
from tfface.resampling import resample

TILES = ("photo", "overlay", "coarse", "fine", "normals", "depth")

_PAPER = 250
_MARGIN = 10
_CAPTION = 22
# Image space: x right, y down, z nearer. A key light from the upper left and a weak fill from the right.
_KEY = np.array([-0.45, -0.55, 0.70], np.float32)
_FILL = np.array([0.80, 0.10, 0.55], np.float32)


def preview_sheet(face: Face, tile: int = 320, columns: int = 3) -> np.ndarray:
    """All tiles with captions on one sheet.

    Args:
      face: a reconstructed face.
      tile: width and height of each picture, px.
      columns: pictures per row.

    Returns:
      `[rows·…, columns·…, 3]` uint8 RGB.
    """
    return contact_sheet(preview_tiles(face, tile).items(), columns)


def preview_tiles(face: Face, tile: int = 320) -> dict[str, np.ndarray]:
    """The pictures of the sheet: `[tile, tile, 3]` uint8 by the names in `TILES`, all of one square around the face."""
    left, top, side = _square_around(face)
    # Drawn at twice the size and averaged, so that outlines are smooth; the mesh is rendered anew, because the photo's
    # own pixels may be much coarser than the tile's.
    size = 2 * tile
    step = side / size
    depth = {"coarse": _coarse_depth(face, left, top, step, size)}
    detail = np.nan_to_num(face.patch.fine - face.patch.coarse)
    window = (left - face.patch.left, top - face.patch.top, step, size, size, "zero")
    # Depth scales with the picture, so that the normals of a tile are those of the photo.
    depth["fine"] = depth["coarse"] + resample(detail, *window) / step
    normals = {kind: _filled_normals(values) for kind, values in depth.items()}
    alpha = np.isfinite(depth["coarse"])[..., None].astype(np.float32)
    photo = resample(face.image, left, top, step, size, size)
    pictures = {"photo": photo}
    pictures["overlay"] = photo + 0.7 * alpha * (shade(normals["fine"], albedo=(186, 204, 232)) - photo)
    for kind in ("coarse", "fine"):
        pictures[kind] = _over_paper(shade(normals[kind]), alpha)
    colors = (normals["fine"] * np.array([1, -1, 1], np.float32) * 0.5 + 0.5) * 255.0
    pictures["normals"] = _over_paper(colors, alpha)
    pictures["depth"] = _over_paper(_depth_colors(depth["fine"]), alpha)
    return {name: _halved(picture) for name, picture in pictures.items()}


def _coarse_depth(face: Face, left: float, top: float, step: float, size: int) -> np.ndarray:
    """Depth `[size, size]` of the face's mesh in the tile's px, NaN off it."""
    from tfface.rendering.visibility import interpolate, rasterize

    vertices = np.float32((face.vertices_image - np.array([left, top, 0.0])) / step)[None]
    visibility = rasterize(vertices, face.triangles, size, size, cull=True)
    depth = interpolate(visibility, face.triangles, vertices[..., 2:])[0, :, :, 0].numpy()
    return np.where(visibility.triangle[0].numpy() >= 0, depth, np.nan)


def _halved(picture: np.ndarray) -> np.ndarray:
    """Means of 2×2 pixels, as uint8."""
    size = picture.shape[0] // 2
    return np.uint8(np.rint(picture.reshape(size, 2, size, 2, 3).mean(axis=(1, 3)).clip(0, 255)))


def shade(normals: np.ndarray, albedo=(214, 210, 204)) -> np.ndarray:
    """Lambertian shading of image-space normals `[H, W, 3]` → `[H, W, 3]` float32 in 0…255."""
    key = np.maximum(normals @ (_KEY / np.linalg.norm(_KEY)), 0.0)
    fill = np.maximum(normals @ (_FILL / np.linalg.norm(_FILL)), 0.0)
    light = 0.14 + 0.80 * key + 0.26 * fill
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


def _filled_normals(depth: np.ndarray) -> np.ndarray:
    """Normals of a tile's depth; off the face they point at the viewer, so that soft edges don't darken."""
    from tfface.face import depth_normals

    return np.nan_to_num(depth_normals(depth), nan=0.0) + np.isnan(depth)[..., None] * np.array([0, 0, 1.0])


def _depth_colors(depth: np.ndarray) -> np.ndarray:
    """Near is bright: matplotlib's magma between the 1st and 99th percentile, without its black end."""
    import matplotlib

    valid = np.isfinite(depth)
    if not valid.any():
        return np.full((*depth.shape, 3), float(_PAPER))
    low, high = np.percentile(depth[valid], (1, 99.5))
    share = np.where(valid, (depth - low) / max(high - low, 1e-6), 0.0).clip(0, 1)
    return matplotlib.colormaps["magma"](0.12 + 0.86 * share)[..., :3] * 255.0
