"""Training of CoarseNet's `look` correction, with the picture laid on disturbed estimates at every step.

What earlier corrections leave wrong is what they couldn't see, and a network that is shown only that learns next to
nothing in a thousand steps. An estimate that is wrong by another face's error as well is wrong in ways that do show.
Faces are collected first, in files of 800. An interrupted run goes on after its last file or epoch.
"""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfface.losses.estimates import EstimateWeights, PlaceMoves
from tfface.networks.coarse_net import IterativeCoarseNet, changed
from tfface.output import write_arrays
from tfface.pipelines.assemble import load_coarse_run
from tfface.pipelines.coarse_data import CoarseDataConfig
from tfface.pipelines.correction_trainer import CorrectionTrainer, check_sources, joined
from tfface.pipelines.fit_aligned import FitAlignedConfig, collect
from tfface.pipelines.runs import write_config
from tfface.pipelines.shuffling import seekable_indices
from tfface.progress import tracked


@dataclasses.dataclass(frozen=True)
class TrainLookConfig:
    """A training run; the same config and output folder continue it where it stopped.

    Attributes:
        output: folder of the run: `faces/`, `estimates/`, `backup/` for resuming, `history.csv`, and, as of `tfface
            train coarse`, `coarse_net.json` and the weights.
        coarse: folder of a run, best with `aligned` and `refine` corrections, or of a model. A `look` of the same
            widths that it has already is trained on, another is left out.
        data: where faces come from; of `photo_share` and `reposed_share` only the ratio counts here. The seed should
            not be that of the faces that the corrections were fitted to.
        synthetic, photographs: how many, rounded up to files, of which the last is held out; no photographs without
            `data.photos`, and a look that is trained on without them unlearns photographs.
        network: widths of `look_net`.
        looks: that are taken in use.
        disturbed: share of faces whose estimate is disturbed.
        disturbance: of another face's error, which is added times 0 up to this.
        criterion: weights of what is made small of r.
        moves, photo_moves: weight of the distances of places' own moves, and what they count on photographs.
        moves_depth: weight of these in depth, which doesn't count on photographs.
        batch: faces per step; each counts as it is and mirrored, at random.
        steps: in all.
        epoch_steps: per epoch, after which the network is saved.
        learning_rate: of AdamW, after a rise over 100 steps; it falls along a cosine to a fiftieth.
        weight_decay: of AdamW.
        average: of the weights' moving average, which is what is saved.
        seed: of everything random but the faces.
    """

    output: str = "runs/look"
    coarse: str | None = None
    data: CoarseDataConfig = CoarseDataConfig(photo_share=0.6, reposed_share=0.4, seed=321)
    synthetic: int = 33600
    photographs: int = 31200
    network: tuple[int, ...] = (48, 64, 128)
    looks: int = 2
    disturbed: float = 0.67
    disturbance: float = 1.5
    criterion: EstimateWeights = EstimateWeights(depth=1.0, softness=0.25)
    moves: float = 1.0
    photo_moves: float = 0.3
    moves_depth: float = 0.3
    batch: int = 64
    steps: int = 8500
    epoch_steps: int = 500
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    average: float = 0.995
    seed: int = 0


PRESETS = {"release": TrainLookConfig()}


def collect_faces(coarse: IterativeCoarseNet, config: TrainLookConfig) -> list[list[Path]]:
    """Files of synthetic faces and of photographs, and beside them the estimates, written if they aren't there yet.

    See `fit_aligned.collect`; files of the same name in `estimates/` hold {"estimate" `[800, S, 290]`, "photo"}: what
    each correction made of CoarseNet's answer, or that answer where there is none, and whether these are photographs,
    0 or 1.

    Args:
        coarse: without `look`.
        config: the run.

    Raises:
        FileNotFoundError, ValueError: see `coarse_dataset`.
    """
    kinds = collect(coarse, FitAlignedConfig(config.output, config.data, config.synthetic, config.photographs))

    @tf.function(autograph=False, reduce_retracing=True)
    def stages(image, r):
        found = []
        for name in coarse.corrections:
            found.append(coarse.corrected_by(name, image, found[-1] if found else r))
        return tf.stack(found or [r], axis=1)

    jobs = [(path, _estimates(path), kind) for kind, paths in enumerate(kinds) for path in paths]
    missing = [job for job in jobs if not job[1].is_file()]
    for path, to, kind in tracked(missing, "estimates", total=len(missing)):
        with np.load(path) as file:
            image, a = file["image"], file["a"]
        some = range(0, len(a), 50)
        parts = [stages(tf.cast(image[i : i + 50], tf.float32) / 255.0, a[i : i + 50]).numpy() for i in some]
        to.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(to, {"estimate": np.concatenate(parts), "photo": np.float32(kind)}, compressed=False)
    return [paths for paths in kinds if paths]


def _estimates(path: Path) -> Path:
    return path.parents[1] / "estimates" / path.name


def read_faces(paths) -> dict[str, tf.Tensor]:
    """Files of `collect_faces` together.

    Returns:
        {"image" `[N, size, size, 1]` uint8, "r" `[N, 290]`, "estimate" `[N, S, 290]`, "photo" `[N]`}.
    """
    parts = {name: [] for name in ("image", "r", "estimate", "photo")}
    for path in tracked(paths, "reading"):
        with np.load(path) as face, np.load(_estimates(path)) as file:
            found = {"image": face["image"], "r": face["r"], "estimate": file["estimate"]}
            found["photo"] = np.full(len(found["r"]), file["photo"], np.float32)
        for name, values in found.items():
            parts[name].append(values)
    return joined(parts)


def disturbed_faces(model, faces: dict[str, tf.Tensor], config: TrainLookConfig, start: int = 0) -> tf.data.Dataset:
    """Endless batches {"image" `[B, size, size, 1]` 0…1, "r", "estimate" `[B, 290]`, "photo" `[B]`} in random order.

    An estimate is that of any correction, plus another synthetic face's error after the first one. Element i depends
    on the seed and i alone.

    Args:
        model: a `MorphableModel`.
        faces: as `read_faces` returns them, with synthetic ones among them.
        config: of the run.
        start: the number of the first batch.
    """
    errors = faces["estimate"][:, 0] - faces["r"]
    errors = tf.boolean_mask(errors, faces["photo"] == 0.0)
    stages = faces["estimate"].shape[1]

    @tf.autograph.experimental.do_not_convert
    def pick(position, index):
        draw = tf.random.stateless_uniform(
            [5, config.batch], tf.stack([tf.constant(config.seed, tf.int64), position[0]])
        )
        image, r, estimates, photo = (tf.gather(faces[name], index) for name in ("image", "r", "estimate", "photo"))
        estimate = tf.gather(estimates, tf.cast(draw[0] * stages, tf.int32), axis=1, batch_dims=1)
        other = tf.gather(errors, tf.cast(draw[1] * tf.cast(tf.shape(errors)[0], tf.float32), tf.int32))
        amount = tf.where(draw[2] < config.disturbed, config.disturbance * draw[3], 0.0)
        estimate += amount[:, None] * other
        image, mirrored = tf.cast(image, tf.float32) / 255.0, (draw[4] < 0.5)[:, None]
        return {
            "image": tf.where(mirrored[..., None, None], tf.reverse(image, [2]), image),
            "r": tf.where(mirrored, model.reflection(r), r),
            "estimate": tf.where(mirrored, model.reflection(estimate), estimate),
            "photo": photo,
        }

    indices = seekable_indices(len(faces["photo"]), config.batch, config.seed, start)
    return indices.map(pick, num_parallel_calls=1).prefetch(2)


@keras.saving.register_keras_serializable(package="tfface")
class LookTrainer(CorrectionTrainer):
    """Trains the `look_net` of a CoarseNet by `fit`.

    Args:
        coarse: an `IterativeCoarseNet` with `look`.
        config: its weights and seed are used.
    """

    def __init__(self, coarse: IterativeCoarseNet, config: TrainLookConfig, **kwargs):
        super().__init__(coarse, coarse.look_net, config.criterion, config.seed, **kwargs)
        self.config, self.view, self.moves = config, coarse.aligned_view, PlaceMoves(coarse.aligned_view)

    def answer(self, faces, training):
        estimate, photo, config = faces["estimate"], faces["photo"], self.config
        patches = tf.stop_gradient(self.view.patches(faces["image"], estimate))
        step, moves = self.network([patches, estimate], training=training)
        beside, deep = self.moves.distance(moves, estimate, faces["r"], patches[..., -1:], config.criterion.softness)
        count = 1.0 - (1.0 - config.photo_moves) * photo
        return estimate + step, config.moves * (count * beside + config.moves_depth * (1.0 - photo) * deep)


def train_look(model, config: TrainLookConfig) -> IterativeCoarseNet:
    """Trains, or goes on where an interrupted run stopped; returns CoarseNet with all its corrections.

    Args:
        model: a `MorphableModel`.
        config: the run.

    Raises:
        FileNotFoundError: there is no such CoarseNet, or no photographs.
        ValueError: no CoarseNet is named, or photographs without fits, or a file is something else.
    """
    check_sources(config)
    given = load_coarse_run(config.coarse, model)
    plain = changed(given, look=())
    write_config(config)
    kinds = collect_faces(plain, config)
    faces = read_faces([path for paths in kinds for path in paths[:-1]])
    last = read_faces([paths[-1] for paths in kinds])
    last |= {"estimate": last["estimate"][:, -1]}
    keras.utils.set_random_seed(config.seed)
    coarse = changed(plain, look=tuple(config.network), looks=config.looks)
    if given.config.look == coarse.config.look:
        coarse.look_net.set_weights(given.look_net.get_weights())
    trainer = LookTrainer(coarse, config)
    trainer.compile_for(config)
    trainer.train(
        coarse,
        lambda start: disturbed_faces(model, faces, config, start),
        tf.data.Dataset.from_tensor_slices(last)
        .batch(100)
        .map(lambda some: some | {"image": tf.cast(some["image"], tf.float32) / 255.0}),
        config,
    )
    return coarse
