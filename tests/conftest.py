"""Shared by all tests: quiet TensorFlow, few threads (tests run in parallel), and the default face model."""

import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "rendering"))

import pytest  # noqa: E402

# Graphs are traced by many small objects, nearly all of which stay: looking for dead ones takes a tenth of the time.
gc.set_threshold(100_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def _graphs_as_they_are():
    """Most graphs of tests run a few times on little data: improving them takes longer than it saves."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture(scope="session")
def model():
    """The face model that ships."""
    from tfface.morphable.model import MorphableModel

    return MorphableModel.default()
