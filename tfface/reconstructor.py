"""Reconstructor: a photo in, its faces out."""

import dataclasses
import functools

import numpy as np

from tfface.detection import Detection, check_boxes, crop_map, crop_square, cut, detect
from tfface.errors import InputError
from tfface.face import Face, Patch
from tfface.images import as_image, grey
from tfface.resampling import resample


@dataclasses.dataclass(frozen=True)
class ReconstructorConfig:
    """How the steps from photo to face are set.

    Attributes:
      recrop: run CoarseNet once more on a crop around its own answer, where the box was off.
      recrop_shift: half crop widths by which a face must lie off the crop's centre to be cut again.
      recrop_scale: the same for |ln(scale)|.
      fine_sizes: least and largest size of FineNet's square input, px; between them it has the photo's resolution.
      render_side: longest side, px, at which depth is rendered; larger faces are enlarged from that.
      batch: faces per call of CoarseNet.
      detail: what FineNet's relief is multiplied by; 1 as it is found, 0 leaves it out, more exaggerates it.

    Raises:
      InputError: `detail` isn't a number from 0 to 10.
    """

    recrop: bool = True
    recrop_shift: float = 0.05
    recrop_scale: float = 0.05
    fine_sizes: tuple[int, int] = (200, 400)
    render_side: int = 1000
    batch: int = 16
    detail: float = 1.0

    def __post_init__(self):
        if not 0.0 <= self.detail <= 10.0:
            raise InputError(f"expected detail from 0 to 10, received {self.detail:g}")


class Reconstructor:
    """Finds and reconstructs the faces of a photo.

    Args:
      networks: trained networks as `tfface.networks.pretrained.load_pretrained` returns them: `face_model`, `coarse`
        (grey `[B, 200, 200, 1]` → r `[B, 290]`) and `fine` (image, depth, mask `[B, H, W, 1]` → depth `[B, H, W, 1]`).
      config: how the steps are set.
    """

    COARSE_SIZE = 200

    def __init__(self, networks, config: ReconstructorConfig | None = None):
        self.networks = networks
        self.face_model = networks.face_model
        self.config = config or ReconstructorConfig()

    @classmethod
    def from_pretrained(cls, path=None, config: ReconstructorConfig | None = None) -> "Reconstructor":
        """A reconstructor with trained networks.

        Args:
          path: a folder as in saved_models/release; the shipped model by default.
          config: how the steps are set.

        Raises:
          InputError: the folder or one of its files is missing or unreadable.
        """
        from tfface.networks.pretrained import load_pretrained

        try:
            return cls(load_pretrained(path), config)
        except (OSError, KeyError, ValueError) as error:
            where = "the shipped model" if path is None else path
            raise InputError(f"{where}: the trained model can't be loaded: {error}") from error

    def __call__(self, image, boxes=None, detector: str = "mtcnn", max_faces: int | None = None) -> list[Face]:
        """Reconstructs the faces of one photo.

        Args:
          image: uint8 RGB `[H, W, 3]` or grey `[H, W]`.
          boxes: `[N, 4]` x0, y0, x1, y1 px, brow to chin as detectors draw them; given, nothing is detected.
          detector: "mtcnn" or "haar".
          max_faces: only the largest so many.

        Returns:
          Faces, largest box first; [] if there is none.

        Raises:
          InputError: an image, boxes or options that can't be used.
        """
        image = as_image(image)
        if max_faces is not None and (not isinstance(max_faces, (int, np.integer)) or max_faces < 1):
            raise InputError(f"expected max_faces of at least 1 or None, received {max_faces!r}")
        if boxes is None:
            detections = detect(image, detector)
        else:
            detections = sorted(check_boxes(boxes, *image.shape[:2]), key=lambda d: -_box_area(d.box))
        detections = detections[:max_faces]
        if not detections:
            return []
        squares, r = self._coarse(image, [crop_square(d.box, d.style) for d in detections])
        return [
            self._face(image, detection, square, row)
            for detection, square, row in zip(detections, squares, r, strict=True)
        ]

    def coarse(self, image: np.ndarray, squares: list) -> np.ndarray:
        """CoarseNet's answers r `[N, 290]` in given crops (cx, cy, side in px) of an image, uint8 `[H, W, 3]`."""
        return self._run_coarse(image, squares)

    def _coarse(self, image: np.ndarray, squares: list) -> tuple[list, np.ndarray]:
        """The squares that were used in the end, and r `[N, 290]` in them."""
        r = self._run_coarse(image, squares)
        config = self.config
        if config.recrop:
            shift = np.abs(r[:, -3:-1]).max(axis=1)
            again = np.flatnonzero((shift > config.recrop_shift) | (np.abs(r[:, -1]) > config.recrop_scale))
            if again.size:
                squares = list(squares)
                for index in again:
                    squares[index] = _recentred(squares[index], r[index, -3:])
                r[again] = self._run_coarse(image, [squares[index] for index in again])
        return squares, r

    def _run_coarse(self, image: np.ndarray, squares: list) -> np.ndarray:
        rows = []
        for start in range(0, len(squares), self.config.batch):
            crops = [
                grey(cut(image, square, self.COARSE_SIZE)) for square in squares[start : start + self.config.batch]
            ]
            rows.append(np.asarray(self.networks.coarse(np.stack(crops)[..., None], training=False), np.float32))
        r = np.concatenate(rows)
        if not np.isfinite(r).all():
            raise InputError("expected a trained model, received one whose answer isn't finite; check its files")
        return r.copy()

    def _face(self, image: np.ndarray, detection: Detection, square, r: np.ndarray) -> Face:
        from tfface.geometry.camera import euler_degrees, to_camera
        from tfface.morphable import representation

        identity, expression, pose = representation.split(r[None])
        vertices = self.face_model.decode(identity, expression)
        camera = representation.camera(pose, square[2])
        left, top, _ = crop_map(square, self.COARSE_SIZE)
        offset = np.array([left, top, 0.0], np.float32)
        in_photo = representation.vertices_image(self.face_model, r[None], square[2])[0].numpy() + offset
        patch = self._patch(image, square, in_photo)
        return Face(
            vertices=to_camera(vertices, camera.rotation)[0].numpy(),
            triangles=np.asarray(self.face_model.triangles, np.int32),
            vertices_image=in_photo,
            landmarks=in_photo[np.asarray(self.face_model.landmarks)],
            rotation=camera.rotation[0].numpy(),
            euler_degrees=tuple(float(angle) for angle in euler_degrees(pose[0, :3])),
            translation=camera.translation[0].numpy() + offset[:2],
            mm_per_px=1.0 / float(camera.scale[0]),
            box=np.array(detection.box),
            score=detection.score,
            identity=identity[0].numpy(),
            expression=expression[0].numpy(),
            blendshapes=_floats(self.face_model.blendshapes(expression[0].numpy())),
            image=image,
            patch=patch,
            face_model=self.face_model,
        )

    def _patch(self, image: np.ndarray, square, in_photo: np.ndarray) -> Patch:
        """Coarse and fine depth in the rectangle of the photo that the mesh covers."""
        shape = image.shape
        low = np.floor(in_photo[:, :2].min(axis=0) - 0.5)
        high = np.ceil(in_photo[:, :2].max(axis=0) + 0.5)
        left, top = (int(value) for value in np.clip(low, 0, (shape[1] - 1, shape[0] - 1)))
        right, bottom = (int(value) for value in np.clip(high, (left + 1, top + 1), (shape[1], shape[0])))
        corner = np.array([left, top, 0.0], np.float32)
        coarse = self._render(in_photo - corner, bottom - top, right - left)
        detail, (crop_left, crop_top, step) = self._detail(image, square, in_photo)
        on_photo = resample(
            detail,
            (left - crop_left) / step,
            (top - crop_top) / step,
            1.0 / step,
            bottom - top,
            right - left,
            outside="zero",
            kernel="cubic",
        )
        # Depth is in pixels: a crop's pixel is `step` of the photo's.
        return Patch(top, left, coarse, (coarse + on_photo * step).astype(np.float32))

    def _render(self, vertices: np.ndarray, height: int, width: int) -> np.ndarray:
        """Coarse depth `[height, width]` px of vertices in the rectangle's px, NaN off the mesh."""
        shrink = min(1.0, self.config.render_side / max(height, width))
        rows, columns = max(int(np.ceil(height * shrink)), 1), max(int(np.ceil(width * shrink)), 1)
        surface = self._depth_map(vertices * np.float32(shrink), rows, columns)
        depth, mask = surface["depth"], surface["mask"]
        if shrink == 1.0:
            return np.where(mask > 0, depth, np.nan).astype(np.float32)
        cover = resample(mask, 0.0, 0.0, shrink, height, width)
        depth = resample(depth * mask, 0.0, 0.0, shrink, height, width) / np.maximum(cover, 1e-6) / shrink
        return np.where(cover > 0.5, depth, np.nan).astype(np.float32)

    def _detail(self, image: np.ndarray, square, in_photo: np.ndarray) -> tuple[np.ndarray, tuple]:
        """What is added to the coarse depth, `[size, size]` px of FineNet's crop, 0 off the face; its `crop_map`."""
        square, size = _on_whole_pixels(square, *self.config.fine_sizes)
        left, top, step = crop_map(square, size)
        surface = self._depth_map((in_photo - np.array([left, top, 0.0], np.float32)) / np.float32(step), size, size)
        # What is fine is what FineNet is asked for: a triangle would blur a large photo's.
        crop = np.clip(cut(image, square, size, "lanczos" if step > 1.0 else "triangle"), 0.0, 255.0)
        inputs = {
            "image": grey(crop)[None, :, :, None],
            "depth": surface["depth"][None, :, :, None],
            "mask": surface["mask"][None, :, :, None],
            "detailed": surface["detailed"][None, :, :, None],
        }
        refined = np.asarray(self.networks.fine(inputs, training=False), np.float32)[0, :, :, 0]
        return self.config.detail * (refined - surface["depth"]), (left, top, step)

    @functools.cached_property
    def _surface(self):
        from tfface.rendering.coarse_surface import CoarseSurface

        return CoarseSurface(self.face_model)

    def _depth_map(self, vertices, height: int, width: int) -> dict[str, np.ndarray]:
        """Depth, mask and where detail belongs, `[height, width]`, of vertices `[V, 3]` in px."""
        surface = self._surface(np.asarray(vertices, np.float32)[None], height, width)
        return {name: getattr(surface, name)[0, :, :, 0].numpy() for name in ("depth", "mask", "detailed")}


def _on_whole_pixels(square, least: int, largest: int) -> tuple[tuple[float, float, float], int]:
    """FineNet's square for a face's, and its width in px, a multiple of 8.

    Between the two sizes it is made of the photo's own pixels: resampling on the way in and out costs more detail than
    moving the square by half a pixel.
    """
    cx, cy, side = square
    size = int(np.clip(8 * round(side / 8), least, largest))
    if abs(size - side) > 4.0:
        return square, size
    left, top = round(cx - size / 2), round(cy - size / 2)
    return (left + size / 2, top + size / 2, float(size)), size


def _recentred(square, pose: np.ndarray) -> tuple[float, float, float]:
    """The square around where (u, v, s) says the face is; a wild answer moves it at most half a crop."""
    cx, cy, side = square
    u, v, s = np.clip(pose, -0.5, 0.5)
    return float(cx + u * side / 2), float(cy + v * side / 2), float(side * np.exp(s))


def _box_area(box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _floats(weights: dict) -> dict[str, float]:
    return {name: float(np.clip(np.ravel(value)[0], 0.0, 1.0)) for name, value in weights.items()}
