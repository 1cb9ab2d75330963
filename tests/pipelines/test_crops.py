"""Crops are where the conventions say, r follows them, and the shuffle can be entered anywhere."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.pipelines import crops
from tfface.pipelines.crops import AugmentationConfig
from tfface.pipelines.shuffling import seekable_indices


def _ramp(height=40, width=50):
    """An image whose value is its own continuous x and y."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return tf.constant(np.stack([x, y], -1), tf.float32)


@pytest.mark.parametrize("square", [(25.0, 20.0, 16.0), (24.3, 19.8, 20.0), (25.0, 20.0, 33.7)])
def test_pixels_are_sampled_at_their_centres(square):
    crop, valid = crops.cut_square(_ramp(), tf.constant(square), 20)
    step = square[2] / 20
    x = square[0] - square[2] / 2 + (np.arange(20) + 0.5) * step
    y = square[1] - square[2] / 2 + (np.arange(20) + 0.5) * step
    assert np.all(valid == 1)
    np.testing.assert_allclose(crop[..., 0], np.tile(x, (20, 1)), atol=2e-3 if square[2] <= 20 else 0.1)
    np.testing.assert_allclose(crop[..., 1], np.tile(y[:, None], (1, 20)), atol=2e-3 if square[2] <= 20 else 0.1)


def test_outside_the_photo_is_black_and_not_valid():
    crop, valid = crops.cut_square(tf.ones([40, 50, 1]), tf.constant([0.0, 20.0, 40.0]), 40)
    np.testing.assert_array_equal(crop[:, :19], 0)
    np.testing.assert_array_equal(valid[:, :20], 0)
    np.testing.assert_array_equal(valid[1:-1, 21:], 1)
    np.testing.assert_allclose(crop[1:-1, 21:], 1, atol=1e-6)


def test_shrinking_averages():
    noise = tf.random.stateless_normal([200, 200, 1], [1, 2])
    crop, _ = crops.cut_square(noise, tf.constant([100.0, 100.0, 200.0]), 25)
    assert float(tf.math.reduce_std(crop)) < 0.2


def test_r_follows_the_jittered_square():
    config = AugmentationConfig(shift=0.2, scale=0.3)
    square = tf.constant([25.0, 20.0, 30.0])
    rng = np.random.default_rng(0)
    r = tf.constant(rng.normal(0, 0.2, 290), tf.float32)
    moved, change = crops.jitter_square(square, tf.constant([3, 4]), config)
    adapted = crops.adapt_r(r, change).numpy()

    def in_photo(square, r):
        centre = np.array(square[:2]) + np.array(square[2]) / 2 * r[287:289]
        return centre, float(square[2]) * np.exp(r[289])

    assert not np.allclose(moved, square)
    np.testing.assert_allclose(in_photo(moved, adapted)[0], in_photo(square, r.numpy())[0], atol=1e-4)
    assert in_photo(moved, adapted)[1] == pytest.approx(in_photo(square, r.numpy())[1], rel=1e-5)
    np.testing.assert_array_equal(adapted[:287], r[:287])


def test_the_shuffle_shows_everything_once_per_round_and_resumes():
    batches = list(seekable_indices(10, 4, seed=5).take(10).as_numpy_iterator())
    position = np.concatenate([p for p, _ in batches])
    index = np.concatenate([i for _, i in batches])
    np.testing.assert_array_equal(position, np.arange(40))
    rounds = index.reshape(4, 10)
    assert all(sorted(r) == list(range(10)) for r in rounds)
    assert not np.array_equal(rounds[0], rounds[1])
    for (p, i), (q, j) in zip(
        batches[3:], seekable_indices(10, 4, 5, start=3).take(7).as_numpy_iterator(), strict=True
    ):
        np.testing.assert_array_equal(p, q)
        np.testing.assert_array_equal(i, j)
    with pytest.raises(ValueError, match="expected at least one sample, received 0"):
        seekable_indices(0, 4, 0)
