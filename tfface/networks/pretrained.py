"""A trained model on disk: `config.json`, `coarse.npz`, `fine.npz`, and files of CoarseNet's corrections, if any."""

import dataclasses
import importlib.resources
import json
import os
from pathlib import Path

import keras
import tensorflow as tf

from tfface.morphable.model import MorphableModel
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.fine_net import FineNet, FineNetConfig
from tfface.networks.weights import load_weights, save_weights
from tfface.output import write_files

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """What `Reconstructor` runs on."""

    face_model: MorphableModel
    """The space of faces that r lives in."""
    coarse: IterativeCoarseNet
    """Grey image `[B, 200, 200, 1]` in 0…1 → r `[B, 290]`."""
    fine: keras.Model
    """{"image", "depth", "mask"}, each `[B, H, W, 1]` → refined depth `[B, H, W, 1]`, px."""


def build_networks(
    face_model: MorphableModel, coarse: CoarseNetConfig | None = None, fine: FineNetConfig | None = None
) -> Pretrained:
    """Networks that were built, not trained."""
    networks = Pretrained(face_model, IterativeCoarseNet(face_model, coarse), FineNet(fine or FineNetConfig()))
    blank = tf.zeros([1, 16, 16, 1])
    networks.fine({"image": blank, "depth": blank, "mask": blank})
    return networks


def save_pretrained(networks: Pretrained, folder: str | os.PathLike, description: dict | None = None) -> None:
    """Writes the weights (float16) and the architecture of `networks`; `description` goes into `config.json` too."""
    folder = Path(folder)
    save_coarse_weights(networks.coarse, folder)
    save_weights(networks.fine, folder / "fine.npz")
    config = {
        "format": FORMAT,
        "face_model": {"name": networks.face_model.name, "version": networks.face_model.version},
        "coarse": dataclasses.asdict(networks.coarse.config),
        "fine": dataclasses.asdict(networks.fine.config),
        "description": description or {},
    }
    write_files(folder, {"config.json": (json.dumps(config, indent=2) + "\n").encode()})


def load_pretrained(path: str | os.PathLike | None = None, face_model: MorphableModel | None = None) -> Pretrained:
    """Loads a trained model.

    Args:
      path: folder of `save_pretrained`; None is the model that ships with tfface.
      face_model: the face model it was trained with; None is the default one.

    Raises:
      FileNotFoundError: the folder or a file in it is missing.
      ValueError: a file isn't what it should be, or belongs to another face model.
    """
    if path is None:
        path = Path(str(importlib.resources.files("tfface.saved_models"))) / "release"
    path = Path(path)
    if not (path / "config.json").is_file():
        raise FileNotFoundError(f"expected a trained model (config.json, coarse.npz, fine.npz) in {path}, found none")
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        if config["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT}, received {config['format']}")
        coarse = CoarseNetConfig(**tuples(config["coarse"]))
        fine = FineNetConfig.of(tuples(config["fine"]))
        trained_on = config["face_model"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"expected {path / 'config.json'} to describe a trained model, but: {error}") from error
    face_model = face_model or MorphableModel.default()
    received = {"name": face_model.name, "version": face_model.version}
    if received != trained_on:
        raise ValueError(
            f"expected the face model {trained_on} that {path} was trained with, received {received}; "
            "coefficients of one model mean nothing in another"
        )
    networks = build_networks(face_model, coarse, fine)
    load_coarse_weights(networks.coarse, path)
    load_weights(networks.fine, path / "fine.npz")
    return networks


def save_coarse_weights(coarse: IterativeCoarseNet, folder: str | os.PathLike) -> None:
    """Writes `coarse.npz` and, of a CoarseNet with them, `aligned.npz` and `refine.npz`."""
    save_weights(coarse.network, Path(folder) / "coarse.npz")
    for name, network in coarse.corrections.items():
        save_weights(network, Path(folder) / f"{name}.npz")


def load_coarse_weights(coarse: IterativeCoarseNet, folder: str | os.PathLike) -> None:
    """Sets the weights of a CoarseNet from a folder of `save_coarse_weights`.

    Raises:
      FileNotFoundError, ValueError: see `load_weights`.
    """
    load_weights(coarse.network, Path(folder) / "coarse.npz")
    for name, network in coarse.corrections.items():
        load_weights(network, Path(folder) / f"{name}.npz")


def tuples(config: dict) -> dict:
    """JSON has no tuples; the frozen configurations do."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
