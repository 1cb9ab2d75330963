"""What is still wrong with an estimate of CoarseNet, read off the picture as it lies on the face it found.

CoarseNet's convolutions look for the face all over the crop, and its first one has a stride of 4: it knows where
features are to about 2 px, which is as much as heads differ by. Once a face is found, its features need no looking for
(`rendering.aligned_view`), and what is left is a smooth function of small shifts. Here it is linear in random features
of each neighbourhood (Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007), whose best
weights have a closed form: `pipelines.fit_aligned` solves for them in minutes. Regressing corrections from gradients
around an estimate is the supervised descent of Xiong and De la Torre (CVPR 2013). None of this is in the paper.
"""

import keras
import tensorflow as tf

from tfface.morphable import representation
from tfface.rendering.aligned_view import CELLS, DIRECTIONS


@keras.saving.register_keras_serializable(package="tfface")
class RandomFeatures(keras.layers.Layer):
    """Gradients of aligned pictures `[B, 32, 32, 9]` → features of each 3×3 neighbourhood `[B, 16, 16, features]`.

    The cosine of a linear function of the gradients at mean 0 and deviation 1, times how much of them is seen.

    Args:
      features: per neighbourhood.
    """

    def __init__(self, features: int, **kwargs):
        super().__init__(dtype="float32", **{k: v for k, v in kwargs.items() if k != "dtype"})
        self.features = features

    def build(self, shape):
        cells = [CELLS, CELLS, DIRECTIONS]
        self.mean = self.add_weight(shape=cells, initializer="zeros", name="mean")
        self.deviation = self.add_weight(shape=cells, initializer="ones", name="deviation")
        self.kernel = self.add_weight(shape=[3, 3, DIRECTIONS, self.features], name="kernel")
        self.phase = self.add_weight(shape=[self.features], initializer="zeros", name="phase")

    def call(self, gradients):
        seen = gradients[..., DIRECTIONS:]
        x = (gradients[..., :DIRECTIONS] - self.mean) / self.deviation * seen
        x = tf.nn.conv2d(x, tf.convert_to_tensor(self.kernel), 2, "SAME") + self.phase
        return tf.cos(x) * tf.nn.avg_pool2d(seen, 3, 2, "SAME")

    def get_config(self):
        return super().get_config() | {"features": self.features}


def build_aligned_net(features: int, directions: int) -> keras.Model:
    """The network: gradients `[B, 32, 32, 9]` and r `[B, 290]` of an estimate → what to add to r, `[B, 290]`.

    Args:
      features: random features per neighbourhood.
      directions: that r is corrected along.
    """
    if features < 1 or not 1 <= directions <= representation.SIZE:
        raise ValueError(
            f"expected at least 1 feature and 1 to {representation.SIZE} directions, received {features}, {directions}"
        )
    gradients = keras.Input((CELLS, CELLS, DIRECTIONS + 1), dtype="float32", name="gradients")
    estimate = keras.Input((representation.SIZE,), dtype="float32", name="estimate")
    x = keras.layers.Flatten(dtype="float32")(RandomFeatures(features, name="features")(gradients))
    x = keras.layers.Dense(directions, use_bias=False, dtype="float32", name="directions")(x)
    # Zeros: a network without weights adds nothing.
    seen = keras.layers.Dense(representation.SIZE, kernel_initializer="zeros", dtype="float32", name="seen")(x)
    known = keras.layers.Dense(
        representation.SIZE, use_bias=False, kernel_initializer="zeros", dtype="float32", name="known"
    )(estimate)
    return keras.Model([gradients, estimate], keras.layers.Add(dtype="float32")([seen, known]), name="aligned_net")
