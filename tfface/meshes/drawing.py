"""Pictures of meshes: attributes of vertices at the pixels that see them, with smooth normals."""

import numpy as np


def smooth_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals `[V, 3]` of vertices `[V, 3]` in a right-handed frame, float32."""
    from tfface.geometry.mesh import vertex_faces, vertex_normals

    table = vertex_faces(triangles, len(vertices))
    return vertex_normals(np.float32(vertices)[None], triangles, table)[0].numpy()


def draw(points: np.ndarray, triangles: np.ndarray, attributes: np.ndarray, height: int, width: int):
    """Attributes of a mesh as its pixels see them.

    Args:
      points: `[V, 3]` px: x right, y down, z nearer.
      triangles: `[T, 3]` int, those that show their back are left out.
      attributes: `[V, C]`.
      height, width: of the picture, px.

    Returns:
      `[H, W, C]` float32, 0 off the mesh, and the mask `[H, W]` bool.
    """
    from tfface.rendering.visibility import interpolate, rasterize

    visibility = rasterize(np.float32(points)[None], triangles, height, width, cull=True)
    values = interpolate(visibility, triangles, np.float32(attributes))
    return values[0].numpy(), visibility.triangle[0].numpy() >= 0


def turned(vertices: np.ndarray, yaw: float) -> np.ndarray:
    """Vertices `[V, 3]` turned by `yaw` radians about the vertical axis; > 0 turns the face to the image's right."""
    sine, cosine = np.sin(yaw), np.cos(yaw)
    return vertices @ np.array([[cosine, 0.0, -sine], [0.0, 1.0, 0.0], [sine, 0.0, cosine]])
