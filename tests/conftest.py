"""Shared by all tests: quiet TensorFlow, few threads (tests run in parallel), and the default face model."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "rendering"))

import pytest  # noqa: E402


@pytest.fixture
def interrupted(monkeypatch):
    """A context in which trainings are interrupted after their first epoch, once it is backed up."""
    import contextlib

    import keras

    backup = keras.callbacks.BackupAndRestore

    @contextlib.contextmanager
    def stopped():
        original = backup.on_epoch_end

        def stop(self, epoch, logs=None):
            original(self, epoch, logs)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(backup, "on_epoch_end", stop)
            yield

    return stopped


@pytest.fixture
def resumed_part(interrupted, tmp_path):
    """Checks that training one part of a FineNet resumes exactly and leaves the convolutions as they were.

    Takes the training of a config, a function (folder, initial=…) → config, and the architecture without the part;
    returns the network that is saved and the one that was trained.
    """
    import numpy as np

    from tfface.networks.fine_net import FineNet
    from tfface.networks.weights import load_weights, save_weights

    def check(train, config, without):
        start = FineNet(without)
        start.build()
        initial = tmp_path / "start.npz"
        save_weights(start, initial)
        whole = train(None, config(tmp_path / "whole", initial=str(initial)))
        # The learning rate depends on the number of steps: the interrupted run must have been planned as long.
        halves = config(tmp_path / "halves", initial=str(initial))
        with interrupted():
            train(None, halves)
        resumed = train(None, halves)
        for one, other in zip(whole.variables, resumed.variables, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6, err_msg=one.path)
        kept = FineNet(halves.network)
        kept.build()
        load_weights(kept, tmp_path / "halves" / "fine.npz")
        for one, other in zip(start.convolutions, kept.convolutions, strict=True):
            np.testing.assert_allclose(one.kernel, other.kernel, rtol=2e-3, atol=1e-5)  # float16 on disk
        return kept, resumed

    return check


@pytest.fixture(scope="session")
def model():
    """The face model that ships."""
    from tfface.morphable.model import MorphableModel

    return MorphableModel.default()
