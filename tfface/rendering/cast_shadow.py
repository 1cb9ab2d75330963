"""What a surface hides of distant lights from itself: the shadow of a nose on a cheek, of brows on eyes.

Lambert's law alone lights all that faces a light. Every pixel asks for the horizon along the way to each light, as
horizon maps do (Max, "Horizon mapping: shadows for bump-mapped surfaces", The Visual Computer 1988).
"""

import tensorflow as tf

CELLS = 100
"""Width of the grid on which the horizon is looked for: finer folds hide light by `skylight`."""

DISTANCES = (2, 3, 4, 5, 7, 9, 12, 15, 19, 24, 30)
"""Where it is looked for, in cells: 5 to 72 mm on a face's crop."""

_FAR_BELOW = -1e4


def light_seen(depth: tf.Tensor, mask: tf.Tensor, directions: tf.Tensor, widths: tf.Tensor) -> tf.Tensor:
    """The share of each light that reaches each pixel.

    With α the light's elevation over the image plane and η the horizon's in its direction u, the greatest of
    atan (z(p + s u) − z(p)) / s over distances s, a light that is δ wide is seen by (α − η) / δ + ½, cut to 0…1.

    Args:
        depth: `[B, H, H, 1]` px, larger is nearer.
        mask: `[B, H, H, 1]`, 0 or 1; what is off it hides nothing.
        directions: `[B, L, 3]` unit, from the face to the light: x right, y down, z nearer.
        widths: `[B, L]`, how wide the lights are as seen from the face, radians.

    Returns:
        `[B, H, H, L]` in 0…1.
    """
    size, lights = depth.shape[1], directions.shape[1]
    cells = min(size, CELLS)
    depth, mask = tf.cast(depth, tf.float32), tf.cast(mask, tf.float32)
    small, cover = (tf.image.resize(x, [cells, cells], "area") for x in (depth * mask, mask))
    small = tf.repeat(small / tf.maximum(cover, 1e-6) * (cells / size), lights, axis=0)
    cover = tf.repeat(cover, lights, axis=0)
    hiding = tf.where(cover > 0.5, small, _FAR_BELOW)
    towards = tf.reshape(tf.cast(directions, tf.float32), [-1, 3])
    flat = tf.maximum(tf.norm(towards[:, :2], axis=-1, keepdims=True), 1e-4)
    u, zero, one = towards[:, :2] / flat, tf.zeros_like(flat), tf.ones_like(flat)
    slope = tf.fill(tf.shape(small), -1e3)
    for distance in DISTANCES:
        # A pixel's answer is what lies `distance` cells towards the light.
        move = tf.concat([one, zero, u[:, :1] * distance, zero, one, u[:, 1:] * distance, zero, zero], axis=-1)
        there = tf.raw_ops.ImageProjectiveTransformV3(
            images=hiding,
            transforms=move,
            output_shape=tf.shape(small)[1:3],
            fill_value=_FAR_BELOW,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )
        slope = tf.maximum(slope, (there - small) / distance)
    # Cells off the mask have no horizon.
    asked = tf.cast(cover > 0.0, tf.float32)
    horizon, around = (tf.image.resize(x, [size, size]) for x in (tf.atan(slope) * asked, asked))
    horizon /= tf.maximum(around, 1e-6)
    elevation = tf.atan2(towards[:, 2:], flat)[:, None, None]
    width = tf.reshape(tf.cast(widths, tf.float32), [-1, 1, 1, 1])
    seen = tf.clip_by_value((elevation - horizon) / width + 0.5, 0.0, 1.0)
    seen = tf.transpose(tf.reshape(seen, [-1, lights, size, size]), [0, 2, 3, 1])
    return tf.where(mask > 0.0, seen, 1.0)
