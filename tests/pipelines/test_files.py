"""What files do to pictures: some of them, by how much, and nothing to the others."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.pipelines.files import compressed, enlarged

SEED = tf.constant([3, 4], tf.int64)


@pytest.fixture(scope="module")
def pictures():
    """Grain, `[8, 48, 40, 1]`, the same on all."""
    grain = np.random.default_rng(0).uniform(0.2, 0.8, (1, 48, 40, 1)).astype(np.float32)
    return tf.constant(np.repeat(grain, 8, axis=0))


def _changes(after, before):
    return np.abs(after.numpy() - before.numpy()).mean((1, 2, 3))


@pytest.mark.parametrize(
    "change", [lambda x, s: compressed(x, s, (10, 80), SEED), lambda x, s: enlarged(x, s, 2.0, SEED)]
)
def test_so_many_are_changed_each_by_its_own_amount(pictures, change):
    np.testing.assert_array_equal(change(pictures, 0.0), pictures)
    assert len(np.unique(_changes(change(pictures, 1.0), pictures))) > 5  # qualities are whole numbers
    some = tf.function(lambda x: change(x, 0.5))(pictures)
    assert some.shape == pictures.shape and 0 < (_changes(some, pictures) > 1e-3).sum() < 8


def test_a_lower_quality_leaves_less(pictures):
    low, high = (_changes(compressed(pictures, 1.0, quality, SEED), pictures) for quality in ((10, 20), (90, 95)))
    assert low.min() > 2 * high.max() > 0


def test_what_was_small_has_lost_its_grain_and_not_its_shape():
    y, x = np.mgrid[0:48, 0:40].astype(np.float32)
    smooth = tf.constant(np.sin(x / 7.0) * np.cos(y / 9.0))[None, ..., None]
    np.testing.assert_allclose(enlarged(smooth, 1.0, 2.0, SEED), smooth, atol=0.04)
    dots = tf.constant(np.where((x + y) % 2, 1.0, -1.0).astype(np.float32))[None, ..., None]
    assert np.abs(enlarged(dots, 1.0, 2.0, SEED)).mean() < 0.5
