"""The trained model as one file that runs anywhere: SavedModel, TFLite or ONNX (docs/export.md)."""

import dataclasses
import os
from pathlib import Path

from tfface.errors import InputError

FORMATS = ("savedmodel", "tflite", "onnx")
_SIZES = (64, 1024)


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What to export.

    Attributes:
      format: one of `FORMATS`.
      size: width of the square crops that go in, px. CoarseNet sees them at its own size (200), depth and detail come
        at this one; from 200 to 400 is what `tfface reconstruct` uses.
      weights: how they are kept: "float32", "float16" (the arithmetic stays float32) or, TFLite only, "int8" (dynamic
        range).
      batch: faces per call of a TFLite file; the other formats take any number.

    Raises:
      InputError: a value that isn't one of these, or values that don't go together.
    """

    format: str
    size: int = 200
    weights: str = "float32"
    batch: int = 1

    def __post_init__(self):
        if self.format not in FORMATS:
            raise InputError(f"expected a format among {', '.join(FORMATS)}, received {self.format!r}")
        kinds = ("float32", "float16", "int8") if self.format == "tflite" else ("float32", "float16")
        if self.weights not in kinds:
            raise InputError(f"expected weights of {self.format} among {', '.join(kinds)}, received {self.weights!r}")
        if not _SIZES[0] <= self.size <= _SIZES[1]:
            raise InputError(f"expected a size from {_SIZES[0]} to {_SIZES[1]} px, received {self.size}")
        if self.batch < 1 or self.format != "tflite" and self.batch != 1:
            raise InputError(
                f"expected a batch of at least 1 for tflite and none for other formats, received {self.batch} for "
                f"{self.format}"
            )


def export(networks, path, config: ExportConfig) -> Path:
    """Writes the networks as one file (SavedModel: one folder), whole or not at all.

    Args:
      networks: as `tfface.networks.pretrained.load_pretrained` returns them.
      path: where; a SavedModel's folder must be new, a file is replaced.
      config: what to write.

    Returns:
      The path.

    Raises:
      InputError: the path doesn't suit the format, see `check_output`, or a converter isn't installed.
      OutputError: it can't be written.
    """
    from tfface.export import onnx_file, saved_model, tflite
    from tfface.export.graph import FaceGraph
    from tfface.export.metadata import describe
    from tfface.output import write_files

    path = check_output(path, config.format)
    description = describe(networks, config.size, config.weights)
    if config.format == "savedmodel":
        return saved_model.save(FaceGraph(networks, config.size, config.weights == "float16"), path, description)
    graph = FaceGraph(networks, config.size)
    if config.format == "tflite":
        data = tflite.convert(graph, description, config.weights, config.batch)
    else:
        data = onnx_file.convert(graph, description, config.weights)
    return write_files(path.parent, {path.name: data})[path.name]


def check_output(path, format: str) -> Path:
    """Says what is wrong with an output before a minute is spent on it.

    Args:
      path: where to write: a folder that is new or empty for a SavedModel, else a file with the format's suffix, which
        is how runtimes and `tfface.export.runners` tell them apart.
      format: one of `FORMATS`.

    Returns:
      The path.

    Raises:
      InputError: it isn't that, or its folder isn't one that can be written.
    """
    path = Path(path)
    if format == "savedmodel":
        if os.path.isfile(path) or os.path.isdir(path) and os.access(path, os.R_OK) and os.listdir(path):
            raise InputError(
                f"{path}: expected a new folder for the SavedModel, received one that exists; choose another"
            )
    elif path.suffix != f".{format}":
        raise InputError(f"{path}: expected a file named *.{format}, received {path.name or 'none'}; name it so")
    elif os.path.isdir(path):
        raise InputError(f"{path}: expected a file, received a folder; choose another")
    # The folder may still have to be made: what counts is what is there of it. (Path.exists raises where one may not
    # look, os.path.exists doesn't.)
    above = next(parent for parent in path.absolute().parents if os.path.exists(parent))
    if not os.path.isdir(above) or not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{path}: can't be written: {above} isn't a folder that you may write to; choose another")
    return path
