"""Puts the networks of two training runs together into one model folder, as `Reconstructor` loads it."""

import json
from pathlib import Path

import keras

from tfface.morphable.model import MorphableModel
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.fine_net import FineNet  # noqa: F401 - registers the class that the .keras file names
from tfface.networks.pretrained import Pretrained, save_pretrained, tuples
from tfface.networks.weights import load_weights


def assemble(coarse_run, fine_run, output, description: dict | None = None) -> Pretrained:
    """Writes `config.json`, `coarse.npz` and `fine.npz` from the folders of two runs.

    Args:
      coarse_run: folder of `tfface train coarse`, with `coarse.npz` and `coarse_net.json`.
      fine_run: folder of `tfface train fine`, with `fine_net.keras`.
      output: folder of the model.
      description: goes into `config.json`.

    Raises:
      FileNotFoundError: a run hasn't written its weights yet.
      ValueError: a file isn't what it should be.
    """
    coarse_run, fine_run = Path(coarse_run), Path(fine_run)
    for path in (coarse_run / "coarse.npz", coarse_run / "coarse_net.json", fine_run / "fine_net.keras"):
        if not path.is_file():
            raise FileNotFoundError(f"expected {path} from a training run of at least one epoch, found none")
    config = CoarseNetConfig(**tuples(json.loads((coarse_run / "coarse_net.json").read_text(encoding="utf-8"))))
    face_model = MorphableModel.default()
    coarse = IterativeCoarseNet(face_model, config)
    load_weights(coarse.network, coarse_run / "coarse.npz")
    networks = Pretrained(face_model, coarse, keras.saving.load_model(fine_run / "fine_net.keras"))
    save_pretrained(networks, output, description)
    return networks
