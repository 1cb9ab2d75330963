"""The morphable model: the space of faces of §3.1, and its file format.

A model file is an .npz (no pickles) of format 1 with the arrays

    format_version []        1
    name, version, license, source []   text
    mean [V, 3]              mm, float32
    identity_basis [V, 3, 200], expression_basis [V, 3, 84]   mm per standard deviation, float16
    albedo_mean [V, 3], albedo_basis [V, 3, 10]               linear RGB reflectance 0…1
    triangles [T, 3], uv [U, 2], uv_triangles [T, 3]          uv origin at the lower left
    regions [V], region_names [R]                             index into the names
    landmarks [68], mirror [V]                                vertex numbers
    action_names [N], actions [N, 84]                         named expressions as coefficients
"""

import functools
import importlib.resources
import zipfile
from pathlib import Path

import numpy as np

from tfface.morphable.grid import coefficient_steps, exact_basis
from tfface.morphable.representation import EXPRESSION_SIZE, IDENTITY_SIZE
from tfface.output import write_arrays

FORMAT_VERSION = 1
LANDMARKS = 68
DEFAULT_FILE = "default_model.npz"

_TEXTS = ("name", "version", "license", "source")
_ARRAYS = {
    "mean": ("V", 3),
    "identity_basis": ("V", 3, IDENTITY_SIZE),
    "expression_basis": ("V", 3, EXPRESSION_SIZE),
    "albedo_mean": ("V", 3),
    "albedo_basis": ("V", 3, "K"),
    "triangles": ("T", 3),
    "uv": ("U", 2),
    "uv_triangles": ("T", 3),
    "regions": ("V",),
    "region_names": ("R",),
    "landmarks": (LANDMARKS,),
    "mirror": ("V",),
    "action_names": ("N",),
    "actions": ("N", EXPRESSION_SIZE),
}
_INDICES = {"triangles": "V", "uv_triangles": "U", "regions": "R", "landmarks": "V", "mirror": "V"}
_FACE_REGIONS = ("skin", "lips", "eyes", "brows")
_HALF = ("identity_basis", "expression_basis", "albedo_basis")


class MorphableModel:
    """S = μ + A_id α_id + A_exp α_exp, eq. (1), with albedo, regions, landmarks and named expressions.

    Attributes:
      mean: `[V, 3]` mm, float32; the frames are those of docs/conventions.md.
      identity_basis: `[V, 3, 200]` mm per standard deviation.
      expression_basis: `[V, 3, 84]` mm per standard deviation; zero is the neutral face.
      albedo_mean: `[V, 3]` linear RGB reflectance, 0…1.
      albedo_basis: `[V, 3, K]` per standard deviation.
      triangles: `[T, 3]` int32, counter-clockwise seen from outside.
      uv: `[U, 2]` texture coordinates, origin at the lower left; `uv_triangles` `[T, 3]` index them.
      regions: `[V]` int32 index into `region_names`.
      landmarks: `[68]` int32 vertex numbers in iBUG order.
      mirror: `[V]` int32, each vertex's partner on the other side of the face.
      action_names: names of the expressions in `actions` `[N, 84]`, the 52 ARKit ones in the default model.
      name, version, license, source: text.

    Raises:
      ValueError: an array is missing or has another shape, or an index points nowhere.
    """

    def __init__(self, **arrays):
        missing = sorted(({*_ARRAYS, *_TEXTS}) - arrays.keys())
        if missing:
            raise ValueError(f"expected a face model with {', '.join(missing)}, received one without")
        sizes = {}
        for name, shape in _ARRAYS.items():
            value = np.asarray(arrays[name])
            if value.ndim != len(shape) or any(
                size != (sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted)
                for wanted, size in zip(shape, value.shape, strict=False)
            ):
                expected = ", ".join(str(sizes.get(s, s)) for s in shape)
                raise ValueError(f"expected {name} of shape [{expected}], received {list(value.shape)}")
            if name in ("region_names", "action_names"):
                setattr(self, name, tuple(str(text) for text in value))
                continue
            if name in _INDICES:
                value = value.astype(np.int32)
                limit = sizes[_INDICES[name]] if _INDICES[name] in sizes else len(arrays["region_names"])
                if value.size and (value.min() < 0 or value.max() >= limit):
                    raise ValueError(f"expected {name} within 0…{limit - 1}, received {value.min()}…{value.max()}")
            else:
                value = value.astype(np.float32)
                if not np.isfinite(value).all():
                    raise ValueError(f"expected finite numbers in {name}, received others")
            value.setflags(write=False)
            setattr(self, name, value)
        for name in _TEXTS:
            setattr(self, name, str(arrays[name]))

    @classmethod
    @functools.cache
    def default(cls) -> "MorphableModel":
        """The model that ships with tfface: built from MakeHuman's CC0 targets, free for any use."""
        return cls.load(importlib.resources.files("tfface.morphable") / DEFAULT_FILE)

    @classmethod
    def load(cls, path) -> "MorphableModel":
        """Reads a model file.

        Raises:
          FileNotFoundError: there is none.
          ValueError: it isn't one, or of another format version.
        """
        path = Path(str(path))
        if not path.is_file():
            raise FileNotFoundError(
                f"expected a face model at {path}, found no file; build the default one with `tfface model build`"
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            raise ValueError(f"expected {path} to be a face model (.npz), received something else: {error}") from error
        version = arrays.pop("format_version", None)
        if version is None or int(version) != FORMAT_VERSION:
            raise ValueError(f"expected a face model of format {FORMAT_VERSION} in {path}, received {version}")
        try:
            return cls(**arrays)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, path) -> None:
        """Writes the model file, whole or not at all; bases as float16."""
        arrays = {name: np.asarray(value) for name, value in self._parts().items()}
        arrays |= {name: arrays[name].astype(np.float16) for name in _HALF}
        write_arrays(path, {"format_version": FORMAT_VERSION} | arrays)

    def replace(self, **arrays) -> "MorphableModel":
        """The same face model but for the given arrays or texts."""
        return MorphableModel(**(self._parts() | arrays))

    def _parts(self) -> dict:
        return {name: getattr(self, name) for name in (*_ARRAYS, *_TEXTS)}

    @property
    def _joined_basis(self) -> np.ndarray:
        joined = np.concatenate([self.identity_basis, self.expression_basis], axis=-1)
        return np.ascontiguousarray(joined.reshape(-1, joined.shape[-1]).T)

    @functools.cached_property
    def steps(self) -> np.ndarray:
        """`[284]` float32: identity and expression in whole steps decode to the same bits everywhere, see `grid`."""
        return coefficient_steps(self._joined_basis)

    @functools.cached_property
    def geometry_basis(self) -> np.ndarray:
        """[A_id | A_exp] as rows of coefficients, `[284, 3V]` float32, rounded by some 0.001 mm for `steps`."""
        return exact_basis(self._joined_basis, self.steps)

    @functools.cached_property
    def gram(self) -> np.ndarray:
        """AᵀA of A = [A_id | A_exp], `[284, 284]`: with it GMSE (4) needs no vertices."""
        basis = self.geometry_basis.astype(np.float64)
        return (basis @ basis.T).astype(np.float32)

    @functools.cached_property
    def reflection(self):
        """The `tfface.morphable.mirror.Mirror` of this model: r of the flipped picture."""
        from tfface.morphable.mirror import Mirror

        return Mirror.of(self)

    def decode(self, identity, expression):
        """Eq. (1): vertices `[B, V, 3]` in mm, float32, of identity `[B, 200]` and expression `[B, 84]`."""
        import tensorflow as tf

        coefficients = tf.concat([tf.cast(identity, tf.float32), tf.cast(expression, tf.float32)], axis=-1)
        offsets = tf.matmul(coefficients, self.geometry_basis)
        return tf.reshape(offsets, [-1, len(self.mean), 3]) + self.mean

    def albedo(self, coefficients):
        """Linear RGB albedo `[B, V, 3]`, 0…1, of coefficients `[B, K]`; eq. (10)."""
        import tensorflow as tf

        flat = self.albedo_basis.reshape(-1, self.albedo_basis.shape[-1]).T
        offsets = tf.matmul(tf.cast(coefficients, tf.float32), np.ascontiguousarray(flat))
        return tf.clip_by_value(tf.reshape(offsets, [-1, len(self.mean), 3]) + self.albedo_mean, 0.0, 1.0)

    def region_mask(self, *names: str) -> np.ndarray:
        """`[V]` bool, true for the vertices of the named regions.

        Raises:
          ValueError: there is no such region.
        """
        unknown = [name for name in names if name not in self.region_names]
        if unknown:
            raise ValueError(f"expected regions among {', '.join(self.region_names)}, received {', '.join(unknown)}")
        return np.isin(self.regions, [self.region_names.index(name) for name in names])

    def face_vertices(self) -> np.ndarray:
        """`[V]` bool, the vertices of skin, lips, eyes and brows, not of ears, neck or mouth; all, without regions."""
        names = [name for name in _FACE_REGIONS if name in self.region_names]
        return self.region_mask(*names) if names else np.ones(len(self.mean), bool)

    def blendshapes(self, expression: np.ndarray) -> dict[str, float]:
        """Weights 0…1 of the named actions that together come nearest to an expression `[84]`, in squared mm."""
        from scipy.optimize import lsq_linear

        matrix = self._blendshape_system
        target = self._expression_root @ np.asarray(expression, np.float64)
        # A ridge towards a number below 0 costs every weight in proportion, as in the lasso (Tibshirani 1996): of two
        # actions that undo each other only one is left, and many small ones give way to the few that matter.
        ridge = 0.02 * np.sqrt(np.mean(matrix**2) * len(matrix))
        below = np.full(matrix.shape[1], -8.0 * ridge)
        solution = lsq_linear(
            np.concatenate([matrix, ridge * np.eye(matrix.shape[1])]),
            np.concatenate([target, below]),
            bounds=(0.0, 1.0),
        )
        return dict(zip(self.action_names, solution.x.round(4).tolist(), strict=True))

    @functools.cached_property
    def _expression_root(self) -> np.ndarray:
        """R `[84, 84]` with RᵀR = A_expᵀA_exp: distances in coefficients as distances of vertices."""
        gram = self.gram[IDENTITY_SIZE:, IDENTITY_SIZE:].astype(np.float64)
        values, vectors = np.linalg.eigh(gram)
        return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T

    @functools.cached_property
    def _blendshape_system(self) -> np.ndarray:
        """`[84, N]`: what each named action does, in the units of `_expression_root`."""
        return self._expression_root @ self.actions.T.astype(np.float64)
