"""Fitting r to landmarks: what was projected is found again."""

import numpy as np
import pytest

from tfface.morphable import fitting
from tfface.morphable.correspondences import Correspondences, landmark_correspondences
from tfface.morphable.model import MorphableModel

FACES = 6


@pytest.fixture(scope="module")
def model():
    return MorphableModel.default()


@pytest.fixture(scope="module")
def table(model):
    return landmark_correspondences(model)


def random_faces(seed=0, geometry=0.5, yaw=40.0):
    """A `Fit` of random heads, in photos' px."""
    rng = np.random.default_rng(seed)
    r = np.zeros((FACES, 290), np.float32)
    r[:, :284] = rng.normal(0, geometry, (FACES, 284))
    r[:, 284:287] = np.radians(rng.uniform(-1, 1, (FACES, 3)) * [20, yaw, 20])
    square = np.column_stack([rng.uniform(100, 160, (FACES, 2)), rng.uniform(180, 320, FACES)])
    return fitting.Fit(square, r, np.zeros((FACES, 0)))


def test_rotation_is_the_cameras():
    from tfface.geometry.camera import rotation_matrix

    euler = np.random.default_rng(1).uniform(-1.2, 1.2, (5, 3))
    rotation = fitting.rotation_matrices(euler)
    np.testing.assert_allclose(rotation, rotation_matrix(euler).numpy(), atol=1e-6)
    np.testing.assert_allclose(fitting.euler_angles(rotation), euler, atol=1e-9)


def test_projection_is_the_representations(model, table):
    from tfface.morphable.representation import vertices_image

    faces = random_faces()
    expected = vertices_image(model, faces.r, 200).numpy()[:, np.asarray(model.landmarks), :2]
    low = faces.square[:, None, :2] - faces.square[:, None, 2:] / 2
    expected = low + expected * faces.square[:, None, 2:] / 200
    received = fitting.project_points(model, faces, table.without_sliding())
    np.testing.assert_allclose(received, expected, atol=0.02)


def test_closed_form_pose_of_a_rigid_shape(model):
    faces = random_faces(geometry=0.0)
    points = fitting.project_points(model, faces, landmark_correspondences(model).without_sliding())
    shape = np.asarray(model.mean, np.float64)[np.asarray(model.landmarks)]
    euler, translation, scale = fitting.weak_perspective(points, shape, np.ones(68))
    np.testing.assert_allclose(euler, faces.r[:, 284:287], atol=1e-4)
    np.testing.assert_allclose(translation, faces.square[:, :2], atol=1e-2)
    np.testing.assert_allclose(scale, faces.square[:, 2] / 240, rtol=1e-4)


@pytest.mark.parametrize("sliding", [False, True])
def test_recovers_pose_and_shape(model, table, sliding):
    table = table if sliding else table.without_sliding()
    faces = random_faces()
    points = fitting.project_points(model, faces, table)
    fit = fitting.fit(model, points, table, fitting.FitConfig(sigma_mm=0.5))
    nme = fitting.landmark_nme(points, fit.distances)
    again = fitting.point_distances(model, fit, table, points)
    np.testing.assert_allclose(again, fit.distances, atol=0.02)
    assert nme.max() < 0.015
    error = np.degrees(np.abs(fit.r[:, 284:287] - faces.r[:, 284:287]))
    assert error.mean() < 4.0
    np.testing.assert_allclose(fit.square[:, :2], faces.square[:, :2], atol=6.0)
    np.testing.assert_allclose(fit.square[:, 2], faces.square[:, 2], rtol=0.06)
    assert np.all(fit.r[:, 287:] == 0)


def test_mirrored_points_give_the_mirrored_pose(model, table):
    faces = random_faces(2)
    fixed = table.without_sliding()
    points = fitting.project_points(model, faces, fixed)
    # iBUG order from right to left.
    order = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    order += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    order += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    mirrored = points[:, order] * [-1, 1] + [256, 0]
    one, other = fitting.fit(model, points, fixed), fitting.fit(model, mirrored, fixed)
    expected = one.r[:, 284:287] * [1, -1, -1]
    assert np.degrees(np.abs(other.r[:, 284:287] - expected)).max() < 3.0
    np.testing.assert_allclose(other.square[:, 0], 256 - one.square[:, 0], atol=2.0)


def test_noise_and_an_outlier_move_the_fit_little(model, table):
    faces = random_faces(3)
    points = fitting.project_points(model, faces, table)
    noisy = points + np.random.default_rng(0).normal(0, 1.0, points.shape)
    noisy[:, 30] += 40.0
    fit = fitting.fit(model, noisy, table)
    assert np.degrees(np.abs(fit.r[:, 284:287] - faces.r[:, 284:287])).mean() < 6.0
    assert np.sqrt((fit.r[:, :284] ** 2).mean(1)).max() < 1.5


def test_table_survives_its_file(table, tmp_path):
    table.save(tmp_path / "table.npz")
    again = Correspondences.load(tmp_path / "table.npz")
    for name in Correspondences.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(table, name))


def test_refuses_in_words(model, table, tmp_path):
    with pytest.raises(ValueError, match=r"expected points of shape \[N, 68, 2\], received \[2, 5, 2\]"):
        fitting.fit(model, np.zeros((2, 5, 2)), table)
    with pytest.raises(ValueError, match="expected finite points"):
        fitting.fit(model, np.full((1, 68, 2), np.nan), table)
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match="expected a table of correspondences"):
        Correspondences.load(tmp_path / "other.npz")


def test_no_faces(model, table):
    assert fitting.fit(model, np.zeros((0, 68, 2)), table).r.shape == (0, 290)
