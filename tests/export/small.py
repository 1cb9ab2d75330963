"""A small but complete model, so that exporting it takes seconds; its faces differ from the mean one and each other."""

import dataclasses
import functools

import numpy as np

from tfface.networks.coarse_net import CoarseNetConfig
from tfface.networks.fine_net import FineNetConfig

SIZE = 64
COARSE = CoarseNetConfig(
    size=SIZE,
    widths=(8, 8),
    blocks=(1, 1),
    stem=8,
    passes=2,
    points=70,
    mirrored=True,
    aligned=(4, 8),
    refined=(4, 6),
    look=(4, 6),
    looks=2,
)
FINE = FineNetConfig(
    width=0.1,
    further=(6, 6, 6),
    mixing=True,
    regressor=(8,),
    slopes=True,
    standardise=True,
    light=4.0,
    smooth_upsampling=True,
    skin=(4, 6),
    mirrored=True,
)


@functools.cache
def networks(residual: bool = False):
    """Untrained networks whose answers are far from zero."""
    import keras

    from tfface.morphable.model import MorphableModel
    from tfface.networks.pretrained import build_networks

    keras.utils.set_random_seed(0)
    built = build_networks(MorphableModel.default(), dataclasses.replace(COARSE, residual=residual), FINE)
    random = np.random.default_rng(0)
    for variable in built.coarse.network.get_layer("points_to_face").variables:
        variable.assign(0.3 * np.asarray(variable))
    kernel = built.coarse.network.get_layer("appearance").kernel
    # Shape coefficients near 1, and a pose that keeps the face in the crop.
    scale = np.where(np.arange(290) < 284, 0.03, 0.004)
    kernel.assign(random.normal(size=kernel.shape) * scale)
    built.fine.detail_layer.kernel.assign(random.normal(size=built.fine.detail_layer.kernel.shape) * 0.3)
    for block in range(4, 4 + len(FINE.further)):
        for name in (f"up{block}_1", f"mix{block}_2"):
            kernel = getattr(built.fine, name).kernel
            kernel.assign(random.normal(size=kernel.shape) * 0.3)
    for network in (built.coarse.refine_net, built.coarse.look_net):
        steps = network.get_layer("steps").kernel
        steps.assign(random.normal(size=steps.shape) * 0.05)
    skin = built.fine.skin_net.get_layer("skin_answer").kernel
    skin.assign(random.normal(size=skin.shape) * 0.5)
    return built


@functools.cache
def crops(count: int, size: int = SIZE) -> np.ndarray:
    """Synthetic faces `[count, size, size, 3]` in 0…1."""
    import tensorflow as tf

    from tfface.morphable.model import MorphableModel
    from tfface.pipelines.synthetic import SyntheticConfig, SyntheticWorld

    world = SyntheticWorld(MorphableModel.default(), SyntheticConfig(size=size, batch=count))
    drawn = np.repeat(world.draw(tf.constant([5, 6], tf.int64))["image"].numpy(), 3, axis=-1)
    drawn.flags.writeable = False  # shared by all that ask
    return drawn
