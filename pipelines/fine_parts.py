"""Training of one part of a FineNet while its other weights stay, for `train_shape`, `train_context`, `train_skin`."""

from pathlib import Path

import keras

from tfface.networks.fine_net import FineNet
from tfface.networks.weights import key, load_weights, save_weights
from tfface.pipelines.assemble import save_fine_run
from tfface.pipelines.runs import averaged, finished_epochs, verbosity, write_config

PARTS = ("shape_net", "context_net", "skin_net")
"""Of a FineNet, trained by themselves."""


def load_fine(fine: FineNet, path) -> None:
    """Sets the weights of a built FineNet from a .npz that may lack those of `PARTS`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is of another FineNet.
    """
    may_lack = {key(v) for name in PARTS for v in getattr(getattr(fine, name), "variables", ())}
    missing = [name for name in load_weights(fine, path, strict=False) if name not in may_lack]
    if missing:
        raise ValueError(
            f"expected the weights of this FineNet in {path}, received none that fit {missing[0]}; build the network "
            "with the configuration that the weights were trained with"
        )


def start_part(config, name: str) -> FineNet:
    """The FineNet of a run at its initial weights, with nothing but the part `name` left to train.

    Args:
        config: has `network`, `initial` and `seed`.
        name: of `PARTS`.

    Raises:
        FileNotFoundError: there are no initial weights.
        ValueError: they are of another FineNet, or the network has no such part.
    """
    if not getattr(config.network, name.removesuffix("_net")):
        raise ValueError(
            f"expected a FineNet with `{name.removesuffix('_net')}` widths, such as (16, 32, 48), received one without"
        )
    keras.utils.set_random_seed(config.seed)
    fine = FineNet(config.network)
    fine.build()
    if config.initial:
        load_fine(fine, config.initial)
    # Keras, too, is to average and keep only what is trained here.
    for layer in fine.layers:
        layer.trainable = layer is getattr(fine, name)
    return fine


def compile_part(trainer: keras.Model, part: keras.Model, config) -> keras.Model:
    """Gives a trainer of one part its optimizer, Adam with averaged weights and a cosine; returns the trainer.

    The learning rate rises over 100 steps, or a tenth of a shorter run: without them a wide network's last hidden layer
    fell silent, for good.

    Args:
        trainer: the model to fit.
        part: whose weights are trained.
        config: has `learning_rate`, `steps` and `average`.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        0.01 * config.learning_rate,
        config.steps,
        alpha=0.02,
        warmup_target=config.learning_rate,
        warmup_steps=min(100, config.steps // 10),
    )
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=1.0, use_ema=True, ema_momentum=config.average)
    trainer.compile(optimizer, jit_compile=False)
    # The optimizer needs its variables before a backup can be restored into it.
    optimizer.build(part.trainable_variables)
    return trainer


class SaveFineNet(keras.callbacks.Callback):
    """Writes the network with its averaged weights, complete and loadable, after every epoch."""

    def __init__(self, fine, part, folder):
        super().__init__()
        self.fine, self.part, self.folder = fine, part, Path(folder)

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.model.optimizer, self.part.trainable_variables):
            save_fine_run(self.fine, self.folder)
            save_weights(self.fine, self.folder / "fine.npz")


def fit_part(trainer: keras.Model, part: keras.Model, config, dataset) -> None:
    """Fits, or goes on where an interrupted run stopped.

    Args:
        trainer: of `compile_part`, with the network as `fine`.
        part: whose weights are trained.
        config: has `output`, `steps` and `epoch_steps`.
        dataset: from the number of a batch to the data from there on.
    """
    output = write_config(config)
    trainer.fit(
        dataset(finished_epochs(output / "backup") * config.epoch_steps),
        epochs=-(-config.steps // config.epoch_steps),
        steps_per_epoch=config.epoch_steps,
        verbose=verbosity(),
        callbacks=[
            keras.callbacks.BackupAndRestore(str(output / "backup"), delete_checkpoint=False),
            keras.callbacks.CSVLogger(str(output / "history.csv"), append=True),
            SaveFineNet(trainer.fine, part, output),
            keras.callbacks.TerminateOnNaN(),
        ],
    )
