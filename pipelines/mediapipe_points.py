"""Finds where MediaPipe's 478 points lie on the face model, from fits to the 68 landmarks.

Every face that looks ahead says where on its fitted mesh each point falls; the median over a few thousand, averaged
with its mirror image, is the correspondence. Points that wander (the outline, the irises) are left out.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfface.morphable import representation
from tfface.morphable.correspondences import Correspondences, landmark_correspondences
from tfface.morphable.fitting import Fit
from tfface.rendering.visibility import rasterize

IRISES = range(468, 478)
_SIZE = 128


@dataclass(frozen=True)
class PointsConfig:
    """How the table is found."""

    faces: int = 1200
    """Faces used, of those that look ahead."""
    max_yaw: float = 10.0
    """Degrees, likewise pitch against the median pitch."""
    max_spread_mm: float = 4.0
    """Points whose median distance to their median place is larger are left out."""
    rounds: int = 2
    """The second round fits with the table of the first."""
    candidates: int = 24
    """Triangles near the median place of a point, of which the one that follows the faces best is taken."""
    information: float = 140.0
    """Sum of the dense points' weights: neighbours err alike, so 400 points are not worth 400."""


def surface_positions(model, fit: Fit, points: np.ndarray, batch: int = 16) -> np.ndarray:
    """Where image points fall on the fitted meshes, as places on the mean face.

    Args:
        model: a `MorphableModel`.
        fit: N fitted faces.
        points: `[N, M, 2]` px, in the frame of `fit.square`.

    Returns:
        `[N, M, 3]` mm on the mean face, NaN where a point misses the mesh.
    """
    mean = np.asarray(model.mean, np.float32).reshape(-1, 3)
    triangles = np.asarray(model.triangles).astype(np.int32)
    low = fit.square[:, :2] - fit.square[:, 2:] / 2
    local = (points - low[:, None]) * (_SIZE / fit.square[:, 2])[:, None, None]

    @tf.function(autograph=False)
    def render(r):
        vertices = representation.vertices_image(model, r, _SIZE)
        return vertices, rasterize(vertices, triangles, _SIZE, _SIZE, cull=True).triangle

    places = np.full((*points.shape[:2], 3), np.nan, np.float32)
    for start in range(0, len(points), batch):
        part = slice(start, start + batch)
        vertices, triangle = (output.numpy() for output in render(tf.constant(fit.r[part])))
        column, row = np.moveaxis(np.clip(local[part].astype(int), 0, _SIZE - 1), -1, 0)
        face = np.arange(len(vertices))[:, None]
        seen = triangle[face, row, column]
        corner = triangles[np.maximum(seen, 0)]
        xy = vertices[face[..., None], corner, :2]
        # λ of the point itself rather than of the pixel's centre.
        edges = xy[:, :, 1:] - xy[:, :, :1]
        offset = local[part] - xy[:, :, 0]
        area = edges[..., 0, 0] * edges[..., 1, 1] - edges[..., 0, 1] * edges[..., 1, 0]
        second = (offset[..., 0] * edges[..., 1, 1] - offset[..., 1] * edges[..., 1, 0]) / area
        third = (edges[..., 0, 0] * offset[..., 1] - edges[..., 0, 1] * offset[..., 0]) / area
        weights = np.clip(np.stack([1 - second - third, second, third], -1), -0.5, 1.5)
        place = (mean[corner] * weights[..., None]).sum(2)
        place[seen < 0] = np.nan
        places[part] = place
    return places


def mirror_pairs(points: np.ndarray) -> np.ndarray:
    """Of the average of many faces' points `[M, 2]`: each point's partner on the other half `[M]`."""
    from scipy.optimize import linear_sum_assignment

    middle = np.median(points[:, 0])
    mirrored = points * [-1, 1] + [2 * middle, 0]
    cost = ((mirrored[:, None] - points[None]) ** 2).sum(-1)
    pairs = linear_sum_assignment(cost)[1]
    # An assignment may chain three points; only true pairs count.
    return np.where(pairs[pairs] == np.arange(len(points)), pairs, cost.argmin(1))


def closest_on_mesh(places: np.ndarray, mean: np.ndarray, triangles: np.ndarray, count: int = 1):
    """The mesh points nearest to `places` `[M, 3]` mm, in `count` triangles each, nearest first.

    Returns:
        Triangles `[M, count]` and barycentric coordinates `[M, count, 3]`.
    """
    from trimesh.triangles import closest_point, points_to_barycentric

    centres = mean[triangles].mean(1)
    chosen, weights = [], []
    for place in places:
        near = np.argsort(((centres - place) ** 2).sum(-1))[: max(40, count)]
        corners = mean[triangles[near]]
        closest = closest_point(corners, np.tile(place, (len(near), 1)))
        order = np.argsort(((closest - place) ** 2).sum(-1))[:count]
        chosen.append(near[order])
        weights.append(points_to_barycentric(corners[order], closest[order]))
    return np.array(chosen), np.clip(np.array(weights), 0.0, 1.0)


def best_of_candidates(model, fit: Fit, points: np.ndarray, chosen: np.ndarray, weights: np.ndarray):
    """Of each point's candidates, the one that follows the faces best.

    With the mouth closed the lips touch, and the nearest triangle may be on the wrong one; laughing faces tell.

    Args:
        model: a `MorphableModel`.
        fit: N fitted faces.
        points: `[N, M, 2]` px.
        chosen, weights: `[M, C]` and `[M, C, 3]` from `closest_on_mesh`.

    Returns:
        Triangles `[M]` and barycentric coordinates `[M, 3]`.
    """
    triangles = np.asarray(model.triangles).astype(int)
    place = tf.function(lambda r: representation.vertices_image(model, r, _SIZE)[:, :, :2], autograph=False)
    vertices = np.concatenate([place(tf.constant(fit.r[i : i + 64])).numpy() for i in range(0, len(fit.r), 64)])
    low = fit.square[:, :2] - fit.square[:, 2:] / 2
    local = (points - low[:, None]) * (_SIZE / fit.square[:, 2])[:, None, None]
    best = []
    for point in range(len(chosen)):
        corner = vertices[:, triangles[chosen[point]]]
        placed = (corner * weights[point][None, :, :, None]).sum(2)
        best.append(np.linalg.norm(placed - local[:, point, None], axis=-1).mean(0).argmin())
    rows = np.arange(len(chosen))
    return chosen[rows, best], weights[rows, best]


def estimate(model, fit: Fit, points: np.ndarray, landmarks: np.ndarray, config: PointsConfig):
    """The table of dense correspondences.

    Args:
        model: a `MorphableModel`.
        fit: N fitted faces that look ahead.
        points: `[N, 478, 2]` px.
        landmarks: `[68]`, the iBUG points among them; the sliding jaw is taken over from the 68.
        config: see `PointsConfig`.

    Returns:
        `Correspondences` and the spread `[478]` in mm.
    """
    mean = np.asarray(model.mean, np.float64).reshape(-1, 3)
    triangles = np.asarray(model.triangles).astype(int)
    places = surface_positions(model, fit, points)
    local = (points - fit.square[:, None, :2]) / fit.square[:, 2, None, None]
    pairs = mirror_pairs(np.median(local, axis=0))
    both = np.concatenate([places, places[:, pairs] * np.float32([-1, 1, 1])])
    centre = np.nanmedian(both, axis=0)
    spread = np.nanmedian(np.linalg.norm(places - np.nanmedian(places, axis=0), axis=-1), axis=0)
    missing = np.isnan(places[:, :, 0]).mean(0)

    jaw = landmark_correspondences(model)
    jaw_index = landmarks[jaw.sliding]
    keep = (spread <= config.max_spread_mm) & (missing < 0.1) & np.isfinite(centre).all(1)
    keep[list(IRISES)] = False
    keep[jaw_index] = False
    kept = np.flatnonzero(keep)
    candidates = closest_on_mesh(centre[kept], mean, triangles, config.candidates)
    chosen, barycentric = best_of_candidates(model, fit, points[:, kept], *candidates)
    weights = 1.0 / np.maximum(spread[kept], 1.0)
    weights *= (config.information - jaw.weights[jaw.sliding].sum()) / weights.sum()
    table = Correspondences(
        index=np.concatenate([kept, jaw_index]),
        corners=np.concatenate([triangles[chosen], jaw.corners[jaw.sliding]]),
        barycentric=np.concatenate([barycentric, jaw.barycentric[jaw.sliding]]),
        weights=np.concatenate([weights, jaw.weights[jaw.sliding]]),
        sliding=len(kept) + np.arange(len(jaw_index)),
        strips=jaw.strips,
        outward=jaw.outward,
    )
    return table, spread


def main(arguments=None) -> None:
    """`python -m tfface.pipelines.mediapipe_points --photos FOLDER --output TABLE.npz`."""
    from tfface.morphable.fitting import fit
    from tfface.morphable.model import MorphableModel
    from tfface.pipelines import landmark_photos

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--output", required=True)
    options = parser.parse_args(arguments)
    config, model = PointsConfig(), MorphableModel.default()
    photos = landmark_photos.load(options.photos)
    pitch = np.abs(photos.euler[:, 1] - np.median(photos.euler[:, 1]))
    ahead = photos.train & (np.abs(photos.euler[:, 0]) < config.max_yaw) & (pitch < config.max_yaw)
    rows = np.flatnonzero(ahead)
    photos = photos.take(rows[:: max(1, len(rows) // config.faces)])
    table = landmark_correspondences(model)
    index = photos.landmarks
    for step in range(config.rounds):
        fitted = fit(model, photos.points[:, index], table)
        table, spread = estimate(model, fitted, photos.points, photos.landmarks, config)
        index = table.index
        print(f"round {step + 1}: {len(table.index)} of 478 points, median spread {np.median(spread):.2f} mm")
    table.save(options.output)


if __name__ == "__main__":
    main()
