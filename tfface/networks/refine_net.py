"""A second look at the picture as it lies on the face: a convolutional network of what `aligned_net` left wrong.

`aligned_net` brings features to within a cell of where the mean face has them; then gradient descent has little place
and scale to learn first, and goes on to what makes the person. None of this is in the paper.
"""

import keras
import numpy as np
import tensorflow as tf

from tfface.morphable import representation
from tfface.rendering.aligned_view import CELLS, DIRECTIONS

ESTIMATE_SCALE = np.r_[np.full(representation.GEOMETRY_SIZE, 0.5), 3.0, 2.0, 3.0, 5.0, 5.0, 5.0]
"""What brings the numbers of an estimate to about 1."""
STEP_SCALE = np.r_[np.full(representation.GEOMETRY_SIZE, 0.5), 0.03, 0.03, 0.03, 0.015, 0.015, 0.02]
"""What the numbers of r are off by, about: the network's answer is in these units."""


@keras.saving.register_keras_serializable(package="tfface")
class Standardised(keras.layers.Layer):
    """Gradients of aligned pictures `[B, 32, 32, 9]` at mean 0 and deviation 1 where they are seen, 0 elsewhere."""

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **{k: v for k, v in kwargs.items() if k != "dtype"})

    def build(self, shape):
        cells = [CELLS, CELLS, DIRECTIONS]
        self.mean = self.add_weight(shape=cells, initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=cells, initializer="ones", trainable=False, name="deviation")

    def call(self, gradients):
        seen = gradients[..., DIRECTIONS:]
        return tf.concat([(gradients[..., :DIRECTIONS] - self.mean) / self.deviation * seen, seen], axis=-1)


def build_refine_net(widths: tuple[int, ...]) -> keras.Model:
    """The network: gradients `[B, 32, 32, 9]` and r `[B, 290]` of an estimate → what to add to r, `[B, 290]`.

    Args:
      widths: channels at 32×32 cells, 16×16, and so on.

    Raises:
      ValueError: none, or more than halve the cells evenly.
    """
    if not 1 <= len(widths) <= 6 or min(widths) < 1:
        raise ValueError(f"expected 1 to 6 positive widths of `refined`, received {widths}")

    def conv(x, filters, strides, name):
        x = keras.layers.Conv2D(
            filters,
            3,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            dtype="float32",
            name=f"{name}_conv",
        )(x)
        return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.98, name=f"{name}_norm")(x))

    gradients = keras.Input((CELLS, CELLS, DIRECTIONS + 1), dtype="float32", name="gradients")
    estimate = keras.Input((representation.SIZE,), dtype="float32", name="estimate")
    x = conv(Standardised(name="standardised")(gradients), widths[0], 1, "stage1_1")
    for stage, filters in enumerate(widths[1:], start=2):
        x = conv(x, filters, 2, f"stage{stage}_1")
        x = keras.layers.Add()([x, conv(x, filters, 1, f"stage{stage}_2")])
    # As in CoarseNet: where something is matters, and averages would lose it.
    places = keras.layers.Conv2D(widths[0], 1, activation="relu", name="places")(x)
    places = keras.layers.Dropout(0.2)(keras.layers.Flatten()(places))
    known = keras.layers.Rescaling(ESTIMATE_SCALE.tolist(), name="known")(estimate)
    x = keras.layers.Concatenate()([places, known])
    x = keras.layers.Dropout(0.2)(keras.layers.Dense(3 * widths[-1], activation="relu", name="together")(x))
    # Zeros: an untrained network adds nothing.
    x = keras.layers.Dense(representation.SIZE, kernel_initializer="zeros", dtype="float32", name="steps")(x)
    return keras.Model(
        [gradients, estimate], keras.layers.Rescaling(STEP_SCALE.tolist(), name="r")(x), name="refine_net"
    )
