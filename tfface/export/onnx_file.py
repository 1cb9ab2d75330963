"""An ONNX file, opset 18."""

import logging
import math

import numpy as np
import tensorflow as tf

from tfface.errors import InputError
from tfface.export.graph import FaceGraph
from tfface.export.metadata import KEY, as_json
from tfface.version import __version__

OPSET = 18

_OPTIMIZERS = (
    "TransposeOptimizer",
    "ConstFoldOptimizer",
    "MergeDuplicatedNodesOptimizer",
    "ReshapeOptimizer",
    "IdentityOptimizer",
    "BackToBackOptimizer",
)
"""Those of tf2onnx's that this graph needs, in the order they are meant to come in."""

_SMALL = 1024
"""Initializers with fewer numbers stay float32: nothing is saved on them."""


def convert(graph: FaceGraph, description: dict, weights: str = "float32") -> bytes:
    """The file's bytes; any batch.

    Args:
      graph: what to convert, with float32 weights.
      description: from `describe`; becomes the entry `tfface` of the model's metadata.
      weights: "float32" or "float16" (kept as halves, computed in float32).

    Raises:
      InputError: tf2onnx or onnx isn't installed.
    """
    try:
        import onnx
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"expected onnx and tf2onnx for this format, but {error}; install them with `pip install 'tfface[export]'`"
        ) from error
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    spec = tf.TensorSpec([None, graph.size, graph.size, 3], tf.float32, name="crops")
    model = _converted(tf.function(graph, autograph=False).get_concrete_function(spec))
    if weights == "float16":
        _store_as_halves(model, {math.prod(variable.shape) for variable in graph.stored})
    for value in [*model.graph.input, *model.graph.output]:
        # tf2onnx gives each a name of its own, as if their batches could differ.
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    model.producer_name, model.producer_version = "tfface", __version__
    onnx.helper.set_model_props(model, {KEY: as_json(description)})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _converted(function):
    """The ONNX model of a concrete function.

    As `tf2onnx.convert.from_function`, which takes twice as long: it copies the whole graph, weights and all, before
    each of 48 runs of an optimiser, and most of these find nothing here to do: a second round of those below takes as
    long as the first and finds two nodes of 5,000.
    """
    from tf2onnx import optimizer, tf_loader
    from tf2onnx.convert import tensor_names_from_structed
    from tf2onnx.tfonnx import process_tf_graph

    inputs, outputs = (
        [tensor.name for tensor in tensors if tensor.dtype != tf.resource]
        for tensors in (function.inputs, function.outputs)
    )
    with tf.device("/cpu:0"):
        frozen = tf_loader.from_function(function, inputs, outputs)
        with tf.Graph().as_default() as source:
            tf.import_graph_def(frozen, name="")
            graph = process_tf_graph(
                source,
                opset=OPSET,
                custom_op_handlers={
                    "UnsortedSegmentMin": (_segment_reduction, [None, "min"]),
                    "UnsortedSegmentSum": (_segment_reduction, [None, "add"]),
                },
                input_names=inputs,
                output_names=outputs,
                tensors_to_rename=tensor_names_from_structed(function, inputs, outputs),
            )
            for name in _OPTIMIZERS:
                graph = getattr(optimizer, name)().optimize(graph, iteration=0)
            graph.topological_sort(graph.get_nodes())
            return graph.make_model("tfface")


def _segment_reduction(context, node, name, arguments):
    """`unsorted_segment_min` or `_sum` of a vector as ScatterElements with a reduction.

    tf2onnx has a handler of its own: for int32 its minimum fails (its identity is an int, without `tolist`), and it
    sorts all data into a grid of segments × largest segment. One segment more than asked for takes what belongs to
    segment −1, which ONNX counts from the end and TensorFlow leaves out.
    """
    from onnx import TensorProto, helper

    data, segments, count = node.input
    (reduction,) = arguments
    dtype = context.get_dtype(data)
    if context.get_rank(data) != 1:
        raise ValueError(f"expected vectors in {node.type}, received {context.get_shape(data)}")
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(dtype))
    # What TensorFlow gives for an empty segment.
    empty = 0 if reduction == "add" else (np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)).max
    index = context.make_node("Cast", [segments], attr={"to": TensorProto.INT64}).output[0]
    length = context.make_node("Cast", [count], attr={"to": TensorProto.INT64}).output[0]
    zero, one, last = (
        context.make_const(f"{name}_{label}", np.array([value], np.int64)).output[0]
        for label, value in (("zero", 0), ("one", 1), ("last", -1))
    )
    shape = context.make_node("Add", [context.make_node("Reshape", [length, one]).output[0], one]).output[0]
    value = helper.make_tensor("value", dtype, [1], [empty])
    filled = context.make_node("ConstantOfShape", [shape], attr={"value": value}).output[0]
    shapes, dtypes, outputs = node.output_shapes, node.output_dtypes, node.output
    context.remove_node(node.name)
    scattered = context.make_node(
        "ScatterElements", [filled, index, data], attr={"axis": 0, "reduction": reduction}, dtypes=dtypes
    ).output[0]
    context.make_node("Slice", [scattered, zero, last, zero], name=name, outputs=outputs, shapes=shapes, dtypes=dtypes)


def _store_as_halves(model, sizes: set[int]):
    """Keeps the weights as float16, each with a Cast behind it, which runtimes fold away when they load the file.

    Args:
      model: the ONNX model, changed in place.
      sizes: how many numbers the arrays have that count as weights; the mean face and tables aren't touched.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        count = math.prod(tensor.dims)
        if tensor.data_type != TensorProto.FLOAT or count < _SMALL or count not in sizes:
            continue
        name = tensor.name
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}_half")
        tensor.CopyFrom(half)
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
