"""Teaches CoarseNet's way from points to r before it sees an image: that takes the face model alone, and seconds."""

import keras
import tensorflow as tf

from tfface.losses.landmarks import ProjectedLandmarks
from tfface.pipelines.sampling import sample_r, seeds
from tfface.progress import tracked

BATCH = 512


def wrong_by(points: tf.Tensor, seed: tf.Tensor, low: float = 0.002, high: float = 0.06) -> tf.Tensor:
    """Points `[B, K, 3]` as a network might locate them: all a bit off, some faces more than others.

    The deviation of a face is drawn log-uniformly between `low` and `high` (half crop widths).
    """
    how_much, where = seeds(seed, 2)
    spread = tf.random.stateless_uniform([tf.shape(points)[0], 1, 1], how_much)
    deviation = low * (high / low) ** spread
    return points + deviation * tf.random.stateless_normal(tf.shape(points), where)


def prime(points_to_face: keras.Model, model, points: ProjectedLandmarks, loss, steps: int, seed: int = 0) -> float:
    """Trains `points_to_face` in place on random faces; returns the mean loss of the last tenth.

    Args:
      points_to_face: points `[B, K, 3]` in half crop widths → r `[B, 290]`.
      model: a `MorphableModel`.
      points: projects r to these points.
      loss: of r, true and predicted.
      steps: of 512 faces.
      seed: of the faces.
    """
    rate = keras.optimizers.schedules.CosineDecay(1e-5, steps, warmup_target=1e-3, warmup_steps=steps // 20)
    optimizer = keras.optimizers.Adam(rate, clipnorm=5.0)
    variables = points_to_face.trainable_variables
    optimizer.build(variables)
    half = points.size / 2.0

    @tf.function(autograph=False)
    def step(index):
        faces, noise = seeds(tf.stack([tf.constant(seed + 7, tf.int64), index]), 2)
        r = sample_r(model, BATCH, faces)
        places = (points(r) - [half, half, 0.0]) / half
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(r, points_to_face(wrong_by(places, noise), training=True)))
        optimizer.apply(tape.gradient(value, variables), variables)
        return value

    values = [step(tf.constant(index, tf.int64)) for index in tracked(range(steps), "points to r")]
    return float(tf.reduce_mean(values[-max(steps // 10, 1) :])) if values else float("nan")
