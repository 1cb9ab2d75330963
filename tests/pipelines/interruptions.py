"""Trainings that are stopped and go on."""

import contextlib
import shutil

import keras
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
