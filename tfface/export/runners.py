"""Running an exported file, of whichever format, on crops: for checks, tests and benchmarks."""

from pathlib import Path

import numpy as np

from tfface.errors import InputError


def open_exported(path, threads: int | None = None):
    """Loads a SavedModel folder, a `.tflite` or an `.onnx` file.

    Args:
      path: what `tfface export` wrote.
      threads: how many the runtime may use; None leaves it to the runtime (a SavedModel follows TensorFlow's own
        settings).

    Returns:
      A function from crops `[B, S, S, 3]` float32 in 0…1 to the outputs by name.

    Raises:
      InputError: there is no such file, or its runtime isn't installed.
    """
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return _saved_model(path)
    openers = {".tflite": _tflite, ".onnx": _onnx}
    if path.suffix not in openers or not path.is_file():
        raise InputError(f"{path}: expected a SavedModel folder, a .tflite or an .onnx file, received none of them")
    try:
        return openers[path.suffix](path, threads)
    except ImportError as error:
        raise InputError(
            f"{path}: its runtime is missing ({error}); install it with `pip install 'tfface[export]'`"
        ) from error


def _saved_model(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(crops):
        return {name: value.numpy() for name, value in loaded.serve(tf.constant(crops, tf.float32)).items()}

    return run


def _tflite(path, threads):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    runner = interpreter.get_signature_runner()
    batch = int(runner.get_input_details()["crops"]["shape"][0])

    def run(crops):
        parts = []
        for start in range(0, len(crops), batch):
            part = np.asarray(crops[start : start + batch], np.float32)
            filled = np.concatenate([part, np.zeros((batch - len(part), *part.shape[1:]), np.float32)])
            # The interpreter writes into the same memory next time.
            parts.append({name: value[: len(part)].copy() for name, value in runner(crops=filled).items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return run


def _onnx(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(crops):
        return dict(zip(names, session.run(None, {"crops": np.asarray(crops, np.float32)}), strict=True))

    return run
