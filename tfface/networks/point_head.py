"""CoarseNet's way to see places: points of the face are located on a map, and r is read off them.

A network that answers 290 numbers from pooled features must learn where things are by heart. Locating a point on a map
with a soft-argmax (integral regression: Sun et al., "Integral Human Pose Regression", ECCV 2018) is the same at every
place, so it is learnt from far fewer faces; and from points to r leads a small network that can be primed with the face
model alone, see `pipelines.train_coarse`.
"""

import keras
import numpy as np
import tensorflow as tf

from tfface.morphable import representation

REACH = 1.25
"""Points may lie this many half crop widths from the centre."""


def point_vertices(model, count: int, among=None) -> np.ndarray:
    """Vertices `[count]` to locate: the 68 landmarks, then always the one farthest from those taken before.

    Args:
      model: a `MorphableModel`.
      count: at least 68.
      among: `[V]` bool, where those beside the landmarks may be; None is everywhere.

    Raises:
      ValueError: fewer than 68 were asked for.
    """
    landmarks = list(np.asarray(model.landmarks))
    if count < len(landmarks):
        raise ValueError(f"expected at least {len(landmarks)} points, the landmarks, received {count}")
    mean = np.asarray(model.mean, np.float64)
    distance = np.full(len(mean), np.inf) if among is None else np.where(among, np.inf, -1.0)
    chosen = []
    while len(chosen) < count:
        chosen.append(landmarks[len(chosen)] if len(chosen) < len(landmarks) else int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(mean - mean[chosen[-1]], axis=-1))
    return np.asarray(chosen)


def cell_centres(count: int) -> np.ndarray:
    """Where the cells of a map's row or column lie, `[count]` float32 in half crop widths."""
    return REACH * ((np.arange(count, dtype=np.float32) + 0.5) * (2.0 / count) - 1.0)


@keras.saving.register_keras_serializable(package="tfface")
class SoftArgmax(keras.layers.Layer):
    """Maps of scores and depths `[B, H, W, 2·K]` → points `[B, K, 3]`: x right, y down, z nearer, in half crop widths.

    x and y are the mean of the cells' centres under the softmax of the scores, z that of the depth map.
    """

    def __init__(self, **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)

    def call(self, maps):
        height, width = maps.shape[1:3]
        points = maps.shape[-1] // 2
        flat = tf.reshape(tf.cast(maps, tf.float32), [-1, height * width, 2 * points])
        share = tf.nn.softmax(flat[..., :points], axis=1)
        x, y = cell_centres(width), cell_centres(height)
        grid = np.stack([np.tile(x, height), np.repeat(y, width)])
        place = tf.einsum("nc,bck->bkn", grid, share)
        depth = tf.reduce_sum(share * flat[..., points:], axis=1)
        return tf.concat([place, depth[..., None]], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1] // 2, 3)


@keras.saving.register_keras_serializable(package="tfface")
class Raise(keras.layers.Layer):
    """Bilinear enlargement of `[B, h, w, C]` to `[B, height, width, C]`, as two matrix products.

    ONNX states sizes of a resize as factors, and 7 · (13 / 7) rounds down to 12.
    """

    def __init__(self, height: int, width: int, **kwargs):
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def call(self, x):
        before = x.shape[1:3]
        rows, columns = (
            tf.cast(_between(a, b), x.dtype) for a, b in zip(before, (self.height, self.width), strict=True)
        )
        x = tf.matmul(rows[None], tf.reshape(x, [-1, before[0], before[1] * x.shape[-1]]))
        return tf.matmul(columns[None, None], tf.reshape(x, [-1, self.height, before[1], x.shape[-1] // before[1]]))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.height, self.width, input_shape[-1])

    def get_config(self):
        return super().get_config() | {"height": self.height, "width": self.width}


def _between(before: int, after: int) -> np.ndarray:
    """Weights `[after, before]` of linear interpolation between pixel centres; beyond the outer ones theirs holds."""
    place = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    return np.maximum(1.0 - np.abs(place[:, None] - np.arange(before)), 0.0).astype(np.float32)


def locate(maps: list, points: int, width: int):
    """Points `[B, points, 3]` from the backbone's maps, finest first, through a top-down path of `width` channels.

    Lin et al., "Feature Pyramid Networks for Object Detection" (CVPR 2017).
    """
    x = None
    for level, features in reversed(list(enumerate(maps))):
        lateral = keras.layers.Conv2D(width, 1, use_bias=False, name=f"lateral{level}")(features)
        if x is not None:
            x = Raise(*features.shape[1:3], name=f"raise{level}")(x)
            lateral = keras.layers.Add()([lateral, x])
        x = keras.layers.BatchNormalization(momentum=0.97, name=f"level{level}_norm")(lateral)
        x = keras.layers.ReLU()(x)
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"level{level}_conv")(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.97, name="map_norm")(x))
    return SoftArgmax(name="points")(keras.layers.Conv2D(2 * points, 1, name="scores_and_depths")(x))


def build_points_to_face(points: int, width: int = 512) -> keras.Model:
    """Points `[B, points, 3]` in half crop widths → r `[B, 290]`."""
    inputs = keras.Input((points, 3), dtype="float32")
    flat = x = keras.layers.Flatten()(inputs)
    for layer in range(2):
        x = keras.layers.Dense(width, activation="relu", dtype="float32", name=f"points_dense{layer + 1}")(x)
    straight = keras.layers.Dense(representation.SIZE, use_bias=False, dtype="float32", name="points_straight")(flat)
    bent = keras.layers.Dense(representation.SIZE, dtype="float32", name="points_bent")(x)
    return keras.Model(inputs, keras.layers.Add(dtype="float32")([straight, bent]), name="points_to_face")


def joint_to_face(points, features, width: int):
    """r `[B, 290]` that points `[B, points, 3]` and pooled features `[B, N]` tell together; 0 at first."""
    x = keras.layers.Dense(width // 4, activation="relu", dtype="float32", name="joint_features")(features)
    x = keras.layers.Concatenate(dtype="float32")([keras.layers.Flatten(dtype="float32")(points), x])
    for layer in range(2):
        x = keras.layers.Dense(width, activation="relu", dtype="float32", name=f"joint_dense{layer + 1}")(x)
    return keras.layers.Dense(representation.SIZE, kernel_initializer="zeros", dtype="float32", name="joint")(x)
