"""What CoarseNet learns from: batches of synthetic faces and fitted photographs, each with an estimate to start at."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfface.morphable import representation
from tfface.pipelines import fitted_photos
from tfface.pipelines.occluders import Occluders
from tfface.pipelines.reposed_photos import PhotoReposer
from tfface.pipelines.sampling import SamplingConfig, sample_r, seeds
from tfface.pipelines.synthetic import SyntheticConfig, SyntheticWorld, photograph


@dataclasses.dataclass(frozen=True)
class CoarseDataConfig:
    """Where CoarseNet's faces come from.

    Attributes:
      photos: folder laid out as `pipelines.fitted_photos` reads it; None trains on synthetic faces only, as the paper
        does.
      fits: of these photos, from `pipelines.fit_photos`.
      photo_share: share of each batch that is photographs as they are.
      reposed_share: share that is photographs turned in depth, see `pipelines.reposed_photos`.
      photo_roll_degrees: photographs are turned by up to this.
      turned: times that a photograph of a face turned by more than 25° is seen for each time of another.
      first_pass: share of faces whose estimate starts at 0, as it does in use; the rest start at r_t of eq. 3.
      seed: of everything random.
    """

    photos: str | None = None
    fits: str | None = None
    photo_share: float = 0.4
    reposed_share: float = 0.35
    photo_roll_degrees: float = 35.0
    turned: int = 4
    first_pass: float = 0.7
    seed: int = 0


def synthetic_batches(model, config: CoarseDataConfig, batch: int, start: int, size: int = 200) -> tf.data.Dataset:
    """Endless batches {"image" `[B, size, size, 1]`, "r" `[B, 290]`} of synthetic faces, each rendered anew."""
    draw = SyntheticWorld(model, SyntheticConfig(size=size, batch=batch)).draw
    base = tf.constant(config.seed + 1, tf.int64)
    counter = tf.data.Dataset.counter(start)
    return counter.map(lambda i: draw(tf.stack([base, i])), num_parallel_calls=2, deterministic=True)


def rotate_crop(image: tf.Tensor, r: tf.Tensor, angle: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The crops `[B, S, S, 1]` turned counter-clockwise by `angle` `[B]` rad about their centres, and r of that."""
    half = (image.shape[1] - 1) / 2.0
    c, s = tf.cos(angle), tf.sin(angle)
    zero = tf.zeros_like(c)
    # From the result's pixels to the source's: y points down, so this matrix turns them clockwise as seen.
    transforms = tf.stack([c, -s, half - c * half + s * half, s, c, half - s * half - c * half, zero, zero], axis=-1)
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=image,
        transforms=transforms,
        output_shape=image.shape[1:3],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )
    geometry, pose = r[:, : representation.GEOMETRY_SIZE], r[:, representation.GEOMETRY_SIZE :]
    u, v = pose[:, 3], pose[:, 4]
    moved = [pose[:, 0], pose[:, 1], pose[:, 2] + angle, c * u + s * v, c * v - s * u, pose[:, 5]]
    return turned, tf.concat([geometry, tf.stack(moved, -1)], axis=-1)


def photo_batches(model, config: CoarseDataConfig, batch: int, start: int) -> tf.data.Dataset:
    """Endless batches {"image", "r"} of fitted photographs: moved, turned, mirrored, covered, blurred and noisy."""
    data = fitted_photos.FittedPhotosConfig(
        photos=config.photos,
        fits=config.fits,
        batch_size=batch,
        turned=config.turned,
        augmentation=fitted_photos.AugmentationConfig(shift=0.07, scale=0.2, gamma=0.0),
        seed=config.seed,
    )
    occluders = Occluders(model, data.size)

    @tf.autograph.experimental.do_not_convert
    def vary(index, sample):
        turn, cover, camera = seeds(tf.stack([tf.constant(config.seed + 2, tf.int64), index + start]), 3)
        draw = tf.random.stateless_uniform([batch], turn, -1.0, 1.0)
        angle = draw**3 * (config.photo_roll_degrees * np.pi / 180.0)
        image, r = rotate_crop(sample["image"], sample["r"], angle)
        return {"image": photograph(occluders(image, r, cover), SyntheticConfig(), camera), "r": r}

    source = fitted_photos.dataset(data, model.reflection, start)
    return source.enumerate().map(vary, num_parallel_calls=2, deterministic=True)


def reposed_batches(model, config: CoarseDataConfig, batch: int, start: int) -> tf.data.Dataset:
    """Endless batches {"image", "r"} of photographs turned in depth, covered, blurred and noisy."""
    data = fitted_photos.FittedPhotosConfig(
        photos=config.photos, fits=config.fits, batch_size=batch, seed=config.seed + 10
    )
    repose = PhotoReposer(model, data.size)
    occluders = Occluders(model, data.size)

    @tf.autograph.experimental.do_not_convert
    def vary(index, sample):
        turn, cover, camera = seeds(tf.stack([tf.constant(config.seed + 4, tf.int64), index + start]), 3)
        image, r = repose(sample["image"], sample["r"], sample["valid"], turn)
        return {"image": photograph(occluders(image, r, cover), SyntheticConfig(), camera), "r": r}

    source = fitted_photos.dataset(data, model.reflection, start)
    return source.enumerate().map(vary, num_parallel_calls=2, deterministic=True)


def coarse_dataset(model, config: CoarseDataConfig, batch: int, start: int = 0) -> tf.data.Dataset:
    """Batches (image `[B, S, S, 1]`, r `[B, 290]`, the estimate to start at `[B, 290]`).

    Element i depends on the seed and i alone.
    """
    counts = [round(batch * share) if config.photos else 0 for share in (config.photo_share, config.reposed_share)]
    counts = [batch - sum(counts), *counts]
    if min(counts) < 0:
        raise ValueError(f"expected shares of photographs that sum up to 1 at most, received {config}")
    makers = (synthetic_batches, photo_batches, reposed_batches)
    sources = [make(model, config, count, start) for make, count in zip(makers, counts, strict=True) if count]
    size = sources[0].element_spec["image"].shape[1]
    sampling = SamplingConfig()

    @tf.autograph.experimental.do_not_convert
    def sample(index, parts):
        image = tf.concat([p["image"] for p in parts], 0)
        r = tf.concat([p["r"] for p in parts], 0)
        other, mix, begin = seeds(tf.stack([tf.constant(config.seed + 3, tf.int64), index + start]), 3)
        # Eq. (3): an estimate somewhere between the truth and another face.
        beta = tf.random.stateless_uniform([batch, 1], mix)
        r_t = representation.interpolate(r, sample_r(model, batch, other, sampling), beta)
        r_t = tf.where(tf.random.stateless_uniform([batch, 1], begin) < config.first_pass, 0.0, r_t)
        return (
            tf.ensure_shape(image, [batch, size, size, 1]),
            tf.ensure_shape(r, [batch, representation.SIZE]),
            tf.ensure_shape(r_t, [batch, representation.SIZE]),
        )

    dataset = tf.data.Dataset.zip(tuple(sources)).enumerate()
    dataset = dataset.map(lambda i, parts: sample(i, parts), num_parallel_calls=2, deterministic=True)
    return dataset.prefetch(4)
