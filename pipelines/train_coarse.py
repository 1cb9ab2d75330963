"""Training of CoarseNet (§3): Keras `fit` on synthetic faces and, where there are some, fitted photographs."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfface.losses.geometry import RepresentationLoss, balanced_pose_weight, geometry_gram, gmse
from tfface.losses.landmarks import FeatureShape, ProjectedLandmarks
from tfface.losses.points import map_surprise, point_distance
from tfface.morphable import representation
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.weights import load_weights, save_weights
from tfface.pipelines.assemble import read_coarse_config
from tfface.pipelines.coarse_data import CoarseDataConfig, coarse_dataset
from tfface.pipelines.precision import policy
from tfface.pipelines.prime_points import prime
from tfface.pipelines.runs import averaged, finished_epochs, fit, write_config
from tfface.pipelines.sampling import sample_r, seeds


@dataclasses.dataclass(frozen=True)
class TrainCoarseConfig:
    """How CoarseNet is trained.

    Attributes:
      output: folder of checkpoints, logs and weights.
      data: where the faces come from.
      network: the architecture.
      steps: optimiser steps in all.
      initial: .npz of weights to start from; None starts from random ones. Of another architecture, what fits is taken.
        Which vertices its points are is read from the `coarse_net.json` or `config.json` beside it.
      faces: new faces per step; each is seen `passes` times, in as many steps, so that a step takes `faces · passes`
        samples.
      passes: 1 trains on r_t of eq. 3 alone, as the paper does; more show the network its own answers: the estimate
        that the step before made of a face is what the next step starts from.
      own_from: the steps after which answers come back, more and more often.
      own_full: the steps after which they always do; until then r_t of eq. 3 takes their place. A network that knows
        nothing yet would see nothing but its own errors, and settle on answering 0.
      learning_rate: until the last part of the run, where it falls to 0 along a cosine.
      decay: share of the steps that this last part takes.
      landmark_weight: of the projected landmarks' distance (px) beside GMSE and pose; 0 is the paper's criterion.
      feature_weight: of the distance (mm) of the offsets within features, see `FeatureShape`; 0 is the paper's.
      free_points: whether the way from points to r is trained too. At first few samples of photographs would unlearn
        the face model; a trained network's last steps teach it how wrong its points are.
      point_weight: of the distance (px) of the points that the network locates, where its architecture has some.
      map_weight: of the maps' cross-entropy, see `losses.points`.
      prime_steps: steps of 512 random faces in which the way from points to r is learnt before the first image is seen.
      average: momentum of the averaged weights, which are the ones that ship.
      epoch_steps: steps between checkpoints.
      precision: "auto" is mixed_bfloat16 on processors that have it and float32 elsewhere.
      seed: of the initial weights.
    """

    output: str = "runs/coarse"
    data: CoarseDataConfig = CoarseDataConfig()
    network: CoarseNetConfig = CoarseNetConfig()
    initial: str | None = None
    steps: int = 6000
    faces: int = 8
    passes: int = 3
    own_from: int = 1000
    own_full: int = 4000
    learning_rate: float = 1e-3
    decay: float = 0.25
    landmark_weight: float = 0.2
    feature_weight: float = 0.5
    free_points: bool = False
    point_weight: float = 0.1
    map_weight: float = 1.0
    prime_steps: int = 6000
    average: float = 0.998
    epoch_steps: int = 100
    precision: str = "auto"
    seed: int = 0


PRESETS = {
    "paper": TrainCoarseConfig(
        data=CoarseDataConfig(first_pass=0.25),
        network=CoarseNetConfig(widths=(64, 128, 256, 512), blocks=(2, 2, 2, 2), stem=64, patch_stem=False),
        steps=30000,
        faces=32,
        passes=1,
        landmark_weight=0.0,
        feature_weight=0.0,
    ),
    "release": TrainCoarseConfig(
        network=CoarseNetConfig(points=128, joint=512, mirrored=True), faces=12, passes=2, steps=8000, decay=0.5
    ),
}


class CoarseLoss(RepresentationLoss):
    """GMSE (4) + pose MSE at equal start, divided by GMSE at the start, + distances of landmarks.

    Args:
      model: a `MorphableModel`.
      reference: r `[N, 290]` of random faces; the loss of answering 0 for them is what "start" means.
      landmark_weight: per px between projected landmarks; 0 is the paper's criterion.
      feature_weight: per mm between offsets within features; 0 is the paper's criterion.
    """

    def __init__(
        self,
        model,
        reference: tf.Tensor,
        landmark_weight: float = 0.0,
        feature_weight: float = 0.0,
        name="coarse_loss",
    ):
        gram = geometry_gram(model)
        super().__init__(gram, balanced_pose_weight(reference, gram), name=name)
        self.scale = 1.0 / float(tf.reduce_mean(gmse(reference, tf.zeros_like(reference), gram)))
        self.landmarks = ProjectedLandmarks(model)
        self.features = FeatureShape(model)
        self.landmark_weight, self.feature_weight = landmark_weight, feature_weight

    def call(self, y_true, y_pred):
        loss = self.scale * super().call(y_true, y_pred)
        if self.landmark_weight:
            loss += self.landmark_weight * self.landmarks.distance(y_true, y_pred)
        if self.feature_weight:
            loss += self.feature_weight * self.features.distance(y_true, y_pred)
        return loss


class SaveAveraged(keras.callbacks.Callback):
    """Writes the averaged weights of `network` after every epoch, as they would ship."""

    def __init__(self, network: keras.Model, path: Path):
        super().__init__()
        self.network, self.path = network, path

    def on_epoch_end(self, epoch, logs=None):
        optimizer, variables = self.model.optimizer, self.network.trainable_variables
        if not optimizer.use_ema or optimizer.iterations < 2:
            return
        with averaged(optimizer, variables):
            save_weights(self.network, self.path)


class CoarseTrainer(keras.Model):
    """Trains CoarseNet on its own answers: a carousel of faces, each at another pass.

    Every step takes `faces` new faces at their first estimate and those of the steps before at the estimate that the
    network has since made of them. All passes share one batch, so that batch normalisation sees the mixture that it
    will meet in use, and no forward computation is made without learning from it. The faces under way are variables,
    kept with the weights, so that a resumed run goes on exactly.

    Args:
      coarse: the network to train.
      config: its `faces`, `passes`, `own_from`, `own_full` and `seed` are used.
      landmarks: the `ProjectedLandmarks` to measure with.
    """

    def __init__(self, coarse: IterativeCoarseNet, config: TrainCoarseConfig, landmarks, **kwargs):
        super().__init__(**kwargs)
        self.coarse, self.config, self.landmarks = coarse, config, landmarks
        size, held = coarse.config.size, config.faces * (config.passes - 1)
        shapes = {"image": [held, size, size, 1], "truth": [held, representation.SIZE]}
        shapes["estimate"] = shapes["truth"]
        self.held = {
            name: self.add_weight(shape=shape, initializer="zeros", trainable=False, name=f"held_{name}")
            for name, shape in shapes.items()
        }
        self.seeing, self.points = coarse.network, None
        if coarse.config.points:
            network, size = coarse.network, coarse.config.size
            found = [network.get_layer(name).output for name in ("points", "scores_and_depths")]
            self.seeing = keras.Model(network.input, [network.output, *found])
            self.points = ProjectedLandmarks(coarse.face_model, size, np.array(coarse.config.point_vertices))
            self.points_px = keras.metrics.Mean("points_px")
        self.first_px = keras.metrics.Mean("first_px")
        self.last_px = keras.metrics.Mean("last_px")
        self.built = True

    def call(self, inputs, training=False):
        image, r = inputs
        return self.coarse.one_pass(image, r, training)

    def train_step(self, data):
        """One optimiser step; `data` is (image, r, first estimate) of the new faces."""
        image, truth, estimate = (
            tf.concat([new, self.held[name].value], axis=0)
            for new, name in zip(data, ("image", "truth", "estimate"), strict=True)
        )
        with tf.GradientTape() as tape:
            answer, *located = self._see(image, estimate)
            loss = self.compute_loss(y=truth, y_pred=answer)
            if located:
                loss += self._point_loss(*located, self.points(truth))
            scaled = self.optimizer.scale_loss(loss)
        self._loss_tracker.update_state(loss, tf.shape(truth)[0])
        variables = self.coarse.network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        answer = tf.stop_gradient(answer)
        faces = self.config.faces
        on = faces * (self.config.passes - 1)
        following = self._next_estimates(truth, answer)
        for name, value in (("image", image), ("truth", truth), ("estimate", following)):
            self.held[name].assign(value[:on])
        distance = tf.norm(self.landmarks(truth)[..., :2] - self.landmarks(answer)[..., :2], axis=-1)
        self.first_px.update_state(distance[:faces])
        self.last_px.update_state(distance[-faces:])
        return self.get_metrics_result()

    def _see(self, image, estimate):
        """The answer to an estimate, and, if there are any, the points that it was read off and their maps."""
        if self.points is None:
            return [self((image, estimate), training=True)]
        answer, *located = self.seeing(self.coarse.seen(image, estimate), training=True)
        return [estimate + answer if self.coarse.config.residual else answer, *located]

    def _point_loss(self, points, maps, truth):
        size = self.coarse.config.size
        away = tf.reduce_mean(point_distance(points, truth, size))
        self.points_px.update_state(away)
        return self.config.point_weight * away + self.config.map_weight * tf.reduce_mean(
            map_surprise(maps, truth, size)
        )

    def _next_estimates(self, truth, answer):
        """What the next step starts from: the answers, or r_t of eq. 3 with the face beside as the random one."""
        step = tf.cast(self.optimizer.iterations, tf.int64)
        pick, mix = seeds(tf.stack([tf.constant(self.config.seed + 5, tf.int64), step]), 2)
        begin, full = self.config.own_from, self.config.own_full
        own = (tf.cast(step, tf.float32) - begin) / max(full - begin, 1)
        count = [tf.shape(truth)[0], 1]
        between = representation.interpolate(truth, tf.roll(truth, 1, 0), tf.random.stateless_uniform(count, mix))
        return tf.where(tf.random.stateless_uniform(count, pick) < own, answer, between)


def schedule(config: TrainCoarseConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Warm-up, a plateau, and a cosine down to 0: where the decay begins is all that the number of steps decides."""
    return Trapezoid(config.learning_rate, min(200, config.steps // 10), config.steps, config.decay)


@keras.saving.register_keras_serializable(package="tfface")
class Trapezoid(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises over `warmup` steps, stays, and falls along a cosine in the last `decay` of `steps`.

    Unlike a cosine over the whole run it doesn't depend on `steps` until late, so a run can be made longer.
    """

    def __init__(self, rate: float, warmup: int, steps: int, decay: float):
        self.rate, self.warmup, self.steps, self.decay = rate, warmup, steps, decay

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        rise = (step + 1.0) / max(self.warmup, 1)
        fallen = (step / self.steps - (1.0 - self.decay)) / max(self.decay, 1e-6)
        fall = 0.5 + 0.5 * tf.cos(np.pi * tf.clip_by_value(fallen, 0.0, 1.0))
        return self.rate * tf.minimum(tf.minimum(rise, 1.0), fall)

    def get_config(self):
        return {"rate": self.rate, "warmup": self.warmup, "steps": self.steps, "decay": self.decay}


def build_trainer(model, config: TrainCoarseConfig, resumed: bool = False) -> CoarseTrainer:
    """The compiled trainer of a run, at its initial weights; a `resumed` one isn't primed, as its weights follow."""
    keras.utils.set_random_seed(config.seed)
    coarse = IterativeCoarseNet(model, _with_points_of(config.initial, config.network), policy(config.precision))
    reference = sample_r(model, 512, tf.constant([config.seed, 1], tf.int64))
    loss = CoarseLoss(model, reference, config.landmark_weight, config.feature_weight)
    trainer = CoarseTrainer(coarse, config, loss.landmarks)
    new = load_weights(coarse.network, config.initial, strict=False) if config.initial else None
    if new:
        print(f"{config.initial} holds no weights for {len(new)} variables, e.g. {new[0]}: they start from random ones")
    complete = resumed or new == []
    if config.network.points and config.prime_steps and not complete:
        primed = prime(
            coarse.network.get_layer("points_to_face"), model, trainer.points, loss, config.prime_steps, config.seed
        )
        print(f"points to r: loss {primed:.3f} after {config.prime_steps} steps without an image")
    if not config.free_points:
        coarse.freeze_points_to_face()
    optimizer = keras.optimizers.Adam(schedule(config), clipnorm=5.0, use_ema=True, ema_momentum=config.average)
    # XLA on CPUs compiles for minutes and then runs convolutions on one core.
    trainer.compile(optimizer, loss=loss, jit_compile=False)
    return trainer


def _with_points_of(initial: str | None, network: CoarseNetConfig) -> CoarseNetConfig:
    """`network`, its points at the vertices that the architecture beside the initial weights names, if there is one."""
    for name in ("coarse_net.json", "config.json"):
        described = Path(initial).parent / name if initial else None
        if network.points and not network.point_vertices and described and described.is_file():
            kept = read_coarse_config(described)
            if kept.points == network.points:
                return dataclasses.replace(network, point_vertices=kept.point_vertices)
    return network


def train_coarse(model, config: TrainCoarseConfig) -> IterativeCoarseNet:
    """Trains CoarseNet, or goes on where an interrupted run stopped; returns it with its averaged weights.

    Args:
      model: a `MorphableModel`.
      config: the run.
    """
    output = write_config(config)
    trainer = build_trainer(model, config, resumed=finished_epochs(output / "backup") > 0)
    # With the vertices of its points, which `config` may leave open: another face model would choose others.
    text = json.dumps(dataclasses.asdict(trainer.coarse.config)) + "\n"
    (output / "coarse_net.json").write_text(text, encoding="utf-8")
    callbacks = [
        keras.callbacks.TensorBoard(str(output / "tensorboard"), update_freq="epoch", write_graph=False),
        SaveAveraged(trainer.coarse.network, output / "coarse.npz"),
    ]
    fit(trainer, config, lambda start: coarse_dataset(model, config.data, config.faces, start), callbacks, "log.csv")
    return trainer.coarse
