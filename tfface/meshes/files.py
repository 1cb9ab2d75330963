"""Meshes as the bytes of files that other programs open, through trimesh where it keeps what a face needs.

OBJ and PLY hold millimetres; GLB holds metres, the unit that glTF prescribes. All are x right, y up, z towards the
viewer, which is glTF's own frame too.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh with a texture, in the form that most formats want: one vertex per texture coordinate."""

    vertices: np.ndarray
    """`[U, 3]` mm; those on the texture's seams appear more than once."""
    normals: np.ndarray
    """`[U, 3]` unit, equal for copies of one vertex, so that no seam is seen."""
    uv: np.ndarray
    """`[U, 2]`, origin at the lower left."""
    triangles: np.ndarray
    """`[T, 3]` int."""
    image: np.ndarray
    """`[S, S, 3]` uint8."""


_FRAME = "tfface, millimetres, x right, y up, z towards the viewer"
"""What OBJ and PLY say of themselves."""


def obj_text(
    vertices: np.ndarray, normals: np.ndarray, triangles: np.ndarray, uv: np.ndarray, uv_triangles: np.ndarray, mtl: str
) -> bytes:
    """An OBJ with texture coordinates of their own numbering.

    Written here because trimesh writes a vertex once per texture coordinate: the mesh would be torn open along the
    seams and lose the face model's vertex numbers.

    Args:
      vertices: `[V, 3]` mm.
      normals: `[V, 3]`.
      triangles: `[T, 3]` into vertices.
      uv: `[U, 2]`.
      uv_triangles: `[T, 3]` into uv.
      mtl: name of the material file.
    """
    lines = [f"# {_FRAME}", f"mtllib {mtl}", "usemtl face", "s 1"]
    lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in vertices.tolist()]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in uv.tolist()]
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in normals.tolist()]
    corners = np.concatenate([triangles, uv_triangles], axis=1) + 1
    lines += [f"f {a}/{s}/{a} {b}/{t}/{b} {c}/{u}/{c}" for a, b, c, s, t, u in corners.tolist()]
    return ("\n".join(lines) + "\n").encode()


def mtl_text(image: str) -> bytes:
    """The material of an OBJ: matt, with the texture file `image`."""
    return f"# tfface\nnewmtl face\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {image}\n".encode()


def ply_bytes(vertices: np.ndarray, triangles: np.ndarray, colors: np.ndarray) -> bytes:
    """A binary PLY in mm with vertex colours `[V, 3]` uint8 and normals; vertices keep their order."""
    import trimesh

    # Merging or reordering vertices would break their correspondence with the face model.
    mesh = trimesh.Trimesh(np.float64(vertices), triangles, vertex_colors=colors, process=False)
    made = bytes(mesh.export(file_type="ply", encoding="binary", vertex_normal=True))
    # trimesh has no way to add a comment.
    return made.replace(b"\nelement vertex", f"\ncomment {_FRAME}\nelement vertex".encode(), 1)


def glb_bytes(mesh: TexturedMesh) -> bytes:
    """A GLB in metres with the texture inside, matt."""
    import trimesh
    from PIL import Image

    material = trimesh.visual.material.PBRMaterial(
        name="face", baseColorTexture=Image.fromarray(mesh.image), metallicFactor=0.0, roughnessFactor=1.0
    )
    made = trimesh.Trimesh(
        vertices=np.float64(mesh.vertices) * 1e-3,
        faces=mesh.triangles,
        vertex_normals=mesh.normals,
        visual=trimesh.visual.TextureVisuals(uv=mesh.uv, material=material),
        process=False,
    )
    return bytes(trimesh.Scene({"face": made}).export(file_type="glb", include_normals=True))
