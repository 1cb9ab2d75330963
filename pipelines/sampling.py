"""Random representations r: who, with what expression, in what pose. Stateless: the same seed draws the same."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfface.morphable import representation


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """The spread of the synthetic world.

    Attributes:
      identity_std: of each identity coefficient; drawn from a normal truncated at two of these.
      action_rate: share of the 52 actions that an expressive face moves.
      action_max: strongest activation, where 1 is the full action.
      neutral: share of faces with a neutral expression.
      expression_noise: standard deviation added to each expression coefficient.
      yaw_degrees: half of the faces turn within a normal of this deviation/2, half uniformly within ±this.
      pitch_degrees: standard deviation is half of it, cut at ±this.
      roll_degrees: as pitch.
      shift: standard deviation of u and v, half crop widths.
      log_scale: standard deviation of s.
    """

    identity_std: float = 1.0
    action_rate: float = 0.12
    action_max: float = 1.0
    neutral: float = 0.25
    expression_noise: float = 0.15
    yaw_degrees: float = 75.0
    pitch_degrees: float = 35.0
    roll_degrees: float = 35.0
    shift: float = 0.07
    log_scale: float = 0.10


def seeds(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """`count` independent seeds `[2]` derived from one."""
    return tf.unstack(tf.random.split(seed, count), num=count)


def uniform(shape, seed: tf.Tensor, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
    """Stateless random numbers, uniform in low…high."""
    return tf.random.stateless_uniform(shape, seed, low, high)


def sample_pose(batch: int, seed: tf.Tensor, config: SamplingConfig) -> tf.Tensor:
    """Pose `[batch, 6]`, as in `tfface.morphable.representation`."""
    radians = np.pi / 180.0
    turn, near, choose, tilt, place = seeds(seed, 5)
    wide = uniform([batch], turn, -config.yaw_degrees, config.yaw_degrees)
    close = tf.random.stateless_truncated_normal([batch], near) * config.yaw_degrees / 4.0
    yaw = tf.where(uniform([batch], choose) < 0.5, wide, close)
    pitch, roll = tf.unstack(tf.random.stateless_truncated_normal([2, batch], tilt) / 2.0)
    shift = tf.random.stateless_truncated_normal([batch, 3], place)
    return tf.concat(
        [
            tf.stack([pitch * config.pitch_degrees, yaw, roll * config.roll_degrees], -1) * radians,
            shift[:, :2] * config.shift,
            shift[:, 2:] * config.log_scale,
        ],
        axis=-1,
    )


def sample_expression(model, batch: int, seed: tf.Tensor, config: SamplingConfig) -> tf.Tensor:
    """Expression `[batch, 84]`: a few of the 52 actions at random strength, left and right mostly together."""
    which, strength, pair, neutral, noise = seeds(seed, 5)
    names = list(model.action_names)
    partner = np.arange(len(names))
    for i, name in enumerate(names):
        if name.endswith("Right") and name[:-5] + "Left" in names:
            partner[i] = names.index(name[:-5] + "Left")
    chosen = uniform([batch, len(names)], which)
    power = uniform([batch, len(names)], strength)
    # Three in four faces move both sides alike: the right side copies the left's draw.
    together = uniform([batch, 1], pair) < 0.75
    chosen = tf.where(together, tf.gather(chosen, partner, axis=1), chosen)
    power = tf.where(together, tf.gather(power, partner, axis=1), power)
    active = tf.where(chosen < config.action_rate, power * config.action_max, 0.0)
    active *= tf.cast(uniform([batch, 1], neutral) >= config.neutral, tf.float32)
    # `mouthClose` undoes what `jawOpen` opens and means nothing without it; the tongue isn't part of the mesh.
    allowed = np.array([n not in ("mouthClose", "tongueOut") for n in names], np.float32)
    coefficients = tf.matmul(active * allowed, tf.constant(model.actions, tf.float32))
    jitter = tf.random.stateless_truncated_normal([batch, representation.EXPRESSION_SIZE], noise)
    return coefficients + jitter * config.expression_noise


def sample_r(model, batch: int, seed: tf.Tensor, config: SamplingConfig | None = None) -> tf.Tensor:
    """r `[batch, 290]` of random faces.

    Args:
      model: a `MorphableModel`.
      batch: number of faces.
      seed: `[2]` int.
      config: the spread.
    """
    config = config or SamplingConfig()
    who, what, where = seeds(seed, 3)
    identity = tf.random.stateless_truncated_normal([batch, representation.IDENTITY_SIZE], who)
    return representation.join(
        identity * config.identity_std,
        sample_expression(model, batch, what, config),
        sample_pose(batch, where, config),
    )
