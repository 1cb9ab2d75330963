"""CoarseNet's answers to synthetic faces, kept in a file: what `train_shape` is to correct, as it really is.

    python -m tfface.pipelines.coarse_answers --output runs/answers.npz --faces 5000

The faces themselves aren't kept: element i of their data set depends on the seed and i alone, and is drawn again.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from tfface.errors import InputError
from tfface.morphable import representation
from tfface.output import write_arrays
from tfface.pipelines.coarse_data import CoarseDataConfig, synthetic_batches
from tfface.progress import tracked


def collect(networks, faces: int, batch: int, seed: int, passes: int) -> dict[str, np.ndarray]:
    """{"r" `[N, batch, 290]` float32, "seed"}: the answers to the first N batches of `coarse_data.synthetic_batches`.

    Args:
        networks: has `face_model` and `coarse`.
        faces: rounded up to whole batches.
        batch: faces per batch.
        seed: of the data set.
        passes: of CoarseNet; after two its errors are those of four to a hundredth.
    """
    count = -(-faces // batch)
    data = synthetic_batches(networks.face_model, CoarseDataConfig(seed=seed), batch, 0, networks.coarse.config.size)
    r = [
        networks.coarse.all_passes(one["image"], passes=passes)[:, -1].numpy()
        for one in tracked(data.take(count), "faces", total=count)
    ]
    return {"r": np.stack(r).astype(np.float32), "seed": np.array(seed)}


def read_answers(path) -> tuple[np.ndarray, int]:
    """The answers `[N, batch, 290]` and the seed of a file that this command wrote.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is another kind of file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"expected CoarseNet's answers at {path}, found none; `tfface.pipelines.coarse_answers` makes them"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            r, seed = file["r"], int(file["seed"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"expected {path} to hold answers of CoarseNet, but: {error}") from error
    if r.ndim != 3 or r.shape[2] != representation.SIZE or not np.isfinite(r).all():
        raise ValueError(f"expected finite answers [N, batch, 290] in {path}, received {r.shape}")
    return r, seed


def main(arguments=None) -> int:
    """The command; returns its exit code."""
    from tfface.networks.pretrained import load_pretrained

    parser = argparse.ArgumentParser(prog="python -m tfface.pipelines.coarse_answers", description=__doc__)
    parser.add_argument("--output", required=True, metavar="FILE")
    parser.add_argument("--model", metavar="DIR", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument("--faces", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=16, help="faces per step of the training to come")
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--passes", type=int, default=2)
    options = parser.parse_args(arguments)
    if min(options.faces, options.batch, options.passes) < 1:
        print("tfface: expected --faces, --batch and --passes of at least 1", file=sys.stderr)
        return 2
    try:
        found = collect(load_pretrained(options.model), options.faces, options.batch, options.seed, options.passes)
        write_arrays(options.output, found, compressed=False)
    except (InputError, FileNotFoundError, ValueError, OSError) as error:
        print(f"tfface: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
