"""Fitting the representation r to 2D landmarks: Gauss–Newton with priors, many faces at once."""

from dataclasses import dataclass

import numpy as np

from tfface.morphable.correspondences import Correspondences
from tfface.morphable.representation import CROP_MM, EXPRESSION_SIZE, IDENTITY_SIZE

_GEOMETRY = IDENTITY_SIZE + EXPRESSION_SIZE


@dataclass(frozen=True)
class FitConfig:
    """How far a face may bend to its landmarks."""

    sigma_mm: float = 1.5
    """How far a landmark of weight 1 is off, as a rule."""
    huber: float = 2.0
    """Landmarks that are off by more sigmas than this pull only linearly."""
    identity_prior: float = 0.6
    """Weight of Σ(identity²); 1 takes the model's standard deviations at their word."""
    expression_prior: float = 0.2
    """Weight of Σ(expression²)."""
    hidden_weight: float = 0.3
    """Factor on the jaw points of the far side of a head turned by more than `hidden_degrees`."""
    hidden_degrees: float = 15.0
    identity_components: int = 80
    """Only so many leading coefficients are fitted; landmarks say nothing of the others, which stay 0."""
    expression_components: int = 60
    """Likewise."""
    iterations: int = 6
    chunk: int = 64
    """Faces solved together; bounds the memory."""


@dataclass(frozen=True)
class Fit:
    """Fitted faces.

    Attributes:
        square: `[N, 3]` float64, centre x, y and side in the points' px: the crop that shows 240 mm around the face,
            in which u = v = s = 0.
        r: `[N, 290]` float32.
        distances: `[N, M]` float64, px, from each given point to the fitted one; of sliding points, across the
            outline only.
    """

    square: np.ndarray
    r: np.ndarray
    distances: np.ndarray


def rotation_matrices(euler: np.ndarray) -> np.ndarray:
    """R = R_z·R_y·R_x `[N, 3, 3]` of angles `[N, 3]` in radians."""
    return _rotation_parts(np.asarray(euler, np.float64))[0]


def _rotation_parts(euler):
    """R `[N, 3, 3]` and the world axes `[N, 3, 3]` about which a change of θ_x, θ_y, θ_z turns (rows)."""
    n = len(euler)
    (cx, cy, cz), (sx, sy, sz) = np.cos(euler).T, np.sin(euler).T
    zero, one = np.zeros(n), np.ones(n)
    r_x = np.stack([one, zero, zero, zero, cx, -sx, zero, sx, cx], -1).reshape(n, 3, 3)
    r_y = np.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], -1).reshape(n, 3, 3)
    r_z = np.stack([cz, -sz, zero, sz, cz, zero, zero, zero, one], -1).reshape(n, 3, 3)
    r_zy = r_z @ r_y
    axes = np.stack([r_zy[:, :, 0], r_z[:, :, 1], np.tile([0.0, 0.0, 1.0], (n, 1))], axis=1)
    return r_zy @ r_x, axes


def euler_angles(rotation: np.ndarray) -> np.ndarray:
    """Angles `[N, 3]` in radians of R `[N, 3, 3]` = R_z·R_y·R_x, θ_y in −π/2…π/2."""
    theta_y = np.arcsin(np.clip(-rotation[:, 2, 0], -1.0, 1.0))
    theta_x = np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2])
    theta_z = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return np.stack([theta_x, theta_y, theta_z], axis=-1)


def weak_perspective(points: np.ndarray, shape: np.ndarray, weights: np.ndarray):
    """The pose that lays one rigid shape on 2D points, in closed form (POS).

    Args:
        points: `[N, M, 2]` px, y down.
        shape: `[M, 3]` mm.
        weights: `[M]`.

    Returns:
        Angles `[N, 3]` in radians, translation `[N, 2]` px, scale `[N]` px per mm.
    """
    up = points * np.array([1.0, -1.0])
    design = np.concatenate([shape, np.ones((len(shape), 1))], axis=1)
    solved = np.linalg.pinv(design * weights[:, None]) @ (up * weights[:, None])
    affine = np.swapaxes(solved[:, :3], 1, 2)
    u, singular, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    rotation = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], axis=1)
    return euler_angles(rotation), solved[:, 3] * np.array([1.0, -1.0]), singular.mean(1)


def fit(model, points: np.ndarray, correspondences: Correspondences, config: FitConfig | None = None) -> Fit:
    """Fits identity, expression and pose to 2D points.

    Minimises Σ w·ρ(|q − p|/σ) + λ_i·|identity|² + λ_e·|expression|², ρ Huber's, p the projected points in mm, by
    Gauss–Newton with iterated reweighting from the closed-form pose of the mean face. Points of the jaw slide to the
    visible outline at every iteration.

    Args:
        model: a `MorphableModel`.
        points: `[N, M, 2]` px, x right, y down, in the order of `correspondences`.
        correspondences: where they lie on the mesh.
        config: defaults of `FitConfig`.

    Raises:
        ValueError: `points` has another shape or isn't finite.
    """
    config = config or FitConfig()
    points = np.asarray(points, np.float64)
    count = len(correspondences.index)
    if points.ndim != 3 or points.shape[1:] != (count, 2):
        raise ValueError(f"expected points of shape [N, {count}, 2], received {list(points.shape)}")
    if not np.isfinite(points).all():
        raise ValueError("expected finite points, received NaN or infinite ones")
    solver = _Solver(model, correspondences, config)
    chunks = [solver(points[i : i + config.chunk]) for i in range(0, len(points), config.chunk)]
    if not chunks:
        return Fit(np.zeros((0, 3)), np.zeros((0, _GEOMETRY + 6), np.float32), np.zeros((0, count)))
    return Fit(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def project_points(model, fitted: Fit, correspondences: Correspondences) -> np.ndarray:
    """Where the fitted faces' M points fall in the image, `[N, M, 2]` px; sliding ones on the visible outline."""
    return _per_chunk(model, fitted, correspondences, lambda solver, part, placed, euler: placed)


def point_distances(model, fitted: Fit, correspondences: Correspondences, points: np.ndarray) -> np.ndarray:
    """Distances `[N, M]` px from given points `[N, M, 2]` to the fitted ones; of sliding points, across the outline."""

    def measure(solver, part, placed, euler):
        return solver.distances(points[part] - placed, euler)

    return _per_chunk(model, fitted, correspondences, measure)


def _per_chunk(model, fitted, correspondences, function):
    """`function(solver, slice, placed points [n, M, 2], euler [n, 3])` of all faces, joined."""
    config = FitConfig(identity_components=IDENTITY_SIZE, expression_components=EXPRESSION_SIZE)
    solver = _Solver(model, correspondences, config)
    geometry, pose = fitted.r[:, :_GEOMETRY], fitted.r[:, _GEOMETRY:].astype(np.float64)
    parts = []
    for start in range(0, max(len(geometry), 1), config.chunk):
        part = slice(start, start + config.chunk)
        square, euler = fitted.square[part], pose[part, :3]
        translation = square[:, :2] + pose[part, 3:5] * square[:, 2:] / 2
        scale = square[:, 2] / CROP_MM * np.exp(pose[part, 5])
        parts.append(function(solver, part, solver.place(geometry[part], euler, translation, scale), euler))
    return np.concatenate(parts)


class _Solver:
    """The arrays that all chunks share."""

    def __init__(self, model, correspondences, config):
        self.config, self.table = config, correspondences
        self.mean = np.asarray(model.mean, np.float32).reshape(-1, 3)
        identity = np.asarray(model.identity_basis)[..., : config.identity_components]
        expression = np.asarray(model.expression_basis)[..., : config.expression_components]
        sizes = identity.shape[-1], expression.shape[-1]
        # The coefficients that are fitted, within the 284.
        self.kept = np.concatenate([np.arange(sizes[0]), IDENTITY_SIZE + np.arange(sizes[1])])
        self.count = len(self.kept)
        self.point_mean = correspondences.points(self.mean)
        self.point_basis = np.concatenate(
            [correspondences.points(identity), correspondences.points(expression)], axis=-1
        )
        # Only the strips' vertices are needed, so that a chunk gathers from a small array.
        used, self.strips = np.unique(correspondences.strips, return_inverse=True)
        self.strips = self.strips.reshape(correspondences.strips.shape)
        self.strip_mean = self.mean[used]
        self.strip_basis = np.concatenate([identity[used], expression[used]], axis=-1)
        self.prior = np.repeat(
            np.float32([config.identity_prior, config.expression_prior, 0.0]),
            [*sizes, 6],
        )
        # A head that faces the image's right (θ_y > 0) turns its points of x > 0 away from the viewer.
        self.side = np.zeros(len(correspondences.index))
        self.side[correspondences.sliding] = np.sign(correspondences.outward[:, 0])

    def __call__(self, points):
        n = len(points)
        base = self.table.weights.astype(np.float64)
        euler, translation, scale = weak_perspective(points, self.point_mean.astype(np.float64), base)
        geometry = np.zeros((n, self.count), np.float32)
        for _ in range(self.config.iterations):
            rotation, axes = _rotation_parts(euler)
            shape, basis = self._shape(geometry, rotation, euler)
            turned = np.einsum("nij,nmj->nmi", rotation, shape)
            offset = points - (turned[:, :, :2] * [1, -1] * scale[:, None, None] + translation[:, None])
            offset = offset / scale[:, None, None]
            weights = self._weights(self.distances(offset, euler), euler, base)
            step = self._step(geometry, euler, rotation, axes, turned, basis, offset, weights)
            geometry += step[:, : self.count]
            euler = euler + np.clip(step[:, -6:-3], -0.3, 0.3)
            translation = translation + step[:, -3:-1] * scale[:, None]
            scale = scale * np.exp(np.clip(step[:, -1], -0.3, 0.3))
        fitted = self.place(geometry, euler, translation, scale)
        square = np.concatenate([translation, CROP_MM * scale[:, None]], axis=1)
        pose = np.concatenate([euler, np.zeros((n, 3))], axis=1)
        r = np.zeros((n, _GEOMETRY + 6), np.float32)
        r[:, self.kept], r[:, _GEOMETRY:] = geometry, pose
        return square, r, self.distances(points - fitted, euler)

    def place(self, geometry, euler, translation, scale):
        """The M points in the image, `[n, M, 2]` px."""
        rotation, _ = _rotation_parts(euler)
        turned = np.einsum("nij,nmj->nmi", rotation, self._shape(geometry, rotation, euler)[0])
        return turned[:, :, :2] * [1, -1] * scale[:, None, None] + translation[:, None]

    def _shape(self, geometry, rotation, euler):
        """Points `[n, M, 3]` mm before rotation, and their basis `[n or 1, M, 3, K]`."""
        n, table = len(geometry), self.table
        flat = self.point_basis.reshape(-1, self.count)
        shape = self.point_mean + (geometry @ flat.T).reshape(n, -1, 3)
        if not len(table.sliding):
            return shape, self.point_basis[None]
        flat = self.strip_basis.reshape(-1, self.count)
        candidates = self.strip_mean + (geometry @ flat.T).reshape(n, -1, 3)
        outward = self._outward(euler)
        turned = np.einsum("nij,nvj->nvi", rotation[:, :2], candidates)
        reach = np.einsum("nslk,nsk->nsl", turned[:, self.strips], outward)
        best = np.take_along_axis(self.strips[None], reach.argmax(-1)[..., None], axis=2)[..., 0]
        shape[:, table.sliding] = np.take_along_axis(candidates, best[..., None], axis=1)
        basis = np.tile(self.point_basis, (n, 1, 1, 1))
        basis[:, table.sliding] = self.strip_basis[best]
        return shape, basis

    def distances(self, offset, euler):
        """Lengths `[n, M]` of offsets `[n, M, 2]` px; of the sliding points, their part across the outline."""
        lengths = np.linalg.norm(offset, axis=-1)
        if len(self.table.sliding):
            across = (offset[:, self.table.sliding] * [1, -1] * self._outward(euler)).sum(-1)
            lengths[:, self.table.sliding] = np.abs(across)
        return lengths

    def _outward(self, euler):
        """Out of the face at the sliding points, `[n, S, 2]`, y up: the frontal direction rolled with the head."""
        cos, sin = np.cos(euler[:, 2, None]), np.sin(euler[:, 2, None])
        x, y = self.table.outward[:, 0], self.table.outward[:, 1]
        return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)

    def _weights(self, distance, euler, base):
        """`[n, M]`: the given weights, less for outliers and for the far side's outline, over σ²."""
        config = self.config
        robust = np.minimum(1.0, config.huber * config.sigma_mm / np.maximum(distance, 1e-9))
        turn = np.degrees(euler[:, 1, None])
        hidden = (self.side * turn > 0) & (np.abs(turn) > config.hidden_degrees)
        return base * robust * np.where(hidden, config.hidden_weight, 1.0) / config.sigma_mm**2

    def _step(self, geometry, euler, rotation, axes, turned, basis, offset, weights):
        """The Gauss–Newton step `[n, K + 6]`: geometry, angles in radians, translation in mm, ln scale."""
        n, m = turned.shape[:2]
        flip = np.array([1.0, -1.0])
        jacobian = np.empty((n, m, 2, self.count + 6), np.float32)
        signed = (rotation[:, :2] * flip[None, :, None]).astype(np.float32)
        jacobian[..., : self.count] = np.matmul(signed[:, None], basis)
        spin = np.cross(axes[:, None], turned[:, :, None])[..., :2] * flip
        jacobian[..., -6:-3] = np.swapaxes(spin, 2, 3)
        jacobian[..., -3:-1] = np.eye(2)
        jacobian[..., -1] = turned[:, :, :2] * flip
        offset = offset.astype(np.float32)
        sliding = self.table.sliding
        if len(sliding):
            # Where along the outline a point lies is a matter of taste: only its distance from the outline counts.
            outward = (self._outward(euler) * flip).astype(np.float32)
            offset[:, sliding, 0] = (offset[:, sliding] * outward).sum(-1)
            jacobian[:, sliding, 0] = (jacobian[:, sliding] * outward[..., None]).sum(2)
            offset[:, sliding, 1], jacobian[:, sliding, 1] = 0.0, 0.0
        root = np.sqrt(weights)[:, :, None].astype(np.float32)
        jacobian *= root[..., None]
        jacobian = jacobian.reshape(n, m * 2, -1)
        residual = (offset * root).reshape(n, m * 2, 1)
        transposed = np.swapaxes(jacobian, 1, 2)
        normal = transposed @ jacobian
        # A breath of damping keeps the pose solvable when few points carry weight.
        normal += np.diag(self.prior + np.float32(1e-4))
        gradient = (transposed @ residual)[..., 0]
        gradient[:, : self.count] -= self.prior[: self.count] * geometry
        return np.linalg.solve(normal, gradient[..., None])[..., 0]


def landmark_nme(points: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Mean distance over √(box width × height) of the given points' bounding box.

    Args:
        points: `[N, M, 2]` px, the truth.
        distances: `[N, M]` px.

    Returns:
        `[N]`, 0.03 for 3 %.
    """
    return distances.mean(-1) / np.sqrt(np.prod(np.ptp(points, axis=1), axis=-1))
