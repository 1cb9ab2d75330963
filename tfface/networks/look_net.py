"""Another look at the picture on the face: where each place of it should move to, and what r that makes.

`refine_net` sees gradients pooled over 6 mm, and moves features by a tenth of that at best; here the network sees the
picture itself. That alone learns nothing from what the corrections before it left wrong, which is what they couldn't
see. So it is trained on estimates that were disturbed by others' errors (`pipelines.train_look`), and on each place's
own move besides r. It is asked several times, as CoarseNet is, each time of the picture as it lies on its last answer.
None of this is in the paper.
"""

import keras
import tensorflow as tf

from tfface.morphable import representation
from tfface.networks.refine_net import ESTIMATE_SCALE, STEP_SCALE
from tfface.rendering.aligned_view import CELLS, PATCH


@keras.saving.register_keras_serializable(package="tfface")
class PlaceBias(keras.layers.Layer):
    """Adds to `[B, H, W, C]` what each place has by itself: convolutions don't know where they are."""

    def build(self, shape):
        self.bias = self.add_weight(shape=shape[1:], initializer="zeros", name="bias")

    def call(self, x):
        return x + self.bias


@keras.saving.register_keras_serializable(package="tfface")
class PlaceDense(keras.layers.Layer):
    """A linear function of each place's channels that is the place's own: `[B, H, W, C]` → `[B, H, W, units]`.

    Args:
      units: channels of the answer.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        _, height, width, channels = shape
        small = keras.initializers.RandomNormal(stddev=0.01)
        self.kernel = self.add_weight(shape=(height * width, channels, self.units), initializer=small, name="kernel")
        self.bias = self.add_weight(shape=(height * width, self.units), initializer="zeros", name="bias")

    def call(self, x):
        height, width, channels = x.shape[1:]
        # One product of matrices per place.
        places = tf.transpose(tf.reshape(x, [-1, height * width, channels]), [1, 0, 2])
        answer = tf.transpose(tf.matmul(places, tf.convert_to_tensor(self.kernel)), [1, 0, 2]) + self.bias
        return tf.reshape(answer, [-1, height, width, self.units])

    def get_config(self):
        return super().get_config() | {"units": self.units}


def build_look_net(widths: tuple[int, ...]) -> keras.Model:
    """The network: patches `[B, 32, 32, 33]` and r `[B, 290]` of an estimate → what to add to r `[B, 290]`, and where
    each place of the face should move, `[B, 16, 16, 3]` mm in the frame of the estimated head.

    Args:
      widths: channels at 32×32 cells, 16×16, and so on.

    Raises:
      ValueError: fewer than two, or more than halve the cells evenly.
    """
    if not 2 <= len(widths) <= 6 or min(widths) < 1:
        raise ValueError(f"expected 2 to 6 positive widths of `look`, received {widths}")
    layers = keras.layers

    def conv(x, filters, strides, name, placed=False):
        x = layers.Conv2D(
            filters,
            3,
            strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_conv",
        )(x)
        x = layers.BatchNormalization(momentum=0.98, name=f"{name}_norm")(x)
        return layers.ReLU()(PlaceBias(name=f"{name}_place")(x) if placed else x)

    patches = keras.Input((CELLS, CELLS, PATCH), dtype="float32", name="patches")
    estimate = keras.Input((representation.SIZE,), dtype="float32", name="estimate")
    x, at_places = conv(patches, widths[0], 1, "stage1_1", placed=True), None
    for stage, filters in enumerate(widths[1:], start=2):
        x = conv(x, filters, 2, f"stage{stage}_1", placed=True)
        x = layers.Add()([x, conv(x, filters, 1, f"stage{stage}_2")])
        at_places = x if at_places is None else at_places
    hidden = 3 * widths[-1]
    places = layers.Conv2D(widths[0], 1, activation="relu", name="places")(x)
    known = layers.Rescaling(ESTIMATE_SCALE.tolist(), name="known")(estimate)
    whole = layers.Concatenate()([layers.Dropout(0.1)(layers.Flatten()(places)), known])
    whole = layers.Dropout(0.1)(layers.Dense(hidden, activation="relu", name="whole")(whole))
    # What the whole face tells goes back to its places.
    across = layers.Reshape((1, 1, widths[1]))(layers.Dense(widths[1], name="across")(whole))
    back = layers.Add()([layers.Conv2D(widths[1], 1, use_bias=False, name="back")(x), across])
    for _ in widths[2:]:
        back = layers.UpSampling2D(2, interpolation="nearest")(back)
    x = layers.Add()([back, layers.Conv2D(widths[1], 1, use_bias=False, name="same")(at_places)])
    x = conv(x, widths[1], 1, "moves_1", placed=True)
    x = layers.Add()([x, conv(x, widths[1], 1, "moves_2")])
    x = PlaceDense(4, name="moves_and_trust")(x)
    moves, trust = layers.Rescaling(2.0, name="moves")(x[..., :3]), layers.Activation("sigmoid")(x[..., 3:])
    seen = layers.Flatten()(layers.Concatenate()([layers.Multiply()([moves, trust]), trust]))
    both = layers.Dense(hidden, activation="relu", name="both")(layers.Concatenate()([seen, whole]))
    x = layers.Concatenate()([layers.Dropout(0.1)(both), whole, seen])
    # Zeros: an untrained network adds nothing.
    x = layers.Dense(representation.SIZE, kernel_initializer="zeros", name="steps")(x)
    return keras.Model(
        [patches, estimate], [layers.Rescaling(STEP_SCALE.tolist(), name="r")(x), moves], name="look_net"
    )
