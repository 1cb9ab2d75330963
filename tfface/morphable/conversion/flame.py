"""FLAME (`.pkl`), read without chumpy and without running what a pickle may carry."""

import codecs
import collections
import pickle
from pathlib import Path

import numpy as np

from tfface.morphable.conversion.raw import RawModel

IDENTITY = 300
"""FLAME's leading shape directions are identity, the rest expression."""


class _Kept:
    """Stands in for a class that we don't load: holds its state and can do nothing."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.state = {}

    def __setstate__(self, state):
        self.state = state


def _kept_reconstructor(*_):
    return _Kept()


_NUMPY = {
    ("multiarray", "_reconstruct"): np.ndarray.__reduce__(np.zeros(1))[0],
    ("multiarray", "scalar"): np.float64(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("copy_reg", "_reconstructor"): _kept_reconstructor,
    ("copyreg", "_reconstructor"): _kept_reconstructor,
    ("__builtin__", "object"): _Kept,
    ("builtins", "object"): _Kept,
}


class SafeUnpickler(pickle.Unpickler):
    """Builds numpy arrays and plain containers; classes of chumpy and scipy become inert stand-ins.

    Any other name is refused, so no function of the file's choosing is ever called.
    """

    def find_class(self, module, name):
        known = _NUMPY.get((module, name)) or _NUMPY.get((module.rsplit(".", 1)[-1], name))
        if known is not None and module.split(".")[0] in ("numpy", "_codecs", "collections", "copy_reg", "copyreg"):
            return known
        if (module, name) in _NUMPY:
            return _NUMPY[module, name]
        if module.split(".")[0] in ("chumpy", "scipy"):
            return _Kept
        raise pickle.UnpicklingError(f"it names {module}.{name}, which a face model has no need of")


def _array(value) -> np.ndarray:
    """A numpy array, or the one inside a stand-in for chumpy's `Ch`."""
    if isinstance(value, _Kept):
        state = value.state[1] if isinstance(value.state, tuple) else value.state
        value = state.get("x") if isinstance(state, dict) else None
    if value is None:
        raise ValueError("expected an array where the file has something else")
    return np.asarray(value, np.float64)


def read_flame(path: Path) -> RawModel:
    """Li et al., "Learning a model of facial shape and expression from 4D scans" (2017): 2019, 2020 and 2023 files.

    Jaw, neck and eye joints are left in their rest position: our models are linear.

    Raises:
      ValueError: the file is no such model, or carries something that no model needs.
    """
    try:
        with open(path, "rb") as file:
            content = SafeUnpickler(file, encoding="latin1").load()
        mean = _array(content["v_template"]) * 1e3
        directions = _array(content["shapedirs"]) * 1e3
        triangles = _array(content["f"]).astype(np.int64)
    except (pickle.UnpicklingError, KeyError, TypeError, ValueError, EOFError, AttributeError, IndexError) as error:
        raise ValueError(
            f"expected {path} to be a FLAME model with v_template, shapedirs and f, but: {error}"
        ) from error
    if directions.ndim != 3 or directions.shape[:2] != mean.shape:
        raise ValueError(f"expected shapedirs of shape [{len(mean)}, 3, K], received {list(directions.shape)}")
    # Files with fewer directions than FLAME's own hold as many expressions, a hundred, at their end.
    split = IDENTITY if directions.shape[2] > IDENTITY else max(directions.shape[2] - 100, directions.shape[2] // 2)
    return RawModel(
        name="flame",
        version=path.stem,
        license="Max Planck Society; FLAME's licence, CC-BY-4.0 for FLAME 2023 Open",
        source=path.name,
        mean=mean,
        identity=directions[..., :split],
        expression=directions[..., split:],
        triangles=triangles,
    )
