"""Occluders: on some faces only, where the face is, and the same for the same seed."""

import numpy as np
import tensorflow as tf

from tfface.pipelines.occluders import Occluders, occlude, strands

SIZE = 64


def test_blobs_cover_some_pictures_and_leave_the_others():
    image = tf.fill([64, 32, 32, 1], 0.5)
    covered = np.abs(occlude(image, tf.constant([0, 1], tf.int64)).numpy() - 0.5).max(axis=(1, 2, 3)) > 0.02
    assert 0.2 < covered.mean() < 0.8


def test_hair_covers_a_part_of_most_pictures_in_strands():
    image = tf.fill([32, SIZE, SIZE, 1], 0.5)
    seed = tf.constant([0, 2], tf.int64)
    hair = strands(image, seed).numpy()[..., 0]
    np.testing.assert_array_equal(hair, strands(image, seed).numpy()[..., 0])
    assert hair.min() >= 0 and hair.max() <= 1
    covered = np.abs(hair - 0.5) > 0.02
    assert 0.15 < covered.mean() < 0.7 and covered.any((1, 2)).mean() > 0.8
    # Neighbours along a strand are more alike than across it: gradients have a main direction.
    rows, columns = np.gradient(hair, axis=(1, 2))
    both = covered[:, 1:-1, 1:-1]
    xx, yy, xy = ((a[:, 1:-1, 1:-1] * both).sum((1, 2)) for a in (columns**2, rows**2, rows * columns))
    assert np.median(np.hypot(xx - yy, 2 * xy) / (xx + yy)) > 0.4


def frontal(count):
    return tf.zeros([count, 290])


def test_glasses_are_on_the_eyes_and_nowhere_else(model):
    occluders = Occluders(model, SIZE)
    s, t = frame(occluders)
    image = tf.fill([16, SIZE, SIZE, 1], 0.6)
    seed = tf.constant([3, 4], tf.int64)
    changed = np.abs(occluders._glasses(image, s, t, seed).numpy() - 0.6)[..., 0]
    s, t = s.numpy()[0, ..., 0], t.numpy()[0, ..., 0]
    assert np.all(changed[:, (np.abs(t) > 0.8) | (np.abs(s) > 1.5)] < 0.02)
    eyes = (np.abs(t) < 0.5) & (np.abs(s) < 1.0)
    assert np.all(changed[:, eyes].max(1) > 0.1)


def frame(occluders):
    """s and t of frontal faces, as the call computes them: kept from a call."""
    kept = {}

    def keep(image, s, t, seed):
        kept.update(s=s, t=t)
        return image

    occluders._worn, worn = keep, occluders._worn
    occluders(tf.zeros([16, SIZE, SIZE, 1]), frontal(16), tf.constant([0, 0], tf.int64))
    occluders._worn = worn
    return kept["s"], kept["t"]


def test_the_frame_follows_the_eyes_and_the_mouth(model):
    occluders = Occluders(model, SIZE)
    s, t = (value.numpy()[0, ..., 0] for value in frame(occluders))
    points = occluders.landmarks(frontal(1)).numpy()[0, :, :2]
    right, left = points[36:42].mean(0), points[42:48].mean(0)
    mouth = points[48:68].mean(0)
    for point, expected in ((right, (-0.5, 0)), (left, (0.5, 0)), (mouth, (0, 1))):
        column, row = (int(v) for v in point)
        assert abs(s[row, column] - expected[0]) < 0.06 and abs(t[row, column] - expected[1]) < 0.06


def test_some_faces_wear_something_and_seeds_repeat(model):
    occluders = Occluders(model, SIZE)
    image = tf.fill([48, SIZE, SIZE, 1], 0.55)
    seed = tf.constant([9, 1], tf.int64)
    one, two = (occluders(image, frontal(48), seed).numpy() for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.min() >= 0 and one.max() <= 1 and np.all(np.isfinite(one))
    touched = np.abs(one - 0.55).max((1, 2, 3)) > 0.05
    assert 0.4 < touched.mean() < 0.95
    # Seen from the side nothing can be worn: only the blobs are left.
    r = np.zeros((48, 290), np.float32)
    r[:, 285] = 1.5
    side = np.abs(occluders(image, tf.constant(r), seed).numpy() - 0.55).max((1, 2, 3)) > 0.05
    assert side.mean() < touched.mean()
