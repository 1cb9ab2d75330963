"""Face: what a reconstruction hands to its user, and how it is saved."""

import dataclasses
import functools
import json

import numpy as np

from tfface.errors import InputError
from tfface.output import write_files

MESH_FORMATS = ("obj", "ply", "glb")
FORMATS = (*MESH_FORMATS, "glb-arkit", "detail", "depth", "normals", "preview", "turntable", "html", "camera", "json")
FRONTAL = ("neutral", "expression")
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
    face_model: object | None = None
    """The morphable model that the face was made with; None stands for the one that ships."""

    def __repr__(self) -> str:
        box = ", ".join(f"{value:.0f}" for value in self.box)
        yaw, pitch, roll = (round(float(angle)) for angle in self.euler_degrees)
        return f"Face(box=[{box}], score={self.score:.2f}, yaw={yaw}°, pitch={pitch}°, roll={roll}°)"

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

    @functools.cached_property
    def texture(self):
        """The `tfface.meshes.texture.Texture` of the face: image, layout, what was seen, light and albedo.

        Raises:
          InputError: the face has no `face_model`, and wasn't made with the one that ships.
        """
        from tfface.meshes.texture import face_texture

        return face_texture(self, self._model)

    @functools.cached_property
    def _model(self):
        from tfface.morphable.model import MorphableModel

        model = MorphableModel.default() if self.face_model is None else self.face_model
        if len(model.mean) != len(self.vertices):
            raise InputError(
                f"expected a face of the face model's {len(model.mean)} vertices, received one of "
                f"{len(self.vertices)}; make the Face with face_model="
            )
        return model

    def region(self, *names: str) -> np.ndarray:
        """`[V]` bool: the vertices in regions of the face model, such as "lips" (`MorphableModel.region_names`).

        Raises:
          InputError: the face has no `face_model`, and wasn't made with the one that ships.
          ValueError: there is no such region.
        """
        return self._model.region_mask(*names)

    def frontal(self, pose: str = "neutral") -> np.ndarray:
        """The un-posed head: `[V, 3]` mm in the face model's frame, looking straight ahead.

        Args:
          pose: "neutral" leaves the expression out, "expression" keeps it.

        Raises:
          InputError: another word.
        """
        _check_frontal(pose)
        expression = self.expression if pose == "expression" else np.zeros_like(self.expression)
        return np.asarray(self._model.decode(self.identity[None], expression[None]))[0]

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

    def save(self, folder, formats=DEFAULT_FORMATS, name: str = "face", frontal: str | None = None) -> dict[str, str]:
        """Writes the face's files, all of them or none.

        Meshes are in millimetres, x right, y up, z nearer, turned as in the photo; GLB, as glTF demands, in metres.

        - obj: `NAME.obj`, `NAME.mtl` and `NAME_texture.png`; vertices in the face model's order.
        - ply: `NAME.ply`, binary with vertex colours; vertices in the face model's order.
        - glb: `NAME.glb`, the texture inside.
        - glb-arkit: `NAME_arkit.glb`, the neutral head, un-posed, with 52 ARKit blendshapes as morph targets, and
          `NAME_arkit.json`, the weights of this face's expression.
        - detail: `NAME_detail.ply`, the dense depth as a surface with the photo's colours, mm, and `NAME_detail.glb`,
          the whole head displaced by the detail, textured, metres.
        - depth: `NAME_depth.npy` float32 `[H, W]` px with NaN, and `NAME_depth.png`, 16 bits, 32768 + 100·(mm),
          0 off the face.
        - normals: `NAME_normals.npy` float32 `[H, W, 3]`, and `NAME_normals.png` as other programs colour normal maps
          (red right, green up, blue nearer; black off the face).
        - preview: `NAME_preview.png`, a sheet to look at; turntable: `NAME_turntable.gif`, the head turning.
        - html: `NAME.html`, one page with the head in it, to be turned in any browser; needs `tfface[html]`.
        - camera: `NAME_camera.json`, an orthographic camera that lays the mesh over the photo (docs/meshes.md).
        - json: `NAME.json`, pose, camera, landmarks, blendshapes, coefficients.

        Args:
          folder: made when missing; files of the same names are replaced.
          formats: any of `FORMATS`.
          name: how the file names start.
          frontal: "neutral" or "expression" also writes the un-posed head in each mesh format among the formats, as
            `NAME_neutral.obj` and so on.

        Returns:
          Paths by file name.

        Raises:
          InputError: an unknown format or a wrong `frontal`.
          OutputError: the files can't be written; none is left half done.
        """
        formats = (formats,) if isinstance(formats, str) else tuple(formats)
        unknown = [value for value in formats if value not in FORMATS]
        if unknown or not formats:
            raise InputError(
                f"expected formats from {', '.join(FORMATS)}, received {', '.join(map(str, unknown)) or 'none'}"
            )
        if frontal is not None:
            _check_frontal(frontal)
            if not set(formats) & set(MESH_FORMATS):
                raise InputError(
                    f"expected a mesh format ({', '.join(MESH_FORMATS)}) with frontal={frontal!r}, "
                    f"received {', '.join(formats)}"
                )
        contents = {}
        for kind in dict.fromkeys(formats):
            contents |= self._encode(kind, name)
            if frontal and kind in MESH_FORMATS:
                contents |= self._encode_mesh(kind, f"{name}_{frontal}", name, self.frontal(frontal))
        return {key: str(path) for key, path in write_files(folder, contents).items()}

    def _encode_mesh(self, kind: str, name: str, material: str, vertices: np.ndarray) -> dict[str, bytes]:
        """The files of a mesh with the face's topology; `material` starts the names of those that meshes share."""
        from tfface.encoding import png_bytes
        from tfface.meshes import files

        texture = self.texture
        if kind == "ply":
            colors = texture.at(texture.atlas.uv[: len(vertices)])
            return {f"{name}.ply": files.ply_bytes(vertices, self.triangles, colors)}
        if kind == "glb":
            return {f"{name}.glb": files.glb_bytes(self.textured(vertices))}
        from tfface.meshes.drawing import smooth_normals

        layout = texture.atlas
        normals = smooth_normals(vertices, self.triangles)
        mtl = f"{material}.mtl"
        return {
            f"{name}.obj": files.obj_text(vertices, normals, self.triangles, layout.uv, layout.triangles, mtl),
            mtl: files.mtl_text(f"{material}_texture.png"),
            f"{material}_texture.png": png_bytes(texture.image),
        }

    def textured(self, vertices: np.ndarray | None = None):
        """A `TexturedMesh` of vertices `[V, 3]` in the face model's order; the face's own by default."""
        from tfface.meshes.drawing import smooth_normals
        from tfface.meshes.files import TexturedMesh

        vertices = self.vertices if vertices is None else vertices
        layout = self.texture.atlas
        normals = smooth_normals(vertices, self.triangles)[layout.source]
        return TexturedMesh(vertices[layout.source], normals, layout.uv, layout.triangles, self.texture.image)

    def _encode_detail(self, name: str) -> dict[str, bytes]:
        from tfface.meshes import files
        from tfface.meshes.detail import depth_surface, displaced_head

        surface, head = files.ply_bytes(*depth_surface(self)), files.glb_bytes(displaced_head(self))
        return {f"{name}_detail.ply": surface, f"{name}_detail.glb": head}

    def _encode(self, kind: str, name: str) -> dict[str, bytes]:
        """Files of one format, by name."""
        from tfface.encoding import npy_bytes, png_bytes

        if kind in MESH_FORMATS:
            return self._encode_mesh(kind, name, name, self.vertices)
        if kind == "glb-arkit":
            from tfface.meshes.blendshapes import morphing_glb_bytes

            head = self.textured(self.frontal("neutral"))
            weights = {"blendshapes": {key: round(float(value), 4) for key, value in self.blendshapes.items()}}
            return {
                f"{name}_arkit.glb": morphing_glb_bytes(head, self.texture.atlas.source, self._model),
                f"{name}_arkit.json": _json_bytes(weights),
            }
        if kind == "detail":
            return self._encode_detail(name)
        if kind == "depth":
            # Not `self.depth`, which stays in memory: a group's photograph has many faces and one large grid for each.
            depth = self._on_grid(self.patch.fine)
            millimetres = np.nan_to_num(depth * self.mm_per_px)
            code = np.clip(np.rint(PNG_DEPTH_ZERO + PNG_DEPTH_PER_MM * millimetres), 1, 65535)
            code = np.where(np.isfinite(depth), code, 0).astype(np.uint16)
            return {f"{name}_depth.npy": npy_bytes(depth), f"{name}_depth.png": png_bytes(code)}
        if kind == "normals":
            normals = self._on_grid(self.patch_normals)
            flipped = np.nan_to_num(normals * np.array([1, -1, 1], np.float32), nan=-1.0)
            code = np.uint8(np.rint((flipped * 0.5 + 0.5) * 255.0))
            return {f"{name}_normals.npy": npy_bytes(normals), f"{name}_normals.png": png_bytes(code)}
        if kind == "preview":
            from tfface.preview import preview_sheet

            return {f"{name}_preview.png": png_bytes(preview_sheet(self))}
        if kind == "turntable":
            from tfface.turntable import turntable_gif

            return {f"{name}_turntable.gif": turntable_gif(self)}
        if kind == "html":
            from tfface.meshes.page import page_bytes

            return {f"{name}.html": page_bytes(self, name)}
        if kind == "camera":
            from tfface.meshes.camera import camera_parameters

            return {f"{name}_camera.json": _json_bytes(camera_parameters(self))}
        return {f"{name}.json": _json_bytes(self.pose())}

    def _on_grid(self, values: np.ndarray) -> np.ndarray:
        """Spreads values of the patch over the photo's grid, NaN elsewhere."""
        grid = np.full(self.image.shape[:2] + values.shape[2:], np.nan, np.float32)
        grid[self.patch.slices] = values
        return grid


def _json_bytes(values: dict) -> bytes:
    return (json.dumps(values, indent=1, allow_nan=False) + "\n").encode()


def _check_frontal(pose: str):
    if pose not in FRONTAL:
        raise InputError(f"expected frontal to be one of {', '.join(FRONTAL)}, received {pose!r}")


def depth_normals(depth: np.ndarray) -> np.ndarray:
    """Unit normals `[h, w, 3]` of a depth map `[h, w]` in px with NaN off the face; NaN stays NaN."""
    from tfface.geometry.depth import normals_from_depth

    valid = np.isfinite(depth)
    filled = np.where(valid, depth, 0.0).astype(np.float32)[None, :, :, None]
    normals = np.array(normals_from_depth(filled, valid.astype(np.float32)[None, :, :, None])[0])
    normals[~valid] = np.nan
    return normals
