"""Fits the face model to every landmarked photograph: `runs/fits.npz`, on which the networks can be trained.

The crop of a fit shows 240 mm around the fitted face, so that u = v = s = 0 in its r; jitter is added at training.
The matrices are small: with OPENBLAS_NUM_THREADS=1 in the environment this runs several times faster.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfface.morphable.correspondences import Correspondences, landmark_correspondences
from tfface.morphable.fitting import Fit, FitConfig, fit, landmark_nme, point_distances
from tfface.pipelines import landmark_photos

TABLE = "mediapipe478.npz"
"""The dense correspondences, beside the face model."""


@dataclass(frozen=True)
class FitPhotosConfig:
    """What is fitted and where it goes."""

    photos: str
    """Folder as `pipelines.landmark_photos` reads it."""
    output: str = "runs/fits.npz"
    dense: bool = True
    """Use all of MediaPipe's points that have a place on the model, not only the 68."""
    max_residual: float = 0.03
    """NME above which a fit isn't trained on."""
    max_deviation: float = 0.95
    """Root mean square of the coefficients, in standard deviations, above which a fit isn't trained on."""
    limit: int = 0
    """Fit only so many photographs, spread over the folder; 0 for all."""
    chunk: int = 512
    """Photographs per step of the progress bar."""
    fitting: FitConfig = FitConfig()


def dense_table() -> Correspondences:
    """The correspondences of MediaPipe's points that are stored beside the default face model.

    Raises:
        FileNotFoundError: `python -m tfface.pipelines.mediapipe_points` has not been run for this model.
    """
    import tfface.morphable.correspondences as beside

    return Correspondences.load(Path(beside.__file__).with_name(TABLE))


def fit_rows(model, photos: landmark_photos.LandmarkPhotos, table: Correspondences, index, config) -> Fit:
    """Fits all rows with a progress bar.

    Args:
        model: a `MorphableModel`.
        photos: N crops.
        table: M correspondences.
        index: `[M]`, which of the 478 points they are.
        config: a `FitPhotosConfig`.
    """
    from tfface.progress import tracked

    parts = [
        fit(model, photos.points[start : start + config.chunk][:, index], table, config.fitting)
        for start in tracked(range(0, len(photos.number), config.chunk), "fitting")
    ]
    fields = ("square", "r", "distances")
    return Fit(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def nme68(model, fitted: Fit, points68: np.ndarray) -> np.ndarray:
    """NME `[N]` of the 68 points, the sides of the jaw measured across the visible outline."""
    return landmark_nme(points68, point_distances(model, fitted, landmark_correspondences(model), points68))


def run(config: FitPhotosConfig) -> dict:
    """Fits and writes `number [N]`, `square [N, 3]`, `r [N, 290]`, `residual [N]`, `ok [N]`, `train [N]`.

    Returns:
        Mean residuals and counts.

    Raises:
        FileNotFoundError: the folder is missing.
    """
    from tfface.morphable.model import MorphableModel

    photos = landmark_photos.load(config.photos)
    if config.limit:
        photos = photos.take(np.linspace(0, len(photos.number) - 1, config.limit).astype(int))
    model = MorphableModel.default()
    table = dense_table() if config.dense else landmark_correspondences(model)
    index = table.index if config.dense else photos.landmarks
    started = time.monotonic()
    fitted = fit_rows(model, photos, table, index, config)
    residual = nme68(model, fitted, photos.points68)
    deviation = np.sqrt((fitted.r[:, :284] ** 2).mean(1))
    ok = photos.train & (residual < config.max_residual) & (deviation < config.max_deviation)
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        output,
        number=photos.number,
        square=fitted.square.astype(np.float32),
        r=fitted.r,
        residual=residual.astype(np.float32),
        ok=ok,
        train=photos.train,
    )
    return {
        "photos": len(ok),
        "ok": int(ok.sum()),
        "points": len(table.index),
        "nme_train": float(residual[photos.train].mean()),
        "nme_val": float(residual[~photos.train].mean()) if (~photos.train).any() else float("nan"),
        "nme_90": float(np.percentile(residual, 90)),
        "rms_identity": float(np.sqrt((fitted.r[:, :200] ** 2).mean())),
        "rms_expression": float(np.sqrt((fitted.r[:, 200:284] ** 2).mean())),
        "seconds": time.monotonic() - started,
        "output": str(output),
    }


def main(arguments=None) -> int:
    """`python -m tfface.pipelines.fit_photos --photos FOLDER`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", required=True, help="folder with images/ and landmarks.npz")
    parser.add_argument("--output", default=FitPhotosConfig.output)
    parser.add_argument("--sparse", action="store_true", help="the 68 landmarks only")
    parser.add_argument("--limit", type=int, default=0, help="only so many photographs")
    options = parser.parse_args(arguments)
    try:
        report = run(
            FitPhotosConfig(photos=options.photos, output=options.output, dense=not options.sparse, limit=options.limit)
        )
    except FileNotFoundError as error:
        print(f"tfface: {error}", file=sys.stderr)
        return 2
    for name, value in report.items():
        print(f"{name:15s} {value:.4f}" if isinstance(value, float) else f"{name:15s} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
