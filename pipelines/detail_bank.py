"""Heads with true wrinkles as training data: rendered once, then lit, photographed and mis-fitted anew every time.

    python -m tfface.pipelines.detail_bank --output runs/detail --heads 600

What takes time, the surface and its paint, is kept on disk; light, camera and the coarse face that FineNet starts from
are drawn on the fly, so that no picture is ever seen twice. Heads are numbered from 1,000,000 on: evaluation's own
numbers (`pipelines.synthetic_detail`) are far below.
"""

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfface.morphable import representation
from tfface.morphable.model import MorphableModel
from tfface.output import write_files
from tfface.pipelines.photographer import Photographer, shrink
from tfface.pipelines.sampling import SamplingConfig, uniform
from tfface.pipelines.shuffling import seekable_indices
from tfface.pipelines.surroundings import Surroundings
from tfface.pipelines.synthetic_detail import DetailWorld
from tfface.pipelines.synthetic_skin import SEVERITIES
from tfface.progress import tracked

FIRST = 1_000_000
"""Number of the first head; evaluation's are below."""
POSES = SamplingConfig(yaw_degrees=60.0, pitch_degrees=25.0, roll_degrees=20.0)


@dataclasses.dataclass(frozen=True)
class DetailBankConfig:
    """What is made of the heads on disk.

    Attributes:
      path: folder of this module's command; None leaves such heads out of training.
      batch: heads per batch.
      sizes: widths of the pictures, px, each as often as the others; the largest is that of the heads on disk.
      identity_off: standard deviation of what is added to each identity coefficient of the coarse face.
      expression_off: the same for expression.
      angle_off: the same for pitch, yaw and roll, degrees.
      place_off: the same for shift (half crop widths) and ln(scale).
      exact: share of heads whose coarse face is the true one.
      answered: share of heads whose coarse face is what CoarseNet takes their picture for, in whole heads of a batch
        and at least one; `exact` is of the rest.
      asked: folder of the trained weights whose CoarseNet that is; None for the shipped ones.
      off_model: share of heads whose shape isn't quite the face model's: they are up to 1.6 mm (rms) fuller here and
        flatter there, as people are whom no face model holds.
      flat: share of pictures that are lit from everywhere: there, only what hides the sky from itself is dark.
      painted: share of heads with scribbles and spots painted on them, beside the marks that skin has.
      cast: share of pictures in which the face itself stands in its lights' way, as a nose does.
      shaded: share of heads that something beside them throws a shadow on.
      surroundings: folder of `pipelines.surroundings`; needed where heads are `surrounded`.
      surrounded: share of heads with what a photograph shows around a face: hair, glasses, clothes, a room. Where those
        hide it, skin counts as little as lips do.
      covered: share of pictures with something before the face: mostly loose hair, else a hand or the like.
      enlarged: share of pictures that were up to 2.2 times smaller before.
      jpeg: share of pictures that were compressed, at a quality of 40 to 95.
      seed: of everything random.
    """

    path: str | None = None
    batch: int = 4
    sizes: tuple[int, ...] = (200, 400)
    identity_off: float = 0.4
    expression_off: float = 0.25
    angle_off: float = 2.5
    place_off: float = 0.01
    exact: float = 0.3
    answered: float = 0.0
    asked: str | None = None
    off_model: float = 0.0
    flat: float = 0.125
    painted: float = 0.5
    cast: float = 0.0
    shaded: float = 0.0
    surroundings: str | None = None
    surrounded: float = 0.0
    covered: float = 0.0
    enlarged: float = 0.0
    jpeg: float = 0.0
    seed: int = 0


_LAYOUT = (
    ("r", "float32"),
    ("depth", "float32"),
    ("albedo", "float16"),
    ("mask", "uint8"),
    ("skin", "uint8"),
    ("sky", "uint8"),
)
"""What a head's file holds, one array after the other."""


def write_bank(model, folder: Path, heads: int, size: int = 400, first: int = FIRST, severity: float = 1.0) -> None:
    """Renders heads `first`… into one file each, and notes their size in bank.json; goes on where it was stopped.

    Args:
      model: a `MorphableModel`.
      folder: is made if need be.
      heads: how many.
      size: width, px.
      first: number of the first head.
      severity: of the oldest skin, see `DetailWorld.head`.
    """
    world = DetailWorld(model)
    for number in tracked(range(first, first + heads), "heads"):
        path = folder / f"{number}.head"
        if not path.is_file():
            write_files(folder, {path.name: pack(world.surface_sample(world.head(number, POSES, severity), size))})
    write_files(folder, {"bank.json": json.dumps({"size": size, "heads": heads}).encode()})


def pack(sample: dict[str, np.ndarray]) -> bytes:
    """A head's file."""
    return b"".join(np.ascontiguousarray(sample[name], kind).tobytes() for name, kind in _LAYOUT)


def _unpack(path: tf.Tensor, size: int) -> dict[str, tf.Tensor]:
    raw, head, place = tf.io.read_file(path), {}, 0
    for name, kind in _LAYOUT:
        length = _length(name, kind, size)
        head[name] = tf.reshape(tf.io.decode_raw(tf.strings.substr(raw, place, length), kind), _shape(name, size))
        place += length
    return head


def _shape(name: str, size: int) -> list[int]:
    return [representation.SIZE] if name == "r" else [size, size]


def _length(name: str, kind: str, size: int) -> int:
    """Bytes of an array of `_LAYOUT` in the file of a head of `size` px."""
    return math.prod(_shape(name, size)) * np.dtype(kind).itemsize


def list_heads(folder: Path) -> list[str]:
    """Paths of a bank's heads."""
    return sorted(str(path) for path in Path(folder).glob("*.head"))


def _heads(folder: Path, size: int) -> tuple[list[str], int]:
    """Paths of a bank's heads, checked, and the width of their pictures in px, of which `size` is a part."""
    paths = list_heads(folder)
    if not paths or not (folder / "bank.json").is_file():
        raise FileNotFoundError(
            f"expected heads in {folder}; `python -m tfface.pipelines.detail_bank --output {folder}` renders them"
        )
    full = json.loads((folder / "bank.json").read_text(encoding="utf-8"))["size"]
    if full % size:
        raise ValueError(f"expected a size that divides {full}, that of the heads in {folder}; received {size}")
    length = sum(_length(name, kind, full) for name, kind in _LAYOUT)
    for path in paths:
        if Path(path).stat().st_size != length:
            raise ValueError(
                f"expected {length} bytes in {path}, received {Path(path).stat().st_size}: cut off, or of an older "
                "version; delete it, and `python -m tfface.pipelines.detail_bank` renders it again"
            )
    return paths, full


def detail_dataset(
    config: DetailBankConfig, size: int, start: int = 0, mirror=None, coarse=None, model=None
) -> tf.data.Dataset:
    """Endless batches {"image", "depth", "mask", "skin", "albedo" `[B, S, S, 1]`, "r", "coarse_r" `[B, 290]`}.

    `depth` is the true one in px, `albedo` has all that is painted on it, and `coarse_r` is the face that FineNet is to
    start from. Element i depends on the seed and i alone.

    Args:
      config: a `DetailBankConfig`.
      size: S, px; divides the size of the heads on disk.
      start: number of the first batch, to resume.
      mirror: the face model's `tfface.morphable.mirror.Mirror`, to show half of the heads mirrored; None shows none.
      coarse: the `IterativeCoarseNet` that is asked about the first heads of each batch, if any are `answered`.
      model: the `MorphableModel` of the heads, which those that are `surrounded` need.

    Raises:
      FileNotFoundError: there is no bank in the folder, or there are no surroundings in theirs.
      ValueError: the size doesn't divide that of the bank, or a file isn't of its size; heads are to be answered, and
        there is no CoarseNet, or its pictures are of a size that doesn't divide `size`; they are to be surrounded, and
        there is no folder or no model.
    """
    paths, full = _heads(Path(config.path), size)
    asked = max(round(config.answered * config.batch), 1) if config.answered else 0
    if asked and (coarse is None or size % coarse.config.size):
        received = "none" if coarse is None else f"one of {coarse.config.size} px"
        raise ValueError(
            f"expected a CoarseNet for heads.answered whose size divides {size} px, received {received}; "
            "heads.answered=0 does without"
        )
    surroundings = None
    if config.surrounded:
        if config.surroundings is None or model is None:
            missing = "folder" if config.surroundings is None else "face model"
            raise ValueError(
                f"expected a folder of `python -m tfface.pipelines.surroundings` in heads.surroundings and the heads' "
                f"face model, received no {missing}; heads.surrounded=0 does without"
            )
        surroundings = Surroundings(config.surroundings, model, full)
    photographer, table = Photographer(config, size, surroundings), tf.constant(paths)
    # Of its own for each size: two sizes of one step should have nothing in common.
    base = tf.constant(config.seed + 20 + 1000 * size, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def picture(index, rows):
        heads = tf.map_fn(
            lambda row: _unpack(table[row], full),
            rows,
            fn_output_signature={name: tf.TensorSpec(_shape(name, full), kind) for name, kind in _LAYOUT},
        )
        batch = photographer(heads, tf.stack([base, index + start]))
        if asked:
            small = shrink(batch["image"][:asked], size // coarse.config.size)
            answers = coarse(small, training=False)
            batch["coarse_r"] = tf.concat([answers, batch["coarse_r"][asked:]], axis=0)
        return batch if mirror is None else mirrored(batch, tf.stack([base + 2, index + start]))

    def mirrored(batch, seed):
        """Half of the pictures and their r the other way round: more people than there are on disk."""
        turned = uniform([config.batch], seed) < 0.5
        return {
            name: tf.where(turned[:, None], mirror(value), value)
            if value.shape.rank == 2
            else tf.where(turned[:, None, None, None], value[:, :, ::-1], value)
            for name, value in batch.items()
        }

    rows = seekable_indices(len(paths), config.batch, config.seed + size, start)
    pictures = rows.enumerate().map(lambda i, row: picture(i, row[1]), num_parallel_calls=2, deterministic=True)
    return pictures.prefetch(2)


def main(arguments=None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tfface.pipelines.detail_bank", description=__doc__)
    parser.add_argument("--output", required=True, help="folder for the heads, about 1.2 MB each")
    parser.add_argument("--heads", type=int, default=600)
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--first", type=int, default=FIRST, help="number of the first, so that two runs' heads differ")
    parser.add_argument(
        "--severity",
        type=float,
        default=1.0,
        help="of the oldest skin; beyond 1 folds are deeper, and skin sags (default: 1)",
    )
    options = parser.parse_args(arguments)
    low, high = SEVERITIES
    if options.heads < 1 or options.size < 32 or not low <= options.severity <= high or options.first < FIRST:
        print(
            "tfface: expected at least one head of at least 32 px, a severity of "
            f"{low:g} to {high:g} and a first number of at "
            f"least {FIRST}, evaluation's own being below",
            file=sys.stderr,
        )
        return 2
    try:
        model, folder = MorphableModel.default(), Path(options.output)
        write_bank(model, folder, options.heads, options.size, options.first, options.severity)
    except (OSError, ValueError) as error:
        print(f"tfface: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
