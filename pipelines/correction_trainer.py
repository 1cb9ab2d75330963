"""What the trainings of CoarseNet's corrections share: the criterion, the optimizer, resuming, and what is saved."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfface.losses.estimates import EstimateCriterion, EstimateWeights
from tfface.networks.coarse_net import IterativeCoarseNet
from tfface.pipelines.assemble import save_coarse_run
from tfface.pipelines.runs import averaged, fit


def joined(parts: dict[str, list[np.ndarray]]) -> dict[str, tf.Tensor]:
    """Arrays of several files as one tensor per name; `parts` is emptied.

    On the CPU, whole: those of one name are let go of while the next is joined.
    """
    return {name: tf.constant(np.concatenate(parts.pop(name))) for name in list(parts)}


def check_sources(config) -> None:
    """Refuses a run, before hours of collecting faces, that can't find what it needs.

    Args:
        config: of the run: its `coarse` and `data` count.

    Raises:
        ValueError: no CoarseNet is named, or photographs without fits.
    """
    if not config.coarse:
        raise ValueError("expected a run of CoarseNet that is to be corrected; name one with --coarse")
    if bool(config.data.photos) != bool(config.data.fits):
        raise ValueError("expected --photos and --fits together, or neither")


class CorrectionTrainer(keras.Model):
    """Trains one correction of a CoarseNet by `fit`; a subclass has `answer`.

    Args:
        coarse: an `IterativeCoarseNet`.
        network: the one of its corrections that is trained.
        weights: of the criterion.
        seed: of what is dropped out.
    """

    def __init__(self, coarse: IterativeCoarseNet, network: keras.Model, weights: EstimateWeights, seed: int, **kwargs):
        super().__init__(**kwargs)
        # Not CoarseNet: all layers that a Keras model holds are taken to be what it trains.
        self.network, self.seed = network, seed
        for layer in network.layers:
            layer.trainable = True
        network.trainable = True
        self.criterion = EstimateCriterion(coarse.face_model, coarse.config.size, weights)
        # Mean distances of the landmarks in px, and those before the correction.
        self._means = {name: keras.metrics.Mean(name=name) for name in ("loss", "landmarks_px", "before_px")}
        self._dropouts = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
        self.built = True

    @property
    def metrics(self):
        return list(self._means.values())

    def answer(self, faces: dict, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """r `[B, 290]` as the network makes it of faces' "estimate", and what else is made small, `[B]`."""
        raise NotImplementedError

    def call(self, faces, training=False):
        return self.answer(faces, training)[0]

    def train_step(self, faces):
        # A backup doesn't hold how far random numbers have come: each step has its own, also after one is restored.
        for number, layer in enumerate(self._dropouts):
            state = layer.seed_generator.state
            state.assign(tf.cast(tf.stack([self.seed + number, self.optimizer.iterations.value]), state.dtype))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self._note(faces, training=True))
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return self.get_metrics_result()

    def test_step(self, faces):
        self._note(faces, training=False)
        return self.get_metrics_result()

    def _note(self, faces, training):
        """What is made small `[B]`, taken into the metrics."""
        found, beside = self.answer(faces, training)
        loss = self.criterion(faces["r"], found, faces["photo"]) + beside
        self._means["loss"].update_state(loss)
        for name, r in (("landmarks_px", found), ("before_px", faces["estimate"])):
            self._means[name].update_state(self.criterion.landmarks_px(faces["r"], r))
        return loss

    def compile_for(self, config) -> None:
        """AdamW, whose learning rate rises over 100 steps and falls along a cosine to a fiftieth.

        Args:
            config: of the run: its `learning_rate`, `steps`, `weight_decay` and `average` count.
        """
        schedule = keras.optimizers.schedules.CosineDecay(
            0.05 * config.learning_rate,
            config.steps,
            alpha=0.02,
            warmup_target=config.learning_rate,
            warmup_steps=100,
        )
        optimizer = keras.optimizers.AdamW(
            schedule,
            weight_decay=config.weight_decay,
            global_clipnorm=2.0,
            use_ema=True,
            ema_momentum=config.average,
        )
        self.compile(optimizer, jit_compile=False)
        # The optimizer needs its variables before a backup can be restored into it.
        optimizer.build(self.network.trainable_variables)

    def train(self, coarse: IterativeCoarseNet, dataset, held_out: tf.data.Dataset, config) -> None:
        """Trains, or goes on where an interrupted run stopped, and saves CoarseNet after every epoch.

        Args:
            coarse: whose correction this is.
            dataset: a function of the number of the first batch.
            held_out: validated on.
            config: of the run: its `output`, `steps` and `epoch_steps` count.
        """
        callbacks = [SaveRun(coarse, Path(config.output)), keras.callbacks.TerminateOnNaN()]
        fit(self, config, dataset, callbacks, validation_data=held_out)


class SaveRun(keras.callbacks.Callback):
    """Writes CoarseNet with the averaged weights of the correction, complete and loadable, after every epoch."""

    def __init__(self, coarse: IterativeCoarseNet, folder: Path):
        super().__init__()
        self.coarse, self.folder = coarse, folder

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.model.optimizer, self.model.network.trainable_variables):
            save_coarse_run(self.coarse, self.folder)
