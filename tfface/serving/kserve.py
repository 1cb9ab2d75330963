"""KServe's Open Inference Protocol, version 2 over REST, with Triton's binary tensor data.

The sources are KServe's "Open Inference Protocol (V2)" and Triton's `docs/protocol/extension_binary_data.md`; what they
leave open is done as Triton 2.51 does it. The model is the SavedModel's signature `serve`, which has the inputs and
outputs of the ONNX file, so that the same client works with Triton and that file.
"""

import math
import re

import numpy as np
import orjson
from starlette.responses import Response

from tfface.serving.arrays import as_numbers, check_finite, check_shape
from tfface.serving.compression import compress
from tfface.serving.config import ServingConfig
from tfface.serving.errors import RequestError
from tfface.serving.model import CROPS, CROPS_SIGNATURE, ArraySpec
from tfface.serving.work import Work
from tfface.version import __version__

DATATYPE, BINARY = "FP32", np.dtype("<f4")
"""Of every tensor, in the protocol's words, and as its bytes are sent."""
LENGTH_HEADER = "inference-header-content-length"
"""Bytes of JSON at the front of a body, where tensors follow it."""


def server_metadata() -> dict:
    """`GET /v2`."""
    return {"name": "tfface", "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(model, name: str) -> dict:
    """`GET /v2/models/NAME`: inputs and outputs by name, with −1 for the batch and for any length.

    Args:
      model: a `ServedModel`, or what has its `version`, `signatures` and `outputs`.
      name: the model's, in the URL.
    """
    return {
        "name": name,
        "versions": [model.version],
        # What Triton calls the kind of file.
        "platform": "tensorflow_savedmodel",
        "inputs": _described(model.signatures[CROPS_SIGNATURE]),
        "outputs": _described(model.outputs[CROPS_SIGNATURE]),
    }


def _described(specs: dict[str, ArraySpec]) -> list[dict]:
    return [
        {"name": name, "datatype": DATATYPE, "shape": [-1, *(size or -1 for size in spec.shape)]}
        for name, spec in specs.items()
    ]


def parse(body: bytes, headers, model, config: ServingConfig) -> Work:
    """Reads and checks the body of `POST /v2/models/NAME/infer`.

    Args:
      body: JSON: `{"inputs": [{"name": "crops", "shape": [B, S, S, 3], "datatype": "FP32", "data": […]}]}` with numbers
        row by row, nested or not; or `"parameters": {"binary_data_size": bytes}` in place of `data`, and the numbers as
        little-endian float32 behind the JSON. `"outputs": [{"name": …, "parameters": {"binary_data": true}}]` chooses
        some, instead of all, and which are answered in binary; the others are if the request's own parameters have
        `"binary_data_output": true`.
      headers: `Inference-Header-Content-Length` where bytes follow the JSON; `Accept-Encoding`.
      model: see `model_metadata`.
      config: the limits.

    Raises:
      RequestError: 400: anything else.
    """
    document, tensors = _split(body, headers.get(LENGTH_HEADER))
    crops = _crops(document, tensors, model.signatures[CROPS_SIGNATURE][CROPS], config)
    wanted = _wanted(document, model.outputs[CROPS_SIGNATURE])
    shown = {"model_name": config.name, "model_version": model.version}
    if request_id := _field(document, "id", str, ""):
        shown = {"id": request_id, **shown}

    def answer(rows: list[dict[str, np.ndarray]]) -> Response:
        outputs = {name: np.stack([row[name] for row in rows]) for name in wanted}
        return _answer(shown, outputs, wanted, headers.get("accept-encoding", ""))

    return Work(CROPS_SIGNATURE, [{CROPS: crop} for crop in crops], answer)


def _split(body: bytes, length: str | None) -> tuple[dict, memoryview]:
    """The request's JSON and the bytes behind it."""
    size = len(body)
    if length is not None:
        # Zero is Triton's raw binary request, a body without JSON, which isn't offered.
        if not re.fullmatch("[0-9]{1,15}", length) or not 0 < int(length) <= size:
            raise RequestError(
                400, f"expected Inference-Header-Content-Length as the bytes of JSON, 1 to {size}, received {length!r}"
            )
        size = int(length)
    try:
        document = orjson.loads(memoryview(body)[:size])
    except orjson.JSONDecodeError as error:
        raise RequestError(
            400,
            f"expected JSON in the first {size} of {len(body)} bytes, received something else: {error}; where bytes "
            "follow the JSON, Inference-Header-Content-Length has to tell its length",
        ) from error
    if not isinstance(document, dict):
        raise RequestError(400, f'expected {{"inputs": […]}}, received {type(document).__name__}')
    return document, memoryview(body)[size:]


def _crops(document: dict, tensors: memoryview, spec: ArraySpec, config: ServingConfig) -> np.ndarray:
    """The one input `[B, S, S, 3]`."""
    inputs = _objects(document, "inputs")
    names = [_field(item, "name", str) for item in inputs]
    if names != [CROPS]:
        raise RequestError(400, f"expected the input {CROPS}, received {', '.join(names) or 'none'}")
    item = inputs[0]
    shape = _shape(item, spec, config)
    size = _parameter(item, CROPS, "binary_data_size", int, None)
    if (size is None) == ("data" not in item):
        received = "neither" if size is None else "both"
        raise RequestError(400, f"expected data or parameters.binary_data_size in {CROPS}, received {received}")
    count = math.prod(shape)
    expected = 0 if size is None else count * BINARY.itemsize
    if (size or 0) != expected or len(tensors) != expected:
        raise RequestError(
            400,
            f"expected {expected} bytes of {CROPS} of shape {shape} behind the JSON, received "
            f"{len(tensors)} bytes and binary_data_size {size or 0}",
        )
    crops = np.frombuffer(tensors, BINARY) if size else as_numbers(CROPS, item["data"], spec)
    if crops.size != count:
        raise RequestError(400, f"expected {count} numbers of {CROPS} of shape {shape}, received {crops.size}")
    check_finite(CROPS, crops)
    return crops.reshape(shape).astype(spec.dtype, copy=False)


def _shape(item: dict, spec: ArraySpec, config: ServingConfig) -> list[int]:
    """An input's shape `[B, …]`, checked before anything of that size is read."""
    datatype = _field(item, "datatype", str)
    if datatype != DATATYPE:
        raise RequestError(400, f"expected {CROPS} as {DATATYPE}, received {datatype}")
    shape = _field(item, "shape", list)
    if not shape or not all(type(size) is int and size >= 0 for size in shape):
        wanted = ["faces", *spec.wanted]
        raise RequestError(400, f"expected shape of {CROPS} as {wanted}, whole numbers, received {shape}")
    check_shape(f"each of {CROPS}", shape[1:], spec)
    if not 1 <= shape[0] <= config.most_instances:
        hint = "; send several requests" if shape[0] else ""
        raise RequestError(400, f"expected 1 to {config.most_instances} faces, received {shape[0]}{hint}")
    return shape


def _wanted(document: dict, specs: dict[str, ArraySpec]) -> dict[str, bool]:
    """Which outputs are asked for, in the model's order, and whether as bytes."""
    binary = _parameter(document, "the request", "binary_data_output", bool, False)
    chosen = {}
    for item in _objects(document, "outputs", []):
        name = _field(item, "name", str)
        if name not in specs:
            raise RequestError(400, f"expected outputs among {', '.join(specs)}, received {name}")
        chosen[name] = _parameter(item, name, "binary_data", bool, binary)
    return {name: chosen[name] for name in specs if name in chosen} or dict.fromkeys(specs, binary)


def _objects(item: dict, key: str, *default) -> list[dict]:
    objects = _field(item, key, list, *default)
    if not all(isinstance(inner, dict) for inner in objects):
        raise RequestError(400, f'expected {key} as [{{"name": …}}, …], received something else in the list')
    return objects


def _field(item: dict, key: str, kind: type, *default):
    """`item[key]`, of the kind; without a default it has to be there."""
    value = item.get(key, *default)
    # Not isinstance: True would pass as a whole number.
    if type(value) is not kind and not (default and value is default[0]):
        received = type(value).__name__ if key in item else "none"
        raise RequestError(400, f"expected {key} of type {kind.__name__}, received {received}")
    return value


def _parameter(item: dict, owner: str, key: str, kind: type, default):
    """The only parameter that `owner` may have.

    Others are Triton's (shared memory, classification, sequences, priority, timeout) or a model's own: whoever sends
    one counts on something that wouldn't happen here.
    """
    parameters = _field(item, "parameters", dict, {})
    if others := parameters.keys() - {key}:
        raise RequestError(
            400, f"expected no parameters of {owner} but {key}, received {', '.join(sorted(others))}; leave them out"
        )
    return _field(parameters, key, kind, default)


def _answer(shown: dict, outputs: dict[str, np.ndarray], binary: dict[str, bool], accepted: str) -> Response:
    described, tail = [], []
    for name, value in outputs.items():
        item = {"name": name, "datatype": DATATYPE, "shape": value.shape}
        if binary[name]:
            tail.append(value.astype(BINARY, copy=False).tobytes())
            item["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            item["data"] = value.ravel()
        described.append(item)
    head = orjson.dumps(shown | {"outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    content, headers = compress(b"".join([head, *tail]), accepted)
    if tail:
        headers[LENGTH_HEADER] = str(len(head))
    return Response(content, headers=headers, media_type="application/octet-stream" if tail else "application/json")
