"""Depth error on photographs whose depth was measured, as the paper's Table 1 states it for FRGC."""

import json
from dataclasses import dataclass
from pathlib import Path

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
    "{faces} photographs of {folder} with measured depth. Face: {crop}. Pixels: white in the mask, with a measured and "
    "a predicted depth. The predicted depth (weak perspective, larger nearer) is turned into mm by the predicted "
    "scale, that of a head of average size{true}; then the median of predicted − measured is taken off each face. "
    "Error: the absolute difference in mm; mean and 90th percentile over all pixels of all faces, as in Table 1 of the "
    "paper; "
    "“face mean” weighs each face alike. “coarse” is the face model alone, “fine” with FineNet's detail. {missing}"
)
_TRUE = ", and for “true scale” by the measured px pitch of depth.json"
_SETTINGS = {"mm_per_unit": 1.0, "nearer": "larger", "mm_per_px": None}


@dataclass(frozen=True)
class DepthEvaluationConfig:
    """Which photographs.

    Attributes:
        folder: NAME.jpg|png, NAME_depth.npy|png, NAME_mask.png (`pipelines.evaluate_truth`). Depth is `[H, W]` in units
            of `mm_per_unit`; NaN, or 0 in a PNG, is missing. An optional `depth.json` holds `mm_per_unit` (1),
            `nearer` ("larger" or "smaller": which values are nearer to the camera) and `mm_per_px` (the width of a
            pixel at the face in mm, if known).
        crop: "mtcnn" or "mask".
        limit: use only so many; 0 for all.
    """

    folder: str
    crop: str = "mtcnn"
    limit: int = 0


def read_settings(folder) -> dict:
    """`depth.json` of a folder over its defaults.

    Raises:
        ValueError: it isn't JSON, or has unknown names or values.
    """
    path = Path(folder) / "depth.json"
    if not path.is_file():
        return dict(_SETTINGS)
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, received something else ({error})") from error
    if not isinstance(given, dict) or set(given) - set(_SETTINGS):
        raise ValueError(f"{path}: expected an object with some of {', '.join(_SETTINGS)}, received {given}")
    settings = _SETTINGS | given
    for name in ("mm_per_unit", "mm_per_px"):
        value = settings[name]
        if name in given and not (isinstance(value, int | float) and value > 0):
            raise ValueError(f"{path}: expected {name} to be a number above 0, received {value!r}")
    if settings["nearer"] not in ("larger", "smaller"):
        raise ValueError(f"{path}: expected nearer to be larger or smaller, received {settings['nearer']!r}")
    return settings


def read_depth(measured: Measured, shape: tuple[int, int], settings: dict) -> np.ndarray:
    """Measured depth `[H, W]` float64 in mm, larger nearer, NaN where missing.

    Raises:
        ValueError: another shape or size, or a damaged file.
    """
    values = read_array(measured.truth)
    if values.ndim != 2:
        raise ValueError(f"{measured.truth}: expected depth of shape [H, W], received {list(values.shape)}")
    check_size(measured.truth, values.shape, shape)
    depth = values.astype(np.float64)
    if measured.truth.suffix == ".png":
        depth[values == 0] = np.nan
    depth[~np.isfinite(depth)] = np.nan
    return depth * settings["mm_per_unit"] * (1.0 if settings["nearer"] == "larger" else -1.0)


def aligned_errors(found: np.ndarray, true: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Absolute errors in mm of the pixels valid in all, after the median difference is taken off; may be empty."""
    both = mask & np.isfinite(found) & np.isfinite(true)
    difference = found[both] - true[both]
    return np.abs(difference - np.median(difference)) if difference.size else difference


def run(reconstructor, config: DepthEvaluationConfig) -> dict:
    """Measures a folder.

    Args:
        reconstructor: a `Reconstructor`.
        config: see `DepthEvaluationConfig`.

    Returns:
        {"protocol", "faces", "rows": [{"name", "faces", "pixels", "mean_mm", "p90_mm", "median_mm", "face_mean_mm"}],
        "worst": names}.

    Raises:
        FileNotFoundError: the folder or a file in it is missing.
        ValueError: a file isn't what it should be, or an unknown crop.
    """
    measured, settings = list_folder(config.folder, "depth", config.limit), read_settings(config.folder)
    true_scale = settings["mm_per_px"]
    errors = {"coarse": [], "fine": []}
    if true_scale:
        errors |= {"coarse, true scale": [], "fine, true scale": []}
    for one in tracked(measured, "photographs"):
        rgb = load_image(one.photo)
        mask = read_mask(one, rgb.shape[:2])
        true = read_depth(one, rgb.shape[:2], settings)
        face = reconstruct(reconstructor, rgb, mask, config.crop)
        for name, values in errors.items():
            depth = face.coarse_depth if name.startswith("coarse") else face.depth
            scale = true_scale if name.endswith("true scale") else face.mm_per_px
            values.append(aligned_errors(depth * scale, true, mask))
    rows = [_row(name, values) for name, values in errors.items()]
    words = {"crop": CROPS[config.crop], "true": _TRUE if true_scale else ""}
    return report(measured, errors["fine"], rows, PROTOCOL, folder=config.folder, **words)


def _row(name: str, errors: list[np.ndarray]) -> dict:
    counted = [values for values in errors if values.size]
    row = {"name": name, "faces": len(counted), "pixels": int(sum(values.size for values in counted))}
    if not counted:
        return row
    pixels = np.concatenate(counted)
    return row | {
        "mean_mm": float(pixels.mean()),
        "p90_mm": float(np.percentile(pixels, 90)),
        "median_mm": float(np.median(pixels)),
        "face_mean_mm": float(np.mean([values.mean() for values in counted])),
    }
