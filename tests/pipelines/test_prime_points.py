"""Priming: from points to r without an image."""

import numpy as np
import tensorflow as tf

from tfface.losses.landmarks import ProjectedLandmarks
from tfface.networks.point_head import build_points_to_face, point_vertices
from tfface.pipelines.prime_points import prime, wrong_by
from tfface.pipelines.sampling import sample_r
from tfface.pipelines.train_coarse import CoarseLoss


def test_noise_differs_between_faces_and_follows_the_seed():
    points, seed = tf.zeros([64, 70, 3]), tf.constant([1, 2], tf.int64)
    noise = wrong_by(points, seed).numpy()
    np.testing.assert_array_equal(noise, wrong_by(points, seed))
    deviation = noise.std((1, 2))
    assert deviation.min() < 0.004 and 0.03 < deviation.max() < 0.075
    assert abs(noise.mean()) < 1e-3


def test_priming_learns_to_read_faces_off_points(model):
    points = ProjectedLandmarks(model, 200, point_vertices(model, 80))
    loss = CoarseLoss(model, sample_r(model, 64, tf.constant([0, 1], tf.int64)), 0.2)
    head = build_points_to_face(80, width=64)
    faces = sample_r(model, 64, tf.constant([3, 4], tf.int64))
    places = (points(faces) - [100.0, 100.0, 0.0]) / 100.0
    before = float(tf.reduce_mean(loss(faces, head(places))))
    reported = prime(head, model, points, loss, steps=60)
    after = float(tf.reduce_mean(loss(faces, head(places))))
    assert after < 0.6 * before and 0 < reported < before
