"""Photographs turned in depth: the skin stays on its head, what was hidden is filled, the background closes."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.morphable.representation import vertices_image
from tfface.pipelines.reposed_photos import PhotoReposer, ReposeConfig, fill_hole
from tfface.pipelines.sampling import SamplingConfig

SIZE = 200


def test_a_hole_takes_on_its_surroundings():
    image = np.full((1, 64, 64, 1), 0.7, np.float32)
    known = np.ones_like(image)
    known[:, 20:44, 20:44] = 0
    image[:, 20:44, 20:44] = 0  # what the hole hides must not leak
    filled = fill_hole(tf.constant(image), tf.constant(known)).numpy()
    np.testing.assert_allclose(filled, 0.7, atol=0.01)


@pytest.fixture(scope="module")
def picture(model):
    """A smooth face with a bright dot on the tip of its nose, looking at the camera."""
    r = np.zeros((2, 290), np.float32)
    nose = vertices_image(model, r, SIZE).numpy()[0, model.landmarks[30], :2]
    x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
    dot = 0.3 + 0.6 * np.exp(-((x - nose[0]) ** 2 + (y - nose[1]) ** 2) / (2 * 3.0**2))
    return np.repeat(dot[None, ..., None].astype(np.float32), 2, 0), r


@pytest.mark.parametrize("seed", range(3))
def test_the_dot_turns_with_the_nose(model, picture, seed):
    image, r = picture
    pose = SamplingConfig(yaw_degrees=40.0, pitch_degrees=20.0)
    repose = PhotoReposer(model, SIZE, ReposeConfig(pose=pose, light=0.0))
    turned, new = repose(tf.constant(image), tf.constant(r), tf.ones([2, SIZE, SIZE, 1]), tf.constant([0, seed]))
    assert np.abs(new.numpy()[:, 284:287]).max() > 0.05
    nose = vertices_image(model, new, SIZE).numpy()[:, model.landmarks[30], :2]
    for picture, place in zip(turned.numpy()[..., 0], nose, strict=True):
        rows, columns = np.nonzero(picture > 0.7)
        np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], place, atol=2.0)


def test_without_change_the_face_is_the_photograph(model, picture):
    image, r = picture
    still = SamplingConfig(yaw_degrees=0.0, pitch_degrees=0.0, roll_degrees=0.0, shift=0.0, log_scale=0.0)
    repose = PhotoReposer(model, SIZE, ReposeConfig(pose=still, identity_std=0.0, light=0.0))
    turned, new = repose(tf.constant(image), tf.constant(r), tf.ones([2, SIZE, SIZE, 1]), tf.constant([0, 1]))
    np.testing.assert_allclose(new, r, atol=1e-6)
    np.testing.assert_allclose(turned.numpy()[:, 70:140, 70:130], image[:, 70:140, 70:130], atol=0.02)
