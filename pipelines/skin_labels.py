"""Where photographs show bare skin, told from their colours and their light: what `train_skin` learns from.

    python -m tfface.pipelines.skin_labels --photos DIR --fits runs/fits.npz --output runs/skin.npz

Skin is most of a face, and its colour varies little over it but for shading. So light and the colours of skin are
solved for on the fitted face, robustly, and what is much darker or brighter than that light explains, or of another
colour, is something else: hair, beard, glasses, a microphone, but also a deep shadow now and then. Grey photographs are
told by their light alone. Single labels err; a network that learns from thousands doesn't follow each.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from tfface.detection import cut
from tfface.errors import InputError
from tfface.geometry.depth import normals_from_depth
from tfface.losses.lighting import estimate_lighting, shade
from tfface.morphable import representation
from tfface.morphable.model import MorphableModel
from tfface.networks.cell_net import to_cells
from tfface.networks.fine_net import CAMERA_GAMMA, SKIN_CELLS
from tfface.output import write_arrays
from tfface.pipelines.fitted_photos import FittedPhotosConfig, select
from tfface.progress import tracked
from tfface.rendering.coarse_surface import CoarseSurface
from tfface.rendering.visibility import interpolate

SIZE = 200
"""Width of the crops, px."""
DARK, BRIGHT = -0.9, 1.0
"""Natural logarithms of the brightness, against what light explains, beyond which nothing is skin."""
CHROMA = 6.0
"""Robust standard deviations of the skin's colour beyond which nothing is skin."""
_ROUNDS = 4
_BLUR = 1.5
_EDGE = 8.0
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_LEAST_COLOUR = np.array([0.06, 0.08], np.float32)


def skin_map(colour: np.ndarray, normals: np.ndarray, core: np.ndarray) -> np.ndarray:
    """How much each pixel looks like this face's skin, `[S, S]` float32 in 0…1.

    Args:
        colour: `[S, S, 3]` RGB in 0…255.
        normals: `[S, S, 3]` of the coarse face, zeros off it.
        core: `[S, S]` bool, where the fitted face has skin; something else may be before part of it.
    """
    linear = np.maximum(colour / 255.0, 1.0 / 255.0) ** CAMERA_GAMMA
    level, log = (linear @ _LUMA).astype(np.float32), np.log(linear)
    chroma = np.stack([log[..., 0] - log[..., 1], log[..., 1] - log[..., 2]], axis=-1)
    trusted = core
    for _ in range(_ROUNDS):
        away = np.log(level / _explained(level[None, ..., None], normals[None], trusted[None, ..., None])[0, ..., 0])
        away -= np.median(away[trusted])
        spread = max(_deviation(away[trusted]), 0.15)
        tint = chroma - np.median(chroma[trusted], axis=0)
        tint = np.sqrt((np.square(tint / np.maximum(_deviation(tint[trusted]), _LEAST_COLOUR))).sum(-1))
        found = core & (tint < 2.5) & (away > -2.0 * spread) & (away < 2.5 * spread)
        if found.sum() < 0.2 * core.sum():
            break
        trusted = found
    away = gaussian_filter(np.clip(away, -3.0, 3.0), _BLUR)
    tint = gaussian_filter(np.minimum(tint, 8.0), _BLUR)
    oddness = np.maximum.reduce([away / DARK, away / BRIGHT, tint / CHROMA])
    return (1.0 / (1.0 + np.exp(_EDGE * (oddness - 1.0)))).astype(np.float32)


@tf.function(autograph=False)
def _explained(level, normals, trusted):
    """What light would make of a face of one reflectance, if it is solved for where the skin is trusted; > 0."""
    level, normals, trusted = (tf.cast(x, tf.float32) for x in (level, normals, trusted))
    light = estimate_lighting(level, tf.ones_like(level), normals, trusted, ridge=1e-5)
    return tf.maximum(shade(normals, light), 1e-3)


def _deviation(values):
    """Robust standard deviation `[...]` of `[N, ...]`, from the median absolute one."""
    return 1.4826 * np.median(np.abs(values), axis=0)


class Labels:
    """Crops of photographs and their skin.

    Args:
        model: a `MorphableModel`.
    """

    def __init__(self, model):
        self.model, self._surface = model, CoarseSurface(model)
        self._skin = tf.cast(model.region_mask("skin"), tf.float32)[None, :, None]

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([1, representation.SIZE])])
    def _render(self, r):
        """Normals `[1, S, S, 3]`, and whether the face of r has skin there, `[1, S, S]`."""
        surface = self._surface(representation.vertices_image(self.model, r, SIZE), SIZE, SIZE)
        seen = interpolate(surface.visibility, self._surface.triangles, self._skin)
        core = (seen > 0.99) & (surface.detailed > 0.9)
        return normals_from_depth(surface.depth, surface.mask), core[..., 0]

    def __call__(self, path: str, square: np.ndarray, r: np.ndarray) -> dict[str, np.ndarray] | None:
        """{"image" `[200, 200]`, "skin" `[128, 128]`} uint8 of a photograph; None if its fit shows next to no skin."""
        photo = cv2.imread(path)
        if photo is None:
            raise InputError(f"expected a picture at {path}, found none that can be read")
        colour = np.clip(cut(np.ascontiguousarray(photo[..., ::-1]), square, SIZE), 0.0, 255.0)
        normals, core = (x.numpy()[0] for x in self._render(tf.constant(r[None], tf.float32)))
        if core.sum() < 0.02 * SIZE**2:
            return None
        skin = skin_map(colour, normals, core)
        grey = cv2.cvtColor(colour.round().astype(np.uint8), cv2.COLOR_RGB2GRAY)
        cells = to_cells(tf.constant(skin[None, ..., None]), SKIN_CELLS)[0, ..., 0].numpy()
        return {"image": grey, "skin": np.round(255.0 * cells).astype(np.uint8)}


def label(model, config: FittedPhotosConfig, count: int | None = None) -> dict[str, np.ndarray]:
    """{"image" `[N, 200, 200]` uint8, "skin" `[N, 128, 128]` uint8, "r" `[N, 290]`, "number" `[N]`} of photographs.

    Args:
        model: a `MorphableModel`.
        config: which photographs.
        count: so many of them, drawn at random; None takes all.

    Raises:
        FileNotFoundError, ValueError: see `fitted_photos.select`.
        InputError: a photograph can't be read.
    """
    table, labels, rows = select(config), Labels(model), []
    order = np.random.default_rng(config.seed).permutation(len(table.number))[:count]
    for i in tracked(order, "photographs"):
        path, square, r, number = (column[i] for column in (table.path, table.square, table.r, table.number))
        found = labels(path, square, r)
        if found is not None:
            rows.append(found | {"r": r, "number": number})
    if not rows:
        raise ValueError("expected photographs whose fits show skin, received none")
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def read_labels(path) -> dict[str, np.ndarray]:
    """What `label` found, from the file that this command wrote.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is another kind of file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"expected labels at {path}, found none; `tfface.pipelines.skin_labels` makes them")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in ("image", "skin", "r")}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"expected {path} to hold labels of skin, but: {error}") from error
    expected = {"image": (SIZE, SIZE), "skin": (SKIN_CELLS, SKIN_CELLS), "r": (representation.SIZE,)}
    count = len(found["r"])
    if {name: value.shape for name, value in found.items()} != {k: (count, *v) for k, v in expected.items()}:
        raise ValueError(f"expected {path} to hold image, skin and r of the same photographs, received other arrays")
    return found


def main(arguments=None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tfface.pipelines.skin_labels", description=__doc__)
    parser.add_argument("--photos", required=True, metavar="DIR", help="photographs with landmarks")
    parser.add_argument("--fits", required=True, metavar="FILE", help="of these, from `tfface.pipelines.fit_photos`")
    parser.add_argument("--output", required=True, metavar="FILE", help="about 40 KB for each photograph")
    parser.add_argument("--count", type=int, help="of photographs, drawn at random (default: all)")
    parser.add_argument("--least-px", type=float, default=100.0, help="least size of the face in the photograph")
    options = parser.parse_args(arguments)
    try:
        if options.count is not None and options.count < 1:
            raise InputError(f"expected --count of at least 1, received {options.count}")
        config = FittedPhotosConfig(photos=options.photos, fits=options.fits, min_face_px=options.least_px)
        found = label(MorphableModel.default(), config, options.count)
        write_arrays(options.output, found, compressed=False)
    except (InputError, FileNotFoundError, ValueError, OSError) as error:
        print(f"tfface: {error}", file=sys.stderr)
        return 2
    print(f"{len(found['r'])} photographs, {found['skin'].mean() / 2.55:.0f} % of them skin-like")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
