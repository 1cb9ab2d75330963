"""Training of FineNet, alone on given coarse geometry or end to end with CoarseNet (§4.3, §4.4)."""

import contextlib
import dataclasses
import importlib.util
from pathlib import Path

import keras
import tensorflow as tf

from tfface.losses import shading
from tfface.networks import fine_net
from tfface.networks.end_to_end import EndToEnd, EndToEndConfig
from tfface.networks.pretrained import load_pretrained
from tfface.pipelines import fitted_photos
from tfface.pipelines.assemble import (
    load_coarse_run,
    load_fine_run,
    load_fine_weights,
    save_coarse_run,
    save_fine_run,
)
from tfface.pipelines.coarse_data import CoarseDataConfig, synthetic_batches
from tfface.pipelines.detail_bank import DetailBankConfig, detail_dataset, list_heads
from tfface.pipelines.fitted_photos import FittedPhotosConfig
from tfface.pipelines.precision import policy
from tfface.pipelines.runs import averaged, finished_epochs, write_config
from tfface.pipelines.widen_fine import widen


@dataclasses.dataclass(frozen=True)
class TrainFineConfig:
    """A training run; the same config and output folder continue it where it stopped.

    Attributes:
        output: folder of the run: `fine_net.keras`, checkpoints, `backup/` for resuming, `logs/` for
            TensorBoard.
        network: a `FineNetConfig`.
        model: an `EndToEndConfig` (criterion, skin regions, window).
        data: the photographs to train on.
        initial: .npz of FineNet's weights to start from, such as a model's `fine.npz`; None starts from random ones.
        widen: folder of a model, or of such a run, whose FineNet to start from in place of `initial`; it may have fewer
            channels and blocks, see `pipelines.widen_fine`.
        coarse: folder of `tfface train coarse` whose network is trained on, end to end; None takes the coarse geometry
            from the fits, and leaves CoarseNet as it is.
        faces: synthetic faces per step that CoarseNet is trained on beside the photographs, if it is: photographs alone
            make it forget extreme poses.
        heads: heads with true wrinkles to train on too, see `pipelines.detail_bank`.
        validation: batches of the validation photographs after each epoch; 0 for none.
        epochs: epochs in all.
        steps_per_epoch: batches per epoch.
        learning_rate: of Adam, decayed by a cosine to one twentieth.
        clip_norm: the gradient's norm is cut at this.
        average: of the weights' moving average, which is what is saved; 0 saves them as they are.
        precision: "auto" is mixed_bfloat16 on processors that have it and float32 elsewhere.
        seed: of initial weights and windows.
    """

    output: str = "runs/fine"
    network: fine_net.FineNetConfig = dataclasses.field(default_factory=fine_net.release)
    model: EndToEndConfig = dataclasses.field(
        default_factory=lambda: EndToEndConfig(criterion=shading.release(), window=176)
    )
    data: FittedPhotosConfig = FittedPhotosConfig()
    initial: str | None = None
    widen: str | None = None
    coarse: str | None = None
    faces: int = 0
    heads: DetailBankConfig = DetailBankConfig()
    validation: int = 8
    epochs: int = 40
    steps_per_epoch: int = 250
    learning_rate: float = 1e-3
    clip_norm: float = 1.0
    average: float = 0.0
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self):
        if self.initial and self.widen:
            raise ValueError(
                "expected one network to start from, in `initial` or `widen`; received both: "
                f"{self.initial} and {self.widen}"
            )


def paper(**changes) -> TrainFineConfig:
    """The paper's network and criterion, whole crops."""
    defaults = {
        "network": fine_net.paper(),
        "model": EndToEndConfig(criterion=shading.paper(), window=0),
        "learning_rate": 1e-4,
    }
    return TrainFineConfig(**(defaults | changes))


def release(**changes) -> TrainFineConfig:
    """What the shipped weights were trained with; `heads.path` names the heads with known wrinkles."""
    defaults = {
        "data": FittedPhotosConfig(min_face_px=150.0, batch_size=1),
        "heads": DetailBankConfig(
            batch=3,
            identity_off=0.25,
            expression_off=0.15,
            angle_off=1.5,
            exact=0.7,
            answered=0.4,
            off_model=0.5,
            cast=0.5,
            painted=0.35,
            flat=0.2,
            surrounded=0.7,
            covered=0.1,
            enlarged=0.3,
            jpeg=0.3,
        ),
        "model": EndToEndConfig(criterion=shading.release(), window=256, supervised=2.0, marks=1.0),
        "learning_rate": 1e-3,
        "average": 0.998,
        "epochs": 56,
        "steps_per_epoch": 100,
    }
    return TrainFineConfig(**(defaults | changes))


PRESETS = {"paper": paper, "release": release}


class SaveNetworks(keras.callbacks.Callback):
    """Writes FineNet and, if it is trained too, CoarseNet, each complete and loadable, after every epoch; averaged, if
    the optimizer does that."""

    def __init__(self, folder):
        super().__init__()
        self.folder = Path(folder)

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        with averaged(optimizer, self.model.trainable_variables) if optimizer.use_ema else contextlib.nullcontext():
            save_fine_run(self.model.fine_net, self.folder)
            if self.model.coarse_net is not None:
                save_coarse_run(self.model.coarse_net, self.folder)


def build(config: TrainFineConfig, face_model, coarse_net=None, original=None) -> EndToEnd:
    """The compiled model of a run, at its initial weights."""
    keras.utils.set_random_seed(config.seed)
    network = fine_net.FineNet(config.network, dtype=policy(config.precision))
    network.build()
    if config.initial:
        load_fine_weights(network, config.initial)
    if config.widen:
        widen(load_fine_run(config.widen, face_model), network)
    # Learnt by itself, in `train_skin`.
    if network.skin_net is not None:
        network.skin_net.trainable = False
    if coarse_net is not None:
        coarse_net.freeze_points_to_face()
    model = EndToEnd(face_model, network, coarse_net, original, config.model, seed=config.seed)
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate, config.epochs * config.steps_per_epoch, alpha=0.05
    )
    average = {"use_ema": True, "ema_momentum": config.average} if config.average else {}
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=config.clip_norm, **average)
    model.compile(optimizer=optimizer, jit_compile=False)
    # Every part has its variables already; the optimizer needs its own before a backup can be restored into it.
    model.built = True
    model.optimizer.build(model.trainable_variables)
    return model


def callbacks(config: TrainFineConfig) -> list:
    """Checkpoints, resume, TensorBoard and the network's own file."""
    output = Path(config.output)
    # TensorFlow 2.21 no longer brings TensorBoard along; without it the history is still written as CSV.
    board = [keras.callbacks.TensorBoard(str(output / "logs"), write_graph=False)]
    return [
        *(board if importlib.util.find_spec("tensorboard") else []),
        keras.callbacks.CSVLogger(str(output / "history.csv"), append=True),
        SaveNetworks(output),
        keras.callbacks.ModelCheckpoint(
            str(output / "checkpoint.weights.h5"), save_weights_only=True, save_freq="epoch"
        ),
        keras.callbacks.BackupAndRestore(str(output / "backup"), delete_checkpoint=False),
        keras.callbacks.TerminateOnNaN(),
    ]


def train_fine(config: TrainFineConfig, face_model=None, coarse_net=None, original=None, verbose="auto", extra=()):
    """Trains FineNet by Keras `fit`; continues a run found in `config.output`.

    Args:
        config: a `TrainFineConfig`.
        face_model: a `MorphableModel`; the default one if None.
        coarse_net: an `IterativeCoarseNet` to train end to end with; None takes the geometry from the fits.
        original: a frozen copy of it, unless the fits themselves are the solution to stay near.
        verbose: of `fit`.
        extra: more Keras callbacks.

    Returns:
        The trained `EndToEnd` and the Keras history.

    Raises:
        FileNotFoundError: photographs, fits or weights are missing.
        ValueError: no photograph fits the config, or weights don't.
    """
    if face_model is None:
        from tfface.morphable.model import MorphableModel

        face_model = MorphableModel.default()
    if config.coarse and coarse_net is None:
        coarse_net = load_coarse_run(config.coarse, face_model)
    mirror = face_model.reflection
    found = {"heads": len(list_heads(config.heads.path))} if config.heads.path else {}
    output = write_config(config, **found)
    model = build(config, face_model, coarse_net, original)
    done = finished_epochs(output / "backup")
    start = done * config.steps_per_epoch
    data = fitted_photos.dataset(config.data, mirror, start=start)
    if config.heads.path:
        # Not the one that is trained, which would pull FineNet along with its own mistakes.
        asked = load_pretrained(config.heads.asked, face_model).coarse if config.heads.answered else None
        heads = tuple(
            detail_dataset(config.heads, size, start, mirror, asked, face_model) for size in config.heads.sizes
        )
        data = tf.data.Dataset.zip((data, heads)).map(lambda photos, heads: photos | {"heads": heads})
    if config.faces and coarse_net is not None:
        world = CoarseDataConfig(seed=config.seed + 30)
        faces = synthetic_batches(face_model, world, config.faces, start, config.data.size)
        data = tf.data.Dataset.zip((data, faces)).map(lambda photos, faces: photos | {"faces": faces})
    validation = None
    if config.validation:
        chosen = dataclasses.replace(
            config.data, split="val", augmentation=fitted_photos.AugmentationConfig.none(), oversample=()
        )
        validation = fitted_photos.dataset(chosen, mirror).take(config.validation).cache()
    history = model.fit(
        data,
        epochs=config.epochs,
        steps_per_epoch=config.steps_per_epoch,
        validation_data=validation,
        callbacks=[*callbacks(config), *extra],
        verbose=verbose,
    )
    return model, history


def main(arguments=None) -> int:
    """`python -m tfface.pipelines.train_end_to_end --photos FOLDER`: FineNet on fitted photographs."""
    import argparse
    import sys

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="release")
    parser.add_argument("--photos", required=True, help="folder with images/, landmarks.npz and train.txt")
    parser.add_argument("--fits", default=FittedPhotosConfig.fits, help="from `python -m tfface.pipelines.fit_photos`")
    parser.add_argument("--output", default=TrainFineConfig.output)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--steps-per-epoch", type=int)
    options = parser.parse_args(arguments)
    config = PRESETS[options.preset](output=options.output)
    data = dataclasses.replace(config.data, photos=options.photos, fits=options.fits)
    given = {name: getattr(options, name) for name in ("epochs", "steps_per_epoch") if getattr(options, name)}
    try:
        train_fine(dataclasses.replace(config, data=data, **given), verbose=2)
    except (FileNotFoundError, ValueError) as error:
        print(f"tfface: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
