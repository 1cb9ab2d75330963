"""Offsets within features, against the decoded mesh."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.losses.landmarks import FEATURES, FeatureShape
from tfface.morphable import representation
from tfface.pipelines.sampling import sample_r


@pytest.fixture(scope="module")
def faces(model):
    return sample_r(model, 6, tf.constant([0, 11], tf.int64)).numpy()


def test_the_distance_is_that_of_the_meshes_offsets(model, faces):
    truth, other = faces[:3], faces[3:]
    meshes = [
        model.decode(r[:, : representation.IDENTITY_SIZE], r[:, representation.IDENTITY_SIZE : -6]).numpy()
        for r in (truth, other)
    ]
    expected = np.zeros(3)
    for pairs in FEATURES.values():
        for a, b in pairs:
            one, two = (mesh[:, model.landmarks[a]] - mesh[:, model.landmarks[b]] for mesh in meshes)
            expected += np.sqrt(((one - two) ** 2).sum(-1) + 0.04) - 0.2
    count = sum(len(pairs) for pairs in FEATURES.values())
    np.testing.assert_allclose(FeatureShape(model).distance(truth, other), expected / count, rtol=1e-4)


def test_pose_is_none_of_its_business(model, faces):
    moved = faces.copy()
    moved[:, -6:] += 0.3
    assert np.all(FeatureShape(model).distance(faces, moved).numpy() == 0)


def test_a_mouth_that_stays_shut_costs_more_by_offsets_than_by_its_share_of_a_misplaced_face(model, faces):
    """The reason for this loss: beside a wrong place, the gradient of a shut mouth all but vanishes in distances."""
    from tfface.losses.landmarks import ProjectedLandmarks

    shut = faces[:1].copy()
    shut[:, representation.IDENTITY_SIZE : -6] = 0.0
    displaced = shut.copy()
    displaced[:, -3] += 0.1  # 10 px
    features, landmarks = FeatureShape(model), ProjectedLandmarks(model)
    alone = float(landmarks.distance(faces[:1], shut)[0])
    nothing = faces[:1].copy()
    nothing[:, -3] += 0.1
    beside = float((landmarks.distance(faces[:1], displaced) - landmarks.distance(faces[:1], nothing))[0])
    assert beside < 0.7 * alone
    np.testing.assert_allclose(features.distance(faces[:1], displaced), features.distance(faces[:1], shut), rtol=1e-6)
