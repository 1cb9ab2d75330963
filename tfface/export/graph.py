"""The whole way from crop to detailed face as one graph, in operations that every format has."""

import keras
import numpy as np
import tensorflow as tf

from tfface.geometry.depth import normals_from_depth
from tfface.images import LUMA
from tfface.morphable import representation
from tfface.networks.coarse_net import IterativeCoarseNet
from tfface.rendering.coarse_surface import CoarseSurface
from tfface.resampling import axis_weights

OUTPUTS = ("r", "pose", "landmarks", "vertices", "coarse_depth", "fine_depth", "normals", "mask")


class GraphFaceModel:
    """What the graph needs of a morphable model, with its basis in one variable.

    `MorphableModel.decode` would put a copy of the basis, 15 MB, into the graph for every pass.

    Args:
      model: a `MorphableModel`.
    """

    def __init__(self, model):
        self.mean = np.asarray(model.mean)
        self.triangles = np.asarray(model.triangles)
        self.landmarks = np.asarray(model.landmarks)
        self.reflection = model.reflection
        self.face_vertices = model.face_vertices
        self.steps = model.steps
        self.basis = keras.Variable(model.geometry_basis, trainable=False, name="geometry_basis")

    def decode(self, identity, expression):
        """Eq. (1): vertices `[B, V, 3]` in mm of identity `[B, 200]` and expression `[B, 84]`."""
        offsets = tf.matmul(tf.concat([identity, expression], axis=-1), tf.convert_to_tensor(self.basis))
        return tf.reshape(offsets, [-1, len(self.mean), 3]) + self.mean


class FaceGraph:
    """Crops in, faces out: CoarseNet's passes with the renderer between them, depth, FineNet and normals.

    Args:
      networks: a `tfface.networks.pretrained.Pretrained`.
      size: width of the square crops, px. CoarseNet sees them at its own size; depth and FineNet have this one.
      half: keep the weights as float16. The arithmetic stays float32.

    Attributes:
      stored: the variables of all weights, in the precision that was asked for; the graph reads no others.
    """

    def __init__(self, networks, size: int = 200, half: bool = False):
        self.size = size
        self.face_model = GraphFaceModel(networks.face_model)
        self.coarse = IterativeCoarseNet(self.face_model, networks.coarse.config)
        self.fine = networks.fine
        self.surface = CoarseSurface(networks.face_model)
        # Rendered now, because the basis that it needs is not at hand while the graph is traced.
        self.coarse.first_feedback  # noqa: B018
        source = [*networks.coarse.variables, *networks.fine.variables, self.face_model.basis]
        self._variables = [*self.coarse.variables, *networks.fine.variables, self.face_model.basis]
        dtype = tf.float16 if half else tf.float32
        self.stored = [
            tf.Variable(tf.cast(tf.convert_to_tensor(variable), dtype), trainable=False, name=f"weight_{index}")
            for index, variable in enumerate(source)
        ]

    def __call__(self, crops: tf.Tensor) -> dict[str, tf.Tensor]:
        """Reconstructs.

        Args:
          crops: `[B, size, size, 3]` float32 RGB in 0…1, cut as docs/detection.md says; grey in all three channels
            does as well.

        Returns:
          `r` `[B, 290]`, `pose` `[B, 6]` (its last six numbers), `landmarks` `[B, 68, 3]` and `vertices` `[B, V, 3]`
          (px of the crop: x right, y down, z nearer), `coarse_depth` and `fine_depth` `[B, size, size]` (px, 0 off the
          face), `mask` `[B, size, size]` (1 on the face), `normals` `[B, size, size, 3]` (of the fine depth; zeros off
          the face).
        """
        grey = tf.reduce_sum(crops * LUMA, axis=-1, keepdims=True)
        with self._weights():
            r = self.coarse(self._coarse_view(grey), training=False)
            vertices = representation.vertices_image(self.face_model, r, self.size)
            surface = self.surface(vertices, self.size, self.size)
            depth, mask = surface.depth, surface.mask
            refined = depth + self.fine.added(grey, depth, mask, surface.detailed, training=False)
        normals = normals_from_depth(refined, mask)
        shape = [-1, self.size, self.size]
        return {
            "r": r,
            "pose": r[:, -representation.POSE_SIZE :],
            "landmarks": tf.gather(vertices, self.face_model.landmarks, axis=1),
            "vertices": vertices,
            "coarse_depth": tf.reshape(depth, shape),
            "fine_depth": tf.reshape(refined, shape),
            "normals": normals,
            "mask": tf.reshape(mask, shape),
        }

    def refine(self, image: tf.Tensor, depth: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        """FineNet alone, at any image size.

        Args:
          image: `[B, H, W, 1]` grey in 0…1.
          depth: `[B, H, W, 1]` coarse depth, px.
          mask: `[B, H, W, 1]`, 1 on the face.

        Returns:
          `fine_depth` `[B, H, W, 1]` px and `normals` `[B, H, W, 3]`, both 0 off the mask.
        """
        with self._weights():
            refined = self.fine({"image": image, "depth": depth, "mask": mask}, training=False)
        return {"fine_depth": refined, "normals": normals_from_depth(refined, mask)}

    def _weights(self) -> keras.StatelessScope:
        """While it lasts, the networks read `stored`, each weight once however often it is used."""
        values = [tf.cast(stored, tf.float32) for stored in self.stored]
        return keras.StatelessScope(state_mapping=list(zip(self._variables, values, strict=True)))

    def _coarse_view(self, grey: tf.Tensor) -> tf.Tensor:
        """`[B, size, size, 1]` at CoarseNet's size, resized as `tfface.detection.cut` does."""
        wanted = self.coarse.config.size
        if wanted == self.size:
            return grey
        weights = axis_weights(self.size, 0.0, self.size / wanted, wanted)
        plane = tf.reshape(grey, [-1, self.size, self.size])
        plane = tf.matmul(tf.matmul(weights[None], plane), weights.T[None])
        return tf.reshape(plane, [-1, wanted, wanted, 1])
