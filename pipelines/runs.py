"""The folder of a training run: its configuration and how far it has come."""

import contextlib
import dataclasses
import json
import os
from pathlib import Path

import keras


def write_config(config) -> Path:
    """Creates the folder `config.output`, notes the configuration there and returns the folder."""
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")
    return output


def finished_epochs(backup: Path) -> int:
    """Whole epochs that a `BackupAndRestore` folder holds; 0 without one."""
    path = backup / "training_metadata.json"
    if not path.is_file():
        return 0
    return int(json.loads(path.read_text(encoding="utf-8"))["epoch"])


def verbosity() -> int:
    """Of `fit`: a bar on a terminal, a line per epoch in a file."""
    return 2 if os.environ.get("CI") or not os.isatty(1) else 1


def fit(trainer: keras.Model, config, dataset, callbacks: list, log: str = "history.csv", **options) -> None:
    """Fits, or goes on where an interrupted run stopped.

    Args:
        trainer: a compiled model, whose optimizer has its variables.
        config: of the run: its `output`, `steps` and `epoch_steps` count.
        dataset: from the number of a batch to the data from there on.
        callbacks: beside those that back up and write down what `fit` measures.
        log: file of the run's folder for that.
        options: more arguments of `fit`.
    """
    output = Path(config.output)
    trainer.fit(
        dataset(finished_epochs(output / "backup") * config.epoch_steps),
        epochs=-(-config.steps // config.epoch_steps),
        steps_per_epoch=config.epoch_steps,
        verbose=verbosity(),
        callbacks=[
            keras.callbacks.BackupAndRestore(str(output / "backup"), delete_checkpoint=False),
            keras.callbacks.CSVLogger(str(output / log), append=True),
            *callbacks,
        ],
        **options,
    )


@contextlib.contextmanager
def averaged(optimizer, variables):
    """While it lasts, `variables` have the moving averages that the optimizer keeps of them."""
    current = [variable.numpy() for variable in variables]
    optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, current, strict=True):
            variable.assign(value)
