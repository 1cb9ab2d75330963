"""Which points of the mesh stand for the points that a landmark detector draws."""

from dataclasses import dataclass, replace

import numpy as np

JAW = 17
"""The first 17 of the 68 landmarks are the jaw line."""

_STRIP_HALF_WIDTH_MM = 3.0
_STRIP_INNERMOST = 0.55
_SLIDING = (0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16)


@dataclass(frozen=True)
class Correspondences:
    """M points of the mesh, some of which may slide along strips of candidate vertices.

    Attributes:
        index: `[M]` int, the detector's number of each point.
        corners: `[M, 3]` int, vertices of the triangle each point lies in.
        barycentric: `[M, 3]` float, its λ there.
        weights: `[M]` float, 1 for a point as trustworthy as an eye corner.
        sliding: `[S]` int, which of the M points follow the visible outline.
        strips: `[S, L]` int, candidate vertices of each sliding point, the last one repeated.
        outward: `[S, 2]` float, where "out of the face" is for each, a unit vector x right, y up on a frontal face.
    """

    index: np.ndarray
    corners: np.ndarray
    barycentric: np.ndarray
    weights: np.ndarray
    sliding: np.ndarray
    strips: np.ndarray
    outward: np.ndarray

    def save(self, path) -> None:
        """Writes an uncompressed-names `.npz`."""
        np.savez_compressed(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path) -> "Correspondences":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file lacks one of the arrays.
        """
        with np.load(path, allow_pickle=False) as data:
            missing = [name for name in cls.__dataclass_fields__ if name not in data]
            if missing:
                raise ValueError(f"expected a table of correspondences, received {path} without {missing}")
            return cls(**{name: data[name] for name in cls.__dataclass_fields__})

    def without_sliding(self) -> "Correspondences":
        """The same points, all fixed to the mesh."""
        return replace(self, sliding=self.sliding[:0], strips=self.strips[:0], outward=self.outward[:0])

    def points(self, values: np.ndarray) -> np.ndarray:
        """A vertex attribute `[V, ...]` at the M points (sliding ones at their places on a frontal face)."""
        shape = (-1, 3) + (1,) * (values.ndim - 1)
        return (values[self.corners] * self.barycentric.reshape(shape)).sum(1).astype(values.dtype)


def _strip(mean: np.ndarray, candidates: np.ndarray, vertex: int, goal: np.ndarray) -> np.ndarray:
    """Candidates near the plane that holds `vertex`, the direction z, and the midline point `goal` (x, y)."""
    start = mean[vertex, :2]
    along = (start - goal) / np.linalg.norm(start - goal)
    across = np.array([-along[1], along[0]])
    offset = mean[candidates, :2] - goal
    share = offset @ along / np.linalg.norm(start - goal)
    near = np.abs(offset @ across) < _STRIP_HALF_WIDTH_MM
    in_front = mean[candidates, 2] >= mean[vertex, 2] - 1.0
    return candidates[near & in_front & (share > _STRIP_INNERMOST) & (share < 1.05)]


def landmark_correspondences(model, jaw_weight: float = 0.3) -> Correspondences:
    """The 68 iBUG points, with a jaw line that slides to the visible outline on turned heads.

    Detectors of 2D landmarks draw the jaw row along the outline they see. On a turned head that outline is no longer
    the jaw but the cheek in front of it, so each jaw point may move along a strip of vertices from the jaw towards the
    cheek ("landmark marching"); `fitting.fit` takes the vertex that sticks out farthest.

    Args:
        model: a `MorphableModel`: mean `[V, 3]` mm, triangles `[T, 3]`, landmarks `[68]`.
        jaw_weight: of the jaw points against the others.
    """
    mean = np.asarray(model.mean, np.float64).reshape(-1, 3)
    landmarks = np.asarray(model.landmarks).astype(int)
    weights = np.ones(68)
    weights[:JAW] = jaw_weight
    candidates = _front_skin(model, mean)
    strips, outward = [], []
    # The strips fan out from between the lips' middle and the bridge of the nose: level at the ear, steeper at the
    # chin.
    top, bottom = mean[landmarks[27], 1], mean[landmarks[57], 1]
    for point in _SLIDING:
        share = min(point, JAW - 1 - point) / 8.0
        goal = np.array([0.0, mean[landmarks[point], 1] * (1 - share) + bottom * share])
        goal[1] = min(goal[1], top)
        strip = _strip(mean, candidates, landmarks[point], goal)
        strips.append(np.unique(np.append(strip, landmarks[point])))
        direction = mean[landmarks[point], :2] - goal
        outward.append(direction / np.linalg.norm(direction))
    longest = max(len(strip) for strip in strips)
    padded = np.stack([np.pad(strip, (0, longest - len(strip)), mode="edge") for strip in strips])
    return Correspondences(
        index=np.arange(68),
        corners=np.repeat(landmarks[:, None], 3, axis=1),
        barycentric=np.tile([1.0, 0.0, 0.0], (68, 1)),
        weights=weights,
        sliding=np.array(_SLIDING),
        strips=padded,
        outward=np.array(outward),
    )


def _front_skin(model, mean: np.ndarray) -> np.ndarray:
    """Vertices of the skin whose normals do not look backwards."""
    triangles = np.asarray(model.triangles).astype(int)
    a, b, c = (mean[triangles[:, k]] for k in range(3))
    normals = np.zeros_like(mean)
    for k in range(3):
        np.add.at(normals, triangles[:, k], np.cross(b - a, c - a))
    front = normals[:, 2] > -0.3 * np.linalg.norm(normals, axis=1)
    if "skin" in getattr(model, "region_names", ()):
        front &= np.asarray(model.region_mask("skin")).astype(bool)
    return np.flatnonzero(front)
