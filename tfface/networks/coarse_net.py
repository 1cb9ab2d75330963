"""CoarseNet: a residual network that corrects its own estimate of r (§3.3, §3.4)."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfface.morphable import representation
from tfface.networks.aligned_net import build_aligned_net
from tfface.networks.look_net import build_look_net
from tfface.networks.point_head import build_points_to_face, joint_to_face, locate, point_vertices
from tfface.networks.refine_net import build_refine_net
from tfface.rendering.aligned_view import AlignedView, mirrored
from tfface.rendering.feedback import FeedbackRenderer

INPUT_CHANNELS = 7
"""Masked grey image 1, PNCC 3, normals 3."""
_POSE_STEP = 1.0 / 1024.0
"""What is rendered is rounded: pose to this, and the shape as the face model has it."""

_LEAST_STRIDED = 16
"""Channels from which on a 1×1 convolution may stride. With fewer, the gradient of its weights writes past its buffer
on CPUs with AVX-512 (oneDNN issue 6035, in TensorFlow 2.21), so pixels are picked before."""


@dataclasses.dataclass(frozen=True)
class CoarseNetConfig:
    """The architecture of CoarseNet.

    Attributes:
      size: width of the square input, px.
      widths: channels of the four stages; (64, 128, 256, 512) with `blocks` (2, 2, 2, 2) and `patch_stem` off is
        ResNet-18.
      blocks: residual blocks per stage.
      stem: channels of the first convolution.
      patch_stem: one 8×8 convolution with stride 4 instead of a 7×7 with stride 2 and max pooling: on CPUs a third of
        the training time goes into the latter two.
      passes: times that the network is applied from r₀ = 0.
      residual: the network answers what to add to r, rather than r itself as in the paper: what a pass cannot see it
        leaves alone.
      points: points of the face that the network locates on a map and reads r off, see `point_head`; 0 is the paper's
        way, from pooled features alone.
      point_vertices: the face model's vertices that those points are; () stands for `point_head.point_vertices`.
      joint: width of a small network that reads r off points and pooled features together, and adds to what either
        tells by itself; 0 is none.
      mirrored: the last pass sees the picture as it is and mirrored, and answers the mean of both; not in training.
        Errors of the two are partly independent, and a face is as likely as its mirror image.
      aligned: features per neighbourhood and directions of `aligned_net`, which corrects what the last pass answers; ()
        is none. Not in training: `pipelines.fit_aligned` solves for its weights afterwards.
      refined: widths of `refine_net`, which then corrects what is still wrong; () is none. `pipelines.train_refine`
        trains it afterwards.
      look: widths of `look_net`, which corrects the rest; () is none. `pipelines.train_look` trains it afterwards.
      looks: times that it does.
    """

    size: int = 200
    widths: tuple[int, ...] = (48, 64, 128, 256)
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    stem: int = 48
    patch_stem: bool = True
    passes: int = 4
    residual: bool = False
    points: int = 0
    point_vertices: tuple[int, ...] = ()
    joint: int = 0
    mirrored: bool = False
    aligned: tuple[int, ...] = ()
    refined: tuple[int, ...] = ()
    look: tuple[int, ...] = ()
    looks: int = 1

    def __post_init__(self):
        if len(self.aligned) not in (0, 2):
            raise ValueError(
                f"expected `aligned` as two numbers, features and directions, or none, received {self.aligned}"
            )
        if self.looks < 1:
            raise ValueError(f"expected at least 1 of `looks`, received {self.looks}")
        if self.joint and not self.points:
            raise ValueError(f"expected points for `joint` to read, received joint={self.joint} without points")


def with_vertices(config: CoarseNetConfig, model) -> CoarseNetConfig:
    """The configuration with the vertices of its points spelt out, so that weights keep their meaning.

    Raises:
      ValueError: there are not as many vertices as points.
    """
    if config.points and not config.point_vertices:
        chosen = tuple(int(vertex) for vertex in point_vertices(model, config.points))
        config = dataclasses.replace(config, point_vertices=chosen)
    if len(config.point_vertices) != config.points:
        raise ValueError(
            f"expected {config.points} point_vertices, one per point, received {len(config.point_vertices)}"
        )
    return config


def _conv(x, filters, kernel, strides, name):
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return keras.layers.BatchNormalization(momentum=0.97, name=f"{name}_norm")(x)


def _block(x, filters, strides, name):
    shortcut = x
    if strides != 1 and x.shape[-1] < _LEAST_STRIDED:
        shortcut = _conv(keras.layers.MaxPooling2D(1, strides)(x), filters, 1, 1, f"{name}_shortcut")
    elif strides != 1 or x.shape[-1] != filters:
        shortcut = _conv(x, filters, 1, strides, f"{name}_shortcut")
    y = keras.layers.ReLU()(_conv(x, filters, 3, strides, f"{name}_1"))
    y = _conv(y, filters, 3, 1, f"{name}_2")
    return keras.layers.ReLU()(keras.layers.Add()([shortcut, y]))


def build_coarse_net(config: CoarseNetConfig | None = None, precision: str = "float32") -> keras.Model:
    """The network of one pass: masked image and feedback `[B, size, size, 7]` → r or its change `[B, 290]`, float32.

    Args:
      config: the architecture.
      precision: Keras dtype policy of all but the last layer, such as "mixed_bfloat16".
    """
    config = config or CoarseNetConfig()
    if len(config.widths) != len(config.blocks):
        raise ValueError(f"expected as many widths as blocks, received {config.widths} and {config.blocks}")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return _layers(config)
    finally:
        keras.config.set_dtype_policy(before)


def _layers(config: CoarseNetConfig) -> keras.Model:
    inputs = keras.Input((config.size, config.size, INPUT_CHANNELS), dtype="float32", name="masked_image_pncc_normals")
    if config.patch_stem:
        x = keras.layers.ReLU()(_conv(inputs, config.stem, 8, 4, "stem"))
    else:
        x = keras.layers.ReLU()(_conv(inputs, config.stem, 7, 2, "stem"))
        x = keras.layers.MaxPooling2D(3, 2, padding="same")(x)
    maps = []
    for stage, (width, count) in enumerate(zip(config.widths, config.blocks, strict=True), start=1):
        for block in range(count):
            x = _block(x, width, 2 if stage > 1 and block == 0 else 1, f"stage{stage}_{block + 1}")
        maps.append(x)
    # Pose is a matter of where things are: average pooling alone would throw that away, so the last map is also read
    # place by place through a narrow projection.
    places = keras.layers.Conv2D(32, 1, activation="relu", name="places")(x)
    features = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(x), keras.layers.Flatten()(places)])
    r = keras.layers.Dense(
        representation.SIZE,
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
        dtype="float32",
        name="appearance" if config.points else "r",
    )(features)
    if config.points:
        # A quarter of the first stage's pixels locate a point well enough, and a map of all of them would cost as much
        # as the backbone.
        points = locate(maps[1:] or maps, config.points, 96)
        parts = [r, build_points_to_face(config.points)(points)]
        if config.joint:
            parts.append(joint_to_face(points, features, config.joint))
        r = keras.layers.Add(dtype="float32", name="r")(parts)
    return keras.Model(inputs, r, name="coarse_net")


class IterativeCoarseNet(keras.Model):
    """CoarseNet with its feedback: grey image `[B, size, size, 1]` in 0…1 → r `[B, 290]`.

    Starts from r₀ = 0 and applies one network `passes` times, each time to the image masked by what r makes visible,
    with the PNCC and normals of r.

    Args:
      model: a `MorphableModel`.
      config: the architecture.
      precision: Keras dtype policy of the network.
    """

    def __init__(self, model, config: CoarseNetConfig | None = None, precision: str = "float32", **kwargs):
        super().__init__(**kwargs)
        self.config = with_vertices(config or CoarseNetConfig(), model)
        self.face_model = model
        self.network = build_coarse_net(self.config, precision)
        self.feedback = FeedbackRenderer(model, self.config.size)
        self.steps = np.append(model.steps, np.full(representation.POSE_SIZE, _POSE_STEP, np.float32))
        self.aligned_net = build_aligned_net(*self.config.aligned) if self.config.aligned else None
        self.refine_net = build_refine_net(self.config.refined) if self.config.refined else None
        self.look_net = build_look_net(self.config.look) if self.config.look else None
        for network in self.corrections.values():
            network.trainable = False
        self.aligned_view = AlignedView(model, self.config.size) if self.corrections else None

    @property
    def corrections(self) -> dict[str, keras.Model]:
        """The networks that correct the last pass's answer by the aligned picture, one after the other, by name."""
        found = {"aligned": self.aligned_net, "refine": self.refine_net, "look": self.look_net}
        return {name: network for name, network in found.items() if network is not None}

    def freeze_points_to_face(self):
        """Keeps the way from points to r as it was primed: few samples of photographs would unlearn the face model."""
        if self.config.points:
            self.network.get_layer("points_to_face").trainable = False

    @functools.cached_property
    def first_feedback(self):
        """What r₀ = 0 looks like, `[1, size, size, 7]`: a constant, so the first pass renders nothing."""
        # Also when first asked for inside a graph: the picture itself is to become the constant.
        with tf.init_scope():
            return self.feedback(tf.zeros([1, representation.SIZE])).numpy()

    def seen(self, image: tf.Tensor, r: tf.Tensor, feedback=None) -> tf.Tensor:
        """What the network is shown at the estimate r, `[B, size, size, 7]`; `feedback` is r's, where it is known."""
        return self.feedback(on_grid(r, self.steps), image) if feedback is None else network_input(image, feedback)

    def one_pass(self, image: tf.Tensor, r: tf.Tensor, training: bool = False, feedback=None) -> tf.Tensor:
        """The next estimate `[B, 290]` from the image and the current one; for `feedback` see `seen`."""
        answer = self.network(self.seen(image, r, feedback), training=training)
        return r + answer if self.config.residual else answer

    def both_ways(self, image: tf.Tensor, r: tf.Tensor, feedback=None) -> tf.Tensor:
        """As `one_pass`, but the mean of the answers to the picture and to the mirrored picture; not for training."""
        feedback = self.feedback(on_grid(r, self.steps)) if feedback is None else feedback
        # The mirrored r isn't rendered: what it looks like is known.
        seen = [network_input(image, feedback), network_input(_flipped(image), _mirrored(feedback))]
        answer, other = tf.split(self.network(tf.concat(seen, axis=0), training=False), 2)
        reflection = self.face_model.reflection
        if self.config.residual:
            answer, other = r + answer, reflection(r) + other
        return (answer + reflection(other)) / 2.0

    def corrected(self, image: tf.Tensor, r: tf.Tensor) -> tf.Tensor:
        """r `[B, 290]` as `corrections` leave it; not for training."""
        for name in self.corrections:
            for _ in range(self.config.looks if name == "look" else 1):
                r = self.corrected_by(name, image, r)
        return r

    def corrected_by(self, name: str, image: tf.Tensor, r: tf.Tensor) -> tf.Tensor:
        """r `[B, 290]` as one of `corrections` leaves it; not for training.

        It sees the picture as it lies on the estimate and its mirror image, and the mean of both answers counts.
        """
        reflection, looks = self.face_model.reflection, name == "look"
        view = (self.aligned_view.patches if looks else self.aligned_view)(image, r)
        views, estimates = tf.concat([view, mirrored(view)], axis=0), tf.concat([r, reflection(r)], axis=0)
        step = self.corrections[name]([views, estimates], training=False)
        answer, other = tf.split(estimates + (step[0] if looks else step), 2)
        return (answer + reflection(other)) / 2.0

    def all_passes(self, image: tf.Tensor, training: bool = False, passes: int | None = None) -> tf.Tensor:
        """The estimate after every pass, `[B, passes, 290]`.

        The last of the configured number is of both ways if the network is `mirrored`, and then `corrected` if it has
        `corrections`.
        """
        batch = tf.shape(image)[0]
        r = tf.zeros([batch, representation.SIZE])
        feedback = tf.tile(self.first_feedback, [batch, 1, 1, 1])
        estimates = []
        for step in range(1, (passes or self.config.passes) + 1):
            last = not training and step >= self.config.passes
            if self.config.mirrored and last:
                r = self.both_ways(image, r, feedback)
            else:
                r = self.one_pass(image, r, training, feedback)
            if last and self.corrections:
                r = self.corrected(image, r)
            feedback = None
            estimates.append(r)
        return tf.stack(estimates, axis=1)

    def call(self, image, training=False):
        return self.all_passes(image, training)[:, -1]


def changed(coarse: IterativeCoarseNet, **changes) -> IterativeCoarseNet:
    """The same CoarseNet, its configuration with `changes` and its weights its own; networks that it lacks are
    untrained, and those whose architecture the changes concern."""
    other = IterativeCoarseNet(coarse.face_model, dataclasses.replace(coarse.config, **changes))
    other.network.set_weights(coarse.network.get_weights())
    for name, network in other.corrections.items():
        field = {"refine": "refined"}.get(name, name)
        if name in coarse.corrections and field not in changes:
            network.set_weights(coarse.corrections[name].get_weights())
    return other


@tf.custom_gradient
def on_grid(r: tf.Tensor, steps: np.ndarray) -> tuple[tf.Tensor, Callable]:
    """r `[B, 290]` rounded to whole `steps` `[290]`; the gradient is the identity's.

    Two runtimes, and two batch sizes on one, differ in the last bits of r, and a pixel's centre that lies on the
    face's outline to within these bits is on the face for one and off it for the other. What is rendered is therefore
    the same face, to the bit, wherever the network runs (`morphable.grid`, `rendering.feedback`), but where a number
    lies between two steps to within these bits: the wider the steps, the less often.
    """
    return tf.round(r / steps) * steps, lambda upstream: (upstream, None)


def _flipped(pictures: tf.Tensor) -> tf.Tensor:
    """`[B, H, W, C]`, left for right."""
    return tf.reverse(pictures, axis=[2])


def _mirrored(feedback: tf.Tensor) -> tf.Tensor:
    """Feedback `[B, H, W, 7]` of the mirrored face: PNCC's x counts from the other side, normals point there."""
    sign = tf.constant([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0])
    other_side = tf.constant([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    return _flipped(feedback) * sign + _flipped(feedback[..., :1]) * other_side


def network_input(image: tf.Tensor, feedback: tf.Tensor) -> tf.Tensor:
    """`[B, H, W, 7]`: the image masked by the feedback's first channel, then PNCC and normals (§3.4)."""
    return tf.concat([image * feedback[..., :1], feedback[..., 1:]], axis=-1)
