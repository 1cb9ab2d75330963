"""CoarseNet's last layer, solved for: ridge regression of r on what that layer sees.

    python -m tfface.pipelines.refit_coarse --coarse runs/coarse --photos DIR --fits runs/fits.npz --output runs/refit

Gradient steps leave the last layer short of what its inputs tell: faces vary less than they should, because answering
the mean is learnt first. The layer is linear, and what is best for given inputs has a closed form (Hoerl and Kennard,
"Ridge regression", 1970). It takes minutes, and no learning rate.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfface.errors import InputError
from tfface.morphable import representation
from tfface.morphable.model import MorphableModel
from tfface.pipelines.assemble import load_coarse_run, save_coarse_run
from tfface.pipelines.coarse_data import CoarseDataConfig, coarse_dataset
from tfface.progress import tracked

PENALTIES = (300.0, 1000.0, 3000.0, 10000.0, 30000.0, 100000.0)
"""Of which each coefficient of r takes the one that does best on faces held out."""
HELD_OUT = 5
"""Every fifth batch is."""


@dataclasses.dataclass(frozen=True)
class RefitConfig:
    """What to fit to.

    Attributes:
        faces: how many, rounded up to whole batches.
        batch: faces at a time.
        passes: of CoarseNet; the last layer is fitted to what the last of them sees.
        data: the faces; photographs weigh as much as there are.
    """

    faces: int = 8000
    batch: int = 20
    passes: int = 3
    data: CoarseDataConfig = dataclasses.field(
        default_factory=lambda: CoarseDataConfig(
            photo_share=0.6, reposed_share=0.2, photo_roll_degrees=20.0, turned=2, seed=78
        )
    )


def linear_layers(network: keras.Model) -> list[keras.layers.Dense]:
    """The layers whose answers add up to a CoarseNet's."""
    names = {layer.name for layer in network.layers}
    if "points_to_face" not in names:
        return [network.get_layer("r")]
    own = [network.get_layer(name) for name in ("appearance", "joint") if name in names]
    inner = network.get_layer("points_to_face")
    return [*own, inner.get_layer("points_straight"), inner.get_layer("points_bent")]


def with_inputs(network: keras.Model) -> keras.Model:
    """A model of `network` that answers [r, what each of `linear_layers` sees]."""
    layers = linear_layers(network)
    own = [layer.input for layer in layers if layer in network.layers]
    others = [layer.input for layer in layers if layer not in network.layers]
    if others:
        inner = keras.Model(network.get_layer("points_to_face").input, others)
        own += inner(network.get_layer("points").output)
    return keras.Model(network.input, [network.output, *own])


def collect(coarse, config: RefitConfig) -> dict[str, np.ndarray]:
    """{"answer", "target" `[N, 290]`, "seen" `[N, K]`, "held_out" `[N]`} of faces of `coarse_dataset`.

    Args:
        coarse: an `IterativeCoarseNet`.
        config: see `RefitConfig`.

    Raises:
        FileNotFoundError, ValueError: see `coarse_dataset`.
    """
    look = with_inputs(coarse.network)

    @tf.function(autograph=False)
    def last_pass(image):
        r = tf.zeros([config.batch, representation.SIZE])
        if config.passes > 1:
            r = coarse.all_passes(image, passes=config.passes - 1)[:, -1]
        answer, *seen = look(coarse.seen(image, r), training=False)
        return answer, (r + answer if coarse.config.residual else answer), tf.concat(seen, -1)

    count = -(-config.faces // config.batch)
    parts = []
    data = coarse_dataset(coarse.face_model, config.data, config.batch).take(count)
    for number, (image, r, _) in enumerate(tracked(data, "faces", total=count)):
        answer, estimate, seen = last_pass(image)
        held_out = np.full(config.batch, number % HELD_OUT == HELD_OUT - 1)
        parts.append((answer, answer + r - estimate, seen, held_out))
    answer, target, seen, held_out = (np.concatenate(part) for part in zip(*parts, strict=True))
    return {"answer": answer, "target": target, "seen": seen, "held_out": held_out}


def solve(faces: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The linear function of [answer, seen] that is best added to the answer.

    Args:
        faces: from `collect`.

    Returns:
        Its slope `[290 + K, 290]`, its offset `[290]`, and the penalty `[290]` that each coefficient took: in faces,
        for inputs of deviation 1, and infinite where no change is best.
    """
    inputs = np.concatenate([faces["answer"], faces["seen"]], axis=1).astype(np.float64)
    missing = (faces["target"] - faces["answer"]).astype(np.float64)
    held_out = faces["held_out"]
    # Inputs that hardly vary would be blown up.
    scale = np.maximum(inputs.std(0), 1e-2)

    def ridge(rows):
        middle, average = inputs[rows].mean(0), missing[rows].mean(0)
        x = (inputs[rows] - middle) / scale
        values, axes = np.linalg.eigh(x.T @ x)
        along = axes.T @ (x.T @ (missing[rows] - average))

        def solution(penalty):
            slope = axes @ (along / (np.maximum(values, 0.0)[:, None] + penalty)) / scale[:, None]
            return slope, average - middle @ slope

        return solution

    trial = ridge(~held_out)
    errors = [np.square(missing[held_out]).mean(0)]
    for penalty in PENALTIES:
        slope, offset = trial(penalty)
        errors.append(np.square(inputs[held_out] @ slope + offset - missing[held_out]).mean(0))
    best = np.argmin(errors, axis=0)
    final = ridge(np.ones(len(inputs), bool))
    slope, offset = np.zeros((inputs.shape[1], missing.shape[1])), np.zeros(missing.shape[1])
    for index, penalty in enumerate(PENALTIES, start=1):
        chosen = best == index
        if chosen.any():
            slope[:, chosen], offset[chosen] = (part[..., chosen] for part in final(penalty))
    return slope, offset, np.array([np.inf, *PENALTIES])[best]


def apply(network: keras.Model, slope: np.ndarray, offset: np.ndarray) -> None:
    """Adds the result of `solve` to the `linear_layers` of a CoarseNet's network."""
    layers = linear_layers(network)
    size = slope.shape[1]
    of_answer, rest = slope[:size], slope[size:]
    for layer in layers:
        kernel, *bias = layer.get_weights()
        added, rest = rest[: len(kernel)], rest[len(kernel) :]
        bias = [values + values @ of_answer for values in bias]
        if layer is layers[0]:
            bias[0] = bias[0] + offset
        layer.set_weights([kernel + kernel @ of_answer + added, *bias])


def main(arguments=None) -> int:
    """The command; returns its exit code."""
    defaults = RefitConfig()
    parser = argparse.ArgumentParser(prog="python -m tfface.pipelines.refit_coarse", description=__doc__)
    parser.add_argument("--coarse", required=True, metavar="RUN", help="folder of `tfface train coarse`")
    parser.add_argument("--output", required=True, metavar="RUN", help="folder for the same with its new last layer")
    parser.add_argument("--photos", metavar="DIR", help="photographs (default: synthetic faces only)")
    parser.add_argument("--fits", metavar="FILE", help="of these, from `tfface.pipelines.fit_photos`")
    parser.add_argument("--faces", type=int, default=defaults.faces)
    parser.add_argument("--seed", type=int, default=defaults.data.seed, help="of the faces")
    options = parser.parse_args(arguments)
    if options.faces < 10 * defaults.batch:
        print(f"tfface: expected --faces of at least {10 * defaults.batch}, received {options.faces}", file=sys.stderr)
        return 2
    if bool(options.photos) != bool(options.fits):
        print("tfface: expected --photos and --fits together, or neither", file=sys.stderr)
        return 2
    data = dataclasses.replace(defaults.data, photos=options.photos, fits=options.fits, seed=options.seed)
    try:
        coarse = load_coarse_run(options.coarse, MorphableModel.default())
        slope, offset, penalty = solve(collect(coarse, dataclasses.replace(defaults, faces=options.faces, data=data)))
        apply(coarse.network, slope, offset)
        save_coarse_run(coarse, Path(options.output))
    except (InputError, FileNotFoundError, ValueError, OSError) as error:
        print(f"tfface: {error}", file=sys.stderr)
        return 2
    print(f"{np.isfinite(penalty).sum()} of {len(penalty)} coefficients changed, median penalty {np.median(penalty):g}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
