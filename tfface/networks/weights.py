"""Weights on disk: float16 arrays by variable path, small enough to ship and readable with numpy alone."""

import os
import zipfile
from pathlib import Path

import keras
import numpy as np

from tfface.output import write_arrays


def save_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes all weights of `model`, no states of random generators, as float16 into one .npz, whole or not at all."""
    arrays = {key(variable): np.asarray(variable).astype(np.float16) for variable in model.weights}
    if len(arrays) != len(model.weights):
        raise ValueError("expected every variable of the model to have a path of its own; give its layers names")
    overflowing = [name for name, value in arrays.items() if not np.isfinite(value).all()]
    if overflowing:
        raise ValueError(f"expected finite weights within float16's range, received others in {overflowing[:3]}")
    write_arrays(path, arrays)


def load_weights(model: keras.Model, path: str | os.PathLike, strict: bool = True) -> list[str]:
    """Sets the variables of a built `model` from a file of `save_weights`; returns the names of those it doesn't hold.

    Args:
      model: a built model.
      path: the file.
      strict: the file must hold all of the model's variables and no others; else, those that fit are taken.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it isn't such a file, or belongs to another architecture.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected trained weights at {path}, found no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise ValueError(f"expected {path} to be an .npz of weights, received something else ({error})") from error
    wanted = {key(variable): tuple(variable.shape) for variable in model.weights}
    received = {key: value.shape for key, value in arrays.items()}
    fitting = {key for key, shape in wanted.items() if received.get(key) == shape}
    if wanted != received if strict else not fitting:
        odd = sorted(k for k in wanted.keys() | received.keys() if wanted.get(k) != received.get(k))
        raise ValueError(
            f"expected the weights of {model.name!r} in {path}, received other variables or shapes, e.g. "
            f"{odd[0]}: expected {wanted.get(odd[0])}, received {received.get(odd[0])}; "
            "build the model with the configuration that the weights were trained with"
        )
    for variable in model.weights:
        if key(variable) in fitting:
            variable.assign(arrays[key(variable)].astype(np.float32))
    return sorted(wanted.keys() - fitting)


def key(variable) -> str:
    """A variable's name in such a file."""
    # Keras prefixes paths with the model's own name, which may differ between training and loading.
    return variable.path.split("/", 1)[-1] if variable.path.count("/") > 1 else variable.path
