"""FineNet: a hypercolumn network that adds fine detail to a coarse depth map (§4.2)."""

import dataclasses

import keras
import tensorflow as tf

from tfface.geometry.depth import as_channels, normal_maps, slope_maps
from tfface.losses.least_squares import least_squares_of_rows
from tfface.losses.local import local_means
from tfface.networks.cell_net import build_cell_net, cell_px, from_cells, to_cells

# Mean colour of VGG-Face's training images (RGB, 0…255; `meta.normalization.averageImage` of vgg_face.mat).
# The grey image is repeated to three channels, as the published first layer expects.
VGG_FACE_MEAN = (129.1863, 104.7624, 93.5940)

# Grey differences of a face, 0.25 or so, come near the unit variance that He's initial weights expect.
TRUNK_SCALE = 4.0

CAMERA_GAMMA = 2.2
"""Exponent that turns grey values into light."""

SKIN_CELLS = 128
"""Width of the grid on which `skin` tells skin from the rest: a rim of glasses is two cells wide."""

NOISE_CELLS = 64
"""Width of the grid on which `detail_noise` looks at how strong detail is, and which holds what of it is broad."""

SKIN_BETWEEN = (0.05, 0.25)
"""Probabilities of skin between which detail goes from nothing to all: deep folds of old people, and what lies in the
shadow of their brows, are told from hair with much doubt, hair from skin with little."""

_BLOCKS = ((1, 2, 64), (2, 2, 128), (3, 3, 256))
_FURTHER_CONVOLUTIONS = 2
_PAD_TO = 4
_WIDTHS = ("further", "regressor", "skin")
_GONE = ("shape", "context")


@dataclasses.dataclass(frozen=True)
class FineNetConfig:
    """The size and options of FineNet.

    Attributes:
        width: factor on VGG-16's channels. 1 gives the paper's 64, 128, 256 and with grey and depth a
            hypercolumn of 450; published VGG-Face weights fit only 1.
        further: channels of more blocks behind the third, each of two convolutions after one more pooling. What they
            say is brought back by an up-convolution each and added to the last map of the block before. The paper's
            three see 40 px at a time; three more see 292, all of a face in a picture of 200 px. () is the paper.
        mixing: wherever what a further block says has been added to a map, two more 3×3 convolutions look at the sum
            and add to it: a line means another thing on a forehead than beside a nose. The paper has none.
        regressor: channels of the hidden 1×1 convolutions on the hypercolumn.
        slopes: also show the trunk the coarse depth's slopes, in place of two of the three copies of grey.
            The paper shows it grey only; then the direction in which the surface already leans is unknown to
            every layer that sees neighbours. Published weights fit only False.
        standardise: show the trunk the face's grey values with mean 0 and deviation 1, so that dark and bright skin and
            exposures look alike. The paper doesn't. Published weights fit only False.
        light: px; also show the trunk what light on the coarse depth leaves unexplained: the light of eq. 11 is solved
            on the whole face, and three more channels are the relative difference of the image from the shading that
            it predicts, gain matched within a Gaussian of this size, and how that shading changes with either slope. A
            network that sees 40 px at a time can't know else where the light comes from, or that there is none. 0 is
            the paper.
        on_face: grey's mean and deviation for `standardise`, and the light for `light`, are taken where detail belongs
            (`detailed`), and not also on ears, hair and neck, which photographs show something else before. `skin`
            always takes them on the mask.
        smooth_upsampling: follow each up-convolution by a fixed 3×3 binomial average, which makes it start as
            bilinear interpolation. Without it (the paper) features start constant on 4×4 cells.
        skin: channels of each level of a whole-face network that tells bare skin from hair, beard, glasses and whatever
            else is before the face; detail is multiplied by its answer, but for what is broad, which goes on smoothly
            (`broad_part`). () is the paper, which has no such network.
        detail_scale: px per unit of the last convolution.
        detail_noise: slope, px per px, of what the last convolution says where there is nothing. Detail, but for what
            is broad, is multiplied by e / (e + detail_noise²) (Wiener 1949), e the mean square of its own slopes around
            a pixel: what is fainter is more often noise, or paint, than shape. 0 is the paper, and what training uses.
        mirrored: detail is the mean of what the network says of the face and of the mirrored face, which takes twice as
            long; not in training, nor in the paper.
    """

    width: float = 1.0
    further: tuple[int, ...] = ()
    mixing: bool = False
    regressor: tuple[int, ...] = (128, 64)
    slopes: bool = False
    standardise: bool = False
    light: float = 0.0
    on_face: bool = False
    smooth_upsampling: bool = False
    skin: tuple[int, ...] = ()
    detail_scale: float = 1.0
    detail_noise: float = 0.0
    mirrored: bool = False

    def __post_init__(self):
        if self.width <= 0:
            raise ValueError(f"expected width > 0, received {self.width}")
        for name in _WIDTHS:
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def of(cls, fields: dict) -> "FineNetConfig":
        """From its fields as a file has them; one of before may name options that are gone, if they were off."""
        return cls(**{name: value for name, value in fields.items() if name not in _GONE or value})

    def channels(self) -> tuple[int, ...]:
        """Channels of the three blocks."""
        return tuple(max(1, round(base * self.width)) for _, _, base in _BLOCKS)


def paper() -> FineNetConfig:
    """§4.2 as printed."""
    return FineNetConfig()


def release() -> FineNetConfig:
    """What the shipped weights use."""
    return FineNetConfig(
        width=0.5,
        further=(256, 256, 256),
        mixing=True,
        regressor=(64, 32),
        slopes=True,
        standardise=True,
        light=6.0,
        on_face=True,
        smooth_upsampling=True,
        skin=(8, 16, 24, 32, 48),
    )


@keras.saving.register_keras_serializable(package="tfface")
class NearestUpsampling(keras.initializers.Initializer):
    """Starts a 2×2 stride-2 up-convolution as nearest-neighbour upsampling: the identity under every tap."""

    def __call__(self, shape, dtype=None):
        rows, columns, out, features = shape
        return tf.tile(tf.eye(out, features, dtype=dtype or "float32")[None, None], [rows, columns, 1, 1])


@keras.saving.register_keras_serializable(package="tfface")
class FineNet(keras.Model):
    """Grey image and coarse depth in, refined depth out; any image size.

    VGG-16 up to its third pooling; the last layer of each block, brought back to full size by learnt 2×2 stride-2
    up-convolutions (once for block 2, cascaded twice for block 3, on which `further` blocks have been added), with the
    grey image and the coarse depth forms the hypercolumn that 1×1 convolutions turn into detail. The last convolution
    starts at zero, so that FineNet starts as the identity on the coarse depth. Output and depth arithmetic are float32
    under any precision policy.

    Inputs, a dict:
        image: [B, H, W, 1] grey in 0…1.
        depth: [B, H, W, 1] coarse depth in px.
        mask: [B, H, W, 1], 1 on the face.
        detailed: [B, H, W, 1], optional; 0…1, by which detail is multiplied.

    Returns the refined depth [B, H, W, 1] in px, 0 off the mask.

    Args:
        config: a `FineNetConfig`, or its fields as a dict.
    """

    def __init__(self, config=None, **kwargs):
        kwargs.setdefault("name", "fine_net")
        super().__init__(autocast=False, **{k: v for k, v in kwargs.items() if k != "autocast"})
        if isinstance(config, dict):
            config = FineNetConfig.of(config)
        self.config = config or FineNetConfig()
        widths = self.config.channels()
        self._trunk = []
        for (block, count, _), filters in zip(_BLOCKS, widths, strict=True):
            self._trunk.append([self._convolution(f"conv{block}_{i}", filters, 3) for i in range(1, count + 1)])
        self._upsampling = [[]]
        for block, filters in ((2, widths[1]), (3, widths[2])):
            names = [f"up{block}_{i}" for i in range(1, block)]
            self._upsampling.append([self._up_convolution(name, filters, NearestUpsampling()) for name in names])
        self._further = []
        for block, filters in enumerate(self.config.further, start=len(_BLOCKS) + 1):
            names = [f"conv{block}_{i}" for i in range(1, _FURTHER_CONVOLUTIONS + 1)]
            before = (*widths, *self.config.further)[block - 2]
            # From zero: a network that is given more blocks answers what it did.
            up = self._up_convolution(f"up{block}_1", before, "zeros")
            mixing = []
            if self.config.mixing:
                mixing.append(self._convolution(f"mix{block}_1", before, 3))
                mixing.append(self._convolution(f"mix{block}_2", before, 3, activation=None, initial="zeros"))
            self._further.append(([self._convolution(name, filters, 3) for name in names], up, mixing))
        self._regressor = [
            self._convolution(f"regressor_{index}", filters, 1)
            for index, filters in enumerate(self.config.regressor, start=1)
        ]
        self.detail_layer = keras.layers.Conv2D(
            1, 1, kernel_initializer="zeros", use_bias=False, name="detail", dtype="float32"
        )
        seen = 2 + self._trunk_channels
        # It starts by taking all for skin, nearly.
        skin = self.config.skin
        self.skin_net = build_cell_net("skin", skin, seen, SKIN_CELLS, bias=3.0) if skin else None

    def _convolution(self, name, filters, size, activation="relu", initial="he_normal"):
        layer = keras.layers.Conv2D(
            filters,
            size,
            padding="same",
            activation=activation,
            kernel_initializer=initial,
            name=name,
            dtype=self.dtype_policy,
        )
        setattr(self, layer.name, layer)
        return layer

    def _up_convolution(self, name, filters, initial):
        layer = keras.layers.Conv2DTranspose(
            filters, 2, strides=2, kernel_initializer=initial, name=name, dtype=self.dtype_policy
        )
        setattr(self, layer.name, layer)
        return layer

    @property
    def convolutions(self) -> list:
        """The seven 3×3 convolutions conv1_1 … conv3_3, which published VGG-Face weights fit."""
        return [layer for block in self._trunk for layer in block]

    @property
    def _trunk_channels(self) -> int:
        return 6 if self.config.light else 3

    @property
    def hypercolumn_width(self) -> int:
        """Channels that the 1×1 convolutions read; 450 in the paper."""
        return sum(self.config.channels()) + 2

    def build(self, input_shape=None):
        if self.built:
            return
        channels = self._trunk_channels
        for layers, ups in zip(self._trunk, self._upsampling, strict=True):
            for layer in layers:
                layer.build((None, None, None, channels))
                channels = layer.filters
            for layer in ups:
                layer.build((None, None, None, channels))
        for layers, up, mixing in self._further:
            for layer in layers:
                layer.build((None, None, None, channels))
                channels = layer.filters
            up.build((None, None, None, channels))
            for layer in mixing:
                layer.build((None, None, None, up.filters))
        channels = self.hypercolumn_width
        for layer in [*self._regressor, self.detail_layer]:
            layer.build((None, None, None, channels))
            channels = layer.filters
        self.built = True

    def prepare(self, image, depth, mask, detailed=None):
        """What the convolutions read: three channels for the trunk, then grey and coarse depth for the hypercolumn.

        The depth enters as (z − mean) / √area, with mean and area over the mask: the face's own size is the unit, so
        that a face looks the same at any resolution. Grey enters the trunk as 4 (I − mean colour), or standardised
        over the mask, or what `on_face` says.

        Args:
            image, depth, mask: [B, H, W, 1], whole faces.
            detailed: [B, H, W, 1] in 0…1, optional; see the inputs.

        Returns:
            [B, H, W, 5] float32, or 8 with `light`.
        """
        image, depth, mask = (tf.cast(x, tf.float32) for x in (image, depth, mask))
        area = tf.maximum(tf.reduce_sum(mask, [1, 2, 3], keepdims=True), 1.0)
        mean = tf.reduce_sum(depth * mask, [1, 2, 3], keepdims=True) / area
        relative = (depth - mean) * mask / tf.sqrt(area)
        counted = mask if detailed is None or not self.config.on_face else mask * tf.cast(detailed, tf.float32)
        if self.config.standardise:
            count = tf.maximum(tf.reduce_sum(counted, [1, 2, 3], keepdims=True), 1.0)
            centre = tf.reduce_sum(image * counted, [1, 2, 3], keepdims=True) / count
            spread = tf.reduce_sum(tf.square(image - centre) * counted, [1, 2, 3], keepdims=True) / count
            centred = [(image - centre) / tf.sqrt(spread + 1e-4)] * 3
        else:
            centred = [TRUNK_SCALE * (image - colour / 255.0) for colour in VGG_FACE_MEAN]
        slopes = [tf.clip_by_value(slope, -3.0, 3.0) for slope in slope_maps(depth, mask)]
        if self.config.slopes:
            centred = [centred[0], *slopes]
        if self.config.light:
            centred += self._unexplained(image, slopes, mask, counted)
        return as_channels([*centred, image, relative])

    def _unexplained(self, image, slopes, mask, counted):
        """The channels of `light`, [B, H, W, 1] each: the relative difference, and the shading's two derivatives."""
        # A power by way of its logarithm: runtimes have no fast kernel for powers.
        intensity = tf.exp(CAMERA_GAMMA * tf.math.log(tf.maximum(image, 1e-4)))
        normals = normal_maps(*slopes, mask)
        # Eq. 11 with the albedo 1.
        rows = tf.stack([tf.reshape(x, [tf.shape(x)[0], -1]) for x in [tf.ones_like(mask), *normals]], axis=1)
        target, weights = (tf.reshape(x, [tf.shape(x)[0], -1]) for x in (intensity, counted))
        light = tf.stop_gradient(least_squares_of_rows(rows, target, weights, ridge=1e-5))
        ambient, *directed = tf.unstack(light[:, :, None, None, None], axis=1)
        along = tf.add_n([light * normal for light, normal in zip(directed, normals, strict=True)])
        predicted = tf.maximum(ambient + along, 1e-3) * mask
        seen, expected = local_means([intensity, predicted], mask, self.config.light)
        expected = predicted * seen / tf.maximum(expected, 1e-3)
        difference = tf.clip_by_value((intensity - expected) / tf.maximum(seen, 1e-3), -1.0, 1.0) * mask
        # n = N/|N|, N = (−p, −q, 1): ∂⟨l, n⟩/∂p = (−l_x + ⟨l, n⟩ n_x) / |N|, and likewise in q.
        steepness = normals[2] / tf.maximum(predicted, 0.05)
        changes = [
            tf.clip_by_value((along * normal - light) * steepness, -3.0, 3.0) * mask
            for light, normal in zip(directed[:2], normals[:2], strict=True)
        ]
        return [TRUNK_SCALE * difference, *changes]

    def detail(self, prepared, mask, training=None):
        """The detail ẑ − z₀ in px, [B, H, W, 1].

        Apart from `prepare`, which needs whole faces, so that training may run it on windows of them.

        Args:
            prepared: [B, H, W, 5 or 8] from `prepare`, or a window of it.
            mask: [B, H, W, 1], the same window of the mask.
        """
        # Zeros are what "same" convolutions see beyond the border anyway.
        height, width = prepared.shape[1], prepared.shape[2]
        padded = not (height and width) or height % _PAD_TO or width % _PAD_TO
        x = prepared
        if padded:
            shape = tf.shape(x)
            x = tf.pad(x, [[0, 0], [0, -shape[1] % _PAD_TO], [0, -shape[2] % _PAD_TO], [0, 0]])
        blocks = []
        for index, layers in enumerate(self._trunk):
            inputs = tf.nn.max_pool2d(blocks[-1], 2, 2, "VALID") if index else x[..., :-2]
            for layer in layers:
                inputs = layer(inputs, training=training)
            blocks.append(inputs)
        blocks[-1] = self._see_further(blocks[-1], training)
        first, *others = [*self._regressor, self.detail_layer]
        x = self._read_hypercolumn(blocks, x[..., -2:], first)
        for layer in others:
            x = layer(tf.cast(x, layer.compute_dtype), training=training)
        if padded:
            x = x[:, : shape[1], : shape[2]]
        return x * self.config.detail_scale * mask

    def _detail_both_ways(self, prepared, mask):
        """The mean of `detail` of whole faces and of the mirrored faces; not for training."""
        # What looks to the right, slopes and how shading answers to them, looks to the left there.
        turned = {1} if self.config.slopes else set()
        turned |= {4} if self.config.light else set()
        signs = tf.constant([-1.0 if channel in turned else 1.0 for channel in range(prepared.shape[-1])])
        seen, where = (
            tf.concat([prepared, tf.reverse(prepared, [2]) * signs], 0),
            tf.concat([mask, tf.reverse(mask, [2])], 0),
        )
        one, other = tf.split(self.detail(seen, where, training=False), 2)
        return (one + tf.reverse(other, [2])) / 2.0

    def _see_further(self, block, training):
        """The last map of the third block, [B, H/4, W/4, ·], and on it what `further` blocks say."""
        maps = [block]
        for layers, _, _ in self._further:
            x = tf.nn.max_pool2d(maps[-1], 2, 2, "SAME")
            for layer in layers:
                x = layer(x, training=training)
            maps.append(x)
        for _, up, mixing in reversed(self._further):
            raised, above = self._raised(maps.pop(), up), maps.pop()
            # An odd size has been rounded up.
            both = above + raised[:, : tf.shape(above)[1], : tf.shape(above)[2]]
            x = both
            for layer in mixing:
                x = layer(x, training=training)
            maps.append(both + x if mixing else both)
        return maps.pop()

    def _read_hypercolumn(self, blocks, extra, layer):
        """The answer of `layer`, a 1×1 convolution, to the hypercolumn, which is never put together.

        All that leads from a block to `layer` is linear. So the layer's part for each block goes into the block's last
        up-convolution, whose outputs then only need to be added: one at half the size does it for both blocks.

        Args:
            blocks: the last maps of the three blocks, [B, H, W, ·], [B, H/2, W/2, ·] and [B, H/4, W/4, ·].
            extra: [B, H, W, 2], grey and coarse depth.
            layer: a 1×1 convolution of `hypercolumn_width` channels.
        """
        dtype = layer.compute_dtype
        near, *parts, beside = tf.split(
            tf.convert_to_tensor(layer.kernel)[0, 0], [*self.config.channels(), extra.shape[-1]]
        )
        bias = tf.zeros([layer.filters]) if layer.bias is None else tf.convert_to_tensor(layer.bias)
        halves, taps = [], []
        for block, ups, part in zip(blocks[1:], self._upsampling[1:], parts, strict=True):
            for up in ups[:-1]:
                block = self._raised(block, up)
            halves.append(tf.cast(block, dtype))
            taps.append(tf.einsum("hwoi,or->hwri", tf.convert_to_tensor(ups[-1].kernel), part))
            bias += tf.linalg.matvec(part, tf.convert_to_tensor(ups[-1].bias), transpose_a=True)
        taps = tf.cast(tf.concat(taps, axis=-1), dtype)
        raised = self._smooth(_doubled(tf.concat(halves, axis=-1), taps))
        full = tf.concat([tf.cast(blocks[0], dtype), tf.cast(extra, dtype)], axis=-1)
        full = tf.nn.conv2d(full, tf.cast(tf.concat([near, beside], axis=0), dtype)[None, None], 1, "VALID")
        return layer.activation(tf.nn.bias_add(full, tf.cast(bias, dtype)) + raised)

    def _raised(self, x, up):
        """A map at twice the size, by the up-convolution `up`."""
        kernel, bias = (tf.cast(tf.convert_to_tensor(weight), x.dtype) for weight in (up.kernel, up.bias))
        return self._smooth(tf.nn.bias_add(_doubled(x, kernel), bias))

    def _smooth(self, x):
        return _binomial(x) if self.config.smooth_upsampling else x

    def skin(self, image, depth, mask, training=None):
        """By how much detail counts as skin's, 0…1, [B, H, W, 1] of whole faces [B, H, W, 1]; needs `skin`."""
        logits = self.skin_logits(*in_cells(image, depth, mask, SKIN_CELLS), training=training)
        # The least of a cell and its neighbours: skin beside a lock of hair shows the hair's edge, or its shadow.
        logits = -tf.nn.max_pool2d(-logits, 3, 1, "SAME")
        none, all_of_it = SKIN_BETWEEN
        return from_cells(tf.clip_by_value((tf.sigmoid(logits) - none) / (all_of_it - none), 0.0, 1.0), image)

    def skin_logits(self, image, depth, mask, training=None):
        """What `skin` tells on its own grid, [B, 128, 128, 1] from [B, 128, 128, 1] each; above 0 for skin."""
        return self.skin_net(self.prepare(image, depth, mask), training=training)

    def added(self, image, depth, mask, detailed=None, training=None):
        """What is added to the coarse depth, ẑ − z₀ in px of whole faces; all [B, H, W, 1]."""
        prepared = self.prepare(image, depth, mask, detailed)
        both_ways = self.config.mirrored and not training
        detail = self._detail_both_ways(prepared, mask) if both_ways else self.detail(prepared, mask, training=training)
        kept = mask if detailed is None else mask * detailed
        if self.skin_net is None and not self.config.detail_noise:
            return detail * kept
        if self.skin_net is not None:
            kept = kept * self.skin(image, depth, mask, training=training)
        # Depth has no zero; and what is broad has no edge where skin ends, and isn't what noise looks like.
        mean = tf.reduce_sum(detail * kept, [1, 2, 3], keepdims=True)
        detail -= mean / tf.maximum(tf.reduce_sum(kept, [1, 2, 3], keepdims=True), 1.0)
        broad = broad_part(detail, kept)
        fine = (detail - broad) * kept
        if self.config.detail_noise:
            fine *= wiener_gain(fine, mask, self.config.detail_noise)
        return (broad + fine) * mask

    def call(self, inputs, training=None):
        image, depth, mask = (tf.cast(inputs[name], "float32") for name in ("image", "depth", "mask"))
        return depth * mask + self.added(image, depth, mask, inputs.get("detailed"), training=training)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape["depth"])

    def get_config(self):
        config = dataclasses.asdict(self.config)
        config |= {name: list(config[name]) for name in _WIDTHS}
        return {
            "config": config,
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = keras.saving.deserialize_keras_object(config["dtype"])
        return cls(**config)


def in_cells(image, depth, mask, cells):
    """Image, depth (in cells) and 0/1 mask [B, cells, cells, 1] of whole faces [B, H, W, 1]."""
    small, below, cover = (to_cells(values, cells) for values in (image, depth * mask, mask))
    inside = tf.cast(cover > 0.5, tf.float32)
    return small, below / tf.maximum(cover, 1e-3) / cell_px(image, cells) * inside, inside


def wiener_gain(detail, mask, noise):
    """e / (e + noise²), e the mean square slope of a detail around a pixel on the mask, within some 7 mm of the face.

    Args:
        detail: [B, H, W, 1] px, whole faces.
        mask: [B, H, W, 1], 0 or 1.
        noise: px per px.
    """
    along_x, along_y = slope_maps(detail, mask)
    energy, cover = to_cells((tf.square(along_x) + tf.square(along_y)) * mask, NOISE_CELLS), to_cells(mask, NOISE_CELLS)
    energy = _around(energy) / tf.maximum(_around(cover), 1e-3)
    return from_cells(energy / (energy + noise**2), detail)


def broad_part(detail, kept):
    """What of a detail is broader than some 15 mm, carried on beyond where it is kept, where it ends within as much.

    Args:
        detail: [B, H, W, 1] px, whole faces, of mean 0.
        kept: [B, H, W, 1] in 0…1, how much of it counts.
    """
    level, cover = to_cells(detail * kept, NOISE_CELLS), to_cells(kept, NOISE_CELLS)
    return from_cells(_around(level) / (_around(cover) + 0.05), detail)


def _around(cells):
    """Means around each cell of [B, N, N, 1]: two boxes of five make nearly a Gaussian of two, 3 % of the width."""
    for _ in range(2):
        cells = tf.nn.avg_pool2d(cells, 5, 1, "SAME")
    return cells


def _doubled(x, taps):
    """An up-convolution without overlap: [B, H, W, I] and its kernel [2, 2, O, I] → [B, 2 H, 2 W, O].

    Each pixel gives four, which is a 1×1 convolution whose channels are then laid out: in TFLite that takes half as
    long as its own transposed convolution.
    """
    taps = tf.transpose(taps, [3, 0, 1, 2])
    taps = tf.reshape(taps, [1, 1, taps.shape[0], 4 * taps.shape[3]])
    return tf.nn.depth_to_space(tf.nn.conv2d(x, taps, 1, "VALID"), 2)


def _binomial(x):
    """[1 2 1]⊗[1 2 1] / 16; after nearest-neighbour doubling this is exactly bilinear interpolation."""
    channels = x.shape[-1]
    line = tf.constant([0.25, 0.5, 0.25], x.dtype)
    kernel = tf.tile((line[:, None] * line[None, :])[:, :, None, None], [1, 1, channels, 1])
    x = tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")
    # The mean of what lies inside; beyond the border there were zeros, a quarter of the weight.
    height, width = (
        tf.concat([[4.0 / 3.0], tf.ones([size - 2]), [4.0 / 3.0]], axis=0) for size in tf.unstack(tf.shape(x)[1:3])
    )
    return x * tf.cast(height[:, None] * width, x.dtype)[..., None]
