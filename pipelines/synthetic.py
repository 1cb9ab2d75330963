"""Synthetic faces rendered on the fly (§3.2.2): random geometry, pose, albedo, light, gloss, background and camera."""

import dataclasses

import tensorflow as tf

from tfface.geometry.mesh import normalize
from tfface.losses.albedo import grey_albedo
from tfface.morphable.representation import interpolate as interpolate_r
from tfface.networks.coarse_net import network_input
from tfface.pipelines.files import compressed
from tfface.pipelines.occluders import Occluders, smooth_noise
from tfface.pipelines.sampling import SamplingConfig, sample_r, seeds, uniform
from tfface.rendering.feedback import FeedbackRenderer
from tfface.rendering.shading import directional, specular
from tfface.rendering.visibility import coverage, interpolate


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """What the synthetic world looks like.

    Attributes:
      size: width of the square crop, px.
      batch: faces rendered at a time.
      sampling: spread of identity, expression and pose.
      lights: number of directional lights.
      noise: highest standard deviation of sensor noise, in grey levels of 1.
      blur: highest standard deviation of the blur, px.
      jpeg: share of pictures that were compressed, at a quality of 10 to 80.
    """

    size: int = 200
    batch: int = 16
    sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)
    lights: int = 3
    noise: float = 0.04
    blur: float = 1.2
    jpeg: float = 0.35


def background(batch: int, size: int, seed: tf.Tensor) -> tf.Tensor:
    """A background `[batch, size, size, 1]`: noise of several scales, or nearly flat, behind some edges."""
    coarse, middle, fine, mix, level, edge = seeds(seed, 6)
    weights = uniform([batch, 1, 1, 3], mix) ** 2 * tf.constant([1.0, 0.8, 0.4])
    layers = tf.concat(
        [
            smooth_noise(batch, size, 3, 3, coarse),
            smooth_noise(batch, size, 12, 12, middle),
            smooth_noise(batch, size, 60, 60, fine),
        ],
        axis=-1,
    )
    flat = uniform([batch, 1, 1, 1], level)
    texture = tf.reduce_sum((layers - 0.5) * weights, -1, keepdims=True) + flat
    # A straight edge across the picture, such as a wall, a door or a shoulder has.
    line = uniform([batch, 4], edge, -1.0, 1.0)
    axis = tf.linspace(-1.0, 1.0, size)
    side = line[:, :1, None] * axis[None, None, :] + line[:, 1:2, None] * axis[None, :, None] + line[:, 2:3, None]
    step = tf.cast(side > 0.0, tf.float32)[..., None] * line[:, 3, None, None, None] * 0.4
    return tf.clip_by_value(texture + step, 0.0, 1.0)


def light(normals: tf.Tensor, config: SyntheticConfig, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Diffuse shading and gloss, both `[B, H, W, 1]`, of random lights on unit normals in the camera's frame."""
    batch = normals.shape[0]
    ambient, direction, strength, gloss, shine, top = seeds(seed, 6)
    towards = tf.random.stateless_normal([batch, config.lights, 3], direction)
    # Lights stand mostly in front of and above people.
    towards = normalize(towards + tf.constant([0.0, 0.5, 0.9]))
    power = uniform([batch, config.lights], strength) ** 2
    diffuse = directional(normals, towards, power)
    diffuse += uniform([batch, 1, 1, 1], ambient, 0.1, 0.6)
    # Sky and ground: more ambient light from above than from below.
    diffuse += normals[..., 1:2] * uniform([batch, 1, 1, 1], top, -0.05, 0.2)
    shininess = uniform([batch], shine, 4.0, 25.0)
    highlights = specular(normals, towards, power, shininess)
    return tf.nn.relu(diffuse), highlights * uniform([batch, 1, 1, 1], gloss, 0.0, 0.2)


def _blur(image: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Gaussian blur of each image by its own sigma `[B]` px: a mixture of the image and a fixed wide blur."""
    taps = tf.exp(-0.5 * (tf.range(-3.0, 4.0) / 1.2) ** 2)
    taps /= tf.reduce_sum(taps)
    blurred = tf.nn.conv2d(image, taps[:, None, None, None], 1, "SAME")
    blurred = tf.nn.conv2d(blurred, taps[None, :, None, None], 1, "SAME")
    share = tf.clip_by_value(sigma / 1.2, 0.0, 1.0)[:, None, None, None]
    return image * (1.0 - share) + blurred * share


def photograph(image: tf.Tensor, config: SyntheticConfig, seed: tf.Tensor) -> tf.Tensor:
    """What a camera makes of display-referred grey `[B, H, W, 1]`.

    Exposure, contrast, low resolution, blur, noise, JPEG.
    """
    batch, size = image.shape[0], image.shape[1]
    expose, contrast, soften, grain, level, coarse, file = seeds(seed, 7)
    image = tf.clip_by_value(image, 1e-4, 1.0) ** uniform([batch, 1, 1, 1], contrast, 0.7, 1.4)
    image = image * uniform([batch, 1, 1, 1], expose, 0.75, 1.15)
    image = _blur(image, uniform([batch], soften, -0.4, config.blur))
    small = tf.image.resize(image, [size // 3, size // 3], antialias=True)
    pixelated = tf.image.resize(small, [size, size], "bicubic")
    image = tf.where(uniform([batch, 1, 1, 1], coarse) < 0.15, pixelated, image)
    noise = tf.random.stateless_normal(tf.shape(image), grain)
    image = tf.clip_by_value(image + noise * uniform([batch, 1, 1, 1], level, 0.0, config.noise), 0.0, 1.0)
    return compressed(image, config.jpeg, (10, 80), file)


class SyntheticWorld:
    """Renders batches of random faces.

    Args:
      model: a `MorphableModel`.
      config: what it looks like.
    """

    def __init__(self, model, config: SyntheticConfig | None = None):
        self.model = model
        self.config = config or SyntheticConfig()
        self.renderer = FeedbackRenderer(model, self.config.size)
        self.occluders = Occluders(model, self.config.size)
        self.luma_mean, self.luma_basis = (values.numpy() for values in grey_albedo(model))

    @tf.autograph.experimental.do_not_convert
    def draw(self, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """One batch.

        Args:
          seed: `[2]` int; the same seed draws the same batch.

        Returns:
          image `[B, size, size, 1]` grey in 0…1 and r `[B, 290]`.
        """
        geometry, skin, lighting, behind, cover, lens, mottle = seeds(seed, 7)
        config = self.config
        r = sample_r(self.model, config.batch, geometry, config.sampling)
        _, normals, visibility = self.renderer.geometry(r)
        albedo = self.albedo(skin)
        maps = interpolate(visibility, self.model.triangles, tf.concat([normals, albedo], -1))
        maps = tf.ensure_shape(maps, [config.batch, config.size, config.size, 4])
        mask = coverage(visibility)
        diffuse, gloss = light(normalize(maps[..., :3]), config, lighting)
        spots = 1.0 + (smooth_noise(config.batch, config.size, 40, 40, mottle) - 0.5) * 0.15
        radiance = maps[..., 3:4] * spots * diffuse * 1.6 + gloss
        face = tf.clip_by_value(radiance, 1e-4, 1.0) ** (1.0 / 2.2)
        # A soft outline: the mask's own staircase would tell the network where the face ends.
        soft = _blur(mask, tf.fill([config.batch], 0.8))
        image = face * soft + background(config.batch, config.size, behind) * (1.0 - soft)
        image = photograph(self.occluders(image, r, cover), config, lens)
        return {"image": image, "r": r}

    def albedo(self, seed: tf.Tensor) -> tf.Tensor:
        """Luminance of random skin `[B, V, 1]`, linear, 0.02…1."""
        coefficients, tint = seeds(seed, 2)
        weights = tf.random.stateless_truncated_normal([self.config.batch, self.luma_basis.shape[1]], coefficients)
        # Beyond 1.5 deviations the hand-made components leave what skin looks like.
        weights = tf.clip_by_value(weights, -1.5, 1.5)
        albedo = self.luma_mean + tf.linalg.matmul(weights, self.luma_basis, transpose_b=True)[..., None]
        return tf.clip_by_value(albedo * uniform([self.config.batch, 1, 1], tint, 0.8, 1.25), 0.02, 1.0)


def synthetic_dataset(model, config: SyntheticConfig | None = None, seed: int = 0) -> tf.data.Dataset:
    """An endless `tf.data.Dataset` of `SyntheticWorld.draw`; element i depends on `seed` and i alone."""
    world = SyntheticWorld(model, config)
    counter = tf.data.Dataset.counter()
    return counter.map(
        lambda i: world.draw(tf.stack([tf.constant(seed, tf.int64), i])),
        num_parallel_calls=2,
        deterministic=True,
    )


def training_dataset(model, config: SyntheticConfig | None = None, seed: int = 0) -> tf.data.Dataset:
    """What the paper trains CoarseNet on, for `fit` of `build_coarse_net`'s network: endless (input, r).

    Each face is drawn with an estimate r_t between it and another one (3); the input `[B, size, size, 7]` is the image
    masked by r_t with its PNCC and normals, r `[B, 290]` the truth. Element i depends on `seed` and i alone.
    """
    config = config or SyntheticConfig()
    renderer = FeedbackRenderer(model, config.size)

    @tf.autograph.experimental.do_not_convert
    def sample(index, face):
        other, mix = seeds(tf.stack([tf.constant(seed + 1, tf.int64), index]), 2)
        beta = uniform([config.batch, 1], mix)
        r_t = interpolate_r(face["r"], sample_r(model, config.batch, other, config.sampling), beta)
        return network_input(face["image"], renderer(r_t)), face["r"]

    return synthetic_dataset(model, config, seed).enumerate().map(sample, num_parallel_calls=2, deterministic=True)
