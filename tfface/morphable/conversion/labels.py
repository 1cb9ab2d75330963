"""Carries what a foreign model lacks (landmarks, regions, UVs, mirror, albedo) over from the default model."""

import numpy as np
from scipy.spatial import cKDTree

ROUNDS = 25
COMPONENTS = 60
FACE_REACH_MM = 12.0
"""Vertices of the default model further than this from the foreign surface have no counterpart there."""


def register(default, mean: np.ndarray) -> np.ndarray:
    """The default model's head in the shape and place of a foreign mean face, `[V, 3]` mm.

    Closest points, starting nose on nose: similarity first, then also the default model's leading identity components,
    with their prior.

    Args:
      default: the `MorphableModel` to fit.
      mean: `[V', 3]` mm, facing along +z with y up.
    """
    tree = cKDTree(mean)
    face = np.linalg.norm(default.mean - default.mean[default.landmarks[30]], axis=1) < 100.0
    rows = np.flatnonzero(face & ~default.region_mask("eyes", "mouth"))
    basis = default.identity_basis[rows][..., :COMPONENTS].astype(np.float64).reshape(-1, COMPONENTS)
    coefficients = np.zeros(COMPONENTS)
    rotation, scale = np.eye(3), 1.0
    shift = _nose_tip(mean) - default.mean[default.landmarks[30]]
    for step in range(ROUNDS):
        shape = default.mean[rows] + (basis @ coefficients).reshape(-1, 3)
        distance, nearest = tree.query(scale * shape @ rotation.T + shift)
        near = distance <= max(np.quantile(distance, 0.8), 1e-9)
        rotation, scale, shift = _similarity(shape[near], mean[nearest[near]])
        if step >= ROUNDS // 2:
            target = (mean[nearest] - shift) @ rotation / scale - default.mean[rows]
            weight = np.repeat(near / (1.0 + (distance / 3.0) ** 2), 3)
            system = (basis * weight[:, None]).T @ basis + 9.0 * np.eye(COMPONENTS)
            coefficients = np.linalg.solve(system, (basis * weight[:, None]).T @ target.ravel())
    whole = default.mean + default.identity_basis[..., :COMPONENTS] @ coefficients
    return scale * whole @ rotation.T + shift


def _nose_tip(mean: np.ndarray) -> np.ndarray:
    """The foremost vertex near the middle."""
    low, high = mean.min(axis=0), mean.max(axis=0)
    middle = np.abs(mean[:, 0] - (low[0] + high[0]) / 2) < 0.15 * (high[0] - low[0])
    rows = np.flatnonzero(middle)
    return mean[rows[np.argmax(mean[rows, 2])]]


def _similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """R, s, t with target ≈ s·source·Rᵀ + t (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = float((d * np.diag(sign)).sum() / max((a**2).sum(), 1e-12))
    return rotation, scale, target.mean(0) - scale * rotation @ source.mean(0)


def mirror_partners(mean: np.ndarray) -> np.ndarray:
    """For each vertex `[V]` the one nearest to its mirror image."""
    middle = np.median(mean[:, 0])
    reflected = np.array([2 * middle, 0, 0]) + mean * np.array([-1, 1, 1])
    return cKDTree(mean).query(reflected)[1]


def outward(mean: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The triangles, wound so that most of them face away from the middle of the head."""
    a, b, c = (mean[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    centre = mean.mean(axis=0) - [0, 0, 0.5 * np.ptp(mean[:, 2])]
    return triangles if np.sum(normal * ((a + b + c) / 3 - centre)) >= 0 else triangles[:, ::-1]
