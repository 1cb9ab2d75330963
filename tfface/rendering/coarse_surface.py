"""The coarse surface that FineNet starts from: its depth on a pixel grid, and where detail belongs on it."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfface.geometry.mesh import vertex_faces, vertex_normals
from tfface.rendering.depth import curved_offset, render_depth
from tfface.rendering.visibility import Visibility, coverage, interpolate, rasterize

BARE_REGIONS = ("ears", "scalp", "neck", "mouth")
"""Regions without detail: hair, collars and ears are no shading of the model's skin, and the mouth's inside is dark."""

HAIRLINE_MM = (45.0, 65.0)
"""Heights above the brows, on the mean face, between which the forehead gives way to hair. The face model's skin goes
on to the crown."""


class Surface(NamedTuple):
    """What `CoarseSurface` renders.

    Attributes:
      depth: `[B, H, W, 1]` px, larger is nearer, 0 off the mesh.
      mask: `[B, H, W, 1]`, 1 on the mesh.
      detailed: `[B, H, W, 1]` in 0…1, by which detail is multiplied; it fades across the edges of `BARE_REGIONS` and
        towards the crown.
      visibility: of the mesh.
    """

    depth: tf.Tensor
    mask: tf.Tensor
    detailed: tf.Tensor
    visibility: Visibility


class CoarseSurface:
    """Renders projected vertices as one smooth surface: the depth layer (6, 7), rounded between the vertices.

    Args:
      model: a `MorphableModel`.
      gradient: of the depth layer, "paper" (7) or "full".
    """

    def __init__(self, model, gradient: str = "paper"):
        self.triangles = np.asarray(model.triangles, np.int32)
        self.faces_of_vertex = vertex_faces(self.triangles, len(model.mean))
        self.gradient = gradient
        bare = model.region_mask(*[name for name in BARE_REGIONS if name in model.region_names])
        detailed = (~bare).astype(np.float32)
        if "scalp" in model.region_names:
            mean = np.asarray(model.mean)
            above = mean[:, 1] - mean[np.asarray(model.landmarks)[17:27], 1].mean()
            detailed *= 1.0 - np.clip((above - HAIRLINE_MM[0]) / (HAIRLINE_MM[1] - HAIRLINE_MM[0]), 0.0, 1.0)
        self.detailed = detailed[:, None].astype(np.float32)

    def __call__(self, vertices: tf.Tensor, height: int, width: int) -> Surface:
        """The surface of vertices `[B, V, 3]` px (x right, y down, z nearer) on a grid of `height`×`width` px."""
        vertices = tf.cast(vertices, tf.float32)
        visibility = rasterize(vertices, self.triangles, height, width, cull=True)
        mask = coverage(visibility)
        # Normals are taken in a frame whose y points up.
        upright = vertices * np.array([1.0, -1.0, 1.0], np.float32)
        normals = vertex_normals(upright, self.triangles, self.faces_of_vertex)
        depth = render_depth(vertices, self.triangles, visibility, self.gradient)
        depth += curved_offset(vertices, normals, self.triangles, visibility)
        return Surface(depth, mask, interpolate(visibility, self.triangles, self.detailed) * mask, visibility)
