"""Which triangle each pixel sees: a z-buffer in plain TensorFlow operations.

Every triangle lists exactly the pixels of its bounding box; those inside it propose a key, depth in the upper bits and
the triangle's index in the lower, and `unsorted_segment_min` keeps the nearest per pixel. All of these operations have
TFLite builtins and ONNX equivalents, and any batch or image size works.
"""

from typing import NamedTuple

import tensorflow as tf

_NEVER = 2**31 - 1
_EDGE_TOLERANCE = 1e-5


class Visibility(NamedTuple):
    """What each pixel of a rendered image sees."""

    triangle: tf.Tensor
    """`[B, H, W]` int32, index of the visible triangle, −1 where there is none."""
    barycentric: tf.Tensor
    """`[B, H, W, 3]` float32, λ of the pixel's centre in that triangle, 0 where there is none."""


def _edge(ax, ay, bx, by, px, py):
    """Twice the signed area of (a, b, p)."""
    return (bx - ax) * (py - ay) - (by - ay) * (px - ax)


def barycentric_coordinates(corners: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """λ `[N, 3]` of the points (x, y) `[N]` in triangles with corners `[N, 3, ≥2]`; 0 in degenerate ones."""
    ax, ay = corners[:, 0, 0], corners[:, 0, 1]
    bx, by = corners[:, 1, 0], corners[:, 1, 1]
    cx, cy = corners[:, 2, 0], corners[:, 2, 1]
    areas = tf.stack([_edge(bx, by, cx, cy, x, y), _edge(cx, cy, ax, ay, x, y), _edge(ax, ay, bx, by, x, y)], axis=-1)
    return tf.math.divide_no_nan(areas, _edge(ax, ay, bx, by, cx, cy)[:, None])


def _affine(corners: tf.Tensor) -> tf.Tensor:
    """Of triangles `[N, 3, (x, y, d)]`: first corner's x, y, then ∇λ₁, ∇λ₂, d there and ∇d, `[N, 9]`."""
    origin = corners[:, 0]
    first, second = corners[:, 1] - origin, corners[:, 2] - origin
    inverse = tf.math.divide_no_nan(1.0, first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    gradient_1 = tf.stack([second[:, 1], -second[:, 0]], -1) * inverse[:, None]
    gradient_2 = tf.stack([-first[:, 1], first[:, 0]], -1) * inverse[:, None]
    gradient_d = gradient_1 * first[:, 2:] + gradient_2 * second[:, 2:]
    return tf.concat([origin[:, :2], gradient_1, gradient_2, origin[:, 2:], gradient_d], axis=-1)


def rasterize(vertices: tf.Tensor, triangles, height: int, width: int, cull: bool = False) -> Visibility:
    """Z-buffer visibility of meshes that share their triangles.

    A pixel belongs to a triangle when its centre lies inside or on the edge; where two are equally near (to 1 part in
    2³¹ / T of that mesh's depth range) the one with the lower index wins. Nothing here has a gradient.

    Args:
      vertices: `[B, V, 3]` px, x right, y down, larger z nearer.
      triangles: `[T, 3]` int32.
      height: H of the image in px.
      width: W of the image in px.
      cull: leave out triangles that show their back, that is, that wind clockwise in a frame whose y points up.

    Returns:
      `Visibility` of `[B, H, W]`.
    """
    vertices = tf.stop_gradient(tf.cast(vertices, tf.float32))
    triangles = tf.convert_to_tensor(triangles, tf.int32)
    if vertices.shape.rank != 3 or vertices.shape[-1] != 3:
        raise ValueError(f"expected vertices of shape [B, V, 3], received {list(vertices.shape)}")
    if triangles.shape.rank != 2 or triangles.shape[-1] != 3:
        raise ValueError(f"expected triangles of shape [T, 3], received {list(triangles.shape)}")
    batch, vertex_count = tf.shape(vertices)[0], tf.shape(vertices)[1]
    triangle_count = tf.shape(triangles)[0]
    # Depth as the share of its own mesh's range, 0 nearest, so that no mesh coarsens another's key.
    nearest = tf.reduce_max(vertices[:, :, 2:], axis=1, keepdims=True)
    farthest = tf.reduce_min(vertices[:, :, 2:], axis=1, keepdims=True)
    behind = (nearest - vertices[:, :, 2:]) / tf.maximum(nearest - farthest, 1e-6)
    # One flat list of B·T triangles over one flat list of B·V vertices.
    flat = tf.reshape(tf.concat([vertices[:, :, :2], behind], axis=-1), [-1, 3])
    index = tf.reshape(triangles[None] + (tf.range(batch) * vertex_count)[:, None, None], [-1, 3])
    corners = tf.gather(flat, index)
    xy = corners[:, :, :2]

    # The pixels whose centres (j + 0.5) lie within the bounding box, clipped to the image.
    size = tf.cast(tf.stack([width, height]), tf.float32)
    low = tf.cast(tf.math.ceil(tf.clip_by_value(tf.reduce_min(xy, 1) - 0.5, 0.0, size)), tf.int32)
    high = tf.cast(tf.math.floor(tf.clip_by_value(tf.reduce_max(xy, 1) - 0.5, -1.0, size - 1.0)), tf.int32)
    extent = tf.maximum(high - low + 1, 0)
    area = _edge(xy[:, 0, 0], xy[:, 0, 1], xy[:, 1, 0], xy[:, 1, 1], xy[:, 2, 0], xy[:, 2, 1])
    # y points down, so a front face has a negative area; a NaN fails every comparison and drops out.
    drawable = area < 0.0 if cull else tf.not_equal(area, 0.0) & (tf.abs(area) < 3e38)
    counts = tf.where(drawable, extent[:, 0] * extent[:, 1], 0)

    # List the candidates: only triangles that have any, each as often as it has pixels. (`tf.repeat` would do, but goes
    # through a mask of triangles × largest count.) Every kept triangle starts at a place of its own, so a running sum
    # of ones at these places numbers them.
    kept = tf.cast(tf.where(counts > 0)[:, 0], tf.int32)
    kept_counts = tf.gather(counts, kept)
    starts = tf.cumsum(kept_counts, exclusive=True)
    ones = tf.math.unsorted_segment_sum(tf.ones_like(starts), starts, tf.reduce_sum(kept_counts))
    slot = tf.cumsum(ones) - 1
    owner = tf.gather(kept, slot)
    rank = tf.range(tf.shape(owner)[0]) - tf.gather(starts, slot)
    columns = tf.gather(extent[:, 0], owner)
    row = rank // columns
    column = rank - row * columns + tf.gather(low[:, 0], owner)
    row = row + tf.gather(low[:, 1], owner)

    # λ₁, λ₂ and the depth are affine in (x, y): per candidate, one gather of nine numbers and three dot products.
    plane = tf.gather(_affine(corners), owner)
    offset_x = tf.cast(column, tf.float32) + 0.5 - plane[:, 0]
    offset_y = tf.cast(row, tf.float32) + 0.5 - plane[:, 1]
    second = plane[:, 2] * offset_x + plane[:, 3] * offset_y
    third = plane[:, 4] * offset_x + plane[:, 5] * offset_y
    behind = plane[:, 6] + plane[:, 7] * offset_x + plane[:, 8] * offset_y
    # The tolerance closes the cracks that rounding opens between triangles which share an edge.
    inside = tf.minimum(tf.minimum(second, third), 1.0 - second - third) >= -_EDGE_TOLERANCE

    # The key: how far behind the mesh's nearest vertex, in steps that leave room for the triangle's index.
    steps = tf.maximum(_NEVER // tf.maximum(triangle_count, 1) - 2, 1)
    level = tf.cast(tf.clip_by_value(behind, 0.0, 1.0) * tf.cast(steps, tf.float32), tf.int32)
    level = tf.minimum(level, steps)
    instance = owner // triangle_count
    key = level * triangle_count + (owner - instance * triangle_count)
    key = tf.where(inside, key, _NEVER)
    pixel = (instance * height + row) * width + column
    best = tf.math.unsorted_segment_min(key, pixel, batch * height * width)

    hit = best < _NEVER
    triangle = tf.where(hit, best - (best // triangle_count) * triangle_count, -1)
    # Barycentric coordinates once more, for the winners only.
    place = tf.range(batch * height * width)
    which = place // (height * width)
    within = place - which * (height * width)
    seen = tf.gather(corners, which * triangle_count + tf.maximum(triangle, 0))
    y = within // width
    x = within - y * width
    weights = barycentric_coordinates(seen, tf.cast(x, tf.float32) + 0.5, tf.cast(y, tf.float32) + 0.5)
    weights = tf.where(hit[:, None], weights, 0.0)
    return Visibility(tf.reshape(triangle, [batch, height, width]), tf.reshape(weights, [batch, height, width, 3]))


def coverage(visibility: Visibility) -> tf.Tensor:
    """`[B, H, W, 1]` float32: 1 where a pixel sees the mesh, else 0."""
    return tf.cast(visibility.triangle >= 0, tf.float32)[..., None]


def interpolate(visibility: Visibility, triangles, attributes: tf.Tensor) -> tf.Tensor:
    """Eq. (6) for any vertex attribute: Σ λᵢ aᵢ over the visible triangle's corners.

    Args:
      visibility: from `rasterize`.
      triangles: `[T, 3]` int32, as given to `rasterize`.
      attributes: `[V, C]` shared by the batch, or `[B, V, C]`.

    Returns:
      `[B, H, W, C]`, 0 off the mesh. Differentiable in the attributes.
    """
    triangles = tf.convert_to_tensor(triangles, tf.int32)
    attributes = tf.convert_to_tensor(attributes)
    corner = tf.gather(triangles, tf.maximum(visibility.triangle, 0))
    if attributes.shape.rank == 3:
        # A gather over the flattened batch: batched gathers are slower and harder to convert.
        batch, vertex_count = tf.shape(attributes)[0], tf.shape(attributes)[1]
        corner = corner + (tf.range(batch) * vertex_count)[:, None, None, None]
        attributes = tf.reshape(attributes, [-1, attributes.shape[-1]])
    values = tf.gather(attributes, corner)
    return tf.reduce_sum(values * visibility.barycentric[..., None], axis=-2)
