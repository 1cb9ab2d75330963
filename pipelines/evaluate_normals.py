"""Angular error of normals on photographs whose normals were measured, as photometric stereo gives them."""

from dataclasses import dataclass

import numpy as np

from tfface.images import load_image
from tfface.pipelines.evaluate_truth import (
    CROPS,
    Measured,
    check_size,
    list_folder,
    read_array,
    read_mask,
    reconstruct,
    report,
)
from tfface.progress import tracked

PROTOCOL = (
    "{faces} photographs of {folder} with measured normals; positive x, y, z of the files: {axes}. Face: {crop}. "
    "Pixels: white in the mask, with a measured and a predicted normal. Error: the angle between the two in degrees; "
    "mean, median and the share below 11.25°, 22.5° and 30° over all pixels of all faces; “face mean” weighs each face "
    "alike. Nothing is aligned. “coarse” is the face model alone, “fine” with FineNet's detail; “closer”: by how much "
    "fine's mean is smaller than coarse's. {missing}"
)
THRESHOLDS = (11.25, 22.5, 30.0)
# To the normals of docs/conventions.md: x right, y down, z towards the viewer.
_DIRECTIONS = (
    {"right": 1.0, "left": -1.0},
    {"down": 1.0, "up": -1.0},
    {"near": 1.0, "far": -1.0},
)


@dataclass(frozen=True)
class NormalsEvaluationConfig:
    """Which photographs.

    Attributes:
        folder: NAME.jpg|png, NAME_normals.npy|png, NAME_mask.png (`pipelines.evaluate_truth`). Normals are `[H, W, 3]`
            vectors x, y, z; in a PNG of 8 or 16 bits a colour channel of 0…top stands for −1…1, red for x. Zero or
            NaN vectors are missing.
        axes: where positive x, y and z point: left or right, up or down, near (towards the viewer) or far.
        crop: "mtcnn" or "mask".
        limit: use only so many; 0 for all.
    """

    folder: str
    axes: str = "right,up,near"
    crop: str = "mtcnn"
    limit: int = 0


def axis_signs(axes: str) -> np.ndarray:
    """`[3]`, what the files' x, y, z are multiplied by to follow docs/conventions.md.

    Raises:
        ValueError: not three words of those in `NormalsEvaluationConfig`.
    """
    words = [word.strip() for word in axes.split(",")]
    if len(words) != 3 or any(word not in known for word, known in zip(words, _DIRECTIONS, strict=True)):
        raise ValueError(
            f"expected axes as right|left,up|down,near|far, such as right,up,near, received {axes!r}; name where "
            "positive x, y and z of the files point"
        )
    return np.array([known[word] for word, known in zip(words, _DIRECTIONS, strict=True)])


def read_normals(measured: Measured, shape: tuple[int, int], signs: np.ndarray) -> np.ndarray:
    """Measured unit normals `[H, W, 3]` float64, x right, y down, z near; NaN where missing.

    Raises:
        ValueError: another shape or size, or a damaged file.
    """
    values = read_array(measured.truth)
    if values.ndim != 3 or values.shape[-1] != 3:
        raise ValueError(f"{measured.truth}: expected normals of shape [H, W, 3], received {list(values.shape)}")
    check_size(measured.truth, values.shape, shape)
    if measured.truth.suffix == ".png":
        normals = values / (np.iinfo(values.dtype).max / 2.0) - 1.0
        # Black is what programs write where there is nothing.
        normals[(values == 0).all(-1)] = 0.0
    else:
        normals = values.astype(np.float64)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    present = np.isfinite(length) & (length > 0.3)
    return np.where(present, normals / np.where(present, length, 1.0), np.nan) * signs


def angular_errors(found: np.ndarray, true: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Angles in degrees between unit normals `[H, W, 3]` at the pixels valid in all."""
    both = mask & np.isfinite(found).all(-1) & np.isfinite(true).all(-1)
    a, b = np.asarray(found[both], np.float64), np.asarray(true[both], np.float64)
    # By the chord: the arc cosine loses small angles to rounding.
    return np.degrees(2.0 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=-1) / 2.0, 0.0, 1.0)))


def angle_row(name: str, errors: list[np.ndarray]) -> dict:
    """The figures of some faces' angular errors in degrees, pooled over their pixels."""
    counted = [values for values in errors if values.size]
    row = {"name": name, "faces": len(counted)}
    if not counted:
        return row
    pixels = np.concatenate(counted)
    row |= {"mean_deg": float(pixels.mean()), "median_deg": float(np.median(pixels))}
    row |= {f"below_{limit:g}_percent": 100.0 * float((pixels < limit).mean()) for limit in THRESHOLDS}
    return row | {"face_mean_deg": float(np.mean([values.mean() for values in counted]))}


def closer_percent(coarse: dict, fine: dict) -> float | None:
    """By how many percent fine's mean error is smaller than coarse's; None without any."""
    if not coarse.get("mean_deg"):
        return None
    return 100.0 * (1.0 - fine["mean_deg"] / coarse["mean_deg"])


def run(reconstructor, config: NormalsEvaluationConfig) -> dict:
    """Measures a folder.

    Args:
        reconstructor: a `Reconstructor`.
        config: see `NormalsEvaluationConfig`.

    Returns:
        {"protocol", "faces", "rows": [{"name", "faces", "mean_deg", "median_deg", "below_11.25_percent",
        "below_22.5_percent", "below_30_percent", "face_mean_deg", "closer_percent"}], "worst": names}.

    Raises:
        FileNotFoundError: the folder or a file in it is missing.
        ValueError: a file isn't what it should be, its normals look away from the viewer, or an unknown crop or axis.
    """
    signs, measured = axis_signs(config.axes), list_folder(config.folder, "normals", config.limit)
    errors = {"coarse": [], "fine": []}
    for one in tracked(measured, "photographs"):
        rgb = load_image(one.photo)
        mask = read_mask(one, rgb.shape[:2])
        true = read_normals(one, rgb.shape[:2], signs)
        seen = true[mask][np.isfinite(true[mask][:, 2]), 2]
        if seen.size and seen.mean() < 0.0:
            raise ValueError(
                f"{one.truth}: expected normals that look towards the viewer, received ones that look away; "
                f"say where the files' axes point with --axes, now {config.axes}"
            )
        face = reconstruct(reconstructor, rgb, mask, config.crop)
        errors["coarse"].append(angular_errors(face.coarse_normals, true, mask))
        errors["fine"].append(angular_errors(face.normals, true, mask))
    rows = [angle_row(name, values) for name, values in errors.items()]
    rows[1]["closer_percent"] = closer_percent(*rows)
    words = {"crop": CROPS[config.crop], "axes": config.axes}
    return report(measured, errors["fine"], rows, PROTOCOL, folder=config.folder, **words)
