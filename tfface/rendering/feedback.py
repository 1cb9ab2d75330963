"""What CoarseNet is shown of its last answer: PNCC, normal map and the mask of visible vertices (§3.2.1)."""

import tensorflow as tf

from tfface.geometry.camera import project, to_camera
from tfface.geometry.mesh import vertex_faces, vertex_normals
from tfface.morphable.representation import camera, split
from tfface.rendering.visibility import coverage, interpolated_maps, rasterize

_PLACE_MM, _TURN = 2.0**-5, 2.0**-10
"""What is projected is rounded: vertices to so many mm, a rotation's numbers and px per mm to so much. Sums of products
of the two have 24 bits within 256 mm of the origin, which is what float32 holds."""


def pncc_colors(mean):
    """The projected normalised coordinate code: mean face `[V, 3]` scaled to 0…1 over its bounding box."""
    low, high = mean.min(axis=0), mean.max(axis=0)
    return ((mean - low) / (high - low)).astype("float32")


class FeedbackRenderer:
    """Renders the feedback channels of r for one face model.

    Args:
      model: a `MorphableModel`.
      size: width of the square crop, px.
    """

    def __init__(self, model, size: int = 200):
        self.model = model
        self.size = size
        self.pncc = pncc_colors(model.mean)
        self.faces_of_vertex = vertex_faces(model.triangles, len(model.mean))

    def geometry(self, r: tf.Tensor):
        """Vertices `[B, V, 3]` in the crop's px, unit normals `[B, V, 3]` in the camera's frame (y up), visibility.

        Vertices are rounded by some 0.1 px. If r is, too (`coarse_net.on_grid`), every machine finds the same vertices
        and triangles, to the bit, but where a number of the rotation lies between two steps; normals may differ in
        their last bits.
        """
        identity, expression, pose = split(r)
        rotation, translation, scale = camera(pose, self.size)
        vertices = self.model.decode(identity, expression)
        normals = vertex_normals(to_camera(vertices, rotation), self.model.triangles, self.faces_of_vertex)
        rotation, scale = _rounded(rotation, _TURN), _rounded(scale, _TURN)
        projected = project(_rounded(vertices, _PLACE_MM), rotation, translation, scale)
        visibility = rasterize(projected, self.model.triangles, self.size, self.size, cull=True)
        return projected, normals, visibility

    def __call__(self, r: tf.Tensor, image: tf.Tensor | None = None) -> tf.Tensor:
        """Feedback `[B, size, size, 7]` of r `[B, 290]`: mask, PNCC 3, normals 3; zeros off the mesh.

        With an image `[B, size, size, 1]`, that takes the place of the mask's ones: what CoarseNet is shown (§3.4).
        No gradient flows to r: each pass is trained as if its input were given.
        """
        _, normals, visibility = self.geometry(tf.stop_gradient(r))
        pncc = tf.broadcast_to(self.pncc, tf.shape(normals))
        maps = interpolated_maps(visibility, self.model.triangles, tf.concat([pncc, normals], axis=-1))
        mask = coverage(visibility)
        first = mask if image is None else image * mask
        maps = tf.concat([tf.transpose(first, [3, 0, 1, 2]), tf.stop_gradient(maps)], axis=0)
        return tf.transpose(maps, [1, 2, 3, 0])


def _rounded(x: tf.Tensor, step: float) -> tf.Tensor:
    return tf.round(x * (1.0 / step)) * step
