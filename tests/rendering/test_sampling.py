"""Pictures between their pixels."""

import numpy as np
import tensorflow as tf

from tfface.rendering.sampling import sample_bilinear


def test_bilinear_sampling_meets_pixel_centres_and_blends_between():
    image = np.random.default_rng(0).uniform(size=(2, 5, 6, 3)).astype(np.float32)
    points = np.array([[[2.5, 1.5], [3.0, 1.5], [3.0, 2.0]]] * 2, np.float32)
    got = sample_bilinear(tf.constant(image), tf.constant(points)).numpy()
    np.testing.assert_allclose(got[:, 0], image[:, 1, 2], atol=1e-5)
    np.testing.assert_allclose(got[:, 1], (image[:, 1, 2] + image[:, 1, 3]) / 2, atol=1e-5)
    np.testing.assert_allclose(got[:, 2], image[:, 1:3, 2:4].mean((1, 2)), atol=1e-5)


def test_the_edge_repeats_beyond_the_picture():
    image = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    got = sample_bilinear(tf.constant(image), tf.constant([[[-5.0, 1.5], [9.0, 1.5], [0.5, 9.0]]])).numpy()
    np.testing.assert_allclose(got[0, :, 0], [4.0, 7.0, 8.0], atol=0.02)
