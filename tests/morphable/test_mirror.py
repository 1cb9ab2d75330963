"""A mirrored r is the mirrored face."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.morphable import representation
from tfface.morphable.mirror import Mirror
from tfface.morphable.model import MorphableModel


@pytest.fixture(scope="module")
def model():
    return MorphableModel.default()


@pytest.fixture(scope="module")
def mirror(model):
    return Mirror.of(model)


def _r(model, seed=0):
    rng = np.random.default_rng(seed)
    r = rng.normal(0, 0.7, (4, 290)).astype(np.float32)
    r[:, 284:] = rng.normal(0, 0.3, (4, 6))
    return tf.constant(r)


def test_the_mirrored_r_projects_to_the_mirrored_vertices(model, mirror):
    r = _r(model)
    size = 200
    here = representation.vertices_image(model, r, size).numpy()
    there = representation.vertices_image(model, mirror(r), size).numpy()
    reflected = here[:, np.asarray(model.mirror)] * [-1, 1, 1] + [size, 0, 0]
    distance = np.linalg.norm(there - reflected, axis=-1)
    # Half a pixel of 200 is 0.6 mm: what the truncated basis cannot mirror.
    assert np.sqrt(np.mean(distance**2)) < 0.5
    assert mirror.residual < 0.05


def test_twice_is_once_back(model, mirror):
    r = _r(model, 1)
    np.testing.assert_allclose(mirror(mirror(r))[:, 284:], r[:, 284:], atol=1e-6)
    a = representation.vertices_image(model, r, 200)
    b = representation.vertices_image(model, mirror(mirror(r)), 200)
    assert float(tf.sqrt(tf.reduce_mean(tf.reduce_sum(tf.square(a - b), -1)))) < 0.5
