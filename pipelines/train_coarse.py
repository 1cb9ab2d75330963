"""Training of CoarseNet (§3): Keras `fit` on synthetic faces and, where there are some, fitted photographs."""

import dataclasses
import functools
import json
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfface.losses.geometry import RepresentationLoss, balanced_pose_weight, geometry_gram, gmse
from tfface.losses.landmarks import ProjectedLandmarks
from tfface.morphable import representation
from tfface.morphable.mirror import Mirror
from tfface.networks.coarse_net import INPUT_CHANNELS, CoarseNetConfig, IterativeCoarseNet, network_input
from tfface.networks.weights import save_weights
from tfface.pipelines import fitted_photos
from tfface.pipelines.bank import SyntheticBank
from tfface.pipelines.runs import finished_epochs, write_config
from tfface.pipelines.sampling import SamplingConfig, sample_r, seeds
from tfface.pipelines.synthetic import SyntheticConfig, SyntheticWorld, occlude, photograph
from tfface.rendering.feedback import FeedbackRenderer


@dataclasses.dataclass(frozen=True)
class TrainCoarseConfig:
    """How CoarseNet is trained.

    Attributes:
      output: folder of checkpoints, logs and weights.
      steps: optimiser steps in all.
      batch: samples per step.
      learning_rate: at the start; falls to 0 along a cosine.
      photos: folder laid out as `pipelines.fitted_photos` reads it; None trains on synthetic faces only, as the paper
        does.
      fits: of these photos, from `pipelines.fit_photos`.
      photo_share: share of each batch that is photographs.
      photo_roll_degrees: photographs are turned by up to this.
      synthetic_count: faces rendered once and drawn from; 0 renders every face anew.
      first_pass: share of samples whose estimate r_t is 0.
      landmark_weight: of the projected landmarks' distance (px) beside GMSE and pose; 0 is the paper's criterion.
      epoch_steps: steps between checkpoints.
      seed: of everything random.
    """

    output: str = "runs/coarse"
    steps: int = 6000
    batch: int = 32
    learning_rate: float = 1e-3
    photos: str | None = None
    fits: str | None = None
    photo_share: float = 0.5
    photo_roll_degrees: float = 35.0
    synthetic_count: int = 6000
    first_pass: float = 0.3
    landmark_weight: float = 0.0
    epoch_steps: int = 100
    seed: int = 0


PRESETS = {
    "paper": TrainCoarseConfig(synthetic_count=0, steps=30000),
    "release": TrainCoarseConfig(landmark_weight=0.1),
}


class CoarseLoss(RepresentationLoss):
    """GMSE (4) + pose MSE at equal start, divided by GMSE at the start, + the projected landmarks' distance.

    Args:
      model: a `MorphableModel`.
      reference: r `[N, 290]` of random faces; the loss of answering 0 for them is what "start" means.
      landmark_weight: per px; 0 is the paper's criterion.
    """

    def __init__(self, model, reference: tf.Tensor, landmark_weight: float = 0.0, name="coarse_loss"):
        gram = geometry_gram(model)
        super().__init__(gram, balanced_pose_weight(reference, gram), name=name)
        self.scale = 1.0 / float(tf.reduce_mean(gmse(reference, tf.zeros_like(reference), gram)))
        self.landmarks = ProjectedLandmarks(model)
        self.landmark_weight = landmark_weight

    def call(self, y_true, y_pred):
        loss = self.scale * super().call(y_true, y_pred)
        if self.landmark_weight:
            loss += self.landmark_weight * self.landmarks.distance(y_true, y_pred)
        return loss


def landmark_metric(landmarks: ProjectedLandmarks):
    """Keras metric function: mean 2D distance of the projected landmarks, px of a 200 px crop."""

    def landmark_px(y_true, y_pred):
        return tf.reduce_mean(tf.norm(landmarks(y_true)[..., :2] - landmarks(y_pred)[..., :2], axis=-1), axis=-1)

    return landmark_px


def synthetic_batches(model, config: TrainCoarseConfig, batch: int, start: int) -> tf.data.Dataset:
    """Endless batches {"image", "r"} of synthetic faces, rendered once or anew as `config` says."""
    world = SyntheticConfig(batch=batch)
    if config.synthetic_count:
        path = Path(config.output).parent / f"synthetic_{config.synthetic_count}_{config.seed}.npz"
        kept = SyntheticBank(model, dataclasses.replace(world, batch=16), config.synthetic_count, path, config.seed)
        draw = functools.partial(kept.draw, batch)
    else:
        draw = SyntheticWorld(model, world).draw
    base = tf.constant(config.seed + 1, tf.int64)
    counter = tf.data.Dataset.counter(start)
    return counter.map(lambda i: draw(tf.stack([base, i])), num_parallel_calls=2, deterministic=True)


def rotate_crop(image: tf.Tensor, r: tf.Tensor, angle: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The crops `[B, S, S, 1]` turned counter-clockwise by `angle` `[B]` rad about their centres, and r of that."""
    half = (image.shape[1] - 1) / 2.0
    c, s = tf.cos(angle), tf.sin(angle)
    zero = tf.zeros_like(c)
    # From the result's pixels to the source's: y points down, so this matrix turns them clockwise as seen.
    transforms = tf.stack([c, -s, half - c * half + s * half, s, c, half - s * half - c * half, zero, zero], axis=-1)
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=image,
        transforms=transforms,
        output_shape=image.shape[1:3],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )
    geometry, pose = r[:, : representation.GEOMETRY_SIZE], r[:, representation.GEOMETRY_SIZE :]
    u, v = pose[:, 3], pose[:, 4]
    moved = [pose[:, 0], pose[:, 1], pose[:, 2] + angle, c * u + s * v, c * v - s * u, pose[:, 5]]
    return turned, tf.concat([geometry, tf.stack(moved, -1)], axis=-1)


def photo_batches(model, config: TrainCoarseConfig, batch: int, start: int) -> tf.data.Dataset:
    """Endless batches {"image", "r"} of fitted photographs: moved, turned, mirrored, covered, blurred and noisy."""
    data = fitted_photos.FittedPhotosConfig(
        photos=config.photos,
        fits=config.fits,
        batch_size=batch,
        augmentation=fitted_photos.AugmentationConfig(shift=0.07, scale=0.2, gamma=0.0),
        seed=config.seed,
    )
    lens = SyntheticConfig()

    def vary(index, sample):
        turn, cover, camera = seeds(tf.stack([tf.constant(config.seed + 2, tf.int64), index + start]), 3)
        draw = tf.random.stateless_uniform([batch], turn, -1.0, 1.0)
        angle = draw**3 * (config.photo_roll_degrees * np.pi / 180.0)
        image, r = rotate_crop(sample["image"], sample["r"], angle)
        return {"image": photograph(occlude(image, cover), lens, camera), "r": r}

    source = fitted_photos.dataset(data, Mirror.of(model), start)
    return source.enumerate().map(vary, num_parallel_calls=2, deterministic=True)


def training_dataset(model, config: TrainCoarseConfig, start: int = 0) -> tf.data.Dataset:
    """Batches (`[B, S, S, 7]`, r `[B, 290]`) for Keras `fit`; element i depends on the seed and i alone."""
    from_photos = round(config.batch * config.photo_share) if config.photos else 0
    sources = [synthetic_batches(model, config, config.batch - from_photos, start)]
    if from_photos:
        sources.append(photo_batches(model, config, from_photos, start))
    size = sources[0].element_spec["image"].shape[1]
    renderer = FeedbackRenderer(model, size)
    sampling = SamplingConfig()

    def sample(index, parts):
        image = tf.concat([p["image"] for p in parts], 0)
        r = tf.concat([p["r"] for p in parts], 0)
        other, mix, begin = seeds(tf.stack([tf.constant(config.seed + 3, tf.int64), index + start]), 3)
        # Eq. (3): an estimate somewhere between the truth and another face.
        beta = tf.random.stateless_uniform([config.batch, 1], mix)
        r_t = representation.interpolate(r, sample_r(model, config.batch, other, sampling), beta)
        r_t = tf.where(tf.random.stateless_uniform([config.batch, 1], begin) < config.first_pass, 0.0, r_t)
        x = network_input(image, renderer(r_t))
        return (
            tf.ensure_shape(x, [config.batch, size, size, INPUT_CHANNELS]),
            tf.ensure_shape(r, [config.batch, representation.SIZE]),
        )

    dataset = tf.data.Dataset.zip(tuple(sources)).enumerate()
    dataset = dataset.map(lambda i, parts: sample(i, parts), num_parallel_calls=2, deterministic=True)
    return dataset.prefetch(4)


class SaveAveraged(keras.callbacks.Callback):
    """Writes the averaged weights after every epoch, as they would ship."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        optimizer, model = self.model.optimizer, self.model
        if not optimizer.use_ema or optimizer.iterations < 2:
            return
        kept = [tf.identity(v) for v in model.trainable_variables]
        for variable, average in zip(model.trainable_variables, optimizer._model_variables_moving_average, strict=True):
            variable.assign(average)
        save_weights(model, self.path)
        for variable, value in zip(model.trainable_variables, kept, strict=True):
            variable.assign(value)


def train_coarse(model, config: TrainCoarseConfig, net: CoarseNetConfig | None = None) -> IterativeCoarseNet:
    """Trains CoarseNet, or goes on where an interrupted run stopped; returns it with its averaged weights.

    Args:
      model: a `MorphableModel`.
      config: the run.
      net: the architecture.
    """
    output = write_config(config)
    net = net or CoarseNetConfig()
    (output / "coarse_net.json").write_text(json.dumps(dataclasses.asdict(net)) + "\n", encoding="utf-8")
    keras.utils.set_random_seed(config.seed)
    coarse = IterativeCoarseNet(model, net)
    reference = sample_r(model, 512, tf.constant([config.seed, 1], tf.int64))
    loss = CoarseLoss(model, reference, config.landmark_weight)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        config.steps,
        alpha=1e-3,
        warmup_target=config.learning_rate,
        warmup_steps=min(200, config.steps // 10),
    )
    optimizer = keras.optimizers.Adam(schedule, clipnorm=5.0, use_ema=True, ema_momentum=0.998)
    # XLA on CPUs compiles for minutes and then runs convolutions on one core.
    coarse.network.compile(optimizer, loss=loss, metrics=[landmark_metric(loss.landmarks)], jit_compile=False)
    epochs = -(-config.steps // config.epoch_steps)
    done = finished_epochs(output / "backup")
    dataset = training_dataset(model, config, start=done * config.epoch_steps)
    coarse.network.fit(
        dataset,
        epochs=epochs,
        steps_per_epoch=config.epoch_steps,
        verbose=2 if os.environ.get("CI") or not os.isatty(1) else 1,
        callbacks=[
            keras.callbacks.BackupAndRestore(str(output / "backup"), delete_checkpoint=False),
            keras.callbacks.CSVLogger(str(output / "log.csv"), append=True),
            keras.callbacks.TensorBoard(str(output / "tensorboard"), update_freq="epoch", write_graph=False),
            SaveAveraged(output / "coarse.npz"),
        ],
    )
    return coarse
