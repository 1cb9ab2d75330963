"""Random representations: repeatable, within their documented spread, and expressions that people make."""

import numpy as np
import tensorflow as tf

from tfface.morphable import representation
from tfface.pipelines.sampling import SamplingConfig, sample_expression, sample_pose, sample_r


def seed(number):
    return tf.constant([7, number], tf.int64)


def test_same_seed_same_faces_other_seed_other_faces(model):
    first, again, other = (sample_r(model, 4, seed(n)).numpy() for n in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min(axis=0).max() > 0
    assert first.shape == (4, representation.SIZE)


def test_poses_keep_within_the_documented_spread():
    config = SamplingConfig(yaw_degrees=60, pitch_degrees=30, roll_degrees=20, shift=0.1, log_scale=0.2)
    pose = sample_pose(4000, seed(3), config).numpy()
    degrees = np.degrees(pose[:, :3])
    assert np.all(np.abs(degrees).max(axis=0) <= [30.01, 60.01, 20.01])
    assert np.abs(degrees[:, 1]).max() > 55  # profiles do occur
    np.testing.assert_allclose(degrees.mean(axis=0), 0, atol=2)
    # A normal cut at two deviations keeps 0.88 of its deviation.
    np.testing.assert_allclose(pose[:, 3:].std(axis=0), [0.088, 0.088, 0.176], rtol=0.06)


def test_expressions_are_sparse_actions(model):
    config = SamplingConfig(expression_noise=0.0, neutral=0.3, action_rate=0.1)
    expressions = sample_expression(model, 2000, seed(4), config).numpy()
    neutral = np.all(expressions == 0, axis=1)
    assert 0.25 < neutral.mean() < 0.36
    weights = expressions @ np.linalg.pinv(model.actions)
    tongue, close = (model.action_names.index(name) for name in ("tongueOut", "mouthClose"))
    np.testing.assert_allclose(weights[:, [tongue, close]], 0, atol=1e-2)


def test_left_and_right_mostly_move_together(model):
    config = SamplingConfig(expression_noise=0.0, neutral=0.0)
    expressions = sample_expression(model, 500, seed(5), config).numpy()
    keep = [i for i, name in enumerate(model.action_names) if name != "tongueOut"]
    weights = expressions @ np.linalg.pinv(model.actions[keep])
    names = [model.action_names[i] for i in keep]
    left, right = (weights[:, names.index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    assert 0.6 < np.mean(np.abs(left - right) < 1e-3) < 0.95


def test_estimates_lie_between_truth_and_another_face(model):
    truth, other = sample_r(model, 3, seed(1)), sample_r(model, 3, seed(2))
    beta = tf.constant([[0.0], [0.5], [1.0]])
    between = representation.interpolate(truth, other, beta).numpy()
    np.testing.assert_allclose(between[0], other[0], atol=1e-6)
    np.testing.assert_allclose(between[1], (truth[1] + other[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(between[2], truth[2], atol=1e-6)
