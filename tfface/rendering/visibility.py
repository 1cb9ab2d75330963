"""Which triangle each pixel sees: a z-buffer in plain TensorFlow operations.

Every triangle lists the rows of pixels that it crosses, and every row the pixels between the triangle's edges. Each of
these proposes a key, depth in the upper digits and the triangle's index in the lower, and `unsorted_segment_min` keeps
the nearest per pixel. All of these operations have TFLite builtins and ONNX equivalents, and any batch or image size
works.
"""

import functools
from typing import NamedTuple

import tensorflow as tf

from tfface.geometry.mesh import corners, join_columns, split_columns

_NEVER = 2**31 - 1
_EDGE_TOLERANCE = 1e-5
_NO_AREA = 1e-9
"""px²; slopes of smaller triangles would not be numbers."""
_FLAT = 1e-20
"""Slope in place of 0."""
_SPAN_MARGIN = 1e-3
"""px by which rows are cut too long, lest rounding cut them short: each of their pixels is tested anyway."""


class Visibility(NamedTuple):
    """What each pixel of a rendered image sees."""

    triangle: tf.Tensor
    """`[B, H, W]` int32, index of the visible triangle, −1 where there is none."""
    barycentric: tf.Tensor
    """`[3, B, H, W]` float32, λ of the pixel's centre in that triangle, 0 where there is none. The corners come first
    because putting them last, and taking them apart again, costs as much as finding them."""


def _edge(ax, ay, bx, by, px, py):
    """Twice the signed area of (a, b, p)."""
    return (bx - ax) * (py - ay) - (by - ay) * (px - ax)


def _each(counts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Numbers `[N]` → every i as often as counts[i] says, `[Σ counts]`, and where each i begins, `[N]`.

    `tf.repeat` would do, but goes through a mask of N × largest count. Here a running sum counts those that have begun:
    who has a count of 0 begins with the next one, or behind the end.
    """
    start, total = tf.cumsum(counts, exclusive=True), tf.reduce_sum(counts)
    begun = tf.math.unsorted_segment_sum(tf.ones_like(start), start, total + 1)
    # Not begun[:-1], which TFLite copies number by number.
    return tf.cumsum(tf.slice(begun, [0], tf.reshape(total, [1]))) - 1, start


def _pixels_between(corners: list[tf.Tensor], count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """First and last of `count` pixels whose centres (j + 0.5) lie between the least and the greatest corner."""
    count = tf.cast(count, tf.float32)
    low, high = functools.reduce(tf.minimum, corners) - 0.5, functools.reduce(tf.maximum, corners) - 0.5
    return tf.math.ceil(tf.clip_by_value(low, 0.0, count)), tf.math.floor(tf.clip_by_value(high, -1.0, count - 1.0))


def rasterize(vertices: tf.Tensor, triangles, height: int, width: int, cull: bool = False) -> Visibility:
    """Z-buffer visibility of meshes that share their triangles.

    A pixel belongs to a triangle when its centre lies inside or on the edge; where two are equally near (to 1 part in
    2³¹ / T, at most 2²³, of that mesh's depth range) the one with the lower index wins. Nothing here has a gradient.

    Args:
      vertices: `[B, V, 3]` px, x right, y down, larger z nearer. Rows of pixels are counted in float32: those of all
        triangles may be 2²⁴, which is some 900 faces in crops of 200 px.
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
    batch, triangle_count = tf.shape(vertices)[0], tf.shape(triangles)[0]
    columns, count = _triangles(vertices, triangles, height, width, cull)
    rows, owner, line = _rows(columns, count, width)
    number, first_pixel = owner, line * width
    if vertices.shape[0] != 1:
        mesh = owner // tf.maximum(triangle_count, 1)
        number, first_pixel = owner - mesh * triangle_count, first_pixel + mesh * height * width
    key, pixel, number, first, second = _candidates(rows, number, first_pixel, triangle_count)
    pixels = batch * height * width
    # Below `_NEVER`, so that what is off its triangle wins nowhere.
    best = tf.minimum(tf.math.unsorted_segment_min(key, pixel, pixels), _NEVER - 1)

    # No two keys are equal but those of candidates off their triangles, so one at most wins each pixel. Its triangle
    # isn't read off the key: whole numbers take long to divide.
    won = tf.equal(key, tf.gather(best, pixel))
    triangle, first, second = (
        tf.math.unsorted_segment_sum(tf.where(won, value, tf.zeros([], value.dtype)), pixel, pixels)
        for value in (number + 1, first, second)
    )
    hit = tf.cast(tf.minimum(triangle, 1), tf.float32)
    weights = tf.stack([hit - first - second, first, second])
    return Visibility(tf.reshape(triangle - 1, [batch, height, width]), tf.reshape(weights, [3, batch, height, width]))


def _triangles(vertices, triangles, height, width, cull):
    """Every triangle of every mesh, as columns `[B·T]`.

    Returns:
      The columns that `_rows` takes, and how many rows of pixels each triangle crosses, 0 where nothing is drawn.
    """
    # Depth as the share of its own mesh's range, 0 nearest, so that no mesh coarsens another's key.
    nearest = tf.reduce_max(vertices, axis=1, keepdims=True)[..., 2:]
    farthest = tf.reduce_min(vertices, axis=1, keepdims=True)[..., 2:]
    share = 1.0 / tf.maximum(nearest - farthest, 1e-3)
    ones, zeros = tf.ones_like(vertices[:, :1, :2]), tf.zeros_like(vertices[:, :1, :2])
    seen = vertices * tf.concat([ones, -share], axis=-1) + tf.concat([zeros, nearest * share], axis=-1)
    ax, ay, a_behind, bx, by, b_behind, cx, cy, c_behind = split_columns(corners(seen, triangles))
    area = _edge(ax, ay, bx, by, cx, cy)
    # y points down, so a front face has a negative area; a NaN fails every comparison and drops out.
    drawable = area < -_NO_AREA if cull else (tf.abs(area) > _NO_AREA) & (tf.abs(area) < 3e38)
    # λ₁, λ₂ and the depth are affine in (x, y); a is their origin, near which float32 has digits to spare.
    inverse = tf.math.divide_no_nan(1.0, area)
    first_x, first_y = _not_zero((cy - ay) * inverse), (ax - cx) * inverse
    second_x, second_y = _not_zero((ay - by) * inverse), (bx - ax) * inverse
    # Neither may λ₀ be level: that its edge is crossed at infinity is no number to go on with.
    second_x = tf.where(tf.equal(first_x + second_x, 0.0), 1.000001 * second_x, second_x)
    to_b, to_c = b_behind - a_behind, c_behind - a_behind
    behind_x, behind_y = to_b * first_x + to_c * second_x, to_b * first_y + to_c * second_y
    left, right = _pixels_between([ax, bx, cx], width)
    top, bottom = _pixels_between([ay, by, cy], height)
    rows = tf.where(drawable & (right >= left), tf.cast(tf.maximum(bottom - top + 1.0, 0.0), tf.int32), 0)
    # λ₀, λ₁ and λ₂ add up to 1, so their slopes to 0: one or two of them rise to the right, by the sign of the product.
    rising = first_x * second_x * (first_x + second_x)
    planes = [first_x, first_y, second_x, second_y, a_behind, behind_x, behind_y]
    # Row k of all is row top − begin + k of the image, if `begin` rows belong to triangles before.
    top -= tf.cast(tf.cumsum(rows, exclusive=True), tf.float32)
    return [ax - 0.5, ay - 0.5, *planes, rising, top], rows


def _not_zero(slope: tf.Tensor) -> tf.Tensor:
    """What may be divided by: λ then crosses 0 as far away as need be."""
    return tf.where(tf.equal(slope, 0.0), _FLAT, slope)


def _rows(columns, count, width):
    """The rows of pixels that each triangle crosses.

    Every edge's line crosses a row once. Where one λ rises to the right, that one's crossing is where the row enters
    the triangle, and it leaves at the nearer of the other two; where two rise, it is the other way round. Between its
    lowest and its highest corner no row misses a triangle, so that these are the least, the middle and the greatest.

    Args:
      columns: of `_triangles`.
      count: of `_triangles`.
      width: W of the image.

    Returns:
      λ₁, λ₂ and the depth at the leftmost pixel of each row, each followed by its slope in x, then that pixel's column
      and the last one's; whose row it is, and the image's row.
    """
    owner, _ = _each(count)
    of_row = split_columns(tf.gather(join_columns(*columns), owner))
    middle, above, first_x, first_y, second_x, second_y, behind, behind_x, behind_y, rising, top = of_row
    line = top + tf.range(tf.cast(tf.shape(owner)[0], tf.float32))
    y = line - above
    first, second = first_y * y, second_y * y
    zero = ((1.0 + _EDGE_TOLERANCE) - (first + second)) / (first_x + second_x)
    one, two = (-_EDGE_TOLERANCE - first) / first_x, (-_EDGE_TOLERANCE - second) / second_x
    low, high = tf.minimum(zero, one), tf.maximum(zero, one)
    least, between, greatest = tf.minimum(low, two), tf.maximum(low, tf.minimum(high, two)), tf.maximum(high, two)
    two_rise = rising > 0.0
    left = tf.where(two_rise, between, least) + middle - _SPAN_MARGIN
    right = tf.where(two_rise, greatest, between) + middle + _SPAN_MARGIN
    left, right = tf.math.ceil(tf.maximum(left, 0.0)), tf.math.floor(tf.minimum(right, width - 1.0))
    x = left - middle
    first, second, behind = first + first_x * x, second + second_x * x, behind + behind_y * y + behind_x * x
    return [first, first_x, second, second_x, behind, behind_x, left, right], owner, tf.cast(line, tf.int32)


def _candidates(rows, number, first_pixel, triangle_count):
    """What every pixel of every row proposes.

    Args:
      rows: from `_rows`.
      number: the triangle of each row.
      first_pixel: the number of the image's first pixel in each row.
      triangle_count: T.

    Returns:
      `[Σ pixels]` each: the key, depth in the upper digits and the triangle's number in the lower, `_NEVER` off the
      triangle; which pixel it is; the triangle; its λ₁ and λ₂ there.
    """
    *planes, left, right = rows
    row, begin = _each(tf.cast(tf.maximum(right - left + 1.0, 0.0), tf.int32))
    pixel = first_pixel + tf.cast(left, tf.int32)
    first, first_x, second, second_x, behind, behind_x = split_columns(tf.gather(join_columns(*planes), row))
    number, pixel, begin = split_columns(tf.gather(join_columns(number, pixel, begin), row))
    column = tf.range(tf.shape(row)[0]) - begin
    along = tf.cast(column, tf.float32)
    first, second, behind = first + first_x * along, second + second_x * along, behind + behind_x * along
    # The tolerance closes the cracks that rounding opens between triangles which share an edge.
    inside = tf.minimum(tf.minimum(first, second), 1.0 - first - second) >= -_EDGE_TOLERANCE
    # A corner may be farther than the farthest vertex by rounding: some steps are left for that.
    steps = tf.minimum(0.99 * _NEVER / tf.cast(tf.maximum(triangle_count, 1), tf.float32), 2.0**23)
    key = tf.cast(tf.minimum(behind, 1.001) * steps, tf.int32) * triangle_count + number
    return tf.where(inside, key, _NEVER), pixel + column, number, first, second


def coverage(visibility: Visibility) -> tf.Tensor:
    """`[B, H, W, 1]` float32: 1 where a pixel sees the mesh, else 0."""
    return tf.cast(visibility.triangle >= 0, tf.float32)[..., None]


def interpolated_maps(visibility: Visibility, triangles, attributes: tf.Tensor) -> tf.Tensor:
    """`interpolate` with the channels first, `[C, B, H, W]`: half of its time goes into putting them last."""
    triangles = tf.convert_to_tensor(triangles, tf.int32)
    attributes = tf.convert_to_tensor(attributes)
    triangle, channels = tf.maximum(visibility.triangle, 0), attributes.shape[-1]
    if attributes.shape.rank == 3:
        triangle += tf.range(tf.shape(attributes)[0])[:, None, None] * tf.shape(triangles)[0]
    # First per triangle, as there are fewer of them: each pixel then fetches one row of 3·C instead of three of C.
    seen = tf.transpose(tf.gather(corners(attributes, triangles), tf.reshape(triangle, [-1])))
    first, second, third = tf.unstack(tf.reshape(seen, [3, channels, -1]))
    weights = tf.unstack(tf.reshape(visibility.barycentric, [3, -1]))
    values = first * weights[0] + second * weights[1] + third * weights[2]
    return tf.reshape(values, tf.concat([[channels], tf.shape(visibility.triangle)], axis=0))


def interpolate(visibility: Visibility, triangles, attributes: tf.Tensor) -> tf.Tensor:
    """Eq. (6) for any vertex attribute: Σ λᵢ aᵢ over the visible triangle's corners.

    Args:
      visibility: from `rasterize`.
      triangles: `[T, 3]` int32, as given to `rasterize`.
      attributes: `[V, C]` shared by the batch, or `[B, V, C]`.

    Returns:
      `[B, H, W, C]`, 0 off the mesh. Differentiable in the attributes.
    """
    maps = interpolated_maps(visibility, triangles, attributes)
    return tf.transpose(maps, [1, 2, 3, 0])
