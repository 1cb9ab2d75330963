"""Training of FineNet's `context`, which judges detail by the whole face, on heads with known wrinkles.

The coarse faces are CoarseNet's answers, or as wrong as those are. What is asked for is the true surface, but for what
is wide of a coarse face's error: a tilt of the head is nothing that a pixel shows.

What a step sees takes longer to make than to learn from, so some steps' pictures can be kept on disk and shown again.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfface.losses.detail import detail_criterion, painted
from tfface.losses.local import local_means
from tfface.morphable import representation
from tfface.networks import context_net, fine_net
from tfface.networks.cell_net import to_cells
from tfface.output import write_arrays
from tfface.pipelines.assemble import load_coarse_run
from tfface.pipelines.detail_bank import DetailBankConfig, detail_dataset
from tfface.pipelines.fine_parts import compile_part, fit_part, start_part
from tfface.pipelines.runs import write_config
from tfface.pipelines.sampling import seeds, uniform
from tfface.pipelines.shuffling import seekable_indices
from tfface.pipelines.train_shape import MisfitConfig, curvature, misfit
from tfface.progress import tracked
from tfface.rendering.coarse_surface import CoarseSurface

_EPSILON = 0.02
"""Of the criterion: what normals are off by on all but young skin counts by its size, not by its square."""

_NARROW = context_net.WIDEST / context_net.CELLS
"""Of a crop's width; an error of the coarse face is asked for without its mean within a Gaussian of this size, as what
the network adds is without its own."""

_KEPT = 0.5
"""Weight of a cell of added relief beside that of doubled detail, where nothing tells what belongs there."""


@dataclasses.dataclass(frozen=True)
class TrainContextConfig:
    """A training run; the same config and output folder continue it where it stopped.

    Attributes:
        output: folder of the run: `fine_net.keras`, `fine.npz`, `backup/` for resuming, `history.csv`.
        network: a `FineNetConfig` with `context`.
        initial: .npz of FineNet's weights to start from; those of `context` may be missing. None: random ones.
        heads: see `DetailBankConfig`; what it says of coarse faces and of the batch is left aside.
        batches: heads per step of each of `heads.sizes`.
        exact: share of heads whose coarse face is the true one.
        coarse: folder of a run of `tfface train coarse`, or of a model; None leaves its answers out.
        answered: share of heads that start from that CoarseNet's answer to the picture, if there is one. The others
            start from a wrong face of `misfit`, moved towards the true one by a random part of the way.
        misfit: see `MisfitConfig`.
        gamma: brightness is raised to a power of up to exp(±this).
        marks: by how much more than bare skin what is painted counts.
        elsewhere: weight of eyes, lips and brows, where heads have no relief: there, detail is to stay as it is.
        bending: weight of the mean curvature of what is added, per cell.
        kept: of so many steps the pictures are made once, kept in `output`/pictures with what FineNet says of them,
            and shown again and again, in another order and as often mirrored as not. 0: no picture is seen twice.
        steps: in all.
        epoch_steps: per epoch, after which the networks are saved.
        learning_rate: of Adam, decayed by a cosine to a fiftieth.
        average: of the weights' moving average, which is what is saved.
        seed: of everything random but the heads, which have their own.
    """

    output: str = "runs/context"
    network: fine_net.FineNetConfig = dataclasses.field(
        default_factory=lambda: dataclasses.replace(fine_net.release(), context=(32, 48, 64, 96))
    )
    initial: str | None = None
    heads: DetailBankConfig = DetailBankConfig(flat=0.15, painted=0.5, shaded=0.2)
    batches: tuple[int, ...] = (5, 1)
    exact: float = 0.2
    coarse: str | None = None
    answered: float = 0.7
    misfit: MisfitConfig = MisfitConfig()
    gamma: float = 0.2
    marks: float = 4.0
    elsewhere: float = 0.1
    bending: float = 0.02
    kept: int = 0
    steps: int = 7000
    epoch_steps: int = 100
    learning_rate: float = 1e-3
    average: float = 0.998
    seed: int = 0


PRESETS = {"release": TrainContextConfig()}


def context_dataset(model, config: TrainContextConfig, start: int = 0) -> tf.data.Dataset:
    """Endless tuples, one for each of `heads.sizes`, of {"image", "depth", "mask", "truth", "valid", "paint", "rest"}.

    All are `[B, S, S, 1]`: `depth` that of the coarse face in px, `truth` the one that is asked for, `valid` where it
    is known, `paint` how much of that is painted (see `losses.detail.painted`), and `rest` what else both faces show.
    Element i depends on the seeds and i alone.

    Args:
        model: a `MorphableModel`.
        config: the run.
        start: number of the first element, to resume.

    Raises:
        FileNotFoundError, ValueError: see `detail_bank.detail_dataset`, and of CoarseNet `assemble.load_coarse_run`.
        ValueError: there are no heads, or not as many batches as sizes.
    """
    if not config.heads.path:
        raise ValueError("expected a folder of heads; name one with --heads")
    if len(config.batches) != len(config.heads.sizes):
        raise ValueError(
            f"expected as many batches as sizes of heads, {len(config.heads.sizes)}, received {config.batches}"
        )
    surface = CoarseSurface(model)
    coarse_net = load_coarse_run(config.coarse, model) if config.coarse else None
    base = tf.constant(config.seed + 60, tf.int64)

    def coarse(r, image, seed):
        off, way, pick = seeds(seed, 3)
        one_each = [tf.shape(r)[0], 1]
        wrong = misfit(config.misfit, r, off)
        wrong += uniform(one_each, way) * (r - wrong)
        draw = uniform(one_each, pick)
        if coarse_net is not None:
            crops = to_cells(image, coarse_net.config.size)
            wrong = tf.where(draw > 1.0 - config.answered, coarse_net(crops, training=False), wrong)
        return tf.where(draw < config.exact, r, wrong)

    def ready(size):
        def render(r):
            return surface(representation.vertices_image(model, r, size), size, size)

        def head(index, known):
            fit, curve = seeds(tf.stack([base + size, index + start]), 2)
            gamma = uniform([tf.shape(known["r"])[0], 1, 1, 1], curve, -config.gamma, config.gamma)
            image = tf.pow(known["image"], tf.exp(gamma))
            true, found = render(known["r"]), render(coarse(known["r"], image, fit))
            shown = known["mask"] * true.mask * found.mask
            off = (true.depth - found.depth) * shown
            (wide,) = local_means([off], shown, _NARROW * size)
            return {
                "image": image,
                "depth": found.depth,
                "mask": found.mask,
                "truth": found.depth + (known["depth"] - true.depth + off - wide) * shown,
                "valid": shown * known["skin"],
                "paint": painted(known["albedo"], known["mask"]),
                "rest": shown * (1.0 - known["skin"]),
            }

        return head

    pictures = []
    for size, batch in zip(config.heads.sizes, config.batches, strict=True):
        heads = detail_dataset(dataclasses.replace(config.heads, batch=batch), size, start)
        pictures.append(heads.enumerate().map(ready(size), num_parallel_calls=2, deterministic=True))
    return tf.data.Dataset.zip(tuple(pictures)).prefetch(2)


def keep_pictures(fine, dataset: Callable[[int], tf.data.Dataset], folder: Path, steps: int) -> list[Path]:
    """What the first `steps` elements of a `context_dataset` hold, a file each; goes on where it was stopped.

    Args:
        fine: the `FineNet` whose "detail" `[B, S, S, 1]` px, before `context`, is kept with them.
        dataset: from the number of an element to the data from there on.
        folder: is made if need be.
        steps: how many.
    """
    paths = [folder / f"{number:05}.npz" for number in range(steps)]
    there = next((number for number, path in enumerate(paths) if not path.is_file()), steps)
    say = tf.function(lambda heads: _said(fine, heads)[1])
    for path, of_sizes in zip(tracked(paths[there:], "pictures"), dataset(there), strict=False):
        arrays = {}
        for number, heads in enumerate(of_sizes):
            for name, value in (heads | {"detail": say(heads)}).items():
                # Depths differ by less than float16 can tell at a hundred px; differences of depths don't.
                value = value - heads["depth"] if name == "truth" else value
                arrays[f"{name}_{number}"] = np.asarray(value, np.float32 if name == "depth" else np.float16)
        write_arrays(path, arrays, compressed=False)
    return paths


def kept_pictures(paths: list[Path], seed: int, start: int = 0) -> tf.data.Dataset:
    """Endless elements of a `context_dataset` from files of `keep_pictures`, each half of the times mirrored.

    Args:
        paths: of the files.
        seed: of their order, new in each round.
        start: number of the first element, to resume.
    """
    with np.load(paths[0], allow_pickle=False) as file:
        keys, shapes = file.files, [file[name].shape for name in file.files]

    def read(index):
        with np.load(paths[int(index)], allow_pickle=False) as file:
            return [np.float32(file[name]) for name in keys]

    def element(position, index):
        values = tf.numpy_function(read, [index[0]], [tf.float32] * len(keys), stateful=False)
        turned = uniform([], tf.stack([tf.constant(seed + 61, tf.int64), position[0]])) < 0.5
        of_sizes = {}
        for name, value, shape in zip(keys, values, shapes, strict=True):
            name, number = name.rsplit("_", 1)
            value = tf.ensure_shape(value, shape)
            of_sizes.setdefault(number, {})[name] = tf.where(turned, tf.reverse(value, [2]), value)
        for heads in of_sizes.values():
            heads["truth"] += heads["depth"]
        return tuple(of_sizes[number] for number in sorted(of_sizes))

    order = seekable_indices(len(paths), 1, seed, start)
    return order.map(element, num_parallel_calls=2, deterministic=True).prefetch(2)


def _said(fine, heads) -> tuple[tf.Tensor, tf.Tensor]:
    """What FineNet's convolutions read of heads, and their detail in px, which may be known already."""
    prepared = fine.prepare(*(heads[name] for name in ("image", "depth", "mask")))
    if "detail" in heads:
        return prepared, heads["detail"]
    return prepared, fine.detail(prepared, heads["mask"], training=False)


@keras.saving.register_keras_serializable(package="tfface")
class ContextTrainer(keras.Model):
    """Trains the `context` of a FineNet by `fit`.

    Args:
        fine: a `FineNet` with `context`.
        marks, elsewhere, bending: see `TrainContextConfig`.
    """

    def __init__(self, fine, marks: float = 4.0, elsewhere: float = 0.1, bending: float = 0.02, **kwargs):
        super().__init__(**kwargs)
        self.fine, self.marks, self.elsewhere, self.bending = fine, marks, elsewhere, bending
        # `closer` as `losses.detail` has it, `before` the same of FineNet's detail as it is.
        self._means = {name: keras.metrics.Mean(name=name) for name in ("loss", "closer", "before")}
        self.built = True

    @property
    def metrics(self):
        return list(self._means.values())

    def terms(self, heads, training=False) -> dict[str, tf.Tensor]:
        """The means of `metrics`, scalars, of one size's heads."""
        depth, mask, truth, valid = (heads[name] for name in ("depth", "mask", "truth", "valid"))
        # Nothing before it is trained: gradients end here.
        prepared, detail = map(tf.stop_gradient, _said(self.fine, heads))
        weight, relief = self.fine.judge(prepared, detail, mask, training=training)
        base, judged = depth * mask, self.fine.as_judged(weight, relief, detail, mask)
        found = detail_criterion(
            base + judged, truth, base, valid * (1.0 + self.marks * heads["paint"]), epsilon=_EPSILON
        )
        changed = tf.square(weight - 1.0) + _KEPT * tf.abs(relief)
        kept = tf.reduce_mean(to_cells(heads["rest"], context_net.CELLS) * changed)
        loss = tf.reduce_mean(found.total) + self.elsewhere * kept + self.bending * curvature(relief)
        # A picture with hardly any relief makes a share of it without meaning.
        shares = [
            tf.reduce_mean(tf.maximum(detail_criterion(base + z, truth, base, valid).closer, -1.0))
            for z in (judged, detail)
        ]
        return {"loss": loss, "closer": shares[0], "before": shares[1]}

    def train_step(self, data):
        with tf.GradientTape() as tape:
            of_sizes = [self.terms(heads, training=True) for heads in data]
            loss = tf.add_n([terms["loss"] for terms in of_sizes])
        variables = self.fine.context_net.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        for terms in of_sizes:
            for name, mean in self._means.items():
                mean.update_state(terms[name])
        return {name: mean.result() for name, mean in self._means.items()}


def build_trainer(config: TrainContextConfig) -> ContextTrainer:
    """The compiled trainer of a run, at its initial weights; errors as `fine_parts.start_part` has them."""
    fine = start_part(config, "context_net")
    trainer = ContextTrainer(fine, config.marks, config.elsewhere, config.bending)
    return compile_part(trainer, fine.context_net, config)


def train_context(model, config: TrainContextConfig):
    """Trains, or goes on where an interrupted run stopped; returns the FineNet.

    Args:
        model: a `MorphableModel`.
        config: the run.

    Raises:
        FileNotFoundError: there are no initial weights, heads or CoarseNet.
        ValueError: one of these files is something else, the network has no `context`, or `kept` is negative.
    """
    if config.kept < 0:
        raise ValueError(f"expected to keep the pictures of 0 steps or more, received {config.kept}")
    trainer = build_trainer(config)

    def dataset(start):
        return context_dataset(model, config, start)

    if config.kept:
        paths = keep_pictures(trainer.fine, dataset, write_config(config) / "pictures", config.kept)
        dataset = functools.partial(kept_pictures, paths, config.seed)
    fit_part(trainer, trainer.fine.context_net, config, dataset)
    return trainer.fine
