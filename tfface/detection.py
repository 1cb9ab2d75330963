"""Where the faces are, and how a face's box becomes the square crop that the networks see."""

import dataclasses
import functools
import threading

import numpy as np

from tfface.errors import InputError
from tfface.resampling import resample

MAX_DETECTION_SIDE = 1280
"""Larger images are shrunk to this for detection: a face that is too small in them has nothing to reconstruct."""
_MIN_DETECTION_SIDE = 160
"""Smaller ones are enlarged: MTCNN's pyramid needs room."""
_MAX_MARGIN_SIDE = 320
"""Size at which faces that fill the frame are looked for."""


@dataclasses.dataclass(frozen=True)
class Detection:
    """One face in an image."""

    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in px, as its detector draws it; may reach outside the image."""
    score: float
    """Confidence in 0…1: MTCNN's probability; for Haar a monotonic function of its cascade's weight."""
    style: str = "given"
    """Whose box it is, a key of `CROP_RULES`."""


@dataclasses.dataclass(frozen=True)
class CropRule:
    """How one kind of box relates to the face in it: a linear rule in the box's width w and height h.

    side = w·side_w + h·side_h, and the crop's centre lies at (middle of the box in x, y1 − w·up_w − h·up_h).
    """

    side_w: float
    side_h: float
    up_w: float
    up_h: float


# Least squares over training photos: see docs/detection.md.
CROP_RULES = {
    "mtcnn": CropRule(1.196, 0.524, 0.074, 0.350),
    "haar": CropRule(0.751, 0.751, 0.199, 0.199),
    # Fits MTCNN's boxes (mid-forehead to chin, narrow) and tight ones (brow to chin, jaw to jaw) without bias: the
    # width, which both agree on, counts most.
    "given": CropRule(1.592, 0.234, 0.443, 0.078),
}


def crop_square(box, style: str = "given") -> tuple[float, float, float]:
    """The square around a face that shows 240 mm of it, centred where r = 0 has its face.

    Args:
      box: x0, y0, x1, y1 in px.
      style: a key of `CROP_RULES`: "mtcnn", "haar", or "given" for any box from brow or hairline to chin.

    Returns:
      (cx, cy, side) in px.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    rule = CROP_RULES[style]
    width, height = x1 - x0, y1 - y0
    side = rule.side_w * width + rule.side_h * height
    return (x0 + x1) / 2, y1 - rule.up_w * width - rule.up_h * height, side


def cut(image: np.ndarray, square, size: int, kernel: str = "triangle") -> np.ndarray:
    """The square crop of an image, resampled.

    Crop coordinates (x, y) lie at photo coordinates (left + x·step, top + y·step), with left = cx − side/2,
    top = cy − side/2 and step = side/size: see `crop_map`. Beyond the image its border is repeated; shrinking is
    antialiased.

    Args:
      image: `[H, W]` or `[H, W, C]`.
      square: (cx, cy, side) in px.
      size: output width and height, px.
      kernel: a key of `resampling.KERNELS`.

    Returns:
      `[size, size]` or `[size, size, C]` float32.
    """
    left, top, step = crop_map(square, size)
    return resample(image, left, top, step, size, size, kernel=kernel)


def crop_map(square, size: int) -> tuple[float, float, float]:
    """(left, top, step) of the map from crop to photo: photo = (left, top) + step·crop, both continuous."""
    cx, cy, side = square
    return cx - side / 2, cy - side / 2, side / size


def check_boxes(boxes, height: int, width: int) -> list[Detection]:
    """Checks boxes that a user gives for an image of height×width px.

    Args:
      boxes: `[N, 4]` numbers x0, y0, x1, y1; partly outside the image is fine.

    Returns:
      Detections with score 1, in the order given.

    Raises:
      InputError: another shape, not finite, empty, absurdly large, or outside the image.
    """
    try:
        array = np.asarray(boxes, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected boxes as [[x0, y0, x1, y1], …] numbers, received {boxes!r}") from error
    if array.size == 0 and array.ndim <= 2:
        return []
    if array.ndim != 2 or array.shape[1] != 4:
        hint = "; put the one box into a list" if array.shape == (4,) else ""
        raise InputError(f"expected boxes of shape [N, 4], received {list(array.shape)}{hint}")
    detections = []
    for box in array.tolist():
        x0, y0, x1, y1 = box
        if not np.isfinite(box).all():
            raise InputError(f"expected finite box coordinates, received {box}")
        if x1 <= x0 or y1 <= y0:
            raise InputError(f"expected a box x0, y0, x1, y1 with x1 > x0 and y1 > y0, received {box}")
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            raise InputError(f"expected a box that overlaps the {width}×{height} image, received {box}")
        if min(x1 - x0, y1 - y0) < 4 or max(x1 - x0, y1 - y0) > 4 * max(height, width):
            raise InputError(
                f"expected a box from 4 px to 4 times the {width}×{height} image on a side, received {box}"
            )
        if max(x1 - x0, y1 - y0) > 5 * min(x1 - x0, y1 - y0):
            raise InputError(f"expected a box about a face, brow to chin, received a strip: {box}")
        detections.append(Detection(tuple(box), 1.0, "given"))
    return detections


def detect(image: np.ndarray, detector: str = "mtcnn", min_score: float = 0.9) -> list[Detection]:
    """Finds faces.

    Args:
      image: `[H, W, 3]` uint8 RGB.
      detector: "mtcnn" (finds more) or "haar" (about five times faster, frontal faces).
      min_score: MTCNN's least confidence.

    Returns:
      Detections in px of `image`, largest first; [] if there is none.

    Raises:
      InputError: an unknown detector.
    """
    if detector not in DETECTORS:
        raise InputError(f"expected detector to be one of {', '.join(DETECTORS)}, received {detector!r}")
    small, scale = _for_detection(image, MAX_DETECTION_SIDE)
    found = [(box / scale, score) for box, score in DETECTORS[detector](small)]
    if kept := _worth_keeping(found, image, detector, min_score):
        return kept
    # A face that fills the frame escapes both detectors; some margin around it lets them see it.
    small, scale = _for_detection(image, _MAX_MARGIN_SIDE)
    margin = max(small.shape[:2]) // 3
    padded = np.pad(small, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    found = [((box - margin) / scale, score) for box, score in DETECTORS[detector](padded)]
    return _worth_keeping(found, image, detector, min_score)


def _worth_keeping(found, image: np.ndarray, detector: str, min_score: float) -> list[Detection]:
    """Of boxes in px of the image, and their scores, the sure ones inside it, one for each face, largest first."""
    height, width = image.shape[:2]
    detections = []
    for box, score in sorted(found, key=lambda item: -_area(item[0])):
        inside = _intersection(box, (0.0, 0.0, width, height))
        if detector == "mtcnn" and score < min_score or inside < 0.25 * _area(box):
            continue
        # One face gives one box: the detectors' own suppression leaves a smaller box inside a larger one.
        if any(_intersection(box, other.box) > 0.5 * _area(box) for other in detections):
            continue
        detections.append(Detection(tuple(float(value) for value in box), float(score), detector))
    return detections


def _for_detection(image: np.ndarray, largest: int) -> tuple[np.ndarray, float]:
    """The image at a size that detectors like, and its px per original px."""
    height, width = image.shape[:2]
    scale = min(1.0, largest / max(height, width))
    if min(height, width) < _MIN_DETECTION_SIDE:
        scale = min(_MIN_DETECTION_SIDE / min(height, width), largest / max(height, width))
    if scale == 1.0:
        return np.ascontiguousarray(image), 1.0
    import cv2

    size = (max(round(width * scale), 12), max(round(height * scale), 12))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), scale


def _mtcnn(image: np.ndarray) -> list[tuple[np.ndarray, float]]:
    if min(image.shape[:2]) < 24:
        return []
    detector, lock = _load_mtcnn()
    with lock:
        try:
            faces = detector.detect_faces(image, fit_to_image=False, box_format="xyxy")
        except (ValueError, IndexError):
            # mtcnn 1.0.0 trips over its own empty arrays when one of its stages rejects every candidate.
            return []
    return [(np.asarray(face["box"], np.float64), float(face["confidence"])) for face in faces]


@functools.cache
def _load_mtcnn():
    from mtcnn import MTCNN

    return MTCNN(), threading.Lock()


def _haar(image: np.ndarray) -> list[tuple[np.ndarray, float]]:
    import cv2

    grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    side = max(24, min(grey.shape) // 12)
    # A cascade of its own per call: the loaded one isn't safe to share between threads, and loading takes 20 ms.
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    boxes, _, weights = cascade.detectMultiScale3(
        grey, scaleFactor=1.1, minNeighbors=5, minSize=(side, side), outputRejectLevels=True
    )
    return [
        (np.array([x, y, x + w, y + h], np.float64), float(1.0 - np.exp(-max(weight, 0.0) / 3.0)))
        for (x, y, w, h), weight in zip(boxes, np.ravel(weights), strict=True)
    ]


DETECTORS = {"mtcnn": _mtcnn, "haar": _haar}


def _area(box) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _intersection(box, other) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(float(width), 0.0) * max(float(height), 0.0)
