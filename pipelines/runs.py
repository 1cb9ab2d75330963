"""The folder of a training run: its configuration and how far it has come."""

import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path

import keras

from tfface.output import make_folder


def write_config(config, **found) -> Path:
    """Creates the folder `config.output`, notes the configuration there and returns the folder.

    A run that goes on with other settings, or other data, than it was begun with says so on stderr: from there on it is
    no longer what one command repeats.

    Args:
        config: of the run.
        found: what there was of the data, to be noted beside it, such as `heads=1200`.

    Raises:
        OutputError: the folder can't be created.
    """
    output = Path(config.output)
    path = output / "config.json"
    make_folder(output)
    text = json.dumps(dataclasses.asdict(config) | ({"found": found} if found else {}), indent=2) + "\n"
    if path.is_file() and finished_epochs(output / "backup"):
        before, now = (_settings(json.loads(one)) for one in (path.read_text(encoding="utf-8"), text))
        changed = [
            f"{name} {before.get(name)} → {now.get(name)}"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]
        if changed:
            print(f"tfface: {output} goes on with other settings than before: {', '.join(changed)}", file=sys.stderr)
    path.write_text(text, encoding="utf-8")
    return output


def _settings(config: dict, beneath: str = "") -> dict:
    """{"a.b": value} of nested dicts."""
    flat = {}
    for name, value in config.items():
        flat |= _settings(value, f"{beneath}{name}.") if isinstance(value, dict) else {beneath + name: value}
    return flat


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
