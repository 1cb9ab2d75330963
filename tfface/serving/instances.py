"""From the body of a predict request to rows of arrays, in TF Serving's row format."""

import base64
import binascii
import io
import warnings

import numpy as np
import orjson
from starlette.responses import Response

from tfface.detection import CROP_RULES, check_boxes, crop_square, detect
from tfface.errors import InputError
from tfface.serving.arrays import as_numbers, check_finite, check_shape
from tfface.serving.config import ServingConfig
from tfface.serving.errors import RequestError
from tfface.serving.model import DEFAULT_SIGNATURE, ArraySpec
from tfface.serving.work import Work

IMAGE, BOX = "image_bytes", "box"


def parse(body: bytes, signatures: dict[str, dict[str, ArraySpec]], config: ServingConfig) -> Work:
    """Reads and checks a body.

    Args:
      body: JSON: `{"instances": [{input: value, …}, …], "signature_name": …}`; bytes as `{"b64": …}`. Where `box` is
        missing beside `image_bytes`, the largest face that is found in the picture takes its place.
      signatures: the model's.
      config: the limits.

    Raises:
      RequestError: anything else.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"expected a JSON body, received something else: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("instances"), list) or "inputs" in document:
        raise RequestError(
            400,
            'expected {"instances": [{"image_bytes": {"b64": "…"}, "box": [x0, y0, x1, y1]}, …]}; '
            'the column format, "inputs", isn\'t offered',
        )
    signature = document.get("signature_name") or DEFAULT_SIGNATURE
    if not isinstance(signature, str) or signature not in signatures:
        raise RequestError(404, f"expected a signature_name among {', '.join(sorted(signatures))}")
    instances = document["instances"]
    if not 1 <= len(instances) <= config.most_instances:
        hint = "; send several requests" if instances else ""
        raise RequestError(400, f"expected 1 to {config.most_instances} instances, received {len(instances)}{hint}")
    inputs = signatures[signature]
    rows = []
    for index, instance in enumerate(instances):
        try:
            rows.append(_row(instance, inputs, config))
        except RequestError as error:
            raise RequestError(error.status, f"instance {index}: {error.message}") from error
    return Work(signature, rows, answer)


def _row(instance, inputs: dict[str, ArraySpec], config: ServingConfig) -> dict[str, np.ndarray]:
    if len(inputs) == 1 and not (isinstance(instance, dict) and instance.keys() == inputs.keys()):
        # TF Serving's short form for signatures with one input.
        instance = {name: instance for name in inputs}
    names = inputs.keys()
    optional = {BOX} if IMAGE in names else set()
    if not isinstance(instance, dict) or not names - optional <= instance.keys() <= names:
        received = ", ".join(sorted(instance)) if isinstance(instance, dict) else type(instance).__name__
        raise RequestError(400, f"expected the inputs {', '.join(sorted(names))}, received {received or 'nothing'}")
    row = {name: _value(name, value, inputs[name]) for name, value in instance.items()}
    if IMAGE in row:
        _check_picture(row, config)
    return row


def _value(name: str, value, spec: ArraySpec) -> np.ndarray:
    if spec.dtype is object:
        if not isinstance(value, dict) or value.keys() != {"b64"} or not isinstance(value["b64"], str):
            raise RequestError(400, f'expected {name} as {{"b64": "…"}}')
        try:
            return np.array(base64.b64decode(value["b64"], validate=True), object)
        except (binascii.Error, ValueError) as error:
            raise RequestError(400, f"expected base64 in {name}, received something else: {error}") from error
    array = as_numbers(name, value, spec)
    check_shape(name, array.shape, spec)
    check_finite(name, array)
    return array


def _check_picture(row: dict[str, np.ndarray], config: ServingConfig):
    """Refuses what isn't a picture, or too large a one; checks the box, or finds one."""
    from PIL import Image

    data = row[IMAGE].item()
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 megapixels on; the limit here is the one that is documented.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
                width, height = picture.size
    except Image.DecompressionBombError as error:
        raise RequestError(413, f"expected at most {config.max_megapixels:g} megapixels: {error}") from error
    except Exception as error:  # noqa: BLE001 - decoders raise anything on damaged headers
        raise RequestError(400, "expected a JPEG or PNG picture, received something else or a damaged one") from error
    if width * height > config.max_megapixels * 1e6:
        raise RequestError(
            413, f"expected at most {config.max_megapixels:g} megapixels, received {width}×{height}; shrink the picture"
        )
    if BOX not in row:
        row[BOX] = find_box(data, config.detector)
    elif row[BOX].any():
        try:
            check_boxes([row[BOX]], height, width)
        except InputError as error:
            raise RequestError(400, str(error)) from error


def find_box(data: bytes, detector: str) -> np.ndarray:
    """The box `[4]` float32 of the largest face in a JPEG or PNG.

    Raises:
      RequestError: a damaged picture, or none found.
    """
    import tensorflow as tf

    try:
        # As the model decodes it, so that the box means the same rows and columns.
        photo = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    except tf.errors.InvalidArgumentError as error:
        raise RequestError(400, "expected a whole JPEG or PNG picture, received a damaged one") from error
    found = detect(photo, detector)
    if not found:
        hint = " in the picture as it is stored, without its EXIF rotation (send it upright)" if _turned(data) else ""
        raise RequestError(400, f"no face found by {detector}{hint}; send its box as [x0, y0, x1, y1] px, brow to chin")
    return box_of_square(crop_square(found[0].box, found[0].style))


def _turned(data: bytes) -> bool:
    """Whether a picture's EXIF data says that it is shown another way up than it is stored."""
    from PIL import ExifTags, Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
            return picture.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # noqa: BLE001 - only a hint hangs on it, and decoders raise anything
        return False


def box_of_square(square) -> np.ndarray:
    """The square box `[4]` whose crop, by the rule for given boxes, is `square` (cx, cy, side)."""
    rule = CROP_RULES["given"]
    cx, cy, side = square
    width = side / (rule.side_w + rule.side_h)
    y1 = cy + (rule.up_w + rule.up_h) * width
    return np.array([cx - width / 2, y1 - width, cx + width / 2, y1], np.float32)


def answer(rows: list[dict[str, np.ndarray]]) -> Response:
    """`{"predictions": […]}` of rows of outputs; a signature with one output gives bare values, as TF Serving does."""
    values = [next(iter(row.values())) if len(row) == 1 else row for row in rows]
    content = orjson.dumps({"predictions": values}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, media_type="application/json")
