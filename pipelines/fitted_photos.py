"""Photographs with fitted geometry: a folder and its fits become batches of {"image", "r", "valid"}.

The fits come from `pipelines.fit_photos`. r follows every change of the crop: a moved square moves the pose,
a flipped image mirrors the face.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfface.morphable import representation
from tfface.pipelines import crops
from tfface.pipelines.crops import AugmentationConfig
from tfface.pipelines.shuffling import seekable_indices

_TURNED = np.radians(25.0)


@dataclasses.dataclass(frozen=True)
class FittedPhotosConfig:
    """Which photographs, and how they are cut.

    Attributes:
        photos: folder with images/NNNNN.jpg, landmarks.npz, train.txt and val.txt.
        fits: the .npz of `pipelines.fit_photos`.
        split: "train" or "val".
        sources: names of sources in landmarks.npz to keep; empty keeps all.
        min_face_px: least size of the face in the original photograph (sharpness).
        size: width of the crops, px.
        batch_size: crops per batch.
        limit: at most so many photographs, 0 for all.
        oversample: (source, times) pairs; such photographs are seen that many times as often.
        turned: times that a face turned by more than 25° is seen as often as another.
        augmentation: random changes; `AugmentationConfig.none()` for validation.
        seed: of order and augmentation.
    """

    photos: str = ""
    fits: str = "runs/fits.npz"
    split: str = "train"
    sources: tuple[str, ...] = ()
    min_face_px: float = 0.0
    size: int = 200
    batch_size: int = 8
    limit: int = 0
    oversample: tuple[tuple[str, int], ...] = ()
    turned: int = 1
    augmentation: AugmentationConfig = AugmentationConfig()
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class FittedPhotos:
    """The rows that a config selects.

    Attributes:
        path: [N] file names; number: [N]; square: [N, 3] float32 photo px; r: [N, 290] float32;
        bounds: [N, 4] float32, x0, y0, x1, y1 of real pixels.
    """

    path: np.ndarray
    number: np.ndarray
    square: np.ndarray
    r: np.ndarray
    bounds: np.ndarray


def select(config: FittedPhotosConfig) -> FittedPhotos:
    """Reads the tables and keeps the rows that `config` asks for.

    Raises:
        FileNotFoundError: a table is missing.
        ValueError: nothing is left, or the split is unknown.
    """
    folder = Path(config.photos)
    if config.split not in ("train", "val"):
        raise ValueError(f"expected split to be 'train' or 'val', received {config.split!r}")
    for path in (folder / "landmarks.npz", folder / f"{config.split}.txt", Path(config.fits)):
        if not path.is_file():
            raise FileNotFoundError(
                f"expected {path}; fits are made by `python -m tfface.pipelines.fit_photos --photos {folder}`"
            )
    numbers = np.loadtxt(folder / f"{config.split}.txt", dtype=np.int64, ndmin=1)
    with np.load(folder / "landmarks.npz", allow_pickle=False) as table:
        source, face_px, bounds = table["source"], table["face_px"], table["valid"]
    with np.load(config.fits, allow_pickle=False) as fits:
        fitted = {int(n): row for row, n in enumerate(fits["number"])}
        square, r = fits["square"], fits["r"]
        # `ok` is only ever set on training photographs; validation takes every finite fit.
        ok = fits["ok"] if config.split == "train" else np.isfinite(r).all(axis=1)
    times = dict(config.oversample)
    rows = []
    for number in numbers:
        row = fitted.get(int(number))
        if row is None or not ok[row] or face_px[number] < config.min_face_px:
            continue
        if config.sources and source[number] not in config.sources:
            continue
        count = times.get(str(source[number]), 1)
        if abs(r[row, representation.GEOMETRY_SIZE + 1]) > _TURNED:
            count *= config.turned
        rows += [(int(number), row)] * count
        if config.limit and len(rows) >= config.limit:
            break
    if not rows:
        raise ValueError(f"expected at least one fitted photograph in {folder}, received none that the config selects")
    number, row = np.array(rows).T
    path = np.array([str(folder / "images" / f"{n:05d}.jpg") for n in number])
    return FittedPhotos(
        path,
        number,
        square[row].astype(np.float32),
        r[row].astype(np.float32),
        bounds[number].astype(np.float32),
    )


def dataset(config: FittedPhotosConfig, mirror, start: int = 0) -> tf.data.Dataset:
    """Endless batches for training.

    Args:
        config: a `FittedPhotosConfig`.
        mirror: the face model's `tfface.morphable.mirror.Mirror`.
        start: number of the first batch, to resume exactly.

    Returns:
        A dataset of dicts: image [B, S, S, 1] (degraded if `noise`), clean [B, S, S, 1], r [B, 290], valid
        [B, S, S, 1].
    """
    table = select(config)
    constants = [tf.constant(x) for x in (table.path, table.square, table.r, table.bounds)]
    base = tf.constant(config.seed, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def one(position, index):
        path, square, r, bounds = (tf.gather(x, index) for x in constants)
        return _sample(path, square, r, bounds, tf.stack([base + 1, position]), config)

    @tf.autograph.experimental.do_not_convert
    def finish(batch):
        flip = batch.pop("flip")
        mirrored = mirror(batch["r"])
        batch["r"] = tf.where(flip[:, None], mirrored, batch["r"])
        for name in ("image", "clean", "valid"):
            batch[name] = tf.where(flip[:, None, None, None], batch[name][:, :, ::-1], batch[name])
        return batch

    batches = seekable_indices(len(table.path), config.batch_size, config.seed, start)
    return (
        batches.unbatch()
        .map(one, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(config.batch_size, drop_remainder=True)
        .map(finish, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(2)
    )


def _sample(path, square, r, bounds, seed, config):
    change = config.augmentation
    seeds = tf.unstack(tf.random.split(seed, 4))
    photo = crops.decode_grey(path)
    moved, how = crops.jitter_square(square, seeds[0], change)
    crop, valid = crops.cut_square(photo, moved, config.size)
    clean = crops.change_brightness(crop, seeds[1], change)
    image = crops.add_noise(clean, seeds[2], change) if change.noise else clean
    flip = tf.constant(False)
    if change.flip:
        flip = tf.random.stateless_uniform([], seeds[3]) < 0.5
    return {
        "image": image,
        "clean": clean,
        "r": crops.adapt_r(r, how),
        "valid": valid * crops.inside_bounds(bounds, moved, config.size),
        "flip": flip,
    }
