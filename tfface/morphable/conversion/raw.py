"""What a reader hands over: a face model as its authors laid it out, in mm, with x right, y up and z forward."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class RawModel:
    """A face model before it is brought into our format.

    Attributes:
      name, version, license, source: text.
      mean: `[V, 3]` mm.
      identity: `[V, 3, K]` mm per standard deviation.
      expression: `[V, 3, E]` mm per standard deviation, or per full activation of a blendshape; E may be 0.
      triangles: `[T, 3]`.
      albedo_mean: `[V, 3]` linear RGB 0…1, or None.
      albedo_basis: `[V, 3, A]` per standard deviation, or None.
      uv: `[U, 2]` and uv_triangles: `[T, 3]`, or None.
      landmarks: `[68]` vertex numbers, or None.
      actions: names of blendshapes → coefficients `[E]`.
    """

    name: str
    version: str
    license: str
    source: str
    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    triangles: np.ndarray
    albedo_mean: np.ndarray | None = None
    albedo_basis: np.ndarray | None = None
    uv: np.ndarray | None = None
    uv_triangles: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    actions: dict[str, np.ndarray] = field(default_factory=dict)


def modes(flat: np.ndarray, deviation: np.ndarray | float = 1.0) -> np.ndarray:
    """Columns `[3V, K]` of x, y, z per vertex, times their deviations, as `[V, 3, K]`."""
    flat = np.asarray(flat, np.float64) * deviation
    if flat.ndim != 2 or flat.shape[0] % 3:
        raise ValueError(f"expected a basis of shape [3V, K], received {list(flat.shape)}")
    return flat.reshape(-1, 3, flat.shape[1])


def linear_colors(mean: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Display-referred colours 0…1 `[V, 3]` and modes `[V, 3, K]` as linear ones, by gamma 2.2 to first order."""
    mean = np.clip(mean, 0.0, 1.0)
    slope = 2.2 * np.maximum(mean, 1e-3) ** 1.2
    return mean**2.2, basis * slope[..., None]
