"""CoarseNet's data: crops that are turned, photographs that are turned in depth, and the mixture of both."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.morphable.representation import vertices_image
from tfface.pipelines.coarse_data import CoarseDataConfig, coarse_dataset, rotate_crop


def test_a_turned_crop_takes_its_landmarks_along(model):
    # A bright dot at a landmark must still be at that landmark after turning.
    r = np.zeros((2, 290), np.float32)
    r[:, 287:289] = (0.1, -0.05)
    angle = np.radians([25.0, -40.0]).astype(np.float32)
    nose = vertices_image(model, r, 200).numpy()[:, model.landmarks[30]]
    image = np.zeros((2, 200, 200, 1), np.float32)
    for b in range(2):
        column, row = int(nose[b, 0]), int(nose[b, 1])
        image[b, row - 1 : row + 2, column - 1 : column + 2] = 1
    turned, r_turned = rotate_crop(tf.constant(image), tf.constant(r), tf.constant(angle))
    moved = vertices_image(model, r_turned, 200).numpy()[:, model.landmarks[30]]
    for b in range(2):
        rows, columns = np.nonzero(turned.numpy()[b, :, :, 0] > 0.5)
        np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], moved[b, :2], atol=1.0)


def test_the_same_seed_and_number_give_the_same_faces(model):
    config = CoarseDataConfig(first_pass=0.5)
    third = list(coarse_dataset(model, config, 4).take(3))[2]
    again = next(iter(coarse_dataset(model, config, 4, start=2)))
    for a, b in zip(third, again, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    image, r, start = (x.numpy() for x in third)
    assert image.shape == (4, 200, 200, 1) and r.shape == start.shape == (4, 290)
    assert 0 <= image.min() and image.max() <= 1 and image.std() > 0.05


def test_first_estimates_are_zero_or_between_truth_and_another_face(model):
    config = CoarseDataConfig(first_pass=1.0)
    assert np.all(next(iter(coarse_dataset(model, config, 2)))[2].numpy() == 0)
    config = CoarseDataConfig(first_pass=0.0)
    _, r, start = next(iter(coarse_dataset(model, config, 2)))
    assert np.all(np.abs(start.numpy()).max(1) > 0) and not np.allclose(r, start)


def test_shares_beyond_one_are_refused(model):
    config = CoarseDataConfig(photos="somewhere", photo_share=0.8, reposed_share=0.5)
    with pytest.raises(ValueError, match="sum up to 1 at most"):
        coarse_dataset(model, config, 8)
