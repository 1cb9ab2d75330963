"""A TFLite file of builtin operations only."""

import io
import math
import zipfile

import numpy as np
import tensorflow as tf

from tfface.export.graph import FaceGraph
from tfface.export.metadata import FILE, as_json

_SMALL = 1024
"""Arrays with fewer numbers stay float32: nothing is saved on them."""


def convert(graph: FaceGraph, description: dict, weights: str = "float32", batch: int = 1) -> bytes:
    """The file's bytes.

    The batch is fixed: with it every shape behind the renderer is known beforehand, and TFLite's fast kernels ask for
    that.

    Args:
      graph: what to convert.
      description: from `describe`; a zip with it as `tfface.json` follows the model's own bytes, where TFLite's
        metadata tools put such files.
      weights: "float32", "float16" (kept as halves, computed in float32) or "int8" (dynamic range).
      batch: faces per call.

    Raises:
      ValueError: the converter left an operation that isn't a builtin.
    """
    spec = tf.TensorSpec([batch, graph.size, graph.size, 3], tf.float32, name="crops")
    module = tf.Module()
    module.weights = graph.stored
    module.faces = tf.function(graph, input_signature=[spec])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.faces.get_concrete_function()], module)
    if weights == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    data = converter.convert()
    if weights == "float16":
        data = _store_as_halves(data, {math.prod(variable.shape) for variable in graph.stored})
    if odd := other_operations(data):
        raise ValueError(f"expected builtin operations only, received {', '.join(odd)}")
    return data + _zipped(FILE, as_json(description))


def other_operations(data: bytes) -> list[str]:
    """Names of a TFLite file's operations that aren't builtins (custom ones, and TensorFlow's own as Flex…)."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.Model.GetRootAs(data)
    codes = [model.OperatorCodes(index) for index in range(model.OperatorCodesLength())]
    return [
        (code.CustomCode() or b"custom").decode()
        for code in codes
        if max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) == schema.BuiltinOperator.CUSTOM
    ]


def _store_as_halves(data: bytes, sizes: set[int]) -> bytes:
    """Keeps the weights as float16, each with a DEQUANTIZE behind it, which the runtime does once.

    The converter's own float16 mode halves every constant: the z-buffer's depth steps, some 250,000, become infinite.

    Args:
      data: a converted model.
      sizes: how many numbers the arrays have that count as weights; the mean face and tables aren't touched.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(data)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 3  # the first that takes float16
    model.operatorCodes.append(code)
    for subgraph in model.subgraphs:
        widened = []
        for index, tensor in enumerate(subgraph.tensors):
            values = model.buffers[tensor.buffer].data
            count = math.prod(tensor.shape) if tensor.shape is not None else 1
            if tensor.type != schema.TensorType.FLOAT32 or values is None or count < _SMALL or count not in sizes:
                continue
            buffer = schema.BufferT()
            halves = np.frombuffer(np.asarray(values, np.uint8).tobytes(), np.float32).astype(np.float16)
            buffer.data = np.frombuffer(halves.tobytes(), np.uint8)
            model.buffers.append(buffer)
            half = schema.TensorT()
            half.name, half.shape, half.type = tensor.name + b"_half", tensor.shape, schema.TensorType.FLOAT16
            half.buffer = len(model.buffers) - 1
            subgraph.tensors.append(half)
            tensor.buffer = 0  # computed now
            operator = schema.OperatorT()
            operator.opcodeIndex = len(model.operatorCodes) - 1
            operator.inputs, operator.outputs = [len(subgraph.tensors) - 1], [index]
            widened.append(operator)
        subgraph.operators = widened + list(subgraph.operators)
    _drop_unused_buffers(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _drop_unused_buffers(model):
    """Empties the buffers that no tensor names any more."""
    used = {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors}
    used |= {entry.buffer for entry in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None


def _zipped(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()
