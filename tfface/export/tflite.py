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
      weights: "float32", "float16" (kept as halves, computed in float32) or "int8" (convolutions in dynamic range, the
        rest as halves).
      batch: faces per call.

    Raises:
      ValueError: the converter left an operation that isn't a builtin.
    """
    data = _converted(graph, batch)
    if weights != "float32":
        sizes = {math.prod(variable.shape) for variable in graph.stored}
        data = _store_smaller(data, sizes, convolutions_as_bytes=weights == "int8")
    if odd := other_operations(data):
        raise ValueError(f"expected builtin operations only, received {', '.join(odd)}")
    return data + _zipped(FILE, as_json(description))


def _converted(graph: FaceGraph, batch: int) -> bytes:
    """A TFLite file, all of float32."""
    spec = tf.TensorSpec([batch, graph.size, graph.size, 3], tf.float32, name="crops")
    module = tf.Module()
    module.weights = graph.stored
    # Kept out of the module: what belongs to it is traced once more when the converter saves it.
    faces = tf.function(graph, autograph=False).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([faces], module)
    return converter.convert()


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


def _store_smaller(data: bytes, sizes: set[int], convolutions_as_bytes: bool) -> bytes:
    """Keeps the weights as float16, each with a DEQUANTIZE behind it, which the runtime does once.

    The converter's own float16 mode halves every constant: the z-buffer's depth steps, some 250,000, become infinite.
    Its own int8 mode takes in the face model's basis and the layers that give r: a number of r near 3 sets the step
    for those near 0, on which the millimetres hang.

    Args:
      data: a converted model.
      sizes: how many numbers the arrays have that count as weights; the mean face and tables aren't touched.
      convolutions_as_bytes: keep those of convolutions as int8, each output channel with a scale of its own; the
        runtime then turns what they are applied to into bytes as well, call by call ("dynamic range").
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(data)
    if convolutions_as_bytes:
        _convolutions_as_bytes(model, sizes)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 3  # the first that takes float16
    model.operatorCodes.append(code)
    convolutions = _convolution_codes(model)
    for subgraph in model.subgraphs:
        widened = []
        # LiteRT's delegate refuses a file in which the bias of a convolution of bytes isn't constant.
        biases = {o.inputs[2] for o in subgraph.operators if o.opcodeIndex in convolutions and len(o.inputs) > 2}
        for index, tensor in enumerate(subgraph.tensors):
            if index in biases or not _is_weight(model, tensor, sizes):
                continue
            half = schema.TensorT()
            half.name, half.shape, half.type = tensor.name + b"_half", tensor.shape, schema.TensorType.FLOAT16
            half.buffer = _add_buffer(model, _numbers(model, tensor).astype(np.float16))
            subgraph.tensors.append(half)
            tensor.buffer = 0  # computed now
            operator = schema.OperatorT()
            operator.opcodeIndex = len(model.operatorCodes) - 1
            operator.inputs, operator.outputs = [len(subgraph.tensors) - 1], [index]
            widened.append(operator)
        subgraph.operators = widened + list(subgraph.operators)
    _drop_unused_buffers(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _convolution_codes(model) -> list[int]:
    """The numbers by which a model's operators say that they are convolutions."""
    from tensorflow.lite.python import schema_py_generated as schema

    return [i for i, code in enumerate(model.operatorCodes) if code.builtinCode == schema.BuiltinOperator.CONV_2D]


def _convolutions_as_bytes(model, sizes: set[int]):
    from tensorflow.lite.python import schema_py_generated as schema

    codes = _convolution_codes(model)
    for index in codes:
        # The first version that takes float inputs with bytes of a scale per channel.
        model.operatorCodes[index].version = max(model.operatorCodes[index].version, 5)
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            tensor = subgraph.tensors[operator.inputs[1]] if operator.opcodeIndex in codes else None
            if tensor is None or not _is_weight(model, tensor, sizes):
                continue
            channels = _numbers(model, tensor).reshape(tensor.shape[0], -1)
            scale = np.maximum(np.abs(channels).max(axis=1), 1e-9) / 127.0
            tensor.buffer = _add_buffer(model, np.rint(channels / scale[:, None]).astype(np.int8))
            tensor.type = schema.TensorType.INT8
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = scale.astype(np.float32)
            tensor.quantization.zeroPoint = np.zeros(len(scale), np.int64)
            tensor.quantization.quantizedDimension = 0


def _is_weight(model, tensor, sizes: set[int]) -> bool:
    """Whether a tensor is constant, float32, worth the while, and has as many numbers as one of the weights."""
    from tensorflow.lite.python import schema_py_generated as schema

    count = math.prod(tensor.shape) if tensor.shape is not None else 1
    constant = model.buffers[tensor.buffer].data is not None
    return constant and tensor.type == schema.TensorType.FLOAT32 and count >= _SMALL and count in sizes


def _numbers(model, tensor) -> np.ndarray:
    """What a float32 tensor holds, flat."""
    return np.frombuffer(np.asarray(model.buffers[tensor.buffer].data, np.uint8).tobytes(), np.float32)


def _add_buffer(model, values: np.ndarray) -> int:
    """The number of a new buffer that holds the values."""
    from tensorflow.lite.python import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


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
