"""Shared by the tests of trainings and evaluations."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def graphs_as_they_are():
    """Graphs that run a few times are run as they are: optimising them first takes longer than it saves."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
