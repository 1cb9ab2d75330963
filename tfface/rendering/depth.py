"""The rendering layer of §4.1: from a mesh above the image plane to a depth map, with gradients back."""

import keras
import numpy as np
import tensorflow as tf

from tfface.geometry.mesh import cross
from tfface.rendering.visibility import Visibility, coverage, interpolate, interpolated_maps, rasterize

GRADIENTS = ("paper", "full")


def _scatter_to_vertices(values: tf.Tensor, corners: tf.Tensor, vertex_count: tf.Tensor) -> tf.Tensor:
    """Sums `values [B, H, W, 3, C]`, one row per triangle corner, over `corners [B, H, W, 3]` → `[B, V, C]`."""
    batch = tf.shape(corners)[0]
    channels = values.shape[-1]
    index = corners + (tf.range(batch) * vertex_count)[:, None, None, None]
    flat = tf.math.unsorted_segment_sum(
        tf.reshape(values, [-1, channels]), tf.reshape(index, [-1]), batch * vertex_count
    )
    return tf.reshape(flat, [batch, vertex_count, channels])


def render_depth(vertices: tf.Tensor, triangles, visibility: Visibility, gradient: str = "paper") -> tf.Tensor:
    """Depth of each pixel, eq. (6), with the gradient of eq. (7).

    `gradient="paper"` holds the barycentric coordinates fixed: dE/dzᵢ = Σ dE/dz̃ λᵢ, and x and y get none.
    `gradient="full"` also differentiates the coordinates. Moving a corner in the image plane tilts the triangle's
    plane under the pixel: ∂z̃/∂xᵢ = −λᵢ ∂z̃/∂x, where ∂z̃/∂x is the slope of that plane, and likewise in y. What is
    not covered, in both, is a pixel that changes triangle. Hidden vertices get no gradient.

    Args:
      vertices: `[B, V, 3]` px, x right, y down, z nearer.
      triangles: `[T, 3]` int32.
      visibility: of the same mesh, from `rasterize`.
      gradient: "paper" or "full".

    Returns:
      `[B, H, W, 1]` px, 0 off the mesh.
    """
    if gradient not in GRADIENTS:
        raise ValueError(f"expected gradient to be one of {', '.join(GRADIENTS)}, received {gradient!r}")
    triangles = tf.convert_to_tensor(triangles, tf.int32)
    triangle, barycentric = visibility

    @tf.custom_gradient
    def depth_of(vertices):
        depth = interpolate(visibility, triangles, vertices[:, :, 2:])

        def backward(upstream):
            corners = tf.gather(triangles, tf.maximum(triangle, 0))
            # dE/dz̃ λᵢ, `[B, H, W, 3]`; zero off the mesh, where λ is zero.
            share = upstream * tf.transpose(barycentric, [1, 2, 3, 0])
            parts = [tf.zeros_like(share), tf.zeros_like(share), share]
            if gradient == "full":
                slope_x, slope_y = _plane_slopes(vertices, corners)
                parts = [-share * slope_x[..., None], -share * slope_y[..., None], share]
            return _scatter_to_vertices(tf.stack(parts, axis=-1), corners, tf.shape(vertices)[1])

        return depth, backward

    return depth_of(tf.cast(vertices, tf.float32))


def curved_offset(vertices: tf.Tensor, normals: tf.Tensor, triangles, visibility: Visibility, steepest: float = 2.0):
    """What lifts flat triangles to the curved surface that their vertex normals belong to, so that no facets show.

    Each corner's tangent plane is continued to the pixel, and the three are blended by the barycentric coordinates;
    half way between that and the flat triangle lies the surface (Phong tessellation, Boubekeur and Alexa 2008, but
    along the view): exactly so for any quadratic. Nothing here has a gradient.

    Args:
      vertices: `[B, V, 3]` px, x right, y down, z nearer.
      normals: `[B, V, 3]` unit, in the camera's frame (x right, y up, z nearer), as `FeedbackRenderer.geometry` gives.
      triangles: `[T, 3]` int32.
      visibility: of the same mesh, from `rasterize`.
      steepest: slopes beyond this are cut: at the outline the tangent plane stands on edge.

    Returns:
      `[B, H, W, 1]` px, to be added to `render_depth`; 0 off the mesh.
    """
    vertices, normals = tf.stop_gradient(vertices), tf.stop_gradient(normals)
    facing = tf.maximum(normals[..., 2:], 1e-3)
    slope = tf.concat([-normals[..., :1], normals[..., 1:2]], axis=-1) / facing
    length = tf.norm(slope, axis=-1, keepdims=True)
    slope *= tf.minimum(1.0, steepest / tf.maximum(length, 1e-6))
    origin = vertices[..., 2:] - tf.reduce_sum(slope * vertices[..., :2], axis=-1, keepdims=True)
    attributes = tf.concat([slope, origin, vertices[..., 2:]], axis=-1)
    slope_x, slope_y, origin, flat = tf.unstack(interpolated_maps(visibility, triangles, attributes)[..., None])
    height, width = tf.shape(flat)[1], tf.shape(flat)[2]
    x = tf.cast(tf.range(width), tf.float32)[None, None, :, None] + 0.5
    y = tf.cast(tf.range(height), tf.float32)[None, :, None, None] + 0.5
    return 0.5 * (slope_x * x + slope_y * y + origin - flat) * coverage(visibility)


def _plane_slopes(vertices: tf.Tensor, corners: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """∂z/∂x and ∂z/∂y `[B, H, W]` of the plane of the triangle that each pixel sees."""
    batch, vertex_count = tf.shape(vertices)[0], tf.shape(vertices)[1]
    index = corners + (tf.range(batch) * vertex_count)[:, None, None, None]
    points = tf.gather(tf.reshape(vertices, [-1, 3]), index)
    normal = cross(points[..., 1, :] - points[..., 0, :], points[..., 2, :] - points[..., 0, :])
    return (
        tf.math.divide_no_nan(-normal[..., 0], normal[..., 2]),
        tf.math.divide_no_nan(-normal[..., 1], normal[..., 2]),
    )


@keras.saving.register_keras_serializable(package="tfface")
class DepthLayer(keras.layers.Layer):
    """`render_depth` as a Keras layer: vertices `[B, V, 3]` px → (depth, mask), both `[B, H, W, 1]`.

    Args:
      triangles: `[T, 3]` vertex indices.
      height: H in px.
      width: W in px.
      gradient: "paper" (7) or "full"; see `render_depth`.
      cull: leave out triangles that show their back.
    """

    def __init__(self, triangles, height=200, width=200, gradient="paper", cull=True, **kwargs):
        super().__init__(dtype="float32", **{k: v for k, v in kwargs.items() if k != "dtype"})
        if gradient not in GRADIENTS:
            raise ValueError(f"expected gradient to be one of {', '.join(GRADIENTS)}, received {gradient!r}")
        self.triangles = np.asarray(triangles, np.int32)
        self.height, self.width = height, width
        self.gradient, self.cull = gradient, cull

    def call(self, vertices):
        visibility = rasterize(vertices, self.triangles, self.height, self.width, cull=self.cull)
        depth = render_depth(vertices, self.triangles, visibility, self.gradient)
        return depth, coverage(visibility)

    def compute_output_shape(self, input_shape):
        shape = (input_shape[0], self.height, self.width, 1)
        return shape, shape

    def get_config(self):
        return super().get_config() | {
            "triangles": self.triangles.tolist(),
            "height": self.height,
            "width": self.width,
            "gradient": self.gradient,
            "cull": self.cull,
        }
