"""Face: what a reconstruction hands to its user, and how it is saved."""

import dataclasses
import functools
import json

import numpy as np

from tfface.errors import InputError
from tfface.output import write_files

FORMATS = ("obj", "ply", "glb", "depth", "normals", "preview", "json")
DEFAULT_FORMATS = ("obj", "depth", "preview", "json")

PNG_DEPTH_ZERO = 32768
PNG_DEPTH_PER_MM = 100.0
"""A depth PNG holds 32768 + 100·z in 16 bits, z in mm from the plane through the mesh's origin; 0 is off the face."""


@dataclasses.dataclass(frozen=True)
class Patch:
    """Depth maps of the rectangle of the photo that the face covers; the rest of the grid is NaN."""

    top: int
    """First row of the rectangle in the photo."""
    left: int
    """First column."""
    coarse: np.ndarray
    """`[h, w]` float32 px, NaN off the face."""
    fine: np.ndarray
    """`[h, w]` float32 px, NaN off the face."""

    @property
    def slices(self) -> tuple[slice, slice]:
        """Where the rectangle lies in the photo."""
        height, width = self.coarse.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Face:
    """One reconstructed face. Pixels are the photo's, conventions those of docs/conventions.md."""

    vertices: np.ndarray
    """`[V, 3]` mm, turned as in the photo's camera: x right, y up, z nearer; the origin as in the face model."""
    triangles: np.ndarray
    """`[T, 3]` int32, counter-clockwise seen from outside."""
    vertices_image: np.ndarray
    """`[V, 3]` px: x right, y down, z nearer."""
    landmarks: np.ndarray
    """`[68, 3]` px, iBUG order."""
    rotation: np.ndarray
    """`[3, 3]`, from the face model's frame to the camera's."""
    euler_degrees: tuple[float, float, float]
    """(yaw, pitch, roll): > 0 faces the image's right, looks up, is clockwise in the image."""
    translation: np.ndarray
    """`[2]` px, where the mesh's origin falls in the photo."""
    mm_per_px: float
    """Millimetres per pixel at the face, for a head of average adult size."""
    box: np.ndarray
    """`[4]` x0, y0, x1, y1 px: the detector's or the given box."""
    score: float
    """The detector's confidence in 0…1; 1 for a given box."""
    identity: np.ndarray
    """`[200]` standard deviations."""
    expression: np.ndarray
    """`[84]` standard deviations."""
    blendshapes: dict[str, float]
    """52 ARKit names → 0…1."""
    image: np.ndarray
    """`[H, W, 3]` uint8, the photo (shared, not copied)."""
    patch: Patch
    """The depth maps where the face is; `depth` and `coarse_depth` spread them over the photo's grid."""

    def __repr__(self) -> str:
        box = ", ".join(f"{value:.0f}" for value in self.box)
        yaw, pitch, roll = self.euler_degrees
        return f"Face(box=[{box}], score={self.score:.2f}, yaw={yaw:.0f}°, pitch={pitch:.0f}°, roll={roll:.0f}°)"

    @functools.cached_property
    def depth(self) -> np.ndarray:
        """`[H, W]` float32 px on the photo's grid, larger is nearer, NaN off the face: coarse shape and detail."""
        return self._on_grid(self.patch.fine)

    @functools.cached_property
    def coarse_depth(self) -> np.ndarray:
        """`[H, W]` float32 px: the face model alone, without detail."""
        return self._on_grid(self.patch.coarse)

    @functools.cached_property
    def normals(self) -> np.ndarray:
        """`[H, W, 3]` float32 unit vectors (−∂z/∂x, −∂z/∂y, 1)/|·|, x right, y down, z nearer; NaN off the face."""
        return self._on_grid(self.patch_normals)

    @functools.cached_property
    def coarse_normals(self) -> np.ndarray:
        """`[H, W, 3]` float32: the normals of `coarse_depth`."""
        return self._on_grid(self.patch_coarse_normals)

    @functools.cached_property
    def patch_normals(self) -> np.ndarray:
        """`[h, w, 3]`: `normals` inside the patch's rectangle."""
        return depth_normals(self.patch.fine)

    @functools.cached_property
    def patch_coarse_normals(self) -> np.ndarray:
        """`[h, w, 3]`: `coarse_normals` inside the patch's rectangle."""
        return depth_normals(self.patch.coarse)

    @functools.cached_property
    def vertex_colors(self) -> np.ndarray:
        """`[V, 3]` uint8: the photo's colour where a vertex is seen, the median of those where it isn't."""
        height, width = self.patch.coarse.shape
        x, y, z = self.vertices_image.T
        column = np.floor(x - self.patch.left).astype(int)
        row = np.floor(y - self.patch.top).astype(int)
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        seen = np.zeros(len(x), bool)
        surface = self.patch.coarse[row[inside], column[inside]]
        # Hidden is what lies a few millimetres behind the surface that its pixel shows.
        seen[inside] = z[inside] > surface - 4.0 / self.mm_per_px
        colors = np.full((len(x), 3), 128, np.uint8)
        if seen.any():
            part = self.image[self.patch.slices]
            colors[seen] = part[row[seen], column[seen]]
            colors[~seen] = np.median(colors[seen], axis=0)
        return colors

    def pose(self) -> dict:
        """Everything but the dense arrays, ready for `json.dump`."""
        yaw, pitch, roll = self.euler_degrees
        return {
            "box": [round(float(value), 2) for value in self.box],
            "score": round(float(self.score), 4),
            "yaw_degrees": round(float(yaw), 3),
            "pitch_degrees": round(float(pitch), 3),
            "roll_degrees": round(float(roll), 3),
            "mm_per_px": float(self.mm_per_px),
            "image_size": [int(self.image.shape[1]), int(self.image.shape[0])],
            "camera": {
                "model": "weak perspective: x = scale*X + tx, y = -scale*Y + ty, z = scale*Z, "
                "(X, Y, Z) = rotation*v for v of the face model; saved meshes are already rotated",
                "rotation": np.asarray(self.rotation, np.float64).round(7).tolist(),
                "translation_px": np.asarray(self.translation, np.float64).round(4).tolist(),
                "scale_px_per_mm": 1.0 / float(self.mm_per_px),
            },
            "landmarks": np.asarray(self.landmarks, np.float64).round(3).tolist(),
            "blendshapes": {name: round(float(value), 4) for name, value in self.blendshapes.items()},
            "identity": np.asarray(self.identity, np.float64).round(5).tolist(),
            "expression": np.asarray(self.expression, np.float64).round(5).tolist(),
        }

    def save(self, folder, formats=DEFAULT_FORMATS, name: str = "face") -> dict[str, str]:
        """Writes the face's files, all of them or none.

        - obj, ply: `NAME.obj`, `NAME.ply`, the mesh in millimetres with vertex colours; glb: `NAME.glb`, in metres.
        - depth: `NAME_depth.npy` float32 `[H, W]` px with NaN, and `NAME_depth.png`, 16 bits, 32768 + 100·(mm),
          0 off the face.
        - normals: `NAME_normals.npy` float32 `[H, W, 3]`, and `NAME_normals.png` as other programs colour normal maps
          (red right, green up, blue nearer; black off the face).
        - preview: `NAME_preview.png`, a sheet to look at.
        - json: `NAME.json`, pose, camera, landmarks, blendshapes, coefficients.

        Args:
          folder: made when missing; files of the same names are replaced.
          formats: any of `FORMATS`.
          name: how the file names start.

        Returns:
          Paths by file name.

        Raises:
          InputError: an unknown format.
          OutputError: the files can't be written; none is left half done.
        """
        formats = (formats,) if isinstance(formats, str) else tuple(formats)
        unknown = [value for value in formats if value not in FORMATS]
        if unknown or not formats:
            raise InputError(
                f"expected formats from {', '.join(FORMATS)}, received {', '.join(map(str, unknown)) or 'none'}"
            )
        contents = {}
        for kind in dict.fromkeys(formats):
            contents |= {f"{name}{suffix}": data for suffix, data in self._encode(kind).items()}
        return {key: str(path) for key, path in write_files(folder, contents).items()}

    def _encode(self, kind: str) -> dict[str, bytes]:
        """Files of one format: bytes by the part of the file name after the face's name."""
        from tfface.encoding import npy_bytes, png_bytes

        if kind in ("obj", "ply", "glb"):
            from tfface.meshes.files import mesh_bytes

            return {f".{kind}": mesh_bytes(kind, self.vertices, self.triangles, self.vertex_colors)}
        if kind == "depth":
            millimetres = np.nan_to_num(self.depth * self.mm_per_px)
            code = np.clip(np.rint(PNG_DEPTH_ZERO + PNG_DEPTH_PER_MM * millimetres), 1, 65535)
            code = np.where(np.isfinite(self.depth), code, 0).astype(np.uint16)
            return {"_depth.npy": npy_bytes(self.depth), "_depth.png": png_bytes(code)}
        if kind == "normals":
            flipped = np.nan_to_num(self.normals * np.array([1, -1, 1], np.float32), nan=-1.0)
            code = np.uint8(np.rint((flipped * 0.5 + 0.5) * 255.0))
            return {"_normals.npy": npy_bytes(self.normals), "_normals.png": png_bytes(code)}
        if kind == "preview":
            from tfface.preview import preview_sheet

            return {"_preview.png": png_bytes(preview_sheet(self))}
        return {".json": (json.dumps(self.pose(), indent=1, allow_nan=False) + "\n").encode()}

    def _on_grid(self, values: np.ndarray) -> np.ndarray:
        """Spreads values of the patch over the photo's grid, NaN elsewhere."""
        grid = np.full(self.image.shape[:2] + values.shape[2:], np.nan, np.float32)
        grid[self.patch.slices] = values
        return grid


def depth_normals(depth: np.ndarray) -> np.ndarray:
    """Unit normals `[h, w, 3]` of a depth map `[h, w]` in px with NaN off the face; NaN stays NaN."""
    from tfface.geometry.depth import normals_from_depth

    valid = np.isfinite(depth)
    filled = np.where(valid, depth, 0.0).astype(np.float32)[None, :, :, None]
    normals = np.array(normals_from_depth(filled, valid.astype(np.float32)[None, :, :, None])[0])
    normals[~valid] = np.nan
    return normals
