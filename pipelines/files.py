"""What becomes of pictures on their way into a file: made small, enlarged again, compressed."""

import tensorflow as tf

from tfface.pipelines.sampling import seeds, uniform


@tf.autograph.experimental.do_not_convert
def compressed(image: tf.Tensor, share: float, quality: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """Some of the images `[B, H, W, 1]` as JPEG leaves them, at a quality in this range."""
    which, how = seeds(seed, 2)
    batch = image.shape[0]
    drawn = tf.random.stateless_uniform([batch], how, *quality, tf.int32)
    return _some(tf.image.adjust_jpeg_quality, image, drawn, uniform([batch], which) < share)


@tf.autograph.experimental.do_not_convert
def enlarged(image: tf.Tensor, share: float, most: float, seed: tf.Tensor) -> tf.Tensor:
    """Some of the images `[B, H, W, 1]` as if they had been 1 to `most` times smaller before."""
    which, how = seeds(seed, 2)
    batch, whole = image.shape[0], list(image.shape[1:3])

    def one(picture, times):
        small = tf.cast(tf.round(tf.constant(whole, tf.float32) / times), tf.int32)
        return tf.image.resize(tf.image.resize(picture, small, antialias=True), whole, "bicubic")

    return _some(one, image, uniform([batch], how, 1.0, most), uniform([batch], which) < share)


def _some(change, image, amount, chosen):
    """The images for which `chosen` is true changed by their `amount`, the others as they are."""

    def one(inputs):
        picture, its_amount, is_chosen = inputs
        return tf.cond(is_chosen, lambda: change(picture, its_amount), lambda: picture)

    return tf.map_fn(one, (image, amount, chosen), fn_output_signature=tf.TensorSpec(image.shape[1:], tf.float32))
