"""Trainings that are stopped and go on."""

import contextlib
import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest


@contextlib.contextmanager
def left_by_an_interruption(folder, copy):
    """While it lasts, a training's folder is copied as an interruption after its first epoch, once it is backed up,
    would leave it: whoever goes on from the copy should end as the training does, which needn't run again for that."""
    original = keras.callbacks.BackupAndRestore.on_epoch_end

    def on_epoch_end(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 0:
            shutil.copytree(folder, copy)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.callbacks.BackupAndRestore, "on_epoch_end", on_epoch_end)
        yield


def check_it_goes_on_alike(train, config, half, name):
    """Checks that a run which goes on from `half`, what an interruption left of `config`'s, has its weights in the end.

    Args:
        train: trains as a config says.
        config: of the whole run.
        half: folder of `left_by_an_interruption`.
        name: of the file of weights.
    """
    assert not (half / name).exists()
    train(dataclasses.replace(config, output=str(half)))
    with np.load(Path(config.output) / name) as one, np.load(half / name) as other:
        for key in one.files:
            np.testing.assert_allclose(one[key], other[key], atol=2e-3, err_msg=key)
