"""Morph targets in a GLB: the named expressions of the face model on a person's own head."""

import json
import struct

import numpy as np

from tfface.meshes.drawing import smooth_normals
from tfface.meshes.files import TexturedMesh, glb_bytes

_JSON, _BIN = 0x4E4F534A, 0x004E4942
_FLOAT, _UNSIGNED_INT = 5126, 5125
_STILL_MM = 0.02
"""A vertex that an expression moves by less isn't listed."""
_STILL_NORMAL = 0.01


def action_offsets(model) -> np.ndarray:
    """What each named expression at weight 1 does to the vertices: `[N, V, 3]` mm."""
    return np.einsum("vck,nk->nvc", model.expression_basis, model.actions, optimize=True)


def morphing_glb_bytes(mesh: TexturedMesh, source: np.ndarray, model) -> bytes:
    """A GLB whose morph targets are the face model's named expressions, 52 ARKit ones in the default model.

    Their names stand in `mesh.extras.targetNames`, where Blender, three.js and others look for them; all weights are 0.
    trimesh writes no morph targets, so they are added to its file: as sparse accessors, since an expression moves a
    fifth of the vertices on average.

    Args:
      mesh: the neutral head, un-posed.
      source: `[U]` vertex of the face model of each vertex of the mesh.
      model: the face model.
    """
    tree, binary = _chunks(glb_bytes(mesh))
    neutral = np.zeros((len(model.mean), 3), np.float64)
    neutral[source] = mesh.vertices
    normals = smooth_normals(neutral, model.triangles)
    writer = _Writer(tree, binary)
    targets = []
    for offsets in action_offsets(model):
        bend = smooth_normals(neutral + offsets, model.triangles) - normals
        bend[np.linalg.norm(bend, axis=1) < _STILL_NORMAL] = 0.0
        offsets = np.where(np.linalg.norm(offsets, axis=1, keepdims=True) < _STILL_MM, 0.0, offsets)
        targets.append(
            {
                "POSITION": writer.sparse(np.float32(offsets * 1e-3)[source]),
                "NORMAL": writer.sparse(np.float32(bend)[source]),
            }
        )
    (out,) = tree["meshes"]
    (primitive,) = out["primitives"]
    primitive["targets"] = targets
    out["weights"] = [0.0] * len(targets)
    out.setdefault("extras", {})["targetNames"] = list(model.action_names)
    return writer.finish()


class _Writer:
    """Adds accessors to a glTF tree and its one buffer."""

    def __init__(self, tree: dict, binary: bytes):
        self.tree, self.binary = tree, bytearray(binary)

    def sparse(self, values: np.ndarray) -> int:
        """The number of a new accessor of `[U, 3]` float32, of which only rows other than zero are stored."""
        rows = np.flatnonzero(values.any(axis=1))
        accessor = {
            "componentType": _FLOAT,
            "count": len(values),
            "type": "VEC3",
            "min": values.min(axis=0).tolist(),
            "max": values.max(axis=0).tolist(),
        }
        if len(rows):
            accessor["sparse"] = {
                "count": len(rows),
                "indices": {"bufferView": self._view(rows.astype("<u4")), "componentType": _UNSIGNED_INT},
                "values": {"bufferView": self._view(values[rows].astype("<f4"))},
            }
        else:
            # glTF takes an accessor without data as zeros, but not every reader does: store them.
            accessor["bufferView"] = self._view(values.astype("<f4"))
        self.tree["accessors"].append(accessor)
        return len(self.tree["accessors"]) - 1

    def _view(self, array: np.ndarray) -> int:
        self.binary += b"\0" * (-len(self.binary) % 4)
        self.tree["bufferViews"].append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": array.nbytes})
        self.binary += array.tobytes()
        return len(self.tree["bufferViews"]) - 1

    def finish(self) -> bytes:
        """The GLB file."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        self.tree["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.tree, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), _JSON) + text
        chunks += struct.pack("<II", len(self.binary), _BIN) + bytes(self.binary)
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _chunks(data: bytes) -> tuple[dict, bytes]:
    """JSON tree and binary part of a GLB."""
    (length,) = struct.unpack_from("<I", data, 12)
    tree = json.loads(data[20 : 20 + length])
    (binary,) = struct.unpack_from("<I", data, 20 + length)
    return tree, data[28 + length : 28 + length + binary]
