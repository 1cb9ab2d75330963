"""Meshes as the bytes of files that other programs open, through trimesh."""

import numpy as np


def mesh_bytes(kind: str, vertices: np.ndarray, triangles: np.ndarray, colors: np.ndarray | None = None) -> bytes:
    """A mesh as a file.

    Args:
      kind: "obj", "ply" or "glb".
      vertices: `[V, 3]` mm, x right, y up, z towards the viewer. OBJ and PLY keep millimetres; GLB holds metres, the
        unit that glTF prescribes.
      triangles: `[T, 3]` int.
      colors: `[V, 3]` uint8 vertex colours, or None.

    Returns:
      The file's contents; vertices keep their order.

    Raises:
      ValueError: an unknown kind.
    """
    if kind not in ("obj", "ply", "glb"):
        raise ValueError(f"expected a mesh format of obj, ply, glb, received {kind!r}")
    import trimesh

    scale = 1e-3 if kind == "glb" else 1.0
    mesh = trimesh.Trimesh(
        vertices=np.asarray(vertices, np.float64) * scale,
        faces=np.asarray(triangles, np.int64),
        vertex_colors=colors,
        # Merging or reordering vertices would break their correspondence with the face model.
        process=False,
    )
    if kind == "obj":
        data = mesh.export(file_type="obj", include_normals=True, header="tfface, millimetres", digits=5)
    elif kind == "ply":
        data = mesh.export(file_type="ply", encoding="binary", vertex_normal=True)
    else:
        data = mesh.export(file_type="glb", include_normals=True)
    return data.encode("utf-8") if isinstance(data, str) else bytes(data)
