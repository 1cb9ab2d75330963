"""ICT-FaceKit: a folder of OBJ files, one per identity mode and expression."""

import json
from pathlib import Path

import numpy as np

from tfface.morphable.conversion.raw import RawModel

NEUTRAL = "generic_neutral_mesh.obj"
_CM = 10.0


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices `[V, 3]`, texture coordinates `[U, 2]`, triangles `[T, 3]` and their texture corners `[T, 3]` or empty.

    Vertices keep the file's own order and number, which mesh libraries don't promise. Polygons become fans.

    Raises:
      ValueError: a line isn't understood.
    """
    vertices, uv, corners, uv_corners = [], [], [], []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            word, *rest = line.split() or [""]
            try:
                if word == "v":
                    vertices.append([float(x) for x in rest[:3]])
                elif word == "vt":
                    uv.append([float(x) for x in rest[:2]])
                elif word == "f":
                    parts = [item.split("/") for item in rest]
                    ids = [_index(p[0], len(vertices)) for p in parts]
                    texture = [_index(p[1], len(uv)) for p in parts if len(p) > 1 and p[1]]
                    corners += [(ids[0], ids[i], ids[i + 1]) for i in range(1, len(ids) - 1)]
                    if len(texture) == len(ids):
                        uv_corners += [(texture[0], texture[i], texture[i + 1]) for i in range(1, len(ids) - 1)]
            except (ValueError, IndexError) as error:
                raise ValueError(f"expected {path} to be an OBJ file, but line {number} is {line.strip()!r}") from error
    if not vertices or any(len(vertex) != 3 for vertex in vertices):
        raise ValueError(f"expected {path} to be an OBJ file with vertices, received one without")
    if len(uv_corners) != len(corners):
        uv_corners = []
    return tuple(
        np.array(value, kind).reshape(-1, width)
        for value, kind, width in ((vertices, float, 3), (uv, float, 2), (corners, int, 3), (uv_corners, int, 3))
    )


def _index(text: str, count: int) -> int:
    number = int(text)
    return number - 1 if number > 0 else count + number


def read_ict(folder: Path) -> RawModel:
    """Li et al., "Learning Formation of Physically-Based Face Attributes" (2020): ICT-FaceKit's `FaceXModel` folder.

    `identity000.obj` … are the neutral mesh moved by one standard deviation each; every other OBJ is an expression at
    full strength, named as in ARKit but for `_L` and `_R`. Lengths are in cm.

    Raises:
      ValueError: the folder is no such model.
    """
    if not (folder / NEUTRAL).is_file():
        raise ValueError(f"expected {folder} to be ICT-FaceKit's FaceXModel with {NEUTRAL}, found none")
    mean, uv, triangles, uv_triangles = read_obj(folder / NEUTRAL)
    identity, actions = [], {}
    for path in sorted(folder.glob("*.obj")):
        if path.name == NEUTRAL:
            continue
        moved = read_obj(path)[0]
        if moved.shape != mean.shape:
            raise ValueError(f"expected {path} to have the {len(mean)} vertices of {NEUTRAL}, received {len(moved)}")
        if path.stem.startswith("identity"):
            identity.append(moved - mean)
        else:
            actions[_arkit(path.stem)] = moved - mean
    if not identity:
        raise ValueError(f"expected identity000.obj and so on in {folder}, found none")
    return RawModel(
        name="ict-facekit",
        version="1",
        license="MIT (USC Institute for Creative Technologies, ICT-FaceKit light)",
        source=folder.name,
        mean=mean * _CM,
        identity=np.stack(identity, -1) * _CM,
        expression=np.stack(list(actions.values()), -1) * _CM if actions else np.zeros((*mean.shape, 0)),
        triangles=triangles,
        uv=uv if len(uv_triangles) else None,
        uv_triangles=uv_triangles if len(uv_triangles) else None,
        landmarks=_landmarks(folder, len(mean)),
        actions=dict(zip(actions, np.eye(len(actions)), strict=True)),
    )


def _arkit(name: str) -> str:
    """ARKit's name of an expression: `browDown_L` is `browDownLeft`."""
    for ending, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(ending):
            return name.removesuffix(ending) + side
    return name


def _landmarks(folder: Path, count: int) -> np.ndarray | None:
    path = folder / "vertex_indices.json"
    if not path.is_file():
        return None
    try:
        numbers = np.array(json.loads(path.read_text(encoding="utf-8"))["idx_to_landmark_verts"], int)
    except (KeyError, ValueError) as error:
        raise ValueError(f"expected {path} to name 68 landmark vertices, but: {error}") from error
    if numbers.shape != (68,) or numbers.min() < 0 or numbers.max() >= count:
        raise ValueError(f"expected {path} to name 68 vertices below {count}, received others")
    return numbers
