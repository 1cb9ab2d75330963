"""Shared by all tests: quiet TensorFlow, few threads (tests run in parallel), and the default face model."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "rendering"))

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def model():
    """The face model that ships."""
    from tfface.morphable.model import MorphableModel

    return MorphableModel.default()
