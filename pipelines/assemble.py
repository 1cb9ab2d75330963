"""Puts the networks of two training runs, or models, together into one model folder, as `Reconstructor` loads it."""

import dataclasses
import json
from pathlib import Path

import keras

from tfface.morphable.model import MorphableModel
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.fine_net import FineNet
from tfface.networks.pretrained import (
    Pretrained,
    load_coarse_weights,
    load_pretrained,
    save_coarse_weights,
    save_pretrained,
    tuples,
)
from tfface.networks.weights import key, load_weights
from tfface.output import write_files


def assemble(
    coarse_run,
    fine_run,
    output,
    description: dict | None = None,
    blend=None,
    changes: dict | None = None,
    mirrored: bool | None = None,
) -> Pretrained:
    """Writes `config.json`, `coarse.npz` and `fine.npz` from the folders of two runs.

    Args:
      coarse_run: folder of `tfface train coarse`, with `coarse.npz` and `coarse_net.json`, or of a model.
      fine_run: folder of `tfface train end-to-end`, with `fine_net.keras`, or of a model; it can be the first as well.
      output: folder of the model.
      description: goes into `config.json`.
      blend: folder of another run that began or ended with the first one's CoarseNet; the mean of both runs' weights
        is taken, which keeps most of what each is good at (Wortsman et al., "Robust fine-tuning of zero-shot models",
        2022).
      changes: of FineNet's `FineNetConfig`, such as its `detail_scale`; of what has no weights.
      mirrored: of CoarseNet's `CoarseNetConfig`; None leaves it as the run has it.

    Raises:
      FileNotFoundError: a run hasn't written its weights yet.
      ValueError: a file isn't what it should be.
    """
    face_model = MorphableModel.default()
    fine = load_fine_run(fine_run, face_model)
    coarse = load_coarse_run(coarse_run, face_model)
    if blend is not None:
        other = load_coarse_run(blend, face_model)
        # What has no weights is taken from the first.
        if dataclasses.replace(other.config, mirrored=coarse.config.mirrored) != coarse.config:
            raise ValueError(f"expected CoarseNets of one architecture in {coarse_run} and {blend}, received two")
        pairs = zip(coarse.get_weights(), other.get_weights(), strict=True)
        coarse.set_weights([(one + two) / 2 for one, two in pairs])
    if mirrored is not None:
        coarse.config = dataclasses.replace(coarse.config, mirrored=mirrored)
    if changes:
        weights = fine.get_weights()
        fine = FineNet(dataclasses.replace(fine.config, **changes))
        fine.build()
        fine.set_weights(weights)
    networks = Pretrained(face_model, coarse, fine)
    save_pretrained(networks, output, description)
    return networks


def save_coarse_run(coarse: IterativeCoarseNet, folder) -> None:
    """Writes CoarseNet's weights (see `save_coarse_weights`) and its architecture, `coarse_net.json`."""
    folder = Path(folder)
    text = json.dumps(dataclasses.asdict(coarse.config)) + "\n"
    write_files(folder, {"coarse_net.json": text.encode()})
    save_coarse_weights(coarse, folder)


def save_fine_run(fine: FineNet, folder) -> None:
    """Writes FineNet, complete and loadable, as `fine_net.keras`."""
    part = Path(folder) / "fine_net.part.keras"
    fine.save(part)
    part.replace(part.with_name("fine_net.keras"))


def load_fine_run(folder, face_model: MorphableModel) -> FineNet:
    """FineNet as `save_fine_run` and `tfface train end-to-end` leave it, or that of a model's folder.

    Raises:
      FileNotFoundError: there is neither.
      ValueError: a file isn't what it should be.
    """
    folder = Path(folder)
    if (folder / "fine_net.keras").is_file():
        return keras.saving.load_model(folder / "fine_net.keras")
    if not ((folder / "fine.npz").is_file() and (folder / "config.json").is_file()):
        raise FileNotFoundError(
            f"expected {folder / 'fine_net.keras'} from a training run of at least one epoch, or a model's config.json "
            "and fine.npz, found neither"
        )
    return load_pretrained(folder, face_model).fine


def load_fine_weights(fine: FineNet, path) -> None:
    """Sets the weights of a built FineNet from a .npz that may lack those of `skin`, which is trained by itself.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is of another FineNet.
    """
    may_lack = {key(variable) for variable in (fine.skin_net.variables if fine.skin_net else ())}
    missing = [name for name in load_weights(fine, path, strict=False) if name not in may_lack]
    if missing:
        raise ValueError(
            f"expected the weights of this FineNet in {path}, received none that fit {missing[0]}; build the network "
            "with the configuration that the weights were trained with"
        )


def load_coarse_run(folder, face_model: MorphableModel) -> IterativeCoarseNet:
    """CoarseNet as `save_coarse_run` and `tfface train coarse` leave it, or that of a model's folder.

    Raises:
      FileNotFoundError: the run hasn't written its weights yet.
      ValueError: a file isn't what it should be.
    """
    folder = Path(folder)
    if (folder / "config.json").is_file() and not (folder / "coarse_net.json").is_file():
        return load_pretrained(folder, face_model).coarse
    for path in (folder / "coarse.npz", folder / "coarse_net.json"):
        if not path.is_file():
            raise FileNotFoundError(f"expected {path} from a training run of at least one epoch, found none")
    coarse = IterativeCoarseNet(face_model, read_coarse_config(folder / "coarse_net.json"))
    load_coarse_weights(coarse, folder)
    return coarse


def read_coarse_config(path) -> CoarseNetConfig:
    """CoarseNet's architecture from a run's `coarse_net.json` or a model's `config.json`.

    Raises:
      ValueError: the file isn't what it should be.
    """
    try:
        described = json.loads(Path(path).read_text(encoding="utf-8"))
        return CoarseNetConfig(**tuples(described.get("coarse", described)))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"expected {path} to describe CoarseNet, but: {error}") from error
