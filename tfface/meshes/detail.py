"""The dense result as surfaces: the depth map triangulated, and the whole head displaced by the detail."""

import numpy as np

from tfface.geometry.ramps import smooth_step
from tfface.meshes.drawing import smooth_normals
from tfface.meshes.files import TexturedMesh

_MOST_SIDE = 1000
"""Longest side of the depth surface in vertices; larger faces are thinned out."""
_STEEPEST = 3.0
"""Pixels of depth per pixel beyond which two neighbours aren't one surface: the nose in front of the cheek."""
_RIM = 2
"""Pixels cut away at the face's edge, where depth runs off along the line of sight."""
_LEAST_PART = 0.02
"""Share of the face below which a piece that stands alone is dropped."""
_FADE_MM = 6.0
"""Width over which the head's detail fades out towards the border of what is seen."""
_FACING = (0.2, 0.5)
_SAME_MM = (0.75, 1.5)
"""Distances from the coarse depth between which a point's detail fades out: it lies on another surface."""


def depth_surface(face) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fine depth as a triangulated surface.

    Args:
      face: a `Face`.

    Returns:
      vertices `[N, 3]` mm in the frame of the posed mesh, which it overlays; triangles `[T, 3]` int32,
      counter-clockwise seen from the camera; colours `[N, 3]` uint8 of the photo. Empty if no face is in the picture.
    """
    from scipy import ndimage

    depth = face.patch.fine
    stride = -(-max(depth.shape) // _MOST_SIDE)
    # The border of the rectangle is no edge of the face where the picture itself ends there.
    inside = ndimage.binary_erosion(np.isfinite(depth), iterations=_RIM, border_value=1)[::stride, ::stride]
    rows, columns = (np.arange(0, size, stride) for size in depth.shape)
    depth = np.where(inside, depth[::stride, ::stride], np.nan)
    pieces, count = ndimage.label(inside)
    if count:
        sizes = np.bincount(pieces.reshape(-1))
        inside &= sizes[pieces] >= _LEAST_PART * sizes[1:].sum()
    number = np.arange(depth.size).reshape(depth.shape)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    triangles = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    heights = np.where(inside, depth, np.nan).reshape(-1)[triangles]
    with np.errstate(invalid="ignore"):
        triangles = triangles[np.ptp(heights, axis=1) < _STEEPEST * stride]
    used, triangles = np.unique(triangles, return_inverse=True)
    x = face.patch.left + 0.5 + np.tile(columns, len(rows))[used]
    y = face.patch.top + 0.5 + np.repeat(rows, len(columns))[used]
    tx, ty = face.translation
    vertices = np.stack([x - tx, ty - y, depth.reshape(-1)[used]], axis=-1) * face.mm_per_px
    colors = face.image[(y - 0.5).astype(int), (x - 0.5).astype(int)]
    return vertices, triangles.reshape(-1, 3).astype(np.int32), colors


def displaced_head(face, rounds: int = 2) -> TexturedMesh:
    """The whole posed head, divided more finely, rounded, and moved along its normals by the detail where that is seen.

    Rounded is Phong tessellation (Boubekeur and Alexa 2008), as the depth map is: half way from the flat triangles to
    the tangent planes of their corners, so that the head's outline isn't a polygon.

    Args:
      face: a `Face`.
      rounds: each divides every triangle into four.

    Returns:
      The head in mm with the face's texture; its normals show no edges of the coarse triangles.
    """
    from trimesh.remesh import subdivide

    layout = face.texture.atlas
    normals = smooth_normals(face.vertices, face.triangles)
    vertices, triangles, normals = np.float64(face.vertices)[layout.source], layout.triangles, normals[layout.source]
    # A point p falls on a corner's tangent plane by (n nᵀ)(v − p), whose two parts divide as everything else does.
    across = np.einsum("vi,vj->vij", normals, normals)
    attributes = {
        "uv": layout.uv,
        "normals": normals,
        "across": across.reshape(-1, 9),
        "height": np.einsum("vij,vj->vi", across, vertices),
    }
    for _ in range(rounds):
        vertices, triangles, attributes = subdivide(vertices, triangles, vertex_attributes=attributes)
    across = attributes["across"].reshape(-1, 3, 3)
    vertices = vertices + 0.5 * (attributes["height"] - np.einsum("vij,vj->vi", across, vertices))
    normals = attributes["normals"] / np.maximum(np.linalg.norm(attributes["normals"], axis=1, keepdims=True), 1e-9)
    offset, weight = _seen_detail(face, vertices, normals)
    # To first order, moving a tilted surface by n_z·Δz along its normal changes its depth by Δz.
    along = offset * weight * normals[:, 2]
    moved = vertices + along[:, None] * normals
    # Where nothing is seen, the smooth head's normals hide the edges that are left.
    bent = normals + weight[:, None] * (smooth_normals(moved, triangles) - normals)
    bent /= np.maximum(np.linalg.norm(bent, axis=1, keepdims=True), 1e-9)
    return TexturedMesh(moved, bent, attributes["uv"], triangles, face.texture.image)


def _seen_detail(face, vertices, normals):
    """How much nearer the fine surface is than points of the head, mm, and how far that is to be trusted, 0…1."""
    from scipy import ndimage

    scale = 1.0 / face.mm_per_px
    patch, (tx, ty) = face.patch, face.translation
    place = (ty - vertices[:, 1] * scale - patch.top - 0.5, vertices[:, 0] * scale + tx - patch.left - 0.5)
    mask = np.isfinite(patch.coarse)
    if not mask.any():
        return np.zeros(len(vertices)), np.zeros(len(vertices))
    # The rectangle ends where the photo does: there, too, nothing more is seen.
    border = np.pad(mask, 1)
    distance = ndimage.distance_transform_edt(border)[1:-1, 1:-1] * face.mm_per_px

    def sample(values, order, outside=0.0):
        return ndimage.map_coordinates(values, place, order=order, cval=outside)

    # Carried on beyond the border, because interpolation there asks for the pixels outside.
    row, column = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    away = np.abs(sample(patch.coarse[row, column], 1) - vertices[:, 2] * scale) * face.mm_per_px
    ramps = (
        (normals[:, 2] - _FACING[0]) / (_FACING[1] - _FACING[0]),
        sample(distance, 1) / _FADE_MM,
        (_SAME_MM[1] - away) / (_SAME_MM[1] - _SAME_MM[0]),
    )
    # To the fine surface from wherever the point lies.
    offset = (sample(patch.fine[row, column], 1) - vertices[:, 2] * scale) * face.mm_per_px
    return offset, smooth_step(np.minimum.reduce(ramps))
