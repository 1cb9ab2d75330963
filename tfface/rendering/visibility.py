"""Which triangle each pixel sees: a z-buffer in plain TensorFlow operations.

Every triangle lists the rows of pixels that it crosses, and every row the pixels between the triangle's edges. Each of
these proposes a key, depth in the upper digits and the triangle's index in the lower, and `unsorted_segment_min` keeps
the least per pixel, from which the triangle is read. All of these operations have TFLite builtins and ONNX equivalents,
and any batch or image size works. Whole numbers are counted in float32 where they may be: TFLite's operations on
integers take up to ten times as long.
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
_SPAN_MARGIN = 5e-7
"""Share of the image's width by which rows are too long at either end, lest rounding open cracks between triangles that
share an edge: four steps of float32."""
_KEY_MARGIN = 512
"""Room that keys have below and above the triangles' numbers: in float32 a key is divided with an error of 320 at most,
2.5 steps of 2³¹ · 2⁻²⁴."""
_MOST = 2**24
"""Up to here float32 counts."""


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
    """Numbers `[N]` → every i as often as counts[i] says, `[Σ counts]` int32, and where each i begins, `[N]`.

    `tf.repeat` would do, but goes through a mask of N × largest count. Here a running sum counts those that have begun:
    who has a count of 0 begins with the next one, or, behind the end, not at all.

    Args:
      counts: float32, whole numbers.
    """
    start, total = tf.cumsum(counts, exclusive=True), tf.reduce_sum(counts)
    place = tf.cast(tf.minimum(start, total - 1.0), tf.int32)
    begun = tf.math.unsorted_segment_sum(tf.minimum(total - start, 1.0), place, tf.cast(total, tf.int32))
    return tf.cast(tf.cumsum(begun) - 1.0, tf.int32), start


def _pixels_between(corners: list[tf.Tensor], count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """First and last of `count` pixels whose centres (j + 0.5) lie between the least and the greatest corner."""
    count = tf.cast(count, tf.float32)
    low, high = functools.reduce(tf.minimum, corners) - 0.5, functools.reduce(tf.maximum, corners) - 0.5
    return tf.math.ceil(tf.clip_by_value(low, 0.0, count)), tf.math.floor(tf.clip_by_value(high, -1.0, count - 1.0))


def rasterize(vertices: tf.Tensor, triangles, height: int, width: int, cull: bool = False) -> Visibility:
    """Z-buffer visibility of meshes that share their triangles.

    A pixel belongs to a triangle when its centre lies inside or on the edge; where two are equally near (to 1 part in
    2³¹ / (T + 1024) of that mesh's depth range, and in float32) the one with the lower index wins. Nothing here has a
    gradient.

    Args:
      vertices: `[B, V, 3]` px, x right, y down, larger z nearer. B·H·W, and the rows and pixels that all triangles
        cover, are counted in float32: they may be 2²⁴ each, which is some 400 faces in crops of 200 px.
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
    if (vertices.shape[0] or 1) * height * width > _MOST:
        raise ValueError(f"expected at most 2²⁴ pixels at a time, received {vertices.shape[0]} × {height} × {width}")
    batch, triangle_count = tf.shape(vertices)[0], tf.shape(triangles)[0]
    columns, count = _triangles(vertices, triangles, height, width, cull)
    rows, owner, line = _rows(columns, count, width)
    number, first_pixel = owner, line * width
    if vertices.shape[0] != 1:
        mesh = owner // tf.maximum(triangle_count, 1)
        number = owner - mesh * triangle_count
        first_pixel += tf.cast(mesh, tf.float32) * (height * width)
    # `_KEY_MARGIN` at either end of what a key's lower digits can be, see there.
    radix = triangle_count + 2 * _KEY_MARGIN
    key, pixel = _candidates(rows, number, first_pixel, radix)
    best = tf.math.unsorted_segment_min(key, pixel, batch * height * width)

    # Where no pixel proposes anything there is 2³¹ − 1. Whole numbers take long to divide, and longer to compare.
    rough = tf.cast(best, tf.float32)
    hit = tf.cast(rough < 0.995 * _NEVER, tf.int32)
    upper = tf.cast(rough * (1.0 / tf.cast(radix, tf.float32)), tf.int32)
    shape = [batch, height, width]
    triangle, hit = tf.reshape(best - _KEY_MARGIN - upper * radix, shape), tf.reshape(hit, shape)
    place = triangle + 1
    if vertices.shape[0] != 1:
        place += (tf.range(batch) * triangle_count)[:, None, None]
    return Visibility((triangle + 1) * hit - 1, _barycentric(columns[:6], place * hit, tf.cast(hit, tf.float32)))


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
    # What isn't finite makes a NaN of the area, which fails every comparison and drops out; a depth that is NaN takes
    # its whole mesh along.
    area = _edge(ax, ay, bx, by, cx, cy)
    area += 0.0 * (area + a_behind + b_behind + c_behind)
    # y points down, so a front face has a negative area.
    drawable = area < -_NO_AREA if cull else tf.abs(area) > _NO_AREA
    # λ₁, λ₂ and the depth are affine in (x, y); a is their origin, near which float32 has digits to spare.
    inverse = 1.0 / tf.where(drawable, area, 1.0)
    first_x, first_y = _not_zero((cy - ay) * inverse), (ax - cx) * inverse
    second_x, second_y = _not_zero((ay - by) * inverse), (bx - ax) * inverse
    to_b, to_c = b_behind - a_behind, c_behind - a_behind
    behind_x, behind_y = to_b * first_x + to_c * second_x, to_b * first_y + to_c * second_y
    left, right = _pixels_between([ax, bx, cx], width)
    top, bottom = _pixels_between([ay, by, cy], height)
    # In whole numbers, because ONNX multiplies what isn't chosen of others by 0, and NaN stays NaN.
    rows = tf.where(drawable & (right >= left), tf.cast(tf.maximum(bottom - top + 1.0, 0.0), tf.int32), 0)
    rows = tf.cast(rows, tf.float32)
    # Row k of all is row top − begin + k of the image, if `begin` rows belong to triangles before.
    top -= tf.cumsum(rows, exclusive=True)
    return [ax - 0.5, ay - 0.5, first_x, first_y, second_x, second_y, a_behind, behind_x, behind_y, top], rows


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
      The depth at the leftmost pixel of each row and its slope in x, that pixel's column and the last one's; whose row
      it is, int32, and the image's row.
    """
    owner, _ = _each(count)
    of_row = split_columns(tf.gather(join_columns(*columns), owner))
    middle, above, first_x, first_y, second_x, second_y, behind, behind_x, behind_y, top = of_row
    line = top + tf.range(tf.cast(tf.shape(owner)[0], tf.float32))
    y = line - above
    first, second, both_x = first_y * y, second_y * y, _not_zero(first_x + second_x)
    zero = ((1.0 + _EDGE_TOLERANCE) - (first + second)) / both_x
    one, two = (-_EDGE_TOLERANCE - first) / first_x, (-_EDGE_TOLERANCE - second) / second_x
    low, high = tf.minimum(zero, one), tf.maximum(zero, one)
    least, between, greatest = tf.minimum(low, two), tf.maximum(low, tf.minimum(high, two)), tf.maximum(high, two)
    # λ₀, λ₁ and λ₂ add up to 1, so their slopes to 0: one or two of them rise to the right, by the sign of the product.
    two_rise = first_x * second_x * both_x > 0.0
    enters, leaves = tf.where(two_rise, between, least), tf.where(two_rise, greatest, between)
    margin = _SPAN_MARGIN * width
    left = tf.math.ceil(tf.maximum(enters + (middle - margin), 0.0))
    right = tf.math.floor(tf.minimum(leaves + (middle + margin), width - 1.0))
    # Depth is taken inside the triangle: beside one that is narrower than the margin it may be anything.
    x = tf.minimum(tf.maximum(left - middle, enters), leaves)
    return [behind + behind_y * y + behind_x * x, behind_x, left, right], owner, line


def _candidates(rows, number, first_pixel, radix):
    """What every pixel of every row proposes.

    Args:
      rows: from `_rows`.
      number: the triangle of each row, int32.
      first_pixel: the number of the image's first pixel in each row, float32.
      radix: how many numbers a key's lower digits have.

    Returns:
      `[Σ pixels]` int32 each: the key, steps of depth · radix + `_KEY_MARGIN` + triangle, and which pixel it is.
    """
    behind, behind_x, left, right = rows
    row, begin = _each(tf.maximum(right - left + 1.0, 0.0))
    steps = 0.99 * _NEVER / tf.cast(radix, tf.float32)
    lower = tf.cast(number + _KEY_MARGIN, tf.float32)
    columns = join_columns(behind * steps, behind_x * steps, lower, first_pixel + left, begin)
    behind, behind_x, lower, pixel, begin = split_columns(tf.gather(columns, row))
    along = tf.range(tf.cast(tf.shape(row)[0], tf.float32)) - begin
    # By rounding a corner may be nearer than the nearest vertex or farther than the farthest.
    step = tf.cast(tf.clip_by_value(behind + behind_x * along, 0.0, 1.001 * steps), tf.int32)
    return step * radix + tf.cast(lower, tf.int32), tf.cast(pixel + along, tf.int32)


def _barycentric(planes, place, hit):
    """λ of each pixel's centre.

    Args:
      planes: the first six columns of `_triangles`.
      place: `[B, H, W]`, which of the columns' rows, counted from 1; 0 where nothing is seen.
      hit: the same shape, 1.0 where something is seen.

    Returns:
      `[3, B, H, W]`. A centre that is beside its triangle by a tolerance has the λ of the edge.
    """
    # Row 0 is zeros, so that what other triangles may be, NaN for one, comes in nowhere.
    table = tf.transpose(tf.concat([tf.zeros([6, 1]), tf.stack(planes)], axis=1))
    seen = tf.transpose(tf.gather(table, tf.reshape(place, [-1])))
    middle, above, first_x, first_y, second_x, second_y = tf.unstack(
        tf.reshape(seen, tf.concat([[6], tf.shape(place)], 0))
    )
    height, width = place.shape[1:]
    x, y = tf.range(float(width)) - middle, tf.range(float(height))[:, None] - above
    first = tf.clip_by_value(first_x * x + first_y * y, 0.0, 1.0)
    second = tf.minimum(tf.nn.relu(second_x * x + second_y * y), 1.0 - first)
    return tf.stack([hit - first - second, first, second])


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
    # First per triangle, as there are fewer of them; a table for each corner, because one of all has to be taken apart.
    tables = tf.split(corners(attributes, triangles), 3, axis=1)
    seen, weights = tf.reshape(triangle, [-1]), tf.unstack(tf.reshape(visibility.barycentric, [3, -1]))
    first, second, third = (
        tf.transpose(tf.gather(table, seen)) * weight for table, weight in zip(tables, weights, strict=True)
    )
    return tf.reshape(first + second + third, tf.concat([[channels], tf.shape(visibility.triangle)], axis=0))


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
