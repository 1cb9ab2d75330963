"""What photographs show around a face's bare skin, laid around rendered heads: hair, beards, glasses, clothes, rooms.

    python -m tfface.pipelines.surroundings --photos DIR --fits runs/fits.npz --output runs/surroundings

Rendered heads are bald before an empty backdrop, and a network that trains on them alone takes what it sees beyond the
face for the head's own outline. So a photograph is brought to a head, by what takes the landmarks of one face to those
of the other, and covers all that its own skin doesn't.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tfface.detection import cut
from tfface.images import grey, load_image
from tfface.losses.landmarks import ProjectedLandmarks
from tfface.morphable import representation
from tfface.networks.fine_net import CAMERA_GAMMA
from tfface.output import write_arrays, write_files
from tfface.pipelines.fitted_photos import FittedPhotosConfig, select
from tfface.pipelines.sampling import seeds
from tfface.progress import tracked
from tfface.rendering.coarse_surface import CoarseSurface

SIZE = 256
"""Width of the crops on disk, px."""
ALIKE = 64
"""Photographs of which one is drawn for a head: those whose yaw is next to its own."""
GAINS = (0.25, 4.0)
"""Least and largest factor on a photograph's light that makes its skin as bright as the head's."""
TABLE = "table.npz"
_YAW = representation.GEOMETRY_SIZE + 1


def write_surroundings(networks, photos: FittedPhotosConfig, folder) -> None:
    """One PNG per photograph, the face crop in grey and how much of each pixel is bare skin as alpha, and a table.

    Args:
      networks: has `face_model` and `fine`, whose `skin` tells skin from the rest.
      photos: which photographs; each counts once.
      folder: is made if need be; pictures that are there already are kept.

    Raises:
      FileNotFoundError, ValueError: see `fitted_photos.select`; a photograph is damaged, or FineNet has no `skin`.
    """
    if networks.fine.skin_net is None:
        raise ValueError("expected a FineNet that tells skin from hair, received one without `skin`")
    folder, table, surface = Path(folder), select(photos), CoarseSurface(networks.face_model)

    @tf.function(autograph=False)
    def bare(image, r):
        coarse = surface(representation.vertices_image(networks.face_model, r, SIZE), SIZE, SIZE)
        return coarse.detailed * networks.fine.skin(image, coarse.depth, coarse.mask, training=False)

    numbers, rows = np.unique(table.number, return_index=True)
    for number, row in tracked(list(zip(numbers, rows, strict=True)), "photographs"):
        if not (folder / _name(number)).is_file():
            crop = grey(cut(load_image(table.path[row]), table.square[row], SIZE)).astype(np.float32)
            skin = bare(crop[None, ..., None], table.r[row : row + 1])[0, ..., 0].numpy()
            levels = np.rint(255.0 * np.clip(np.stack([crop, skin], axis=-1), 0.0, 1.0)).astype(np.uint8)
            picture = io.BytesIO()
            Image.fromarray(levels, "LA").save(picture, "PNG")
            write_files(folder, {_name(number): picture.getvalue()})
    write_arrays(folder / TABLE, {"number": numbers, "r": table.r[rows]})


def _name(number) -> str:
    return f"{number:05d}.png"


class Surroundings:
    """Lays what photographs show around faces around heads.

    Args:
      folder: of `write_surroundings`.
      model: a `MorphableModel`.
      size: width of the heads' pictures, px.

    Raises:
      FileNotFoundError: the folder holds none.
    """

    def __init__(self, folder, model, size: int):
        folder, self.size = Path(folder), size
        if not (folder / TABLE).is_file():
            raise FileNotFoundError(
                f"expected surroundings of faces in {folder}; `python -m tfface.pipelines.surroundings --output "
                f"{folder}` cuts them from photographs"
            )
        with np.load(folder / TABLE, allow_pickle=False) as table:
            number, r = table["number"], tf.constant(table["r"])
        # Every photograph also the other way round.
        both = tf.concat([r, model.reflection(r)], axis=0)
        order = np.argsort(both[:, _YAW].numpy(), kind="stable")
        paths = [str(folder / _name(n)) for n in number]
        self._paths = tf.constant([paths[i % len(paths)] for i in order])
        self._turned = tf.constant(order >= len(paths))
        self._yaws = tf.gather(both[:, _YAW], order)
        self._points = tf.gather(ProjectedLandmarks(model, SIZE)(both)[..., :2], order)
        self._landmarks = ProjectedLandmarks(model, size)

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, r: tf.Tensor, seed: tf.Tensor):
        """Heads with the surroundings of one photograph each, and where they are still seen.

        Args:
          image: `[B, size, size, 1]` in 0…1, as displays show it.
          mask: `[B, size, size, 1]`, 1 on the head.
          r: `[B, 290]` of the heads.
          seed: `[2]` int.

        Returns:
          The pictures `[B, size, size, 1]`, and the head's share of each pixel `[B, size, size, 1]` in 0…1.
        """
        which, off = seeds(seed, 2)
        batch, count = image.shape[0], len(self._paths)
        nearest = tf.searchsorted(self._yaws, r[:, _YAW]) - ALIKE // 2
        drawn = tf.random.stateless_uniform([batch], which, 0, ALIKE, tf.int32)
        rows = tf.clip_by_value(nearest, 0, max(count - ALIKE, 0)) + drawn % count
        photos = tf.map_fn(self._read, rows, fn_output_signature=tf.TensorSpec([SIZE, SIZE, 2], tf.float32))
        brought = tf.raw_ops.ImageProjectiveTransformV3(
            images=photos,
            transforms=self._from_head(self._landmarks(r)[..., :2], tf.gather(self._points, rows)),
            output_shape=[self.size, self.size],
            interpolation="BILINEAR",
            fill_mode="NEAREST",
            fill_value=0.0,
        )
        around, skin = brought[..., :1], brought[..., 1:]
        shown = skin * mask
        light = tf.pow(tf.clip_by_value(around, 1e-4, 1.0), CAMERA_GAMMA)
        wanted = tf.pow(tf.clip_by_value(image, 1e-4, 1.0), CAMERA_GAMMA)
        # A face that is all hidden is as bright as it is.
        bright_head, bright_photo = (tf.reduce_sum(x * shown, [1, 2, 3], keepdims=True) + 1e-2 for x in (wanted, light))
        gain = tf.clip_by_value(bright_head / bright_photo, *GAINS)
        # Skin is seldom lit alike all over, and a photograph's may have been retouched.
        gain *= tf.exp(0.2 * tf.random.stateless_normal([batch, 1, 1, 1], off))
        around = tf.pow(tf.clip_by_value(light * gain, 1e-4, 1.0), 1.0 / CAMERA_GAMMA)
        return shown * image + (1.0 - shown) * around, shown

    def _read(self, row):
        """Grey and skin of a row of the table, `[SIZE, SIZE, 2]` in 0…1."""
        levels = tf.io.decode_png(tf.io.read_file(self._paths[row]))
        levels = tf.ensure_shape(tf.cast(levels, tf.float32) / 255.0, [SIZE, SIZE, 2])
        return tf.where(self._turned[row], levels[:, ::-1], levels)

    @staticmethod
    def _from_head(head, photo):
        """The affine maps `[B, 8]` from a head's pixels to a photograph's, by landmarks `[B, 68, 2]`, least squares."""
        # That operation counts pixels from their centres.
        head, photo = head - 0.5, photo - 0.5
        rows = tf.concat([head, tf.ones_like(head[..., :1])], axis=-1)
        solved = tf.linalg.lstsq(rows, photo, l2_regularizer=0.0)
        flat = tf.reshape(tf.transpose(solved, [0, 2, 1]), [-1, 6])
        return tf.concat([flat, tf.zeros_like(flat[:, :2])], axis=-1)


def main(arguments=None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tfface.pipelines.surroundings", description=__doc__)
    parser.add_argument("--photos", required=True, help="folder with images/, landmarks.npz and train.txt")
    parser.add_argument("--fits", default=FittedPhotosConfig.fits, help="from `python -m tfface.pipelines.fit_photos`")
    parser.add_argument("--output", required=True, help="folder for the crops, about 60 kB each")
    parser.add_argument("--split", choices=("train", "val"), default="train")
    parser.add_argument(
        "--min-face", type=float, default=150.0, metavar="PX", help="least size of the face (default: 150)"
    )
    parser.add_argument("--limit", type=int, default=0, help="at most so many photographs (default: all)")
    options = parser.parse_args(arguments)
    photos = FittedPhotosConfig(
        photos=options.photos,
        fits=options.fits,
        split=options.split,
        min_face_px=options.min_face,
        limit=options.limit,
    )
    from tfface.networks.pretrained import load_pretrained

    try:
        write_surroundings(load_pretrained(), photos, options.output)
    except (OSError, ValueError) as error:
        print(f"tfface: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
