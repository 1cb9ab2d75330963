"""What of a photo is light and what is skin: harmonics (9) and the face model's albedo (10), solved in colour."""

import dataclasses

import numpy as np

_ROUNDS = 3
_PRIOR = 3e-4
"""See `losses.albedo.estimate_albedo`; stronger than there, because a whole head is drawn with it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Appearance:
    """Light and albedo of one face, linear RGB."""

    lighting: np.ndarray
    """`[3, 4]`: per colour channel, of (1, n_x, n_y, n_z) with x right, y up, z nearer."""
    coefficients: np.ndarray
    """`[K]` standard deviations of the model's albedo."""
    albedo: np.ndarray
    """`[V, 3]` 0…1, the model's albedo with these coefficients."""

    def shade(self, normals: np.ndarray) -> np.ndarray:
        """Light `[..., 3]` that falls on surfaces with unit normals `[..., 3]` (x right, y up, z nearer).

        First-order harmonics turn negative away from a strong light; a tenth of the mean is kept there, as rooms do.
        """
        light = self.lighting[:, 0] + normals @ self.lighting[:, 1:].T
        return np.maximum(light, 0.1 * np.maximum(self.lighting[:, 0], 0.05))


def fit_appearance(model, colors: np.ndarray, normals: np.ndarray, weight: np.ndarray) -> Appearance:
    """Light and albedo that together explain the colours of a face's vertices.

    Args:
      model: a face model with `albedo_mean` and `albedo_basis`.
      colors: `[V, 3]` linear RGB 0…1.
      normals: `[V, 3]` unit, x right, y up, z nearer.
      weight: `[V]` ≥ 0, how far each colour is to be trusted; all zero gives plain frontal light.
    """
    from tfface.losses.least_squares import robust_least_squares

    mean, basis = np.float32(model.albedo_mean), np.float32(model.albedo_basis)
    used = np.flatnonzero(weight > 0)
    if len(used) < 50:
        return Appearance(np.tile(np.float32([0.6, 0, 0, 0.5]), (3, 1)), np.zeros(basis.shape[-1]), mean)
    harmonics = np.concatenate([np.ones((len(used), 1)), normals[used]], axis=1).astype(np.float32)
    target, trust = np.float32(colors[used]), np.float32(weight[used])
    coefficients = np.zeros(basis.shape[-1], np.float32)
    for _ in range(_ROUNDS):
        albedo = np.clip(mean[used] + basis[used] @ coefficients, 0.01, 1.0)
        design = albedo.T[..., None] * harmonics
        lighting = robust_least_squares(design, target.T, np.tile(trust, (3, 1)), ridge=1e-4, iterations=2).numpy()
        shading = np.maximum(harmonics @ lighting.T, 0.02)
        coefficients = robust_least_squares(
            (basis[used] * shading[..., None]).reshape(1, -1, basis.shape[-1]),
            (target - mean[used] * shading).reshape(1, -1),
            np.repeat(trust, 3)[None],
            ridge=_PRIOR,
            iterations=2,
        ).numpy()[0]
    return Appearance(lighting, coefficients, np.clip(mean + basis @ coefficients, 0.01, 1.0))


def to_linear(colors: np.ndarray) -> np.ndarray:
    """sRGB values 0…255 → linear light 0…1, float32."""
    values = np.asarray(colors, np.float32) / 255.0
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(colors: np.ndarray) -> np.ndarray:
    """Linear light → sRGB uint8."""
    values = np.clip(colors, 0.0, 1.0)
    values = np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
    return np.uint8(np.rint(255.0 * values))
