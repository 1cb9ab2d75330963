"""Evaluation's pictures as photographs come: with what surrounds a face, and as small, compressed files."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfface.pipelines.files import compressed, enlarged
from tfface.pipelines.surroundings import Surroundings
from tfface.pipelines.synthetic_detail import SEED, Head, Picture

ENLARGED, QUALITY = 2.2, (40, 95)
"""Times that a small picture was smaller at most, and what JPEG quality it has."""


class AsPhotographed:
    """Changes what evaluation renders; the same head always alike.

    Args:
      model: a `MorphableModel`.
      surroundings: folder of `surroundings.write_surroundings`; None leaves heads bald.
      small: whether pictures were up to 2.2 times smaller, and are compressed.
    """

    def __init__(self, model, surroundings=None, small: bool = False):
        self.model, self.folder, self.small = model, surroundings, small
        self._surroundings = {}

    def __call__(self, picture: Picture, head: Head) -> Picture:
        """The picture, and in its `skin` only what is still seen of it.

        Raises:
          FileNotFoundError: the folder holds no surroundings.
        """
        image, skin, size = picture.image, picture.skin, len(picture.image)
        seed = tf.constant([SEED, head.seed], tf.int64)
        if self.folder is not None:
            if size not in self._surroundings:
                self._surroundings[size] = Surroundings(self.folder, self.model, size)
            seen = (tf.constant(x[None, :, :, None], tf.float32) for x in (image, picture.mask))
            laid, shown = self._surroundings[size](*seen, tf.constant(head.r[None]), seed)
            shown = shown[0, ..., 0].numpy()
            noise = np.random.default_rng([SEED, head.seed, 3]).normal(0.0, head.noise, image.shape)
            image = np.clip(laid[0, ..., 0].numpy() + (1.0 - shown) * noise, 0.0, 1.0)
            skin = skin & (shown > 0.9)
        if self.small:
            batch = tf.constant(image[None, :, :, None], tf.float32)
            batch = tf.clip_by_value(enlarged(batch, 1.0, ENLARGED, seed + 1), 0.0, 1.0)
            image = compressed(batch, 1.0, QUALITY, seed + 2)[0, ..., 0].numpy()
        return dataclasses.replace(picture, image=image.astype(np.float32), skin=skin)
