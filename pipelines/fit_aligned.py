"""CoarseNet's `aligned` correction, solved for: what its answers lack, from the picture as it lies on them.

    python -m tfface.pipelines.fit_aligned --coarse saved_models/release --photos DIR --fits runs/fits.npz \
        --output runs/aligned

Faces and CoarseNet's answers to them are collected in files of 800, and an interrupted run goes on after the last of
them. Then the weights have a closed form (ridge regression: Hoerl and Kennard, 1970).
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import scipy.linalg
import tensorflow as tf

from tfface.errors import InputError
from tfface.losses.landmarks import ProjectedLandmarks
from tfface.morphable import representation
from tfface.morphable.model import MorphableModel
from tfface.networks.coarse_net import IterativeCoarseNet, changed
from tfface.output import write_arrays
from tfface.pipelines.assemble import load_coarse_run, save_coarse_run
from tfface.pipelines.coarse_data import CoarseDataConfig, coarse_dataset, synthetic_batches
from tfface.progress import tracked
from tfface.rendering.aligned_view import DIRECTIONS

BATCH, FILE = 20, 800
"""Faces per step, and per file."""
PENALTIES = (0.3, 1.0, 3.0, 10.0)
"""Of which the one that does best on the held-out faces is taken; in faces, for features of squared length 1."""
_BANDWIDTH = 0.25
"""Of the kernel that the random features stand for: exp(−0.25 · mean squared difference of two neighbourhoods)."""
_KNOWN = np.sqrt(0.5 / representation.SIZE)
"""What the estimate's own numbers weigh among the features."""


@dataclasses.dataclass(frozen=True)
class FitAlignedConfig:
    """A fit.

    Attributes:
        output: folder of the run: `faces/` and, as of `tfface train coarse`, `coarse.npz` and `coarse_net.json`.
        data: where faces come from; of `photo_share` and `reposed_share` only the ratio counts here.
        synthetic, photographs: how many, rounded up to files; no photographs without `data.photos`.
        network: random features per neighbourhood, and directions of r kept.
        photo_weight: of a photograph, where a synthetic face has 1.
    """

    output: str = "runs/aligned"
    data: CoarseDataConfig = CoarseDataConfig(photo_share=0.6, reposed_share=0.4, seed=301)
    synthetic: int = 32000
    photographs: int = 24000
    network: tuple[int, int] = (48, 96)
    photo_weight: float = 1.0


def answers(coarse: IterativeCoarseNet, image: tf.Tensor) -> tf.Tensor:
    """CoarseNet's estimates `[B, 290]` before any correction, of two passes: four tell the same to a hundredth."""
    batch = tf.shape(image)[0]
    zeros = tf.zeros([batch, representation.SIZE])
    r = coarse.one_pass(image, zeros, feedback=tf.tile(coarse.first_feedback, [batch, 1, 1, 1]))
    return coarse.both_ways(image, r) if coarse.config.mirrored else coarse.one_pass(image, r)


def collect(coarse: IterativeCoarseNet, config: FitAlignedConfig) -> tuple[list[Path], list[Path]]:
    """The files of synthetic faces and those of photographs, written if they aren't there yet.

    Each holds {"image" `[800, size, size, 1]` uint8, "r" `[800, 290]`, "a" `[800, 290]`}: pictures, the truth, and
    CoarseNet's answers.

    Raises:
      FileNotFoundError, ValueError: see `coarse_dataset`.
    """
    model, data = coarse.face_model, config.data
    shares = np.array([data.photo_share, data.reposed_share])
    only_photos = dict(zip(("photo_share", "reposed_share"), (shares / shares.sum()).tolist(), strict=True))
    kinds = {"synthetic": (config.synthetic, lambda start: synthetic_batches(model, data, BATCH, start))}
    if data.photos:
        of_photos = dataclasses.replace(data, seed=data.seed + 1, **only_photos)
        kinds["photos"] = (
            config.photographs,
            lambda start: coarse_dataset(model, of_photos, BATCH, start).map(lambda x, r, _: {"image": x, "r": r}),
        )
    answer = tf.function(lambda image: answers(coarse, image), autograph=False)
    found = []
    for kind, (count, dataset) in kinds.items():
        paths = [Path(config.output) / "faces" / f"{kind}_{number:03d}.npz" for number in range(-(-count // FILE))]
        done = next((number for number, path in enumerate(paths) if not path.is_file()), len(paths))
        batches = iter(dataset(done * FILE // BATCH)) if done < len(paths) else None
        for path in tracked(paths[done:], f"{kind} faces", total=len(paths) - done):
            parts = []
            for _ in range(FILE // BATCH):
                faces = next(batches)
                parts.append((faces["image"], faces["r"], answer(faces["image"])))
            image, r, a = (np.concatenate(part) for part in zip(*parts, strict=True))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, {"image": np.uint8(np.round(255 * image)), "r": r, "a": a}, compressed=False)
        found.append(paths)
    return tuple(found) if len(found) == 2 else (found[0], [])


class Examples:
    """What the regression sees of files of `collect`: features, and what CoarseNet's answers lack.

    Args:
      coarse: with `aligned`, its random features not yet drawn.
      path: of a file, whose faces the features' means are taken of.
    """

    def __init__(self, coarse: IterativeCoarseNet, path):
        self.model = coarse.face_model
        self.random = coarse.aligned_net.get_layer("features")
        self._gradients = tf.function(coarse.aligned_view, reduce_retracing=True, autograph=False)
        self._features = tf.function(self.random, reduce_retracing=True, autograph=False)
        gradients = np.concatenate([part for part, _, _ in self.parts(path)])[..., :DIRECTIONS]
        draw = np.random.default_rng(0)
        kernel = draw.normal(size=self.random.kernel.shape) * np.sqrt(2.0 * _BANDWIDTH / (9 * DIRECTIONS))
        phase = draw.uniform(0.0, 2.0 * np.pi, self.random.features)
        self.random.set_weights([gradients.mean(0), gradients.std(0) + 0.02, kernel, phase])
        features = np.concatenate([self._features(part).numpy() for part, _, _ in self.parts(path)])
        features = features.reshape(len(features), -1)
        self.middle = features.mean(0)
        self.scale = 1.0 / np.sqrt(np.square(features - self.middle).sum(1).mean())

    def parts(self, path, mirrored: bool = False):
        """(gradients, r, answer) of 50 faces at a time; of their mirror images if `mirrored`."""
        with np.load(path) as file:
            image, r, a = file["image"], file["r"], file["a"]
        for first in range(0, len(r), 50):
            some = slice(first, first + 50)
            x = tf.cast(image[some], tf.float32) / 255.0
            truth, answer = tf.constant(r[some]), tf.constant(a[some])
            if mirrored:
                x, truth, answer = tf.reverse(x, [2]), *map(self.model.reflection, (truth, answer))
            yield self._gradients(x, answer), truth.numpy(), answer.numpy()

    def __call__(self, path, mirrored: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs `[N, K]` of a file, what is missing `[N, 290]`, and the answers `[N, 290]`."""
        inputs, missing, answers_ = [], [], []
        for gradients, r, a in self.parts(path, mirrored):
            features = self._features(gradients).numpy().reshape(len(r), -1)
            known = np.concatenate([a * _units(), np.ones((len(a), 1), np.float32)], axis=1)
            inputs.append(np.concatenate([(features - self.middle) * self.scale, known * _KNOWN], axis=1))
            missing.append(r - a)
            answers_.append(a)
        return tuple(map(np.concatenate, (inputs, missing, answers_)))


def _units() -> np.ndarray:
    """`[290]`: what makes pose vary about as much as coefficients do."""
    return np.r_[np.ones(representation.GEOMETRY_SIZE), np.full(representation.POSE_SIZE, 5.0)].astype(np.float32)


@dataclasses.dataclass
class Sums:
    """Of one kind of faces: the lower half of xᵀx `[K, K]`, and xᵀy `[K, 290]`."""

    squares: np.ndarray
    products: np.ndarray


def add_up(examples: Examples, paths) -> Sums:
    """The `Sums` of files' faces and of their mirror images."""
    sums = None
    for path in tracked(paths, "features", total=len(paths)):
        for mirrored in (False, True):
            x, y, _ = examples(path, mirrored)
            if sums is None:
                shapes = (x.shape[1], x.shape[1]), (x.shape[1], y.shape[1])
                sums = Sums(*(np.zeros(shape, np.float32, order="F") for shape in shapes))
            # BLAS, which wants columns together, computes only the lower half.
            sums.squares = scipy.linalg.blas.ssyrk(1.0, x.T, 1.0, sums.squares, lower=1, overwrite_c=1)
            sums.products += x.T @ y
    return sums


def solve(synthetic: Sums, photos: Sums | None, photo_weight: float, penalty: float) -> np.ndarray:
    """The linear function `[K, 290]` of the inputs that best tells what is missing.

    Args:
        synthetic, photos: the `Sums` of faces; None where there are no photographs.
        photo_weight: of a photograph.
        penalty: of the ridge.
    """
    squares, products = synthetic.squares.copy(order="F"), synthetic.products
    if photos is not None:
        squares += photo_weight * photos.squares
        products = products + photo_weight * photos.products
    squares[np.diag_indices(len(squares))] += penalty
    factor = scipy.linalg.cho_factor(squares, lower=True, overwrite_a=True, check_finite=False)
    return scipy.linalg.cho_solve(factor, products, check_finite=False).astype(np.float32)


def set_weights(network, examples: Examples, slope: np.ndarray) -> None:
    """Writes a result of `solve` into an `aligned_net`: its main directions, of what it says of the features."""
    count = network.get_layer("directions").units
    of_features, known = slope[: len(examples.middle)], slope[len(examples.middle) :] * _KNOWN
    of_features = of_features * examples.scale
    left, values, right = scipy.linalg.svd(of_features, full_matrices=False, check_finite=False)
    left, right = left[:, :count], values[:count, None] * right[:count]
    network.get_layer("directions").set_weights([left])
    network.get_layer("seen").set_weights([right, known[-1] - examples.middle @ left @ right])
    network.get_layer("known").set_weights([known[:-1] * _units()[:, None]])


def fit(coarse: IterativeCoarseNet, config: FitAlignedConfig) -> IterativeCoarseNet:
    """CoarseNet with its correction; the last file of each kind is held out to choose the penalty.

    Args:
      coarse: trained; corrections that it has already are left out.
      config: see `FitAlignedConfig`.

    Raises:
      FileNotFoundError, ValueError: see `collect`.
    """
    corrected = changed(coarse, aligned=tuple(config.network), refined=(), look=())
    synthetic, photographs = collect(coarse, config)
    examples = Examples(corrected, synthetic[0])
    sums, of_photos, held_out = add_up(examples, synthetic[:-1]), None, [synthetic[-1]]
    if photographs:
        of_photos = add_up(examples, photographs[:-1])
        held_out.append(photographs[-1])
    landmarks, tried = ProjectedLandmarks(coarse.face_model, coarse.config.size), {}
    trials = [examples(path) for path in held_out]
    before = [_distance(landmarks, a + y, a) for _, y, a in trials]
    for penalty in PENALTIES:
        slope = solve(sums, of_photos, config.photo_weight, penalty)
        after = [_distance(landmarks, a + y, a + x @ slope) for x, y, a in trials]
        print(f"penalty {penalty:g}: landmarks {np.round(before, 3)} → {np.round(after, 3)} px")
        tried[sum(after)] = slope
    set_weights(corrected.aligned_net, examples, tried[min(tried)])
    return corrected


def _distance(landmarks: ProjectedLandmarks, true, found) -> float:
    """Mean distance of landmarks in the picture, px."""
    away = landmarks(tf.constant(true, tf.float32)) - landmarks(tf.constant(found, tf.float32))
    return float(tf.reduce_mean(tf.norm(away[..., :2], axis=-1)))


def main(arguments=None) -> int:
    """The command; returns its exit code."""
    defaults = FitAlignedConfig()
    parser = argparse.ArgumentParser(prog="python -m tfface.pipelines.fit_aligned", description=__doc__)
    parser.add_argument("--coarse", required=True, metavar="DIR", help="folder of `tfface train coarse`, or a model")
    parser.add_argument("--output", metavar="RUN", default=defaults.output, help="folder for the same, corrected")
    parser.add_argument("--photos", metavar="DIR", help="photographs (default: synthetic faces only)")
    parser.add_argument("--fits", metavar="FILE", help="of these, from `tfface.pipelines.fit_photos`")
    parser.add_argument("--faces", type=int, default=defaults.synthetic, help="synthetic ones")
    parser.add_argument("--photographs", type=int, default=defaults.photographs, help="seen; many times each")
    parser.add_argument("--seed", type=int, default=defaults.data.seed, help="of the faces")
    options = parser.parse_args(arguments)
    if bool(options.photos) != bool(options.fits):
        print("tfface: expected --photos and --fits together, or neither", file=sys.stderr)
        return 2
    if options.faces <= FILE or (options.photos and options.photographs <= FILE):
        print(
            f"tfface: expected --faces and --photographs of more than {FILE}, of which {FILE} are held out, received "
            f"{options.faces} and {options.photographs}",
            file=sys.stderr,
        )
        return 2
    data = dataclasses.replace(defaults.data, photos=options.photos, fits=options.fits, seed=options.seed)
    config = dataclasses.replace(
        defaults, output=options.output, data=data, synthetic=options.faces, photographs=options.photographs
    )
    try:
        save_coarse_run(fit(load_coarse_run(options.coarse, MorphableModel.default()), config), Path(options.output))
    except (InputError, FileNotFoundError, ValueError, OSError) as error:
        print(f"tfface: {error}", file=sys.stderr)
        return 2
    print(f"CoarseNet: {options.output} (`tfface train assemble --coarse {options.output} …` makes a model of it)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
