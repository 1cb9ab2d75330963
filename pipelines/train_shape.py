"""Training of FineNet's `shape`, which corrects coarse surfaces over centimetres, on synthetic faces.

What it starts from in use is CoarseNet's answer. Running CoarseNet on every face would cost more than all the rest, so
its answers are collected once (`coarse_answers`), or its errors drawn: what it tells of identity and expression is
mostly the mean, with a small part of the truth.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tfface.losses.detail import detail_criterion
from tfface.morphable import representation
from tfface.networks import fine_net
from tfface.networks.cell_net import to_cells
from tfface.networks.shape_net import CELLS
from tfface.pipelines.coarse_answers import read_answers
from tfface.pipelines.coarse_data import CoarseDataConfig, synthetic_batches
from tfface.pipelines.fine_parts import compile_part, fit_part, start_part
from tfface.pipelines.sampling import seeds, uniform
from tfface.rendering.coarse_surface import CoarseSurface


@dataclasses.dataclass(frozen=True)
class MisfitConfig:
    """How coarse faces differ from the true ones. Measured on CoarseNet's answers to 416 synthetic faces.

    Attributes:
        identity: the share of the true identity that is kept is drawn between 0 and this.
        expression: the same of the expression.
        noise: standard deviation of what is added to each coefficient of either.
        angles: of what is added to pitch, yaw and roll, degrees.
        place: of what is added to u and v, half crop widths.
        scale: of what is added to ln(f/f₀).
    """

    identity: float = 0.4
    expression: float = 0.8
    noise: float = 0.2
    angles: tuple[float, float, float] = (4.0, 3.2, 2.4)
    place: float = 0.013
    scale: float = 0.027


@dataclasses.dataclass(frozen=True)
class TrainShapeConfig:
    """A training run; the same config and output folder continue it where it stopped.

    Attributes:
        output: folder of the run: `fine_net.keras`, `fine.npz`, `backup/` for resuming, `history.csv`.
        network: a `FineNetConfig` with `shape`.
        initial: .npz of FineNet's weights to start from; those of `shape` may be missing. None: random ones.
        answers: of `pipelines.coarse_answers`, whose faces are then trained on, over and over; None draws all errors.
        drawn: share of faces whose error is drawn although CoarseNet's answer is known.
        nearer: share of faces whose coarse shape is moved towards the true one by a random part of the way, so that
            what is right already is left alone.
        misfit: see `MisfitConfig`.
        faces: per step; with `answers`, of which there are as many in a batch.
        steps: in all.
        epoch_steps: per epoch, after which the networks are saved.
        learning_rate: of Adam, decayed by a cosine to a fiftieth.
        average: of the weights' moving average, which is what is saved.
        bending: weight of the mean curvature of what is added, per cell. Beside the nose, along the outline and in an
            open mouth depth jumps, and no truth tells what belongs there: what is smooth does.
        elsewhere: weight of ears, hair, neck and the inside of the mouth, where the rest of the face has 1.
        seed: of everything random.
    """

    output: str = "runs/shape"
    network: fine_net.FineNetConfig = dataclasses.field(
        default_factory=lambda: dataclasses.replace(fine_net.release(), shape=(32, 48, 64, 96))
    )
    initial: str | None = None
    answers: str | None = None
    drawn: float = 0.2
    nearer: float = 0.3
    misfit: MisfitConfig = MisfitConfig()
    faces: int = 16
    steps: int = 4000
    epoch_steps: int = 100
    learning_rate: float = 2e-3
    average: float = 0.995
    bending: float = 0.1
    elsewhere: float = 0.1
    seed: int = 0


PRESETS = {"release": TrainShapeConfig()}


def misfit(config: MisfitConfig, r: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Coarse answers `[B, 290]` to faces whose true r `[B, 290]` is known, of a seed `[2]`."""
    draw, identity, expression = seeds(seed, 3)
    count = tf.shape(r)[0]
    kept = [
        uniform([count, 1], identity, 0.0, config.identity) * tf.ones([1, representation.IDENTITY_SIZE]),
        uniform([count, 1], expression, 0.0, config.expression) * tf.ones([1, representation.EXPRESSION_SIZE]),
        tf.ones([count, representation.POSE_SIZE]),
    ]
    noise = np.concatenate(
        [
            np.full(representation.GEOMETRY_SIZE, config.noise),
            np.radians(config.angles),
            [config.place, config.place, config.scale],
        ]
    ).astype(np.float32)
    return r * tf.concat(kept, -1) + tf.random.stateless_normal(tf.shape(r), draw) * noise


def shape_dataset(model, config: TrainShapeConfig, start: int = 0) -> tf.data.Dataset:
    """Endless batches {"image", "depth", "mask", "detailed", "truth", "true_mask"}, `[B, 64, 64, 1]` each.

    `depth` is that of the coarse face and `truth` the true one, both in cells of the grid; `detailed` is 1 where both
    show skin, eyes or lips. Element i depends on the seed and i alone.

    Raises:
        FileNotFoundError, ValueError: see `coarse_answers.read_answers`.
        ValueError: there are answers to batches of another size.
    """
    surface = CoarseSurface(model)
    base = tf.constant(config.seed + 40, tf.int64)
    known, seed = read_answers(config.answers) if config.answers else (None, config.seed + 41)
    if known is not None and known.shape[1] != config.faces:
        raise ValueError(f"expected answers to batches of {config.faces} faces, received batches of {known.shape[1]}")

    def estimate(index, r):
        fit, pick, near, way = seeds(tf.stack([base, index]), 4)
        coarse, one_each = misfit(config.misfit, r, fit), [config.faces, 1]
        if known is not None:
            answer = tf.constant(known)[index % len(known)]
            coarse = tf.where(tf.random.stateless_uniform(one_each, pick) < config.drawn, coarse, answer)
        part = tf.random.stateless_uniform(one_each, way)
        moved = coarse + part * (r - coarse)
        return tf.where(tf.random.stateless_uniform(one_each, near) < config.nearer, moved, coarse)

    def render(r):
        return surface(representation.vertices_image(model, r, CELLS), CELLS, CELLS)

    def both(index, face):
        coarse = render(estimate(index + start, face["r"]))
        true = render(face["r"])
        return {
            "image": to_cells(face["image"], CELLS),
            "depth": coarse.depth,
            "mask": coarse.mask,
            "detailed": coarse.detailed * true.detailed,
            "truth": true.depth,
            "true_mask": true.mask,
        }

    world = CoarseDataConfig(seed=seed)
    if known is None:
        faces = synthetic_batches(model, world, config.faces, start)
    else:
        again = synthetic_batches(model, world, config.faces, 0).take(len(known)).repeat()
        faces = again.skip(start % len(known))
    return faces.enumerate().map(both, num_parallel_calls=2, deterministic=True).prefetch(2)


def curvature(relief: tf.Tensor) -> tf.Tensor:
    """Mean absolute second difference of `[B, H, W, 1]` along rows and columns, smooth at zero; a scalar."""
    across = relief[:, :, 2:] - 2.0 * relief[:, :, 1:-1] + relief[:, :, :-2]
    down = relief[:, 2:] - 2.0 * relief[:, 1:-1] + relief[:, :-2]
    return tf.add_n([tf.reduce_mean(tf.sqrt(tf.square(d) + 4e-4) - 0.02) for d in (across, down)])


@keras.saving.register_keras_serializable(package="tfface")
class ShapeTrainer(keras.Model):
    """Trains the `shape` of a FineNet by `fit`.

    Args:
        fine: a `FineNet` with `shape`.
        bending, elsewhere: see `TrainShapeConfig`.
    """

    def __init__(self, fine, bending: float = 0.1, elsewhere: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.fine, self.bending, self.elsewhere = fine, bending, elsewhere
        self._means = {name: keras.metrics.Mean(name=name) for name in ("loss", "closer", "curvature")}
        self.built = True

    @property
    def metrics(self):
        return list(self._means.values())

    def terms(self, faces, training=False):
        """`losses.detail.DetailTerms` of a batch of `shape_dataset`, and the mean curvature of what was added."""
        image, depth, mask, truth = (faces[name] for name in ("image", "depth", "mask", "truth"))
        relief = self.fine.relief(image, depth, mask, training=training)
        refined = depth + mask * relief
        valid = mask * faces["true_mask"] * (self.elsewhere + (1.0 - self.elsewhere) * faces["detailed"])
        return detail_criterion(refined, truth, depth, valid, max_step=2.0), curvature(relief)

    def train_step(self, data):
        with tf.GradientTape() as tape:
            terms, bent = self.terms(data, training=True)
            loss = tf.reduce_mean(terms.total) + self.bending * bent
        variables = self.fine.shape_net.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self._means["loss"].update_state(loss)
        # A coarse face that is all but right makes a share of its error without meaning.
        self._means["closer"].update_state(tf.reduce_mean(tf.maximum(terms.closer, -1.0)))
        self._means["curvature"].update_state(bent)
        return {name: mean.result() for name, mean in self._means.items()}


def build_trainer(config: TrainShapeConfig) -> ShapeTrainer:
    """The compiled trainer of a run, at its initial weights; errors as `fine_parts.start_part` has them."""
    fine = start_part(config, "shape_net")
    return compile_part(ShapeTrainer(fine, config.bending, config.elsewhere), fine.shape_net, config)


def train_shape(model, config: TrainShapeConfig):
    """Trains, or goes on where an interrupted run stopped; returns the FineNet.

    Args:
        model: a `MorphableModel`.
        config: the run.

    Raises:
        FileNotFoundError: there are no initial weights.
        ValueError: they are of another FineNet, or the network has no `shape`.
    """
    trainer = build_trainer(config)
    fit_part(trainer, trainer.fine.shape_net, config, lambda start: shape_dataset(model, config, start))
    return trainer.fine
