"""Whether a predicted face has this person's features: sizes between landmarks, against those of fitted faces."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfface.morphable import representation

PROTOCOL = (
    "Features of {faces} of the faces, on the head itself, in mm: as predicted, against the face model fitted to the "
    "given landmarks ({file}), which is rough but knows nothing of the prediction. “correlation”: over faces; "
    "“spread”: the prediction's standard deviation over the fits', 1 when features vary as much as people do; “slope”: "
    "how much of a fitted difference is predicted on average."
)
FEATURES = {
    "lips' gap": ((62, 66),),
    "mouth's width": ((48, 54),),
    "mouth's corners, height": ((51, 48), (51, 54)),
    "lips' thickness": ((51, 62), (57, 66)),
    "lids' gap": ((37, 41), (38, 40), (43, 47), (44, 46)),
    "brow to eye": ((19, 37), (24, 44)),
    "eyes' outer corners": ((36, 45),),
    "nose's length": ((27, 30),),
    "nose's width": ((31, 35),),
    "lip to chin": ((57, 8),),
    "face's height": ((27, 8),),
    "face's width": ((1, 15),),
    "jaw's width": ((5, 11),),
}
"""Pairs of landmarks; a feature's size is their mean distance."""
HEIGHTS = ("mouth's corners, height",)
"""Features whose size is the mean of the signed vertical difference instead."""


def read_fits(path, numbers) -> tuple[np.ndarray, np.ndarray]:
    """Which photographs have a fit, `[N]` bool, and the fits' r `[M, 290]` in their order.

    Args:
        path: from `pipelines.fit_photos`.
        numbers: of the photographs, `[N]`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another kind of file, or has none of these photographs.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"expected fits at {path}, found none; `python -m tfface.pipelines.fit_photos` makes them"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            given = {str(number): r for number, r in zip(file["number"], file["r"], strict=True)}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"expected fits of `tfface.pipelines.fit_photos` in {path}: {error}") from error
    chosen = np.array([str(n) in given and bool(np.isfinite(given[str(n)]).all()) for n in numbers])
    if not chosen.any():
        raise ValueError(f"expected fits of the measured photographs in {path}, received none of them")
    return chosen, np.stack([given[str(n)] for n, has in zip(numbers, chosen, strict=True) if has])


def sizes(model, r: np.ndarray) -> dict[str, np.ndarray]:
    """Each feature's size `[N]` in mm of r `[N, 290]`."""
    r = tf.constant(r, tf.float32)
    ends = np.array(sorted({point for pairs in FEATURES.values() for pair in pairs for point in pair}))
    ids = np.asarray(model.landmarks)[ends]
    basis = np.concatenate([model.identity_basis[ids], model.expression_basis[ids]], axis=-1)
    offsets = np.einsum("vck,nk->nvc", basis, r[:, : representation.GEOMETRY_SIZE].numpy())
    points = dict(zip(ends, np.moveaxis(offsets + np.asarray(model.mean)[ids], 1, 0), strict=True))
    found = {}
    for name, pairs in FEATURES.items():
        between = np.stack([points[a] - points[b] for a, b in pairs])
        found[name] = (between[..., 1] if name in HEIGHTS else np.linalg.norm(between, axis=-1)).mean(0)
    return found


def table(model, r: np.ndarray, numbers, fits) -> dict:
    """{"protocol", "rows": [{"name", "fits_sd_mm", "correlation", "spread", "slope", "mae_mm"}]}, a further table.

    Args:
        model: a `MorphableModel`.
        r: predicted, `[N, 290]`.
        numbers: of the photographs, `[N]`.
        fits: file of `pipelines.fit_photos`.

    Raises:
        See `read_fits`.
    """
    chosen, fitted = read_fits(fits, numbers)
    predicted, known = sizes(model, np.asarray(r)[chosen]), sizes(model, fitted)
    rows = [{"name": name} | _agreement(predicted[name], known[name]) for name in FEATURES]
    return {"protocol": PROTOCOL.format(faces=int(chosen.sum()), file=fits), "rows": rows}


def _agreement(predicted: np.ndarray, known: np.ndarray) -> dict[str, float]:
    off, spread = predicted - predicted.mean(), known - known.mean()
    together, variance = float(np.mean(off * spread)), float(np.mean(spread**2))
    varies = variance > 0.0 and float(off.std()) > 1e-6  # mm: rounding alone is no variation
    return {
        "fits_sd_mm": variance**0.5,
        "correlation": together / float(off.std() * variance**0.5) if varies else float("nan"),
        "spread": float(off.std()) / variance**0.5 if varies else float("nan"),
        "slope": together / variance if variance > 0.0 else float("nan"),
        "mae_mm": float(np.abs(predicted - known).mean()),
    }
