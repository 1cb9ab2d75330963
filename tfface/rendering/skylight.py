"""How much of the light that comes from everywhere reaches a surface: ambient occlusion of a depth map.

A fold is dark in any light, because its own sides hide a part of the sky. Lambert's law alone knows nothing of it.
Every pixel asks for the horizon in eight directions, as Bavoil, Sainz & Dimitrov do ("Image-space horizon-based ambient
occlusion", SIGGRAPH 2008), but measures it from its own tangent plane and weighs it as Lambert's law does.
"""

import tensorflow as tf

from tfface.geometry.depth import normals_from_depth

DISTANCES = (1, 2, 4, 8, 16)
"""Where the horizon is looked for, in four-hundredths of the image: 0.6 to 10 mm on a face's crop. What is farther is
the head's own shape, which a picture of the front alone doesn't show."""

REFLECTED = 0.4
"""Share of light that skin gives back: what hides the sky shines itself."""

_DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))


def sky_seen(depth: tf.Tensor, mask: tf.Tensor, max_step: float | None = None) -> tf.Tensor:
    """The share of light from everywhere that reaches each pixel, with what its surroundings reflect.

    With n the normal and Δ the way to a place in direction φ, the horizon's sine over the tangent plane is the greatest
    of n·Δ/|Δ|, and 1 − its square, averaged over φ, is the share v of the sky that is seen, weighed by Lambert's cosine
    (exactly so where n points to the camera). Light that is reflected once and again makes v / (1 − ρ (1 − v)) of it.

    Args:
        depth: `[B, H, W, 1]` px, larger is nearer.
        mask: `[B, H, W, 1]`; what is off it hides nothing.
        max_step: px, of the normals; see `normals_from_depth`.

    Returns:
        `[B, H, W, 1]` in 0…1; 1 off the mask.
    """
    depth, mask = (tf.cast(x, tf.float32) for x in (depth, mask))
    normals = normals_from_depth(depth, mask, max_step)
    height, width = depth.shape[1], depth.shape[2]
    reach = {max(1, round(distance * width / 400.0)) for distance in DISTANCES}
    border = max(reach)
    sides = [[0, 0], [border, border], [border, border], [0, 0]]
    around, there = tf.pad(depth * mask, sides), tf.pad(mask, sides)
    across, down, near = (normals[..., k : k + 1] for k in range(3))
    hidden = tf.zeros_like(depth)
    for x, y in _DIRECTIONS:
        sine = tf.zeros_like(depth)
        for distance in sorted(reach):
            # As far along the diagonals as along the axes, to a pixel.
            step = distance if not x or not y else max(1, round(distance * 0.5**0.5))
            window = (slice(None), slice(border + y * step, border + y * step + height))
            window += (slice(border + x * step, border + x * step + width),)
            rise = around[window] - depth
            above = x * step * across + y * step * down + near * rise
            length = tf.sqrt(float((x * x + y * y) * step * step) + rise * rise)
            sine = tf.maximum(sine, above / length * there[window])
        hidden += tf.square(sine)
    seen = 1.0 - hidden / len(_DIRECTIONS)
    return tf.where(mask > 0.0, seen / (1.0 - REFLECTED * (1.0 - seen)), 1.0)
