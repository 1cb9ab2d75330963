"""Accuracy on photographs: 68 landmarks of the predicted face against those of a detector, by yaw."""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfface.geometry.camera import rotation_matrix
from tfface.morphable.correspondences import JAW, landmark_correspondences
from tfface.morphable.fitting import Fit, landmark_nme, point_distances
from tfface.pipelines import aflw2000, evaluate_features, landmark_photos
from tfface.progress import tracked

PROTOCOL = (
    "{faces} {kind} of {folder}. Crop: {crop}. NME: mean 2D distance of the predicted landmarks to the given ones over "
    "√(width × height) of the given landmarks' bounding box; mean over faces. “all68” takes the model's 68 fixed "
    "points, the jaw line in 3D; “inner51” leaves the jaw out; “outline68” measures the sides of the jaw only across "
    "the outline of the predicted cheek. {jaw} Yaw bins by the size of the given yaw; “mean of bins” weighs each bin "
    "alike. Skin tone: by the individual typology angle of the cheeks as photographed, dark below 10°, light from 41°; "
    "photographs without colour have none.{groups}"
)
GROUPS = " Groups: as {file} has them; “× rest”: all68 over that of the faces in no group."
POSE_PROTOCOL = (
    "Head pose: mean absolute difference (MAE) from the given angles in degrees, and the mean signed one (bias), which "
    "tells how far the two definitions of a frontal face lie apart. {angles}"
)
KINDS = {
    "photos": {
        "kind": "validation photographs",
        "jaw": "The given jaw row follows the visible outline, so “outline68” is the fair one on turned heads.",
        "angles": (
            "The given angles come from a rigid fit of a detector's mean face and are rough. “within ±99°”: faces none "
            "of whose given angles is beyond."
        ),
    },
    "aflw2000": {
        "kind": "faces in AFLW2000-3D's format",
        "jaw": "The given jaw is a 3D contour, so “all68” is the figure that others state.",
        "angles": (
            "Angles are read from the predicted rotation in AFLW2000-3D's own convention, "
            "R_x(pitch)·R_y(yaw)·R_z(roll) with yaw > 0 to the image's left. “within ±99°” leaves out faces with a "
            "given angle beyond, as is usual."
        ),
    },
}
CROPS = {
    "landmarks": "from the bounding box of the given 68 landmarks, as a box drawn brow to chin",
    "mtcnn": "from MTCNN's box that overlaps the face most; where it finds none, from the landmarks",
}
ANGLES = ("yaw", "pitch", "roll")
TONES = ("skin tone: dark", "skin tone: medium", "skin tone: light")
TONE_LIMITS = (10.0, 41.0)
YAW_BINS = (0.0, 30.0, 60.0, 90.0)


@dataclasses.dataclass(frozen=True)
class LandmarkEvaluationConfig:
    """Which photographs.

    Attributes:
      photos: folder as `pipelines.landmark_photos` or `pipelines.aflw2000` reads it.
      crop: "landmarks" or "mtcnn", see `CROPS`.
      limit: use only so many, spread over the validation set; 0 for all.
      groups: file that names groups of the faces, see `read_groups`; None for none.
      fits: of `pipelines.fit_photos`, to measure features against, see `evaluate_features`; None for none.
      batch: crops at a time.
    """

    photos: str
    crop: str = "landmarks"
    limit: int = 0
    groups: str | None = None
    fits: str | None = None
    batch: int = 32


def landmark_squares(points68: np.ndarray) -> np.ndarray:
    """The crops `[N, 3]` (cx, cy, side) that a box around the 68 landmarks `[N, 68, 2]` leads to."""
    from tfface.detection import crop_square

    boxes = np.concatenate([points68.min(1), points68.max(1)], axis=1)
    return np.array([crop_square(box, "given") for box in boxes])


def read_rgb(path) -> np.ndarray:
    """An image file as `[H, W, 3]` uint8 RGB.

    Raises:
      InputError: it can't be read or is no picture; a `ValueError`.
    """
    from tfface.images import load_image

    return load_image(path)


def grey_crop(rgb: np.ndarray, square, size: int) -> np.ndarray:
    """What the networks see of a square, `[size, size, 1]` float32 in 0…1."""
    from tfface.detection import cut
    from tfface.images import grey

    return np.clip(cut(grey(rgb), square, size), 0.0, 1.0)[..., None]


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
    for start in tracked(range(0, len(squares), config.batch), "photographs"):
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


def skin_tone(rgb: np.ndarray, points68: np.ndarray) -> float:
    """The individual typology angle of a photograph's cheeks, degrees; NaN where it has no colour.

    Chardon et al. 1991: arctan((L* − 50) / b*), of the median colour of both cheeks. Light, make-up and the
    camera's white balance go into it: it is the tone that the photograph shows.

    Args:
      rgb: `[H, W, 3]` uint8.
      points68: `[68, 2]` px.
    """
    from skimage.color import rgb2lab

    radius = max(int(0.05 * np.linalg.norm(points68[45] - points68[36])), 1)
    patches = []
    for corners in ((36, 31, 48, 3), (45, 35, 54, 13)):
        x, y = np.rint(points68[list(corners)].mean(0)).astype(int)
        patch = rgb[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
        patches.append(patch.reshape(-1, 3))
    pixels = np.concatenate(patches)
    if not pixels.size:
        return float("nan")
    lightness, _, yellow = rgb2lab(np.median(pixels, axis=0)[None, None] / 255.0)[0, 0]
    return float(np.degrees(np.arctan2(lightness - 50.0, yellow))) if yellow > 1.0 else float("nan")


def _tone_rows(photos, errors) -> list[dict]:
    angles = np.array([skin_tone(read_rgb(photos.path(i)), photos.points68[i]) for i in range(len(photos.number))])
    return [
        _row(name, errors, (angles >= low) & (angles < high))
        for name, low, high in zip(TONES, (-90.0, *TONE_LIMITS), (*TONE_LIMITS, 90.1), strict=True)
    ]


def read_groups(path) -> dict[str, list[str]]:
    """Groups of photographs: lines of `name: photograph photograph …`, `#` begins a comment.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a line has another form.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"expected a file of groups at {path}, found none")
    groups = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"expected a text file of groups, received {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        name, colon, members = line.partition("#")[0].partition(":")
        if name.strip() and not (colon and members.split()):
            raise ValueError(f"expected `name: photograph photograph …` in line {number} of {path}, received {line!r}")
        if name.strip():
            groups[name.strip()] = members.split()
    return groups


def _group_rows(numbers, errors, groups: dict[str, list[str]]) -> list[dict]:
    names = np.array([str(number) for number in numbers])
    member = {name: np.isin(names, members) for name, members in groups.items()}
    rest = ~np.any(list(member.values()), axis=0)
    rows = [_row(f"group: {name}", errors, rows) for name, rows in member.items()]
    rows.append(_row("in no group", errors, rest))
    usual = rows[-1].get("all68_percent", float("nan"))
    return [row | ({"× rest": row["all68_percent"] / usual} if row["faces"] else {}) for row in rows]


def _row(name: str, errors: dict[str, np.ndarray], rows: np.ndarray) -> dict:
    if not rows.any():
        return {"name": name, "faces": 0}
    means = {f"{kind}_percent": 100 * float(values[rows].mean()) for kind, values in errors.items()}
    worst = errors["all68"][rows]
    tail = {"median_percent": 100 * float(np.median(worst)), "worst_percent": 100 * float(worst.max())}
    return {"name": name, "faces": int(rows.sum())} | means | tail | {"beyond_15": int((worst > 0.15).sum())}


def _mean_of_bins(bins: list[dict]) -> dict:
    """Each bin that has faces counts the same, as papers on AFLW2000-3D report it."""
    filled = [row for row in bins if row["faces"]]
    names = [name for name in filled[0] if name.endswith("68_percent") or name.endswith("51_percent")] if filled else []
    return {"name": "mean of bins", "faces": sum(row["faces"] for row in filled)} | {
        name: float(np.mean([row[name] for row in filled])) for name in names
    }


def our_angles(r: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll `[N, 3]` in degrees of r `[N, 290]`, as `Face.euler_degrees` has them."""
    return np.degrees(np.asarray(r, np.float64)[:, [285, 284, 286]] * [1.0, -1.0, -1.0])


def aflw_angles(r: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll `[N, 3]` in degrees of r `[N, 290]` in AFLW2000-3D's convention."""
    return aflw2000.angles(rotation_matrix(r[:, 284:287]).numpy().astype(np.float64))


ANGLES_OF = {"photos": our_angles, "aflw2000": aflw_angles}


def pose_rows(given: np.ndarray, found: np.ndarray) -> list[dict]:
    """MAE and bias of found yaw, pitch, roll `[N, 3]` against given ones, in degrees: all faces, then within ±99°."""
    difference = (found - given + 180.0) % 360.0 - 180.0
    usual = (np.abs(given) <= aflw2000.USUAL_LIMIT).all(axis=1)
    rows = []
    for name, chosen in (("head pose, all", np.ones(len(given), bool)), ("head pose, within ±99°", usual)):
        row = {"name": name, "faces": int(chosen.sum())}
        if chosen.any():
            mae, bias = np.abs(difference[chosen]).mean(0), difference[chosen].mean(0)
            row |= {f"{angle}_mae_deg": float(mae[i]) for i, angle in enumerate(ANGLES)}
            row["mean_mae_deg"] = float(mae.mean())
            row |= {f"{angle}_bias_deg": float(bias[i]) for i, angle in enumerate(ANGLES)}
        rows.append(row)
    return rows


def read_folder(folder):
    """The faces to measure, and which of `KINDS` they are.

    Raises:
      FileNotFoundError: the folder or a file in it is missing.
      ValueError: it is in neither format, or a file is damaged.
    """
    if aflw2000.is_folder(folder):
        return aflw2000.load(folder), "aflw2000"
    if not (Path(folder) / "landmarks.npz").is_file():
        raise FileNotFoundError(
            f"expected a folder of photographs with landmarks.npz, or one in AFLW2000-3D's format (NAME.jpg and "
            f"NAME.mat), received {str(folder)!r}. Name another one with --photos."
        )
    photos = landmark_photos.load(folder)
    return photos.take(~photos.train), "photos"


def run(networks, config: LandmarkEvaluationConfig) -> dict:
    """Measures the validation photographs of a folder, or every face of one in AFLW2000-3D's format.

    Args:
      networks: has `face_model` and `coarse`.
      config: see `LandmarkEvaluationConfig`.

    Returns:
      {"protocol": str, "faces": int, "rows": [...], "worst": names, "more": [head pose, features]}: rows over all,
      per yaw bin, their mean, per source, per skin tone, and per group.

    Raises:
      FileNotFoundError: the folder or a file in it is missing.
      ValueError: an unknown crop, a damaged file, or no face to measure.
    """
    if config.crop not in CROPS:
        raise ValueError(f"expected crop to be one of {', '.join(CROPS)}, received {config.crop!r}")
    groups = read_groups(config.groups) if config.groups else {}
    photos, kind = read_folder(config.photos)
    if not len(photos.number):
        raise ValueError(f"expected validation photographs in {config.photos}, received none: val.txt is empty")
    if config.limit:
        photos = photos.take(np.unique(np.linspace(0, len(photos.number) - 1, config.limit).astype(int)))
    squares, r = predict(networks, photos, config)
    errors = score(networks.face_model, squares, r, photos.points68)
    yaw = np.abs(photos.euler[:, 0])
    everyone = np.ones(len(yaw), bool)
    bins = [
        _row(f"yaw {low:.0f}–{high:.0f}°", errors, (yaw >= low) & (yaw < high))
        for low, high in zip(YAW_BINS[:-1], YAW_BINS[1:], strict=True)
    ]
    rows = [_row("all", errors, everyone), *bins, _mean_of_bins(bins)]
    rows += [_row(str(source), errors, photos.source == source) for source in np.unique(photos.source)]
    rows += _tone_rows(photos, errors)
    rows += _group_rows(photos.number, errors, groups) if groups else []
    worst = photos.number[np.argsort(-errors["all68"])[:10]].tolist()
    words = KINDS[kind] | {"faces": len(yaw), "folder": config.photos, "crop": CROPS[config.crop]}
    words["groups"] = GROUPS.format(file=config.groups) if groups else ""
    pose = {"protocol": POSE_PROTOCOL.format(**words), "rows": pose_rows(photos.euler, ANGLES_OF[kind](r))}
    features = [evaluate_features.table(networks.face_model, r, photos.number, config.fits)] if config.fits else []
    return {
        "protocol": PROTOCOL.format(**words),
        "faces": len(yaw),
        "rows": rows,
        "worst": worst,
        "more": [pose, *features],
    }
