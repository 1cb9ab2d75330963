"""Writes the trained model as one file that runs without tfface: crop in, face out (docs/export.md)."""

import argparse
import contextlib
import signal
import sys
import threading
from pathlib import Path

from tfface.commands.reconstruct import positive
from tfface.errors import InputError
from tfface.export import FORMATS

HELP = "write the model as SavedModel, TFLite or ONNX"


def configure(parser: argparse.ArgumentParser):
    """Adds the verb's arguments."""
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write")
    parser.add_argument("--output", required=True, metavar="PATH", help="the file, or the SavedModel's new folder")
    parser.add_argument("--model", metavar="DIR", help="a folder with a trained model (default: the shipped one)")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--float16", action="store_true", help="keep the weights as halves: half the size")
    weights.add_argument("--int8", action="store_true", help="keep the weights as bytes (tflite only)")
    parser.add_argument("--size", type=positive, default=200, metavar="PX", help="width of the crops (default: 200)")
    parser.add_argument("--batch", type=positive, default=1, metavar="N", help="faces per call (tflite; default: 1)")
    parser.add_argument(
        "--check",
        type=int,
        default=4,
        metavar="N",
        help="compare the file's answers with the Keras model's on so many synthetic faces (default: 4; 0: don't)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exports and checks; returns the exit code."""
    from tfface.export import ExportConfig, check_output

    weights = "int8" if arguments.int8 else "float16" if arguments.float16 else "float32"
    # Before TensorFlow is imported: a mistyped option shouldn't take ten seconds to tell.
    config = ExportConfig(arguments.format, arguments.size, weights, arguments.batch)
    check_output(arguments.output, config.format)
    from tfface.commands.quiet import hidden_stderr, import_tensorflow

    import_tensorflow()
    from tfface.export import export

    networks = load_networks(arguments.model)
    with tidy_when_terminated(), hidden_stderr():
        path = export(networks, arguments.output, config)
    print(f"{path}: {_size(path) / 1e6:.1f} MB, weights {weights}, crops {config.size}×{config.size} px")
    if arguments.check > 0:
        print(_checked(networks, path, config.size, arguments.check))
    return 0


@contextlib.contextmanager
def tidy_when_terminated():
    """While it lasts SIGTERM raises SystemExit: by default Python ends on the spot and leaves half-written files."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def load_networks(path):
    """The networks of a model folder (None: the shipped ones); raises InputError where they can't be loaded."""
    from tfface.networks.pretrained import load_pretrained

    try:
        return load_pretrained(path)
    except (OSError, KeyError, ValueError) as error:
        where = f"--model {path}" if path else "the shipped model"
        raise InputError(f"{where}: can't be loaded: {error}") from error


def _checked(networks, path, size: int, count: int) -> str:
    import numpy as np
    import tensorflow as tf

    from tfface.commands.quiet import hidden_stderr
    from tfface.export.parity import compare, keras_answers, summary
    from tfface.export.runners import open_exported
    from tfface.pipelines.synthetic import SyntheticConfig, SyntheticWorld

    world = SyntheticWorld(networks.face_model, SyntheticConfig(size=size, batch=count))
    crops = np.repeat(world.draw(tf.constant([0, 0], tf.int64))["image"].numpy(), 3, axis=-1)
    try:
        with hidden_stderr():
            received = open_exported(path)(crops)
    except InputError as error:
        return f"not checked: {error}"
    return f"beside the Keras model: {summary(compare(received, keras_answers(networks, crops)))}"


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]
    return sum(file.stat().st_size for file in files)
