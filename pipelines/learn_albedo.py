"""Skin as photographs show it: mean and principal components of de-lit vertex colours, for the face model (eq. 10).

    python -m tfface.pipelines.learn_albedo --photos DIR --fits runs/fits.npz --output albedo.npz

Every fitted photograph gives its visible vertices a colour. Spherical harmonics of order 2 are fitted to its luminance
over that of the mean albedo, robustly, and divided out; what the light cannot explain (brows, lips, beards,
make-up, freckles) stays. Exposure and the tone of skin cannot be told apart in one picture, nor can the colour of the
light and that of the skin: part of an image's brightness and colour is read as skin, the rest as light. Only the
statistics leave this module; no photograph can be told from them.
"""

import argparse
import sys

import numpy as np

from tfface.errors import InputError
from tfface.losses.lighting import harmonics
from tfface.meshes.appearance import to_linear
from tfface.morphable.default_labels import painted_albedo
from tfface.morphable.model import MorphableModel
from tfface.output import write_arrays
from tfface.progress import tracked

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Luminance of linear sRGB."""

TONE = 0.6
"""Power of an image's brightness, relative to the median, that is read as the tone of skin."""

HUE = 0.25
"""Power of its colour, likewise: most of the variation between photographs is white balance."""

MAX_YAW = 35.0
"""Faces turned further show too little of one side, degrees."""


def fit_light(luminance, albedo, basis, weight, rounds: int = 5) -> np.ndarray:
    """Lighting `[9]` with luminance ≈ albedo · (basis · lighting), robust against what isn't plain skin.

    Args:
      luminance: `[V]`.
      albedo: `[V]`, luminance of the albedo that is assumed.
      basis: `[V, 9]` from `losses.lighting.harmonics`.
      weight: `[V]` ≥ 0.
      rounds: of iteratively reweighted least squares (Geman–McClure).
    """
    system = albedo[:, None] * basis
    robust = np.ones_like(luminance)
    ridge = np.diag([0.0, *[0.002] * 3, *[0.02] * 5])
    for _ in range(rounds):
        w = weight * robust
        normal = (system * w[:, None]).T @ system
        light = np.linalg.solve(
            normal + ridge * np.trace(normal) / 9.0 + 1e-9 * np.eye(9), (system * w[:, None]).T @ luminance
        )
        error = luminance - system @ light
        scale = 1.5 * np.sqrt(np.average(error**2, weights=np.maximum(w, 1e-9))) + 1e-6
        robust = 1.0 / (1.0 + (error / scale) ** 2) ** 2
    return light


def delight(colors, albedo, basis, weight, skin) -> tuple[np.ndarray, float]:
    """Colours `[V, 3]` without their light, and the mean strength of that light.

    Args:
      colors: `[V, 3]` linear RGB.
      albedo: `[V, 3]`, the mean albedo so far.
      basis: `[V, 9]`.
      weight: `[V]`, how well each vertex is seen.
      skin: `[V]` bool, vertices to fit the light on.
    """
    light = fit_light(colors @ LUMA, albedo @ LUMA, basis, weight * skin)
    shading = basis @ light
    strength = float(np.average(shading, weights=weight * skin + 1e-9))
    # Deep shadow tells nothing about skin; dividing by it would only amplify noise.
    return colors / np.maximum(shading, 0.25 * strength)[:, None], strength


def principal_components(values, weights, count: int, rounds: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Mean `[D]` and components `[D, count]` (per standard deviation) of partly seen rows.

    Unseen entries are filled with what the components found so far say of them, again and again.

    Args:
      values: `[N, D]`.
      weights: `[N, D]` in 0…1, how well each entry is seen.
      count: components.
      rounds: of filling.
    """
    mean = (values * weights).sum(0) / np.maximum(weights.sum(0), 1e-6)
    filled = weights * (values - mean)
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(values.shape[1], count)).astype(np.float32))[0]
    for _ in range(rounds):
        # Two steps of subspace iteration from the last round's answer: the components hardly move between rounds.
        for _ in range(2):
            directions = np.linalg.qr(filled.T @ (filled @ directions))[0]
        guess = (filled @ directions) @ directions.T
        filled = weights * (values - mean) + (1.0 - weights) * guess
    scores = filled @ directions
    order = np.argsort(-scores.std(axis=0))
    return mean, directions[:, order] * scores.std(axis=0)[order]


class VertexColors:
    """What fitted photographs show of each vertex.

    Args:
      model: a `MorphableModel`.
      photos: a `pipelines.landmark_photos.LandmarkPhotos`.
      squares: `[N, 3]` of the fits.
      r: `[N, 290]` of the fits.
    """

    SIZE = 200
    BATCH = 16

    def __init__(self, model, photos, squares: np.ndarray, r: np.ndarray):
        from tfface.rendering.feedback import FeedbackRenderer

        self.photos, self.squares, self.r = photos, squares, r
        self.renderer = FeedbackRenderer(model, self.SIZE)
        self.triangles = np.asarray(model.triangles)

    def batches(self):
        """Yields colours `[B, V, 3]` linear RGB, normals `[B, V, 3]` and weights `[B, V]` in 0…1."""
        import tensorflow as tf

        from tfface.rendering.visibility import interpolate

        geometry = tf.function(self.renderer.geometry, autograph=False)
        steps = range(0, len(self.r), self.BATCH)
        for start in tracked(steps, "photographs"):
            rows = range(start, min(start + self.BATCH, len(self.r)))
            r = tf.constant(self.r[start : start + self.BATCH], tf.float32)
            projected, normals, visibility = geometry(r)
            depth = interpolate(visibility, self.triangles, projected[..., 2:])[..., 0]
            depth = tf.where(visibility.triangle >= 0, depth, -np.inf)
            parts = zip(rows, *(part.numpy() for part in (projected, normals, depth)), strict=True)
            seen = [self._one(*part) for part in parts]
            yield tuple(np.stack(column) for column in zip(*seen, strict=True))

    def _one(self, row, projected, normals, depth):
        from PIL import Image

        column, line = (np.clip(projected[:, k].astype(int), 0, self.SIZE - 1) for k in (0, 1))
        # A few px behind the surface that its pixel shows is hidden.
        visible = projected[:, 2] > depth[line, column] - 3.0
        facing = np.clip(normals[:, 2] * 1.6 - 0.4, 0.0, 1.0)
        x, y, side = self.squares[row]
        place = (projected[:, :2] / self.SIZE - 0.5) * side + [x, y]
        x0, y0, x1, y1 = self.photos.valid[row]
        inside = (place > [x0 + 1, y0 + 1]).all(1) & (place < [x1 - 1, y1 - 1]).all(1)
        with Image.open(self.photos.path(row)) as image:
            picture = to_linear(np.asarray(image.convert("RGB")))
        return _bilinear(picture, place), normals, facing * visible * inside


def _bilinear(image: np.ndarray, place: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    x = np.clip(place[:, 0] - 0.5, 0, width - 1.001)
    y = np.clip(place[:, 1] - 0.5, 0, height - 1.001)
    j, i = x.astype(int), y.astype(int)
    fx, fy = (x - j)[:, None], (y - i)[:, None]
    upper = image[i, j] * (1 - fx) + image[i, j + 1] * fx
    lower = image[i + 1, j] * (1 - fx) + image[i + 1, j + 1] * fx
    return upper * (1 - fy) + lower * fy


def learn_albedo(model, colors: VertexColors, count: int = 10, rounds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Albedo of a face model from photographs.

    Args:
      model: a `MorphableModel`; its own albedo isn't used.
      colors: the photographs.
      count: components.
      rounds: of estimating lights and mean in turn.

    Returns:
      mean `[V, 3]` linear RGB in 0…1 and basis `[V, 3, count]` per standard deviation.
    """
    kept = [tuple(part.astype(np.float16) for part in batch) for batch in colors.batches()]
    seen, normals, weights = (np.concatenate(column) for column in zip(*kept, strict=True))
    skin = model.region_mask("skin")
    partner = np.asarray(model.mirror)
    start = painted_albedo(model.mean, model.landmarks, model.regions).astype(np.float32)
    mean = start
    for _ in range(rounds):
        plain, strengths = [], []
        for color, normal, weight in zip(seen, normals, weights, strict=True):
            basis = harmonics(normal.astype(np.float32), 2).numpy()
            value, strength = delight(color.astype(np.float32), mean, basis, weight.astype(np.float32), skin)
            plain.append(np.clip(value, 0.0, 1.0).astype(np.float16))
            strengths.append(strength)
        plain = np.stack(plain)
        total = weights.astype(np.float32).sum(0)[:, None]
        average = np.einsum("nvc,nv->vc", plain.astype(np.float32), weights.astype(np.float32)) / np.maximum(
            total, 1e-6
        )
        # Left and right share their samples; what hardly any photograph shows keeps what it had.
        both = (total * average + (total * average)[partner]) / np.maximum(total + total[partner], 1e-6)
        trust = np.clip((total + total[partner]) / (0.02 * len(seen)), 0.0, 1.0)
        mean = trust * both + (1.0 - trust) * start
        mean *= float(np.average(start[skin] @ LUMA)) / float(np.average(mean[skin] @ LUMA))
    # Part of the brightness that was divided out as light is the tone of skin.
    tone = np.clip((np.array(strengths) / np.median(strengths)) ** TONE, 0.35, 1.6).astype(np.float32)
    values = np.clip(neutral(plain.astype(np.float32), weights * skin) * tone[:, None, None], 0.0, 1.0)
    values = np.concatenate([values, values[:, partner]]).reshape(2 * len(values), -1)
    weight = np.concatenate([weights, weights[:, partner]]).astype(np.float32)
    weight = np.repeat(np.minimum(weight * 1.5, 1.0) * trust[:, 0], 3, axis=1)
    center, basis = principal_components(values, weight, count)
    center = center.reshape(-1, 3) * trust + start * (1.0 - trust)
    return np.clip(center, 0.01, 1.0), (basis.reshape(*center.shape, count) * trust[..., None]).astype(np.float32)


def neutral(colors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Colours `[N, V, 3]` with most of what sets an image's hue apart from the median image's taken out."""
    weights = weights.astype(np.float32)
    average = np.einsum("nvc,nv->nc", colors, weights) / np.maximum(weights.sum(1), 1e-6)[:, None]
    hue = average / np.maximum(average @ LUMA, 1e-6)[:, None]
    return colors * ((np.median(hue, axis=0) / np.maximum(hue, 0.05)) ** (1.0 - HUE))[:, None]


def select(photos, fits, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `photos` and of `fits` that are fit to learn from: sharp, accepted, not turned far; at most `count`."""
    row_of = {int(number): row for row, number in enumerate(fits["number"])}
    rows = np.array([row_of.get(int(number), -1) for number in photos.number])
    keep = photos.train & (rows >= 0) & (photos.face_px >= 120)
    keep &= fits["ok"][rows] & (np.abs(photos.euler[:, 0]) < MAX_YAW)
    chosen = np.nonzero(keep)[0]
    if len(chosen) > count:
        chosen = chosen[np.linspace(0, len(chosen) - 1, count).astype(int)]
    return chosen, rows[chosen]


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tfface.pipelines.learn_albedo", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--photos", required=True, metavar="DIR", help="photographs with landmarks")
    parser.add_argument("--fits", required=True, metavar="FILE", help="their fits, from pipelines.fit_photos")
    parser.add_argument("--output", required=True, metavar="FILE", help=".npz of mean and basis")
    parser.add_argument("--count", type=int, default=3000, metavar="N", help="at most so many photographs")
    given = parser.parse_args(arguments)
    from tfface.pipelines import landmark_photos

    try:
        photos = landmark_photos.load(given.photos)
        with np.load(given.fits, allow_pickle=False) as file:
            fits = {name: file[name] for name in file.files}
        rows, fitted = select(photos, fits, given.count)
        if len(rows) < 100:
            raise InputError(f"expected at least 100 photographs to learn albedo from, received {len(rows)}")
        model = MorphableModel.default()
        colors = VertexColors(model, photos.take(rows), fits["square"][fitted], fits["r"][fitted])
        mean, basis = learn_albedo(model, colors)
        write_arrays(given.output, {"mean": mean.astype(np.float16), "basis": basis.astype(np.float16)})
    except (InputError, FileNotFoundError, ValueError) as error:
        print(f"learn_albedo: {error}", file=sys.stderr)
        return 1
    print(f"{given.output}: albedo of {len(rows)} photographs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
