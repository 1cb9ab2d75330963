"""Training of CoarseNet's `refined` correction, on faces as CoarseNet and its `aligned` correction leave them.

Faces are collected first, in files of 800, and what the network sees of them is computed once: then a step costs a
tenth of what it would with rendering and CoarseNet in it. An interrupted run goes on after its last file or epoch.
"""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfface.losses.estimates import EstimateWeights
from tfface.networks.coarse_net import IterativeCoarseNet, changed
from tfface.output import write_arrays
from tfface.pipelines.assemble import load_coarse_run
from tfface.pipelines.coarse_data import CoarseDataConfig
from tfface.pipelines.correction_trainer import CorrectionTrainer, check_sources, joined
from tfface.pipelines.fit_aligned import FitAlignedConfig, collect
from tfface.pipelines.runs import write_config
from tfface.pipelines.shuffling import seekable_indices
from tfface.progress import tracked
from tfface.rendering.aligned_view import DIRECTIONS, AlignedView, mirrored


@dataclasses.dataclass(frozen=True)
class TrainRefineConfig:
    """A training run; the same config and output folder continue it where it stopped.

    Attributes:
        output: folder of the run: `faces/`, `views/`, `backup/` for resuming, `history.csv`, and, as of `tfface train
            coarse`, `coarse_net.json` and the weights.
        coarse: folder of a run, best with an `aligned` correction, or of a model; what is `refined` already is trained
            anew.
        data: where faces come from; of `photo_share` and `reposed_share` only the ratio counts here. The seed should
            not be that of the faces that `aligned` was fitted to, which it makes fewer errors on.
        synthetic, photographs: how many, rounded up to files, of which the last is held out; no photographs without
            `data.photos`.
        network: widths of `refine_net`.
        criterion: weights of what is made small.
        batch: faces per step; each counts as it is and mirrored, at random.
        steps: in all.
        epoch_steps: per epoch, after which the network is saved.
        learning_rate: of AdamW, after a rise over 100 steps; it falls along a cosine to a fiftieth.
        weight_decay: of AdamW.
        average: of the weights' moving average, which is what is saved.
        seed: of everything random but the faces.
    """

    output: str = "runs/refine"
    coarse: str | None = None
    data: CoarseDataConfig = CoarseDataConfig(photo_share=0.6, reposed_share=0.4, seed=311)
    synthetic: int = 33600
    photographs: int = 31200
    network: tuple[int, ...] = (48, 64, 128)
    criterion: EstimateWeights = EstimateWeights()
    batch: int = 64
    steps: int = 11000
    epoch_steps: int = 500
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    average: float = 0.995
    seed: int = 0


PRESETS = {"release": TrainRefineConfig()}


def collect_views(coarse: IterativeCoarseNet, config: TrainRefineConfig) -> list[list[Path]]:
    """Files of what the network sees, of synthetic faces and of photographs, written if they aren't there yet.

    Each holds {"gradients" `[800, 32, 32, 9]` float16, "r", "estimate" `[800, 290]`, "photo"}: the picture as it lies
    on the estimate, the truth, the corrected estimate, and whether these are photographs, 0 or 1.

    Args:
        coarse: without `refined`.
        config: the run.

    Raises:
        FileNotFoundError, ValueError: see `coarse_dataset`.
    """
    of_faces = FitAlignedConfig(config.output, config.data, config.synthetic, config.photographs)
    faces = collect(coarse, of_faces)
    view = AlignedView(coarse.face_model, coarse.config.size)

    @tf.function(autograph=False, reduce_retracing=True)
    def look(image, answer):
        estimate = coarse.corrected(image, answer)
        return view(image, estimate), estimate

    views = [[Path(config.output) / "views" / path.name for path in paths] for paths in faces]
    both = [(face, path, kind) for kind in (0, 1) for face, path in zip(faces[kind], views[kind], strict=True)]
    missing = [job for job in both if not job[1].is_file()]
    for face, path, kind in tracked(missing, "views", total=len(missing)):
        with np.load(face) as file:
            image, r, a = file["image"], file["r"], file["a"]
        parts = [
            look(tf.cast(image[first : first + 50], tf.float32) / 255.0, a[first : first + 50])
            for first in range(0, len(r), 50)
        ]
        gradients, estimate = (np.concatenate(part) for part in zip(*parts, strict=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {"gradients": np.float16(gradients), "r": r, "estimate": estimate}
        write_arrays(path, found | {"photo": np.float32(kind)}, compressed=False)
    return views


def read_views(model, paths) -> dict[str, tf.Tensor]:
    """Files of `collect_views` together, each face twice, the second time mirrored.

    Returns:
        {"gradients" `[2N, 32, 32, 9]` float16, "r", "estimate" `[2N, 290]`, "photo" `[2N]`}.
    """
    parts = {name: [] for name in ("gradients", "r", "estimate", "photo")}
    for path in tracked(paths, "reading"):
        with np.load(path) as file:
            r, estimate, gradients = file["r"], file["estimate"], file["gradients"]
            parts["gradients"] += [gradients, mirrored(gradients).numpy()]
            parts["photo"] += [np.full(2 * len(r), file["photo"], np.float32)]
        parts["r"] += [r, model.reflection(r).numpy()]
        parts["estimate"] += [estimate, model.reflection(estimate).numpy()]
    return joined(parts)


def views_dataset(views: dict[str, tf.Tensor], batch: int, seed: int, start: int = 0) -> tf.data.Dataset:
    """Endless batches of what `read_views` returns, in random order; element i depends on the seed and i alone."""

    @tf.autograph.experimental.do_not_convert
    def pick(_, index):
        return {name: tf.gather(values, index) for name, values in views.items()}

    indices = seekable_indices(len(views["photo"]), batch, seed, start)
    return indices.map(pick, num_parallel_calls=1).prefetch(2)


@keras.saving.register_keras_serializable(package="tfface")
class RefineTrainer(CorrectionTrainer):
    """Trains the `refine_net` of a CoarseNet by `fit`.

    Args:
        coarse: an `IterativeCoarseNet` with `refined`.
        config: its criterion and seed are used.
    """

    def __init__(self, coarse: IterativeCoarseNet, config: TrainRefineConfig, **kwargs):
        super().__init__(coarse, coarse.refine_net, config.criterion, config.seed, **kwargs)

    def answer(self, faces, training):
        estimate = faces["estimate"]
        step = self.network([tf.cast(faces["gradients"], tf.float32), estimate], training=training)
        return estimate + step, 0.0


def build_trainer(coarse: IterativeCoarseNet, config: TrainRefineConfig, views: dict[str, tf.Tensor]) -> RefineTrainer:
    """The compiled trainer of a run at its initial weights; `coarse` has `refined`, whose inputs `views` scale."""
    some = tf.cast(views["gradients"][:: max(len(views["photo"]) // 2000, 1)], tf.float32)[..., :DIRECTIONS]
    coarse.refine_net.get_layer("standardised").set_weights(
        [tf.reduce_mean(some, axis=0), tf.math.reduce_std(some, axis=0) + 0.02]
    )
    trainer = RefineTrainer(coarse, config)
    trainer.compile_for(config)
    return trainer


def train_refine(model, config: TrainRefineConfig) -> IterativeCoarseNet:
    """Trains, or goes on where an interrupted run stopped; returns CoarseNet with both corrections.

    Args:
        model: a `MorphableModel`.
        config: the run.

    Raises:
        FileNotFoundError: there is no such CoarseNet, or no photographs.
        ValueError: no CoarseNet is named, or photographs without fits, or a file is something else.
    """
    check_sources(config)
    plain = changed(load_coarse_run(config.coarse, model), refined=(), look=())
    write_config(config)
    kinds = [paths for paths in collect_views(plain, config) if paths]
    views = read_views(model, [path for paths in kinds for path in paths[:-1]])
    held_out = read_views(model, [paths[-1] for paths in kinds])
    keras.utils.set_random_seed(config.seed)
    coarse = changed(plain, refined=tuple(config.network))
    trainer = build_trainer(coarse, config, views)
    trainer.train(
        coarse,
        lambda start: views_dataset(views, config.batch, config.seed, start),
        tf.data.Dataset.from_tensor_slices(held_out).batch(100),
        config,
    )
    return coarse
