"""Training of FineNet's `skin`, which tells bare skin from what is before it, so that detail is added to skin alone.

It learns from photographs that were labelled by their colours (`skin_labels`), and sees them in grey, with hair,
glasses, caps and hands drawn over some, which are known exactly. Heads with deep wrinkles (`detail_bank`), all of which
are skin, keep it from taking folds for something else, as labels now and then do.
"""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfface.morphable import representation
from tfface.networks import fine_net
from tfface.networks.cell_net import to_cells
from tfface.networks.fine_net import SKIN_CELLS, FineNet
from tfface.networks.weights import save_weights
from tfface.pipelines.assemble import load_fine_weights, save_fine_run
from tfface.pipelines.detail_bank import DetailBankConfig, detail_dataset
from tfface.pipelines.occluders import Occluders, strands
from tfface.pipelines.photographer import misfit
from tfface.pipelines.runs import averaged, fit, write_config
from tfface.pipelines.sampling import seeds, uniform
from tfface.pipelines.shuffling import seekable_indices
from tfface.pipelines.skin_labels import SIZE, read_labels
from tfface.rendering.coarse_surface import CoarseSurface
from tfface.rendering.visibility import interpolate

_CHANGED = 0.04


@dataclasses.dataclass(frozen=True)
class TrainSkinConfig:
    """A training run; the same config and output folder continue it where it stopped.

    Attributes:
        output: folder of the run: `fine_net.keras`, `fine.npz`, `backup/` for resuming, `history.csv`.
        network: a `FineNetConfig` with `skin`.
        initial: .npz of FineNet's weights to start from; those of `skin` may be missing. None: random ones.
        labels: photographs and their skin, from `tfface.pipelines.skin_labels`.
        photos: photographs per step.
        heads: heads that are all skin, and how many per step; without a path there are none. What it says of coarse
            faces that are somewhat wrong holds for photographs too.
        strands: share of the pictures that loose hair is drawn over, beside what `occluders` draws.
        gamma: brightness is raised to a power of up to exp(±this).
        noise: standard deviation, 0…1, of up to which noise is added.
        steps: in all.
        epoch_steps: per epoch, after which the networks are saved.
        learning_rate: of Adam, decayed by a cosine to a fiftieth.
        average: of the weights' moving average, which is what is saved.
        seed: of everything random.
    """

    output: str = "runs/skin"
    network: fine_net.FineNetConfig = dataclasses.field(default_factory=fine_net.release)
    initial: str | None = None
    labels: str = "runs/skin.npz"
    photos: int = 8
    heads: DetailBankConfig = DetailBankConfig(
        batch=4, exact=0.0, identity_off=0.25, expression_off=0.15, angle_off=2.0, painted=0.3, shaded=0.3
    )
    strands: float = 0.25
    gamma: float = 0.3
    noise: float = 0.02
    steps: int = 2000
    epoch_steps: int = 100
    learning_rate: float = 2e-3
    average: float = 0.995
    seed: int = 0


PRESETS = {"release": TrainSkinConfig()}


def skin_dataset(model, config: TrainSkinConfig, start: int = 0) -> tf.data.Dataset:
    """Endless batches {"image", "depth", "mask", "skin", "weight"}, `[B, 128, 128, 1]` each.

    `depth` is that of the coarse face in cells; `skin` is the share of skin in a cell, and `weight` how much that is to
    be believed. Element i depends on the seed and i alone.

    Args:
        model: a `MorphableModel`.
        config: the run.
        start: number of the first batch, to resume.

    Raises:
        FileNotFoundError, ValueError: see `skin_labels.read_labels` and `detail_bank.detail_dataset`.
    """
    table = {name: tf.constant(value) for name, value in read_labels(config.labels).items()}
    mirror, occluders, surface = model.reflection, Occluders(model, SIZE), CoarseSurface(model)
    regions = np.stack([model.region_mask("eyes", "lips", "mouth"), model.region_mask("brows")], axis=-1)
    regions = tf.constant(regions[None], tf.float32)
    base = tf.constant(config.seed + 50, tf.int64)

    def photographs(index, rows):
        r, image, skin = (tf.gather(table[name], rows) for name in ("r", "image", "skin"))
        turn, near = seeds(tf.stack([base, index]), 2)
        flip = tf.random.stateless_uniform([config.photos], turn) < 0.5
        r = tf.where(flip[:, None], mirror(r), r)
        image, skin = (
            tf.where(flip[:, None, None, None], x[:, :, ::-1], x)
            for x in (tf.cast(v, tf.float32)[..., None] / 255.0 for v in (image, skin))
        )
        sure = tf.constant([0.0, 1.0])[None] * tf.ones([config.photos, 1])
        return {"image": image, "r": r, "coarse_r": misfit(config.heads, r, near), "skin": skin, "sure": sure}

    @tf.autograph.experimental.do_not_convert
    def with_heads(photos, heads):
        sure = tf.constant([1.0, 0.0])[None] * tf.ones([config.heads.batch, 1])
        known = {name: heads[name] for name in ("image", "r", "coarse_r")}
        known |= {"skin": to_cells(heads["mask"], SKIN_CELLS), "sure": sure}
        return {name: tf.concat([photos[name], known[name]], axis=0) for name in photos}

    @tf.autograph.experimental.do_not_convert
    def finish(index, faces):
        worn, hair, some, curve, grain, level = seeds(tf.stack([base + 1, index + start]), 6)
        image = faces["image"]
        one_each = [image.shape[0], 1, 1, 1]
        covered = occluders(image, faces["r"], worn)
        covered = tf.where(uniform(one_each, some) < config.strands, strands(covered, hair), covered)
        hidden = to_cells(tf.cast(tf.abs(covered - image) > _CHANGED, tf.float32), SKIN_CELLS)
        covered = tf.pow(
            tf.clip_by_value(covered, 0.0, 1.0), tf.exp(uniform(one_each, curve, -config.gamma, config.gamma))
        )
        covered += tf.random.stateless_normal(tf.shape(covered), grain) * uniform(one_each, level, 0.0, config.noise)
        vertices = representation.vertices_image(model, faces["coarse_r"], SKIN_CELLS)
        found = surface(vertices, SKIN_CELLS, SKIN_CELLS)
        seen = interpolate(found.visibility, surface.triangles, tf.tile(regions, [image.shape[0], 1, 1]))
        # Eyes and lips have colours of their own, which labels don't know; brows of heads are but painted.
        unsure = tf.reduce_sum(seen * (1.0 - faces["sure"][:, None, None, :]), axis=-1, keepdims=True)
        return {
            "image": to_cells(covered, SKIN_CELLS),
            "depth": found.depth,
            "mask": found.mask,
            "skin": faces["skin"] * (1.0 - hidden),
            "weight": found.detailed * tf.maximum(1.0 - tf.minimum(unsure, 1.0), hidden),
        }

    rows = seekable_indices(len(table["r"]), config.photos, config.seed, start)
    data = rows.enumerate(start).map(lambda i, row: photographs(i, row[1]), num_parallel_calls=2, deterministic=True)
    if config.heads.path:
        heads = detail_dataset(config.heads, SIZE, start)
        data = tf.data.Dataset.zip((data, heads)).map(with_heads, num_parallel_calls=2, deterministic=True)
    return data.enumerate().map(finish, num_parallel_calls=2, deterministic=True).prefetch(2)


@keras.saving.register_keras_serializable(package="tfface")
class SkinTrainer(keras.Model):
    """Trains the `skin` of a FineNet by `fit`, by the cross-entropy of its answers.

    Args:
        fine: a `FineNet` with `skin`.
    """

    def __init__(self, fine, **kwargs):
        super().__init__(**kwargs)
        self.fine = fine
        self._means = {name: keras.metrics.Mean(name=name) for name in ("loss", "wrong")}
        self.built = True

    @property
    def metrics(self):
        return list(self._means.values())

    def terms(self, faces, training=False):
        """The loss, and the share of cells on the wrong side of one half; scalars."""
        logits = self.fine.skin_logits(faces["image"], faces["depth"], faces["mask"], training=training)
        total = tf.maximum(tf.reduce_sum(faces["weight"]), 1.0)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(faces["skin"], logits)
        wrong = tf.cast((logits > 0.0) != (faces["skin"] > 0.5), tf.float32)
        return [tf.reduce_sum(x * faces["weight"]) / total for x in (entropy, wrong)]

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss, wrong = self.terms(data, training=True)
        variables = self.fine.skin_net.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self._means["loss"].update_state(loss)
        self._means["wrong"].update_state(wrong)
        return {name: mean.result() for name, mean in self._means.items()}


class SaveFineNet(keras.callbacks.Callback):
    """Writes the network with its averaged weights, complete and loadable, after every epoch."""

    def __init__(self, fine, folder):
        super().__init__()
        self.fine, self.folder = fine, Path(folder)

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.model.optimizer, self.fine.skin_net.trainable_variables):
            save_fine_run(self.fine, self.folder)
            save_weights(self.fine, self.folder / "fine.npz")


def build_trainer(config: TrainSkinConfig) -> SkinTrainer:
    """The compiled trainer of a run, at its initial weights, with nothing but `skin` left to train.

    The learning rate rises over 100 steps, or a tenth of a shorter run: without them a wide network's last hidden layer
    fell silent, for good.

    Raises:
        FileNotFoundError: there are no initial weights.
        ValueError: they are of another FineNet, or the network has no `skin`.
    """
    if not config.network.skin:
        raise ValueError("expected a FineNet with `skin` widths, such as (16, 32, 48), received one without")
    keras.utils.set_random_seed(config.seed)
    fine = FineNet(config.network)
    fine.build()
    if config.initial:
        load_fine_weights(fine, config.initial)
    # Keras, too, is to average and keep only what is trained here.
    for layer in fine.layers:
        layer.trainable = layer is fine.skin_net
    schedule = keras.optimizers.schedules.CosineDecay(
        0.01 * config.learning_rate,
        config.steps,
        alpha=0.02,
        warmup_target=config.learning_rate,
        warmup_steps=min(100, config.steps // 10),
    )
    trainer = SkinTrainer(fine)
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=1.0, use_ema=True, ema_momentum=config.average)
    trainer.compile(optimizer, jit_compile=False)
    # The optimizer needs its variables before a backup can be restored into it.
    optimizer.build(fine.skin_net.trainable_variables)
    return trainer


def train_skin(model, config: TrainSkinConfig):
    """Trains, or goes on where an interrupted run stopped; returns the FineNet.

    Args:
        model: a `MorphableModel`.
        config: the run.

    Raises:
        FileNotFoundError: there are no initial weights, labels or heads.
        ValueError: one of these files is something else, or the network has no `skin`.
    """
    trainer = build_trainer(config)
    output = write_config(config)
    callbacks = [SaveFineNet(trainer.fine, output), keras.callbacks.TerminateOnNaN()]
    fit(trainer, config, lambda start: skin_dataset(model, config, start), callbacks)
    return trainer.fine
