"""docs/conventions.md, as code."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.geometry.camera import euler_degrees, project, rotation_matrix, to_camera
from tfface.morphable import representation


def angles(yaw=0.0, pitch=0.0, roll=0.0):
    """Euler angles of a head pose in degrees, by the words of the conventions."""
    return np.radians([[-pitch, yaw, -roll]]).astype(np.float32)


def nose_and_crown(euler):
    """Where a point in front of the face and one above it fall in the image, relative to the head's centre, px."""
    points = np.array([[[0, 0, 100], [0, 100, 0]]], np.float32)
    rotation = rotation_matrix(euler)
    return project(points, rotation, np.zeros((1, 2), np.float32), np.ones(1, np.float32)).numpy()[0]


def test_rotation_is_z_after_y_after_x():
    def axis(i, a):
        c, s = np.cos(a), np.sin(a)
        j, k = (i + 1) % 3, (i + 2) % 3
        m = np.eye(3)
        m[j, j], m[j, k], m[k, j], m[k, k] = c, -s, s, c
        return m

    x, y, z = 0.3, -0.7, 1.1
    np.testing.assert_allclose(
        rotation_matrix(np.array([x, y, z], np.float32)).numpy(), axis(2, z) @ axis(1, y) @ axis(0, x), atol=1e-6
    )


def test_rotations_leave_their_library_as_it_was():
    from tensorflow_graphics.util import export_api

    rotation_matrix(np.zeros((1, 3), np.float32))
    assert [listed.__module__ for listed in (export_api.get_modules, export_api.get_functions_and_classes)] == [
        "tensorflow_graphics.util.export_api"
    ] * 2


def test_yaw_faces_right_pitch_looks_up_roll_is_clockwise():
    nose, _ = nose_and_crown(angles(yaw=30))
    assert nose[0] == pytest.approx(50, abs=1e-3)
    nose, _ = nose_and_crown(angles(pitch=30))
    assert nose[1] == pytest.approx(-50, abs=1e-3)  # up in the image
    _, crown = nose_and_crown(angles(roll=30))
    assert crown[0] == pytest.approx(50, abs=1e-3)  # the crown of a head that tilts clockwise moves right
    np.testing.assert_allclose(euler_degrees(angles(10, 20, 30)).numpy(), [[10, 20, 30]], atol=1e-4)


def test_larger_z_is_nearer_and_y_points_down_in_the_image():
    nose, crown = nose_and_crown(angles())
    assert nose[2] > crown[2]
    assert crown[1] < 0


def test_projection_by_hand():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(2, 5, 3)).astype(np.float32)
    euler = rng.normal(size=(2, 3)).astype(np.float32)
    translation, scale = rng.normal(size=(2, 2)).astype(np.float32), np.array([0.5, 2.0], np.float32)
    rotation = rotation_matrix(euler)
    result = project(vertices, rotation, translation, scale).numpy()
    for b in range(2):
        for v in range(5):
            x, y, z = rotation.numpy()[b] @ vertices[b, v]
            expected = [scale[b] * x + translation[b, 0], -scale[b] * y + translation[b, 1], scale[b] * z]
            np.testing.assert_allclose(result[b, v], expected, atol=1e-5)
    np.testing.assert_allclose(
        to_camera(vertices, rotation).numpy()[0, 0], rotation.numpy()[0] @ vertices[0, 0], atol=1e-5
    )


@pytest.mark.parametrize("size", [200, 400])
def test_zero_pose_is_frontal_centred_and_shows_240_mm(size):
    rotation, translation, scale = representation.camera(tf.zeros([1, 6]), size)
    np.testing.assert_allclose(rotation.numpy()[0], np.eye(3), atol=1e-7)
    np.testing.assert_allclose(translation.numpy()[0], [size / 2, size / 2])
    assert scale.numpy()[0] == pytest.approx(size / 240)


def test_split_and_join_are_inverse_and_check_shapes():
    r = np.arange(2 * 290, dtype=np.float32).reshape(2, 290)
    parts = representation.split(r)
    assert [p.shape[-1] for p in parts] == [200, 84, 6]
    np.testing.assert_array_equal(representation.join(*parts), r)
    with pytest.raises(ValueError, match=r"expected r of shape \[B, 290\]"):
        representation.split(np.zeros((1, 289), np.float32))
    with pytest.raises(ValueError, match=r"expected pose of shape \[B, 6\]"):
        representation.join(parts.identity, parts.expression, parts.pose[:, :5])


def test_interpolation_is_equation_3():
    a, b = np.ones((2, 290), np.float32), np.zeros((2, 290), np.float32)
    beta = np.array([[0.25], [1.0]], np.float32)
    np.testing.assert_allclose(np.asarray(representation.interpolate(a, b, beta))[:, 0], [0.25, 1.0])
