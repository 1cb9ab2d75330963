"""What CoarseNet is shown: the same picture of the same face, whoever renders it."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.morphable import representation
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet, on_grid
from tfface.rendering.feedback import FeedbackRenderer

SIZE = 64


@pytest.fixture(scope="module")
def renderer(model):
    return FeedbackRenderer(model, SIZE)


@pytest.fixture(scope="module")
def faces(model):
    """r `[5, 290]` as the passes render it."""
    rng = np.random.default_rng(4)
    r = np.concatenate([rng.normal(size=(5, 284)), rng.normal(0, 0.3, (5, 6))], axis=1).astype(np.float32)
    coarse = IterativeCoarseNet(model, CoarseNetConfig(size=SIZE, widths=(8,), blocks=(1,), stem=8))
    return on_grid(tf.constant(r), coarse.steps)


def test_projection_is_exact(renderer, faces):
    vertices, _, _ = renderer.geometry(faces)
    identity, expression, pose = representation.split(faces)
    rotation, translation, scale = (np.float64(part) for part in representation.camera(pose, SIZE))
    rotation, scale = np.round(rotation * 1024) / 1024, np.round(scale * 1024) / 1024
    places = np.round(np.float64(renderer.model.decode(identity, expression)) * 32) / 32
    turned = np.einsum("bij,bvj->bvi", rotation, places)
    np.testing.assert_array_equal(turned.astype(np.float32), turned)
    # From here on single numbers are multiplied and added, which rounds in one way everywhere.
    expected = turned.astype(np.float32) * np.float32([1, -1, 1]) * scale[:, None, None].astype(np.float32)
    expected[..., :2] += translation[:, None].astype(np.float32)
    np.testing.assert_array_equal(vertices, expected)


def test_vertices_hardly_move(renderer, faces):
    vertices, _, _ = renderer.geometry(faces)
    given = representation.vertices_image(renderer.model, faces, SIZE)
    away = np.linalg.norm((vertices - given) * (representation.CROP_MM / SIZE), axis=-1)  # mm
    assert 0 < np.sqrt(np.mean(away**2)) < 0.15 and away.max() < 0.5


def test_a_face_looks_alike_alone_and_among_others(renderer, faces):
    _, _, together = renderer.geometry(faces)
    for row in range(5):
        _, _, alone = renderer.geometry(faces[row : row + 1])
        np.testing.assert_array_equal(alone.triangle[0], together.triangle[row])
        np.testing.assert_array_equal(alone.barycentric[:, 0], together.barycentric[:, row])
