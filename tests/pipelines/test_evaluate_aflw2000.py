"""AFLW2000-3D's format: a small folder of rendered heads whose pose is known in that data set's own convention."""

import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.io import savemat

from tfface.morphable import fitting
from tfface.morphable.correspondences import landmark_correspondences
from tfface.morphable.model import MorphableModel
from tfface.pipelines import aflw2000, evaluate, evaluate_landmarks
from tfface.rendering.feedback import FeedbackRenderer
from tfface.rendering.visibility import interpolate

# Yaw, pitch, roll in degrees as AFLW2000-3D has them; the last has an angle that is usually left out.
POSES = np.array([[0.0, 0, 0], [25, 0, 0], [-40, 12, -8], [70, -10, 15], [5, 4, 120]])
SIZE = 200


@pytest.fixture(scope="module")
def model():
    return MorphableModel.default()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """The folder, and the r that is right for each face's crop."""
    folder = tmp_path_factory.mktemp("aflw")
    r = np.zeros((len(POSES), 290), np.float32)
    r[:, 284:287] = fitting.euler_angles(aflw2000.rotation(POSES))
    table = landmark_correspondences(model).without_sliding()
    faces = fitting.Fit(np.tile([SIZE / 2, SIZE / 2, float(SIZE)], (len(POSES), 1)), r, np.zeros((len(POSES), 0)))
    points = fitting.project_points(model, faces, table)
    renderer = FeedbackRenderer(model, SIZE)
    _, normals, visibility = renderer.geometry(tf.constant(r))
    shaded = interpolate(visibility, model.triangles, tf.maximum(normals[..., 2:], 0.0)).numpy()
    for i, (yaw, pitch, roll) in enumerate(np.radians(POSES)):
        Image.fromarray(np.uint8(shaded[i, ..., 0] * 255)).convert("RGB").save(folder / f"image{i:05d}.jpg")
        pose = np.array([[pitch, yaw, roll, 0.0, 0.0, 0.0, 1e-3]])
        pt3d = np.concatenate([points[i].T + 0.5, np.zeros((1, 68))])
        savemat(folder / f"image{i:05d}.mat", {"pt3d_68": pt3d, "Pose_Para": pose, "roi": np.array([[1, 1, 200, 200]])})
    squares = evaluate_landmarks.landmark_squares(points)
    answer = r.copy()
    answer[:, 287:289] = (faces.square[:, :2] - squares[:, :2]) / (squares[:, 2:] / 2)
    answer[:, 289] = np.log(faces.square[:, 2] / squares[:, 2])
    return folder, answer


class Known:
    """Stands for CoarseNet: gives out the answers it was made with."""

    config = types.SimpleNamespace(size=100, passes=1)

    def __init__(self, answers):
        self.answers = answers

    def __call__(self, image, training=False):
        return tf.constant(self.answers[: len(image)])


def networks_that_answer(model, answer):
    return types.SimpleNamespace(face_model=model, coarse=Known(answer))


def test_angles_undo_rotation():
    np.testing.assert_allclose(aflw2000.angles(aflw2000.rotation(POSES)), POSES, atol=1e-9)


def test_yaw_looks_to_the_images_left(folder):
    """By geometry alone: where the nose tip lies between the ends of the jaw, and who sees which cheek."""
    faces = aflw2000.load(folder[0])
    nose, right_ear, left_ear = faces.points68[:, 30, 0], faces.points68[:, 0, 0], faces.points68[:, 16, 0]
    middle = (right_ear + left_ear) / 2
    assert abs(nose[0] - middle[0]) < 1.0
    assert nose[1] < middle[1] - 10 and nose[2] > middle[2] + 10
    # Positive roll turns the head clockwise in the image: the chin swings to the left.
    assert faces.points68[3, 8, 0] < faces.points68[3, 27, 0]


def test_pose_of_the_points_is_the_given_pose(model, folder):
    """The labels' own points, fitted by the model's rigid landmarks, turn as `Pose_Para` says."""
    faces = aflw2000.load(folder[0])
    shape = model.mean[model.landmarks].astype(np.float64)
    euler, _, _ = fitting.weak_perspective(faces.points68.astype(np.float64), shape, np.ones(68))
    r = np.zeros((len(POSES), 290), np.float32)
    r[:, 284:287] = euler
    np.testing.assert_allclose(evaluate_landmarks.aflw_angles(r), POSES, atol=0.05)
    np.testing.assert_allclose(faces.euler, POSES, atol=1e-4)
    # A single yaw is the opposite of ours.
    np.testing.assert_allclose(evaluate_landmarks.our_angles(r)[1], [-25, 0, 0], atol=0.05)


def test_the_right_answer_has_no_error(model, folder, tmp_path):
    path, answer = folder
    config = evaluate.EvaluateConfig("landmarks", photos=str(path), json=str(tmp_path / "r.json"))
    report = evaluate.run(config, networks_that_answer(model, answer))
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["all"]["faces"] == 5 and rows["all"]["all68_percent"] < 0.05
    assert [rows[f"yaw {name}°"]["faces"] for name in ("0–30", "30–60", "60–90")] == [3, 1, 1]
    everyone, usual = report["more"][0]["rows"]
    assert everyone["faces"] == 5 and usual["faces"] == 4
    assert everyone["mean_mae_deg"] < 0.05 and usual["yaw_mae_deg"] < 0.05
    assert "3D contour" in report["protocol"] and "image's left" in report["more"][0]["protocol"]


def test_a_turned_answer_costs_its_turn(model, folder):
    path, answer = folder
    turned = answer.copy()
    # Our yaw of +5° is theirs of −5°.
    turned[0, 285] += np.radians(5.0)
    settings = evaluate_landmarks.LandmarkEvaluationConfig(str(path))
    report = evaluate_landmarks.run(networks_that_answer(model, turned), settings)
    row = report["more"][0]["rows"][0]
    assert row["yaw_mae_deg"] == pytest.approx(1.0, abs=0.02) and row["yaw_bias_deg"] == pytest.approx(-1.0, abs=0.02)
    assert report["worst"][0] == "image00000"


def test_groups_are_told_apart(model, folder, tmp_path):
    path, answer = folder
    turned = answer.copy()
    turned[1, 285] += np.radians(5.0)
    groups = tmp_path / "groups.txt"
    groups.write_text("# by eye\nglasses: image00001 image00002\nbeard: elsewhere\n")
    settings = evaluate_landmarks.LandmarkEvaluationConfig(str(path), groups=str(groups))
    report = evaluate_landmarks.run(networks_that_answer(model, turned), settings)
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["group: glasses"]["faces"] == 2 and rows["in no group"]["faces"] == 3
    assert rows["group: glasses"]["× rest"] > 2 and rows["in no group"]["× rest"] == 1
    assert rows["group: beard"] == {"name": "group: beard", "faces": 0}
    assert str(groups) in report["protocol"]
    groups.write_text("image00001 image00002\n")
    with pytest.raises(ValueError, match="in line 1 of .* received 'image00001"):
        evaluate_landmarks.run(networks_that_answer(model, answer), settings)
    with pytest.raises(FileNotFoundError, match="file of groups at nowhere"):
        evaluate_landmarks.read_groups("nowhere")


def test_limit_takes_some(model, folder):
    settings = evaluate_landmarks.LandmarkEvaluationConfig(str(folder[0]), limit=2)
    assert evaluate_landmarks.run(networks_that_answer(model, folder[1]), settings)["faces"] == 2


def test_bad_folders_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        aflw2000.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="without .mat files"):
        aflw2000.load(tmp_path)
    (tmp_path / "a.mat").write_bytes(b"no matlab at all")
    with pytest.raises(FileNotFoundError, match="a.jpg beside a.mat"):
        aflw2000.load(tmp_path)
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="a.mat: expected a Matlab 5 file"):
        aflw2000.load(tmp_path)
    savemat(tmp_path / "a.mat", {"pt2d": np.zeros((2, 21))})
    with pytest.raises(ValueError, match="expected pt3d_68 .* received only pt2d"):
        aflw2000.load(tmp_path)
    savemat(tmp_path / "a.mat", {"pt3d_68": np.zeros((3, 21)), "Pose_Para": np.zeros((1, 7))})
    with pytest.raises(ValueError, match=r"expected pt3d_68 of \[3, 68\] finite numbers, received \[3, 21\]"):
        aflw2000.load(tmp_path)
    savemat(tmp_path / "a.mat", {"pt3d_68": np.full((3, 68), np.nan), "Pose_Para": np.zeros((1, 7))})
    with pytest.raises(ValueError, match="finite"):
        aflw2000.load(tmp_path)
