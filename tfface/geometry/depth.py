"""Slopes, normals and the Laplacian of a depth map, blind to everything outside its mask.

Derivatives are sums over *edges* (pairs of neighbouring pixels). An edge counts only when both its pixels lie
in the mask and, if `max_step` is given, the surface does not jump there: a nose in front of a cheek is a rim,
not a slope. So the inside of the face gets central differences, its border one-sided ones, and nothing from
outside leaks in. Only slices, joins and products are used, so that the functions export to TFLite and ONNX.
"""

import tensorflow as tf


def edges(depth, mask, axis, max_step):
    """Forward differences along `axis` (1 rows, 2 columns) and their 0/1 weights, one fewer than pixels."""
    if axis == 2:
        step = depth[:, :, 1:] - depth[:, :, :-1]
        weight = mask[:, :, 1:] * mask[:, :, :-1]
    else:
        step = depth[:, 1:] - depth[:, :-1]
        weight = mask[:, 1:] * mask[:, :-1]
    if max_step is not None:
        weight = weight * tf.cast(tf.abs(step) < max_step, weight.dtype)
    return step * weight, weight


def _around(values, axis):
    """For each pixel, the values of the edges that end and that start in it; 0 beyond the image's border."""
    # Zeros joined on: TFLite pads a hundred times slower.
    none = tf.zeros_like(values[:, :, :1] if axis == 2 else values[:, :1])
    framed = tf.concat([none, values, none], axis=axis)
    return (framed[:, :, :-1], framed[:, :, 1:]) if axis == 2 else (framed[:, :-1], framed[:, 1:])


def _check(depth, mask):
    depth = tf.convert_to_tensor(depth)
    mask = tf.cast(mask, depth.dtype)
    for name, value in (("depth", depth), ("mask", mask)):
        if value.shape.rank != 4 or value.shape[-1] not in (1, None):
            raise ValueError(f"expected {name} of shape [B, H, W, 1], received {tuple(value.shape)}")
    return depth, mask


def slopes_from_depth(depth, mask, max_step=None):
    """The derivatives ∂z/∂x and ∂z/∂y of a depth map.

    Args:
        depth: [B, H, W, 1] depth in pixels, larger is nearer.
        mask: [B, H, W, 1], 1 on the face and 0 off it; bool or number.
        max_step: neighbours whose depths differ by more (px) are not joined. None joins all.

    Returns:
        [B, H, W, 2]: slopes along x (right) and y (down), 0 off the mask and where a pixel has no neighbour.

    Raises:
        ValueError: depth or mask is not [B, H, W, 1].
    """
    return tf.concat(slope_maps(depth, mask, max_step), axis=-1)


def slope_maps(depth, mask, max_step=None):
    """`slopes_from_depth` as two maps [B, H, W, 1]: what computes with each alone is far faster so."""
    depth, mask = _check(depth, mask)
    slopes = []
    for axis in (2, 1):
        step, weight = edges(depth, mask, axis, max_step)
        (before, after), (has_before, has_after) = _around(step, axis), _around(weight, axis)
        slopes.append((before + after) / tf.maximum(has_before + has_after, 1.0))
    return slopes


def normal_maps(slope_x, slope_y, mask):
    """The unit normals (−∂z/∂x, −∂z/∂y, 1)/|·| of slopes, zero off the mask, as three maps; all [B, H, W, 1]."""
    shared = mask / tf.sqrt(1.0 + tf.square(slope_x) + tf.square(slope_y))
    return [-slope_x * shared, -slope_y * shared, shared]


def as_channels(maps):
    """Maps [B, H, W, 1] as the channels of [B, H, W, C]; faster than `tf.concat` along a last axis of ones."""
    return tf.transpose(tf.stack([tf.squeeze(x, -1) for x in maps]), [1, 2, 3, 0])


def normals_from_depth(depth, mask, max_step=None):
    """Image-space unit normals of a depth map: x right, y down, z nearer (docs/conventions.md).

    Args:
        depth: [B, H, W, 1] depth in pixels.
        mask: [B, H, W, 1], 1 on the face.
        max_step: see `slopes_from_depth`.

    Returns:
        [B, H, W, 3] unit vectors with z > 0; zeros off the mask. Differentiable and finite everywhere.

    Raises:
        ValueError: depth or mask is not [B, H, W, 1].
    """
    depth, mask = _check(depth, mask)
    return as_channels(normal_maps(*slope_maps(depth, mask, max_step), mask))


def laplacian(depth, mask, max_step=None):
    """The discrete Laplacian Δz of eq. 13, five points, in 1/px.

    A direction in which a pixel lacks one of its neighbours contributes 0 (rather than the slope a reflecting
    border would give), so that planes have no Laplacian up to the mask's edge.

    Args:
        depth: [B, H, W, 1] depth in pixels.
        mask: [B, H, W, 1], 1 on the face.
        max_step: see `slopes_from_depth`.

    Returns:
        [B, H, W, 1], 0 off the mask.

    Raises:
        ValueError: depth or mask is not [B, H, W, 1].
    """
    depth, mask = _check(depth, mask)
    total = tf.zeros_like(depth)
    for axis in (2, 1):
        step, weight = edges(depth, mask, axis, max_step)
        (before, after), (has_before, has_after) = _around(step, axis), _around(weight, axis)
        total += (after - before) * has_before * has_after
    return total
