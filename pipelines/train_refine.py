"""Training of CoarseNet's `refined` correction, on faces as CoarseNet and its `aligned` correction leave them.

Faces are collected first, in files of 800, and what the network sees of them is computed once: then a step costs a
tenth of what it would with rendering and CoarseNet in it. An interrupted run goes on after its last file or epoch.
"""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfface.losses.geometry import geometry_gram, gmse
from tfface.losses.landmarks import FeatureShape, ProjectedLandmarks
from tfface.morphable import representation
from tfface.networks.coarse_net import IterativeCoarseNet
from tfface.networks.point_head import point_vertices
from tfface.output import write_arrays
from tfface.pipelines.assemble import load_coarse_run, save_coarse_run
from tfface.pipelines.coarse_data import CoarseDataConfig
from tfface.pipelines.fit_aligned import FitAlignedConfig, collect
from tfface.pipelines.runs import averaged, finished_epochs, verbosity, write_config
from tfface.pipelines.shuffling import seekable_indices
from tfface.progress import tracked
from tfface.rendering.aligned_view import DIRECTIONS, AlignedView

_POINTS = 468
"""Vertices whose projections count: the 68 landmarks and others spread over the face. With those of the whole head, of
which the picture tells little, landmarks came nearer half as fast."""


@dataclasses.dataclass(frozen=True)
class TrainRefineConfig:
    """A training run; the same config and output folder continue it where it stopped.

    Attributes:
        output: folder of the run: `faces/`, `views/`, `backup/` for resuming, `history.csv`, and, as of `tfface train
            coarse`, `coarse_net.json` and the weights.
        coarse: folder of a run, best with an `aligned` correction, or of a model; what is `refined` already is trained
            anew.
        data: where faces come from; of `photo_share` and `reposed_share` only the ratio counts here. The seed should
            not be that of the faces that `aligned` was fitted to, which it makes fewer errors on.
        synthetic, photographs: how many, rounded up to files, of which the last is held out; no photographs without
            `data.photos`.
        network: widths of `refine_net`.
        features: weight of the distances within features, mm, beside px (see `losses.landmarks.FeatureShape`).
        depth: of distances in depth, px, about their mean.
        shape: of GMSE (4), mm².
        prior: of the squared error of the coefficients.
        photo_points, photo_shape: what points beside the landmarks, and shape, count on photographs, whose fits know
            little but landmarks; where a synthetic face has 1. Depth doesn't count at all there.
        batch: faces per step; each counts as it is and mirrored, at random.
        steps: in all.
        epoch_steps: per epoch, after which the network is saved.
        learning_rate: of AdamW, after a rise over 100 steps; it falls along a cosine to a fiftieth.
        weight_decay: of AdamW.
        average: of the weights' moving average, which is what is saved.
        seed: of everything random but the faces.
    """

    output: str = "runs/refine"
    coarse: str | None = None
    data: CoarseDataConfig = CoarseDataConfig(photo_share=0.6, reposed_share=0.4, seed=311)
    synthetic: int = 33600
    photographs: int = 31200
    network: tuple[int, ...] = (48, 64, 128)
    features: float = 0.3
    depth: float = 0.5
    shape: float = 0.05
    prior: float = 0.02
    photo_points: float = 0.1
    photo_shape: float = 0.6
    batch: int = 64
    steps: int = 11000
    epoch_steps: int = 500
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    average: float = 0.995
    seed: int = 0


PRESETS = {"release": TrainRefineConfig()}


def unrefined(coarse: IterativeCoarseNet) -> IterativeCoarseNet:
    """The same CoarseNet without `refined`."""
    if not coarse.config.refined:
        return coarse
    plain = IterativeCoarseNet(coarse.face_model, dataclasses.replace(coarse.config, refined=()))
    plain.network.set_weights(coarse.network.get_weights())
    for name, network in plain.corrections.items():
        network.set_weights(coarse.corrections[name].get_weights())
    return plain


def collect_views(coarse: IterativeCoarseNet, config: TrainRefineConfig) -> list[list[Path]]:
    """Files of what the network sees, of synthetic faces and of photographs, written if they aren't there yet.

    Each holds {"gradients", "mirrored" `[800, 32, 32, 9]` float16, "r", "estimate" `[800, 290]`, "photo"}: the picture
    and its mirror image as they lie on the estimate and its mirror image, the truth, the corrected estimate, and
    whether these are photographs, 0 or 1.

    Args:
        coarse: without `refined`.
        config: the run.

    Raises:
        FileNotFoundError, ValueError: see `coarse_dataset`.
    """
    of_faces = FitAlignedConfig(config.output, config.data, config.synthetic, config.photographs)
    faces = collect(coarse, of_faces)
    view = AlignedView(coarse.face_model, coarse.config.size)

    @tf.function(reduce_retracing=True)
    def look(image, answer):
        estimate = coarse.corrected(image, answer)
        reflection = coarse.face_model.reflection(estimate)
        return view(image, estimate), view(tf.reverse(image, [2]), reflection), estimate

    views = [[Path(config.output) / "views" / path.name for path in paths] for paths in faces]
    both = [(face, path, kind) for kind in (0, 1) for face, path in zip(faces[kind], views[kind], strict=True)]
    missing = [job for job in both if not job[1].is_file()]
    for face, path, kind in tracked(missing, "views", total=len(missing)):
        with np.load(face) as file:
            image, r, a = file["image"], file["r"], file["a"]
        parts = [
            look(tf.cast(image[first : first + 50], tf.float32) / 255.0, a[first : first + 50])
            for first in range(0, len(r), 50)
        ]
        gradients, mirrored, estimate = (np.concatenate(part) for part in zip(*parts, strict=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {"gradients": np.float16(gradients), "mirrored": np.float16(mirrored), "r": r, "estimate": estimate}
        write_arrays(path, found | {"photo": np.float32(kind)}, compressed=False)
    return views


def read_views(model, paths) -> dict[str, tf.Tensor]:
    """Files of `collect_views` together, each face twice, the second time mirrored.

    Returns:
        {"gradients" `[2N, 32, 32, 9]` float16, "r", "estimate" `[2N, 290]`, "photo" `[2N]`}.
    """
    parts = {name: [] for name in ("gradients", "r", "estimate", "photo")}
    for path in paths:
        with np.load(path) as file:
            r, estimate = file["r"], file["estimate"]
            parts["gradients"] += [file["gradients"], file["mirrored"]]
            parts["photo"] += [np.full(2 * len(r), file["photo"], np.float32)]
        parts["r"] += [r, model.reflection(r).numpy()]
        parts["estimate"] += [estimate, model.reflection(estimate).numpy()]
    # On the CPU, whole: one file after the other is let go of while they are joined.
    return {name: tf.constant(np.concatenate(parts.pop(name))) for name in list(parts)}


def views_dataset(views: dict[str, tf.Tensor], batch: int, seed: int, start: int = 0) -> tf.data.Dataset:
    """Endless batches of what `read_views` returns, in random order; element i depends on the seed and i alone."""

    def pick(_, index):
        return {name: tf.gather(values, index) for name, values in views.items()}

    indices = seekable_indices(len(views["photo"]), batch, seed, start)
    return indices.map(pick, num_parallel_calls=1).prefetch(2)


@keras.saving.register_keras_serializable(package="tfface")
class RefineTrainer(keras.Model):
    """Trains the `refine_net` of a CoarseNet by `fit`.

    Args:
        coarse: an `IterativeCoarseNet` with `refined`.
        config: its weights of the criterion are used.
    """

    def __init__(self, coarse: IterativeCoarseNet, config: TrainRefineConfig, **kwargs):
        super().__init__(**kwargs)
        model = coarse.face_model
        on_face = model.face_vertices()
        self.network, self.config = coarse.refine_net, config
        self.points = ProjectedLandmarks(model, coarse.config.size, point_vertices(model, _POINTS, on_face))
        self.features, self.gram = FeatureShape(model), geometry_gram(model, on_face)
        # Mean distances of the landmarks in px, and those before the correction.
        self._means = {name: keras.metrics.Mean(name=name) for name in ("loss", "landmarks_px", "before_px")}
        self._dropouts = [layer for layer in self.network.layers if isinstance(layer, keras.layers.Dropout)]
        self.built = True

    @property
    def metrics(self):
        return list(self._means.values())

    def call(self, faces, training=False):
        """What `refine_net` makes of {"gradients", "estimate"}: r `[B, 290]`."""
        estimate = faces["estimate"]
        return estimate + self.network([tf.cast(faces["gradients"], tf.float32), estimate], training=training)

    def criterion(self, true: tf.Tensor, found: tf.Tensor, photo: tf.Tensor) -> tf.Tensor:
        """What is made small, `[B]`; for its terms see `TrainRefineConfig`."""
        away = self.points(found) - self.points(true)
        beside = _robust(tf.reduce_sum(tf.square(away[..., :2]), axis=-1))
        marks, rest = tf.reduce_mean(beside[:, :68], axis=1), tf.reduce_mean(beside, axis=1)
        deep = away[..., 2] - tf.reduce_mean(away[..., 2], axis=1, keepdims=True)
        deep = tf.reduce_mean(_robust(tf.square(deep)), axis=1)
        wrong = tf.square(found - true)[:, : representation.GEOMETRY_SIZE]
        config = self.config
        shape = config.shape * gmse(true, found, self.gram)
        synthetic = rest + config.depth * deep + shape
        photographs = marks + config.photo_points * rest + config.photo_shape * shape
        return (
            synthetic
            + photo * (photographs - synthetic)
            + config.features * self.features.distance(true, found)
            + config.prior * tf.reduce_sum(wrong, axis=1)
        )

    def train_step(self, faces):
        # A backup doesn't hold how far random numbers have come: each step has its own, also after one is restored.
        for number, layer in enumerate(self._dropouts):
            state = layer.seed_generator.state
            state.assign(tf.cast(tf.stack([self.config.seed + number, self.optimizer.iterations.value]), state.dtype))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self._note(faces, training=True))
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return self.get_metrics_result()

    def test_step(self, faces):
        self._note(faces, training=False)
        return self.get_metrics_result()

    def _note(self, faces, training):
        """The criterion `[B]`, taken into the metrics."""
        found = self(faces, training=training)
        loss = self.criterion(faces["r"], found, faces["photo"])
        distances = {"loss": loss}
        true = self.points(faces["r"])[:, :68, :2]
        for name, r in (("landmarks_px", found), ("before_px", faces["estimate"])):
            distances[name] = tf.reduce_mean(tf.norm(self.points(r)[:, :68, :2] - true, axis=-1), axis=1)
        for name, values in distances.items():
            self._means[name].update_state(values)
        return loss


def _robust(squared: tf.Tensor) -> tf.Tensor:
    """√(d² + ¼) − ½ of d²: smooth at zero, and no single point rules."""
    return tf.sqrt(squared + 0.25) - 0.5


class SaveRun(keras.callbacks.Callback):
    """Writes CoarseNet with the averaged weights of `refine_net`, complete and loadable, after every epoch."""

    def __init__(self, coarse: IterativeCoarseNet, folder: Path):
        super().__init__()
        self.coarse, self.folder = coarse, folder

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.model.optimizer, self.coarse.refine_net.trainable_variables):
            save_coarse_run(self.coarse, self.folder)


def build_trainer(coarse: IterativeCoarseNet, config: TrainRefineConfig, views: dict[str, tf.Tensor]) -> RefineTrainer:
    """The compiled trainer of a run at its initial weights; `coarse` has `refined`, whose inputs `views` scale."""
    network = coarse.refine_net
    for layer in network.layers:
        layer.trainable = True
    network.trainable = True
    some = tf.cast(views["gradients"][:: max(len(views["photo"]) // 2000, 1)], tf.float32)[..., :DIRECTIONS]
    network.get_layer("standardised").set_weights(
        [tf.reduce_mean(some, axis=0), tf.math.reduce_std(some, axis=0) + 0.02]
    )
    trainer = RefineTrainer(coarse, config)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.05 * config.learning_rate, config.steps, alpha=0.02, warmup_target=config.learning_rate, warmup_steps=100
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        global_clipnorm=2.0,
        use_ema=True,
        ema_momentum=config.average,
    )
    trainer.compile(optimizer, jit_compile=False)
    # The optimizer needs its variables before a backup can be restored into it.
    optimizer.build(network.trainable_variables)
    return trainer


def train_refine(model, config: TrainRefineConfig) -> IterativeCoarseNet:
    """Trains, or goes on where an interrupted run stopped; returns CoarseNet with both corrections.

    Args:
        model: a `MorphableModel`.
        config: the run.

    Raises:
        FileNotFoundError: there is no such CoarseNet, or no photographs.
        ValueError: no CoarseNet is named, or photographs without fits, or a file is something else.
    """
    if not config.coarse:
        raise ValueError("expected a run of CoarseNet to refine; name one with --coarse")
    if bool(config.data.photos) != bool(config.data.fits):
        # Found out only after the synthetic faces, otherwise.
        raise ValueError("expected --photos and --fits together, or neither")
    plain = unrefined(load_coarse_run(config.coarse, model))
    output = write_config(config)
    kinds = [paths for paths in collect_views(plain, config) if paths]
    views = read_views(model, [path for paths in kinds for path in paths[:-1]])
    held_out = read_views(model, [paths[-1] for paths in kinds])
    keras.utils.set_random_seed(config.seed)
    coarse = IterativeCoarseNet(model, dataclasses.replace(plain.config, refined=tuple(config.network)))
    coarse.network.set_weights(plain.network.get_weights())
    for name, network in plain.corrections.items():
        coarse.corrections[name].set_weights(network.get_weights())
    trainer = build_trainer(coarse, config, views)
    trainer.fit(
        views_dataset(views, config.batch, config.seed, finished_epochs(output / "backup") * config.epoch_steps),
        epochs=-(-config.steps // config.epoch_steps),
        steps_per_epoch=config.epoch_steps,
        validation_data=tf.data.Dataset.from_tensor_slices(held_out).batch(100),
        verbose=verbosity(),
        callbacks=[
            keras.callbacks.BackupAndRestore(str(output / "backup"), delete_checkpoint=False),
            keras.callbacks.CSVLogger(str(output / "history.csv"), append=True),
            SaveRun(coarse, output),
            keras.callbacks.TerminateOnNaN(),
        ],
    )
    return coarse
