"""Accuracy on photographs: 68 landmarks of the predicted face against those of a detector, by yaw."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfface.morphable.correspondences import JAW, landmark_correspondences
from tfface.morphable.fitting import Fit, landmark_nme, point_distances

PROTOCOL = (
    "{faces} validation photographs of {folder}. Crop: {crop}. NME: mean 2D distance of the predicted landmarks "
    "to the given ones over √(width × height) of the given landmarks' bounding box. “all68” takes the model's 68 "
    "fixed points, the jaw line in 3D. The given jaw row follows the visible outline: “outline68” measures the "
    "sides of the jaw only across the outline of the predicted cheek; “inner51” leaves the jaw out. Yaw bins by "
    "the given head pose."
)
CROPS = {
    "landmarks": "from the bounding box of the given 68 landmarks, as a box drawn brow to chin",
    "mtcnn": "from MTCNN's box that overlaps the face most; where it finds none, from the landmarks",
}
YAW_BINS = (0.0, 30.0, 60.0, 90.0)


@dataclasses.dataclass(frozen=True)
class LandmarkEvaluationConfig:
    """Which photographs.

    Attributes:
      photos: folder as `pipelines.landmark_photos` reads it.
      crop: "landmarks" or "mtcnn", see `CROPS`.
      limit: use only so many, spread over the validation set; 0 for all.
      batch: crops at a time.
    """

    photos: str
    crop: str = "landmarks"
    limit: int = 0
    batch: int = 32


def landmark_squares(points68: np.ndarray) -> np.ndarray:
    """The crops `[N, 3]` (cx, cy, side) that a box around the 68 landmarks `[N, 68, 2]` leads to."""
    from tfface.detection import crop_square

    boxes = np.concatenate([points68.min(1), points68.max(1)], axis=1)
    return np.array([crop_square(box, "given") for box in boxes])


def read_rgb(path) -> np.ndarray:
    """An image file as `[H, W, 3]` uint8 RGB."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def grey_crop(rgb: np.ndarray, square, size: int) -> np.ndarray:
    """What the networks see of a square, `[size, size, 1]` float32 in 0…1."""
    from tfface.detection import cut

    grey = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255.0
    return np.clip(cut(grey, square, size), 0.0, 1.0)[..., None]


def _detector_square(rgb, points, fallback):
    from tfface.detection import crop_square, detect

    low, high = points.min(0), points.max(0)
    best, square = 0.25, fallback
    for found in detect(rgb, "mtcnn"):
        x0, y0, x1, y1 = found.box
        shared = np.prod(np.clip(np.minimum(high, [x1, y1]) - np.maximum(low, [x0, y0]), 0.0, None))
        union = (x1 - x0) * (y1 - y0) + np.prod(high - low) - shared
        if shared / union > best:
            best, square = shared / union, crop_square(found.box, found.style)
    return square


def predict(networks, photos, config: LandmarkEvaluationConfig):
    """Squares `[N, 3]` and r `[N, 290]` of the photographs."""
    size = networks.coarse.config.size
    squares = landmark_squares(photos.points68)
    parts = []
    for start in range(0, len(squares), config.batch):
        crops = []
        for row in range(start, min(start + config.batch, len(squares))):
            rgb = read_rgb(photos.path(row))
            if config.crop == "mtcnn":
                squares[row] = _detector_square(rgb, photos.points68[row], squares[row])
            crops.append(grey_crop(rgb, squares[row], size))
        parts.append(networks.coarse(tf.constant(np.stack(crops)), training=False).numpy())
    return squares, np.concatenate(parts)


def score(model, squares: np.ndarray, r: np.ndarray, points68: np.ndarray) -> dict[str, np.ndarray]:
    """NME `[N]` of each kind: "all68", "outline68" and "inner51", see `PROTOCOL`."""
    table = landmark_correspondences(model)
    fitted = Fit(squares, r, np.zeros((len(r), 0)))
    fixed = point_distances(model, fitted, table.without_sliding(), points68)
    outline = point_distances(model, fitted, table, points68)
    return {
        "all68": landmark_nme(points68, fixed),
        "outline68": landmark_nme(points68, outline),
        "inner51": landmark_nme(points68, fixed[:, JAW:]),
    }


def _row(name: str, errors: dict[str, np.ndarray], rows: np.ndarray) -> dict:
    if not rows.any():
        return {"name": name, "faces": 0}
    means = {f"{kind}_percent": 100 * float(values[rows].mean()) for kind, values in errors.items()}
    worst = errors["all68"][rows]
    tail = {"median_percent": 100 * float(np.median(worst)), "worst_percent": 100 * float(worst.max())}
    return {"name": name, "faces": int(rows.sum())} | means | tail | {"beyond_15": int((worst > 0.15).sum())}


def run(networks, config: LandmarkEvaluationConfig) -> dict:
    """Measures the validation photographs of a folder.

    Args:
      networks: has `face_model` and `coarse`.
      config: see `LandmarkEvaluationConfig`.

    Returns:
      {"protocol": str, "faces": int, "rows": [...], "worst": image numbers}: rows over all, per yaw bin and source.

    Raises:
      FileNotFoundError: the folder is missing.
      ValueError: an unknown crop.
    """
    from tfface.pipelines import landmark_photos

    if config.crop not in CROPS:
        raise ValueError(f"expected crop to be one of {', '.join(CROPS)}, received {config.crop!r}")
    photos = landmark_photos.load(config.photos)
    photos = photos.take(~photos.train)
    if config.limit:
        photos = photos.take(np.unique(np.linspace(0, len(photos.number) - 1, config.limit).astype(int)))
    squares, r = predict(networks, photos, config)
    errors = score(networks.face_model, squares, r, photos.points68)
    yaw = np.abs(photos.euler[:, 0])
    everyone = np.ones(len(yaw), bool)
    rows = [_row("all", errors, everyone)]
    for low, high in zip(YAW_BINS[:-1], YAW_BINS[1:], strict=True):
        rows.append(_row(f"yaw {low:.0f}–{high:.0f}°", errors, (yaw >= low) & (yaw < high)))
    rows += [_row(str(source), errors, photos.source == source) for source in np.unique(photos.source)]
    worst = photos.number[np.argsort(-errors["all68"])[:10]].tolist()
    protocol = PROTOCOL.format(faces=len(yaw), folder=config.photos, crop=CROPS[config.crop])
    return {"protocol": protocol, "faces": len(yaw), "rows": rows, "worst": worst}
