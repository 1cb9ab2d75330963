"""A SavedModel as the server sees it: signatures with named inputs, batch first."""

import dataclasses
from pathlib import Path

import numpy as np

from tfface.encoding import png_bytes
from tfface.errors import InputError
from tfface.serving.errors import RequestError

DEFAULT_SIGNATURE = "serving_default"
CROPS_SIGNATURE, CROPS = "serve", "crops"
"""The signature with the ONNX file's inputs and outputs, and its only input."""


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """One input or output of a signature."""

    shape: tuple[int | None, ...]
    """Of one instance, without the batch; None where any length does."""
    dtype: type
    """numpy's; `object` for byte strings."""

    @property
    def wanted(self) -> list:
        """The shape for people."""
        return [size or "any" for size in self.shape]


class ServedModel:
    """A loaded SavedModel.

    Args:
      path: its folder, or a folder of numbered versions as TF Serving has them, of which the newest is taken.

    Attributes:
      version: the folder's number, or "1".
      signatures: the inputs `{name: ArraySpec}` of each signature.
      outputs: the same of its outputs, sorted by name as in the ONNX file.

    Raises:
      InputError: there is no SavedModel, or one without signatures.
    """

    def __init__(self, path):
        import tensorflow as tf

        folder = newest_version(path)
        try:
            self._loaded = tf.saved_model.load(str(folder))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise InputError(f"{folder}: expected a SavedModel, received one that can't be loaded: {error}") from error
        if missing := {DEFAULT_SIGNATURE, CROPS_SIGNATURE} - self._loaded.signatures.keys():
            raise InputError(
                f"{folder}: expected a SavedModel from `tfface export`, received one without the signatures "
                f"{', '.join(sorted(missing))}"
            )
        self.version = folder.name if folder.name.isdigit() else "1"
        signatures = self._loaded.signatures.items()
        try:
            self.signatures = {name: _specs(function.structured_input_signature[1]) for name, function in signatures}
            self.outputs = {name: _specs(function.structured_outputs) for name, function in signatures}
        except ValueError as error:
            raise InputError(
                f"{folder}: expected a SavedModel from `tfface export`, received one with arrays of any shape"
            ) from error

    def warm_up(self):
        """Runs the default signature once: the first run also optimises the graph, which takes seconds."""
        if self.signatures[DEFAULT_SIGNATURE].keys() == {"image_bytes", "box"}:
            picture = np.array([png_bytes(np.zeros((8, 8, 3), np.uint8))], object)
            self.run(DEFAULT_SIGNATURE, {"image_bytes": picture, "box": np.zeros((1, 4), np.float32)})

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers a batch.

        Args:
          signature: a key of `signatures`.
          inputs: its inputs, `[B, …]`.

        Raises:
          RequestError: the model refuses the input.
        """
        import tensorflow as tf

        try:
            outputs = self._loaded.signatures[signature](**{name: tf.constant(v) for name, v in inputs.items()})
        except tf.errors.InvalidArgumentError as error:
            raise RequestError(400, f"the model can't use this input: {_reason(error.message or '')}") from error
        return {name: value.numpy() for name, value in outputs.items()}


def newest_version(path) -> Path:
    """The SavedModel's folder at `path`, or in its subfolder with the highest number."""
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return path
    numbered = [inner.parent for inner in path.glob("*/saved_model.pb") if inner.parent.name.isdigit()]
    if not numbered:
        raise InputError(
            f"{path}: expected a SavedModel's folder, received none; make one with "
            "`tfface export --format savedmodel --output DIR`"
        )
    return max(numbered, key=lambda folder: int(folder.name))


def _reason(message: str) -> str:
    """The line of TensorFlow's message that tells what is wrong; the others tell where in the graph."""
    where = ("Graph execution error", "Detected at node", "<stack traces", "[[")
    lines = [line.strip() for line in message.splitlines()]
    return next((line.split(" [[")[0] for line in lines if line and not line.startswith(where)), "it doesn't say why")


def _specs(specs) -> dict[str, ArraySpec]:
    return {
        name: ArraySpec(tuple(spec.shape)[1:], object if spec.dtype.name == "string" else spec.dtype.as_numpy_dtype)
        for name, spec in sorted(specs.items())
    }
