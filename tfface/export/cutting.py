"""From the bytes of a photo and a face's box to the crop, inside a TensorFlow graph (SavedModel only)."""

import tensorflow as tf

from tfface.detection import CROP_RULES
from tfface.images import LUMA


def crop_square(box: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """`tfface.detection.crop_square` of a "given" box; of an empty box, the photo's middle square.

    Args:
      box: `[4]` float64 x0, y0, x1, y1, px.
      height, width: of the photo, px, float64.

    Returns:
      `[3]` float64 (cx, cy, side), px.
    """
    rule = CROP_RULES["given"]
    x0, y0, x1, y1 = tf.unstack(box)
    w, h = x1 - x0, y1 - y0
    around = tf.stack([(x0 + x1) / 2, y1 - rule.up_w * w - rule.up_h * h, rule.side_w * w + rule.side_h * h])
    middle = tf.stack([width / 2, height / 2, tf.minimum(height, width)])
    return tf.where((w > 0) & (h > 0), around, middle)


def _axis(length: tf.Tensor, start: tf.Tensor, step: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """`tfface.resampling.axis_weights` with a repeated border, for the source pixels that it reaches only.

    Returns:
      Weights `[count, reached]` float32 and the first reached source pixel, int32.
    """
    centres = start + (tf.range(count, dtype=tf.float64) + 0.5) * step - 0.5
    reach = tf.maximum(step, 1.0)
    whole = tf.math.ceil(reach)
    taps = tf.floor(centres)[:, None] + tf.range(-whole, whole + 2.0, dtype=tf.float64)
    distance = taps - centres[:, None]
    weights = tf.maximum(1.0 - tf.abs(distance) / reach, 0.0)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    # As there: the first moment is taken out, so that linear ramps stay where they are.
    moment = tf.reduce_sum(weights * distance, axis=1, keepdims=True)
    spread = tf.reduce_sum(weights * distance**2, axis=1, keepdims=True) - moment**2
    shift = tf.where(spread > 1e-9, moment / tf.maximum(spread, 1e-9), 0.0)
    weights -= weights * (distance - moment) * shift
    source = tf.cast(tf.clip_by_value(taps, 0.0, tf.cast(length - 1, tf.float64)), tf.int32)
    first, last = tf.reduce_min(source), tf.reduce_max(source)
    rows = tf.broadcast_to(tf.range(count)[:, None], tf.shape(source))
    place = tf.stack([rows, source - first], axis=-1)
    return tf.scatter_nd(place, tf.cast(weights, tf.float32), [count, last - first + 1]), first


def cut(photo: tf.Tensor, square: tf.Tensor, size: int) -> tf.Tensor:
    """The grey crop, as `grey(tfface.detection.cut(photo, square, size))`.

    Args:
      photo: `[H, W, 3]` uint8 RGB.
      square: `[3]` float64 (cx, cy, side), px.
      size: width of the crop, px.

    Returns:
      `[size, size]` float32, 0…1.
    """
    step = square[2] / size
    rows, top = _axis(tf.shape(photo)[0], square[1] - square[2] / 2, step, size)
    columns, left = _axis(tf.shape(photo)[1], square[0] - square[2] / 2, step, size)
    part = photo[top : top + tf.shape(rows)[1], left : left + tf.shape(columns)[1]]
    # Grey first: a third of the work, and the same by linearity.
    grey = tf.tensordot(tf.cast(part, tf.float32), tf.constant(LUMA) / 255.0, 1)
    return tf.matmul(tf.matmul(rows, grey), columns, transpose_b=True)


def decode_and_cut(image_bytes: tf.Tensor, box: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Crops of photos as they come over the wire.

    Args:
      image_bytes: `[B]` strings, JPEG or PNG files. Their EXIF rotation is not applied.
      box: `[B, 4]` float32 x0, y0, x1, y1 in px of the file's own rows and columns, brow to chin; an empty one (such as
        four zeros) stands for a photo that is a crop itself.
      size: width of the crops, px.

    Returns:
      Crops `[B, size, size, 3]` float32, grey in all channels, and `[B, 3]` float32 (left, top, step): the crop's
      (x, y) lies at (left, top) + step·(x, y) of the photo.

    Raises:
      tf.errors.InvalidArgumentError: bytes that are no picture, or a box that isn't finite or above 16 times the photo.
    """

    def one(inputs):
        data, box = inputs
        photo = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
        shape = tf.cast(tf.shape(photo), tf.float64)
        square = crop_square(tf.debugging.check_numerics(tf.cast(box, tf.float64), "box"), shape[0], shape[1])
        limit = 16.0 * tf.reduce_max(shape[:2])
        reach = tf.maximum(tf.reduce_max(tf.abs(square[:2])), square[2])
        with tf.control_dependencies([tf.debugging.assert_less(reach, limit, "expected a box within the photo")]):
            crop = cut(photo, tf.identity(square), size)
        step = square[2] / size
        return crop, tf.cast(tf.stack([square[0] - square[2] / 2, square[1] - square[2] / 2, step]), tf.float32)

    signature = (tf.TensorSpec([size, size], tf.float32), tf.TensorSpec([3], tf.float32))
    crops, placed = tf.map_fn(one, (image_bytes, box), fn_output_signature=signature)
    return tf.tile(crops[..., None], [1, 1, 1, 3]), placed
