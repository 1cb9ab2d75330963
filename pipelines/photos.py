"""Face crops without labels, from folders of images, from TensorFlow Datasets and from the VGG-Face lists.

All yield endless batches {"image": [B, S, S, 1], "valid": [B, S, S, 1]}, in an order and with changes that
depend on the seed and the batch's number alone. A crop is a square (centre x, centre y, side) in its
photograph.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfface.pipelines import crops
from tfface.pipelines.crops import AugmentationConfig
from tfface.pipelines.shuffling import seekable_indices

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
SQUARES_FILE = "squares.json"


@dataclasses.dataclass(frozen=True)
class PhotosConfig:
    """How crops are cut and batched.

    Attributes:
        size: width of the crops, px.
        batch_size: crops per batch.
        augmentation: random changes; `AugmentationConfig.none()` for none.
        seed: of order and augmentation.
        shuffle_buffer: crops held for shuffling a TFDS stream, which cannot be indexed.
    """

    size: int = 200
    batch_size: int = 8
    augmentation: AugmentationConfig = AugmentationConfig()
    seed: int = 0
    shuffle_buffer: int = 256


@dataclasses.dataclass(frozen=True)
class CropList:
    """Crops to be cut.

    Attributes:
        paths: [N] image files.
        squares: [N, 3] float32; a side of 0 stands for the largest centred square.
        skipped: crops that were listed but whose image is missing.
    """

    paths: list[str]
    squares: np.ndarray
    skipped: int = 0


def from_folders(folders, cache=SQUARES_FILE) -> CropList:
    """Every image below some folders, one crop each, or one per cached face.

    Args:
        folders: a folder or several.
        cache: name of an optional JSON file in each folder: relative image path → list of squares [cx, cy,
            side], as `cache_squares` writes it. Images that it names with an empty list have no face and are
            left out; images that it doesn't name are taken whole.

    Returns:
        A `CropList`, sorted by path.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: no image was found.
    """
    folders = [folders] if isinstance(folders, (str, Path)) else list(folders)
    paths, squares = [], []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FileNotFoundError(f"expected a folder of images, received {folder}")
        known = {}
        if (folder / cache).is_file():
            known = json.loads((folder / cache).read_text(encoding="utf-8"))
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
            for square in known.get(path.relative_to(folder).as_posix(), [[0.0, 0.0, 0.0]]):
                paths.append(str(path))
                squares.append(square)
    if not paths:
        raise ValueError(f"expected images ({', '.join(IMAGE_SUFFIXES)}) in {', '.join(map(str, folders))}, found none")
    return CropList(paths, np.array(squares, np.float32).reshape(-1, 3))


def cache_squares(folder, find_squares, cache=SQUARES_FILE) -> int:
    """Runs a detector once over a folder and keeps its crops for `from_folders`.

    Args:
        folder: a folder of images.
        find_squares: path → list of squares [cx, cy, side] of the faces in that image.
        cache: name of the file to write in the folder.

    Returns:
        The number of faces found.
    """
    folder = Path(folder)
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
        found[path.relative_to(folder).as_posix()] = [[float(v) for v in square] for square in find_squares(path)]
    (folder / cache).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return sum(map(len, found.values()))


def _whole(photo, square):
    """The largest centred square of a photo where none is given."""
    extent = tf.cast(tf.shape(photo)[:2], tf.float32)
    whole = tf.stack([extent[1] / 2.0, extent[0] / 2.0, tf.reduce_min(extent)])
    return tf.where(square[2] > 0.0, square, whole)


def _augmented(photo, square, seed, config):
    change = config.augmentation
    seeds = tf.unstack(tf.random.split(seed, 4))
    square, _ = crops.jitter_square(_whole(photo, square), seeds[0], change)
    image, valid = crops.cut_square(photo, square, config.size)
    image = crops.change_brightness(image, seeds[1], change)
    clean = image
    if change.noise:
        image = crops.add_noise(image, seeds[2], change)
    sample = {"image": image, "clean": clean, "valid": valid}
    if change.flip:
        flip = tf.random.stateless_uniform([], seeds[3]) < 0.5
        sample = {name: tf.where(flip, value[:, ::-1], value) for name, value in sample.items()}
    return sample


def dataset(listed: CropList, config: PhotosConfig = PhotosConfig(), start: int = 0) -> tf.data.Dataset:
    """Endless batches of the listed crops.

    Args:
        listed: from `from_folders` or `pipelines.vgg_face.read_lists`.
        config: a `PhotosConfig`.
        start: number of the first batch, to resume exactly.

    Returns:
        A dataset of dicts: image and clean [B, S, S, 1] grey in 0…1, valid [B, S, S, 1].
    """
    paths, squares = tf.constant(listed.paths), tf.constant(listed.squares)
    base = tf.constant(config.seed, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def one(position, index):
        photo = crops.decode_grey(tf.gather(paths, index))
        return _augmented(photo, tf.gather(squares, index), tf.stack([base + 1, position]), config)

    return (
        seekable_indices(len(listed.paths), config.batch_size, config.seed, start)
        .unbatch()
        .map(one, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(config.batch_size, drop_remainder=True)
        .prefetch(2)
    )


def from_tfds(name, split="train", config: PhotosConfig = PhotosConfig(), data_dir=None, square=None):
    """Endless batches of a TensorFlow Datasets dataset that has an "image" (such as `celeb_a`).

    Args:
        name: the TFDS name.
        split: the TFDS split.
        config: a `PhotosConfig`.
        data_dir: where TFDS keeps its data; None is its default.
        square: features → [3], the crop of a sample; None takes the largest centred square.

    Returns:
        A dataset as `dataset` gives it.
    """
    import tensorflow_datasets as tfds

    source = tfds.load(name, split=split, data_dir=data_dir, shuffle_files=False)
    base = tf.constant(config.seed, tf.int64)

    def one(position, features):
        chosen = tf.zeros([3]) if square is None else tf.cast(square(features), tf.float32)
        photo = crops.to_grey(tf.ensure_shape(features["image"], [None, None, None]))
        return _augmented(photo, chosen, tf.stack([base + 1, position]), config)

    return (
        source.shuffle(config.shuffle_buffer, seed=config.seed, reshuffle_each_iteration=True)
        .repeat()
        .enumerate()
        .map(one, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(config.batch_size, drop_remainder=True)
        .prefetch(2)
    )
