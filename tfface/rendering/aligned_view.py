"""The picture as it lies on a face: the same place of it always shows the same part of the face.

Where an estimate of the face is right, every feature is where the mean face has it; where it is wrong, the feature has
moved by as much. What moved is read off oriented gradients, which light and skin tone change little (Dalal and Triggs,
"Histograms of Oriented Gradients for Human Detection", CVPR 2005).
"""

import numpy as np
import tensorflow as tf

from tfface.geometry.camera import project
from tfface.geometry.mesh import vertex_faces, vertex_normals
from tfface.morphable import representation
from tfface.rendering.sampling import sample_bilinear
from tfface.rendering.visibility import rasterize
from tfface.resampling import axis_weights

PICTURE = 128
"""Width of the aligned picture, px: about 1.5 mm each."""
CELLS = 32
"""Cells along each side whose gradients are pooled: about 6 mm each."""
DIRECTIONS = 8
_CELL = PICTURE // CELLS
PATCH = 2 * _CELL**2 + 1
"""Channels of `AlignedView.patches`."""
_REVERSED = np.arange(_CELL**2).reshape(_CELL, _CELL)[:, ::-1].ravel()
"""A patch's pixels when each row runs the other way."""
_OTHER_SIDE = {
    # A slope to the right is one to the left there.
    DIRECTIONS + 1: np.r_[(DIRECTIONS // 2 - np.arange(DIRECTIONS)) % DIRECTIONS, DIRECTIONS],
    PATCH: np.r_[_REVERSED, _CELL**2 + _REVERSED, PATCH - 1],
}
"""Which channels gradients and patches have in their place in the mirrored picture."""
_NODES = 32
"""Places along each side that are projected; those of the pixels between them are interpolated."""
_AZIMUTH = np.radians(80.0)
_BEHIND_EARS = 10.0
"""mm from the ends of the jaw line, which are beside the ears, back to the axis that the picture is wound around."""


class AlignedView:
    """Gradients of pictures on the surface of estimated faces.

    The face is unrolled from a vertical cylinder around the mean head: columns are azimuths from −80° to 80°, rows are
    heights from the top of the forehead to the chin.

    Args:
      model: has `mean`, `triangles`, `landmarks`, `face_vertices` and `decode`, as a `MorphableModel`.
      size: width of the square crop, px.
    """

    def __init__(self, model, size: int):
        self.model, self.size = model, size
        self.corners, self.weights, self.inside = _nodes(model)
        normals = vertex_normals(
            tf.constant(model.mean[None], tf.float32),
            model.triangles,
            vertex_faces(model.triangles, len(model.mean)),
        )
        normals = np.einsum("nk,nkc->nc", self.weights, normals.numpy()[0][self.corners])
        self.normals = (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)

    def picture(self, image: tf.Tensor, r: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The aligned picture `[B, 128, 128, 1]` at mean 0 and deviation 1, and how well it is seen there, 0…1.

        Args:
          image: `[B, size, size, 1]` grey.
          r: `[B, 290]`, the estimate.
        """
        identity, expression, pose = representation.split(r)
        camera = representation.camera(pose, self.size)
        nodes = tf.gather(self.model.decode(identity, expression), self.corners, axis=1)
        nodes = tf.reduce_sum(nodes * self.weights[None, :, :, None], axis=2)
        place = project(nodes, *camera)[..., :2]
        # How far the mean face turns towards the viewer there: the estimate's own normals would tell hardly more.
        facing = tf.matmul(camera.rotation[:, 2], self.normals, transpose_b=True)
        # A constant, once: an array would be in the graph as often as it is named.
        enlarged = tf.constant(_ENLARGED)
        planes = [place[..., 0], place[..., 1], facing]
        x, y, facing = (_along_both(enlarged, tf.reshape(plane, [-1, _NODES, _NODES])) for plane in planes)
        place, facing = tf.stack([x, y], axis=-1), facing[..., None]
        within = tf.cast((place > 0.0) & (place < float(self.size)), tf.float32)
        seen = tf.clip_by_value(4.0 * facing, 0.0, 1.0) * within[..., :1] * within[..., 1:] * self.inside
        grey = sample_bilinear(image, place)
        area = tf.reduce_sum(seen, axis=[1, 2], keepdims=True) + 1.0
        away = grey - tf.reduce_sum(grey * seen, axis=[1, 2], keepdims=True) / area
        deviation = tf.sqrt(tf.reduce_sum(tf.square(away) * seen, axis=[1, 2], keepdims=True) / area)
        return away * seen / (deviation + 0.02), seen

    def __call__(self, image: tf.Tensor, r: tf.Tensor) -> tf.Tensor:
        """`[B, 32, 32, 9]`: strength of gradients in 8 directions by that of those around, and how well it is seen.

        Args:
          image: `[B, size, size, 1]` grey.
          r: `[B, 290]`, the estimate.
        """
        across, down, inner = _slopes(*self.picture(image, r))
        gaussian, pool = tf.constant(_GAUSSIAN), tf.constant(_POOLED)
        squared = tf.square(across) + tf.square(down) + 1e-8
        strength = tf.sqrt(squared) * inner
        around = _along_both(gaussian, strength) / (_along_both(gaussian, inner) + 1e-3) + 0.05
        # Each gradient counts for the directions next to its own: by the fourth power of the cosine.
        share = strength / (tf.square(squared) * around)
        angles = 2.0 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
        along = [tf.nn.relu(float(np.cos(a)) * across + float(np.sin(a)) * down) for a in angles]
        pooled = [tf.sqrt(_along_both(pool, tf.square(tf.square(x)) * share) + 1e-6) for x in along]
        return tf.stack([*pooled, _along_both(pool, inner)], axis=-1)

    def patches(self, image: tf.Tensor, r: tf.Tensor) -> tf.Tensor:
        """`[B, 32, 32, 33]`: each cell's 4×4 px of the aligned picture, row by row, as they are and by the contrast
        around them, and how well the cell is seen.

        Args:
          image: `[B, size, size, 1]` grey.
          r: `[B, 290]`, the estimate.
        """
        picture, seen = self.picture(image, r)
        shown, nearby = seen[..., 0], tf.constant(_NEARBY)
        area, near = tf.split(_along_both(nearby, tf.concat([shown, picture[..., 0]], axis=0)), 2)
        area += 1e-2
        away = (picture[..., 0] - near / area) * shown
        local = away / (tf.sqrt(_along_both(nearby, tf.square(away)) / area) + 0.1)
        parts = [tf.nn.space_to_depth(plane, _CELL) for plane in (picture, local[..., None])]
        return tf.concat([*parts, tf.nn.avg_pool2d(seen, _CELL, _CELL, "VALID")], axis=-1)


def mirrored(view: tf.Tensor) -> tf.Tensor:
    """What the mirrored picture shows on the mirrored face: gradients or patches `[B, 32, 32, C]` of `AlignedView`.

    As good as looking once more, but for some pixels where the face ends, whose triangles aren't quite symmetric.
    """
    return tf.gather(tf.reverse(view, [2]), _OTHER_SIDE[view.shape[-1]], axis=-1)


def _slopes(picture: tf.Tensor, seen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Slopes of `[B, H, W, 1]` to the right and down, per pixel, by Sobel's filter; and how well all of its nine pixels
    are seen: where what is seen ends there is no edge of the face. Each `[B, H, W]`."""
    # Plane by plane, which is three times as fast as with channels last; the border repeats.
    x = picture[..., 0]
    x = tf.concat([x[:, :1], x, x[:, -1:]], axis=1)
    x = tf.concat([x[:, :, :1], x, x[:, :, -1:]], axis=2)
    row = (x[:, :-2] + 2.0 * x[:, 1:-1] + x[:, 2:]) / 8.0
    column = (x[:, :, :-2] + 2.0 * x[:, :, 1:-1] + x[:, :, 2:]) / 8.0
    inner = -tf.nn.max_pool2d(-seen, 3, 1, "SAME")[..., 0]
    return row[:, :, 2:] - row[:, :, :-2], column[:, 2:] - column[:, :-2], inner


def _along_both(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`[B, W, W]` by weights `[N, W]` along rows and columns, `[B, N, N]`."""
    # As two plain matrix products: an einsum makes the same of it, but not in ONNX.
    return tf.tensordot(tf.tensordot(values, weights, [[1], [1]]), weights, [[1], [1]])


def _pooling() -> np.ndarray:
    """`[32, 128]`: triangles as wide as two cells."""
    centres = (np.arange(CELLS) + 0.5) * _CELL - 0.5
    weights = np.maximum(1.0 - np.abs(centres[:, None] - np.arange(PICTURE)) / _CELL, 0.0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _gaussian(deviation: float) -> np.ndarray:
    """`[128, 128]`."""
    weights = np.exp(-0.5 * ((np.arange(PICTURE)[:, None] - np.arange(PICTURE)) / deviation) ** 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


_POOLED, _GAUSSIAN, _NEARBY = _pooling(), _gaussian(16.0), _gaussian(4.0)
_ENLARGED = axis_weights(_NODES, 0.0, _NODES / PICTURE, PICTURE)


def _nodes(model) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the projected places lie on the face.

    Returns:
      Their triangles' corners `[K, 3]` and barycentric coordinates `[K, 3]`, row by row, beside the face those of the
      nearest place on it; and where the picture shows face, `[1, 128, 128, 1]`, 0 or 1.
    """
    mean, triangles = np.asarray(model.mean, np.float64), np.asarray(model.triangles)
    jaw = mean[np.asarray(model.landmarks)][[0, 16]]
    depth = mean[:, 2] - (jaw[:, 2].mean() - _BEHIND_EARS)
    azimuth, radius = np.arctan2(mean[:, 0], depth), np.hypot(mean[:, 0], depth)
    on_face = model.face_vertices()
    low, high = mean[on_face, 1].min(), mean[on_face, 1].max()
    unrolled = np.stack(
        [(azimuth / _AZIMUTH + 1.0) / 2.0 * _NODES, (high - mean[:, 1]) / (high - low) * _NODES, radius], axis=-1
    )
    triangles = triangles[on_face[triangles].all(axis=1)]
    seen = rasterize(tf.constant(unrolled[None], tf.float32), triangles, _NODES, _NODES)
    number, weights = seen.triangle.numpy().reshape(-1), seen.barycentric.numpy().reshape(3, -1).T
    known = np.flatnonzero(number >= 0)
    y, x = np.divmod(np.arange(_NODES**2), _NODES)
    nearest = known[np.argmin((y[:, None] - y[known]) ** 2 + (x[:, None] - x[known]) ** 2, axis=1)]
    inside = _ENLARGED @ (number >= 0).reshape(_NODES, _NODES).astype(np.float32) @ _ENLARGED.T > 0.5
    return triangles[number[nearest]], weights[nearest], inside.astype(np.float32)[None, :, :, None]
