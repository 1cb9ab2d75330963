"""Synthetic faces held in memory and drawn by number: fast on two cores, and exactly repeatable after a resume."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.progress import track

from tfface.pipelines.synthetic import SyntheticConfig, SyntheticWorld


class SyntheticBank:
    """Pre-rendered synthetic faces; rendering once and drawing often costs a fraction of rendering each time.

    Args:
      model: a `MorphableModel`.
      config: the synthetic world.
      count: faces to keep.
      path: .npz cache; rendered and written when it doesn't exist.
      seed: of the faces.
    """

    def __init__(self, model, config: SyntheticConfig, count: int, path: Path, seed: int = 0):
        path = Path(path)
        if not path.is_file():
            self._render(SyntheticWorld(model, config), count, path, seed)
        with np.load(path, allow_pickle=False) as file:
            self.images, self.r = tf.constant(file["image"]), tf.constant(file["r"])
        self.config = config

    @staticmethod
    def _render(world: SyntheticWorld, count: int, path: Path, seed: int) -> None:
        draw = tf.function(world.draw)
        images, r = [], []
        for i in track(range(-(-count // world.config.batch)), description="Rendering synthetic faces"):
            sample = draw(tf.constant([seed, i], tf.int64))
            images.append(np.round(sample["image"].numpy() * 255.0).astype(np.uint8))
            r.append(sample["r"].numpy())
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, image=np.concatenate(images)[:count], r=np.concatenate(r)[:count])
        temporary.replace(path)

    def draw(self, batch: int, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """`batch` random faces: image `[B, S, S, 1]` in 0…1 and r `[B, 290]`."""
        index = tf.random.stateless_uniform([batch], seed, 0, self.r.shape[0], tf.int32)
        return {
            "image": tf.cast(tf.gather(self.images, index), tf.float32) / 255.0,
            "r": tf.gather(self.r, index),
        }
