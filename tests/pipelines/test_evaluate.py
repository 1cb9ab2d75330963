"""The protocols of evaluation, on networks that know the answer and on ones that don't."""

import argparse
import dataclasses
import json
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfface.errors import InputError
from tfface.morphable import fitting
from tfface.morphable.correspondences import landmark_correspondences
from tfface.morphable.model import MorphableModel
from tfface.pipelines import contact_sheet, evaluate, evaluate_landmarks, evaluate_synthetic, landmark_photos

PHOTOS = 4


class Known:
    """Stands for CoarseNet: gives out the answers it was made with, at first halved, in the end whole."""

    def __init__(self, answers, size=100):
        self.answers, self.given = answers, 0
        self.config = types.SimpleNamespace(size=size, passes=2)

    def all_passes(self, image, training=False):
        assert image.shape[1:] == (self.config.size, self.config.size, 1)
        answer = self.answers[self.given : self.given + image.shape[0]]
        self.given += image.shape[0]
        return tf.stack([answer * 0.5, answer], axis=1)

    def __call__(self, image, training=False):
        return self.all_passes(image)[:, -1]


@pytest.fixture(scope="module")
def model():
    return MorphableModel.default()


def test_synthetic_errors_vanish_for_the_truth(model):
    from tfface.pipelines.synthetic import SyntheticConfig, synthetic_dataset

    settings = evaluate_synthetic.SyntheticEvaluationConfig(faces=4, batch=2)
    world = SyntheticConfig(size=100, batch=2)
    truth = [batch["r"] for batch in synthetic_dataset(model, world, seed=settings.seed).take(2)]
    networks = types.SimpleNamespace(face_model=model, coarse=Known(tf.concat(truth, 0)))
    report = evaluate_synthetic.run(networks, settings)
    floor, halved, perfect = report["rows"]
    assert perfect["name"] == "pass 2"
    for name in ("depth_mean_mm", "depth_of_floor_percent", "vertex_mm"):
        assert perfect[name] < 1e-2 < halved[name]
    assert floor["depth_mean_mm"] > 0.5 and floor["depth_of_floor_percent"] == 100.0
    expected = 100.0 * halved["depth_mean_mm"] / floor["depth_mean_mm"]
    assert halved["depth_of_floor_percent"] == pytest.approx(expected)
    floor, halved, perfect = report["more"][0]["rows"]
    assert floor["yaw_deg"] < 1e-4 and perfect["yaw_deg"] < 1e-3 < halved["yaw_deg"]


def test_pose_errors_without_a_face_in_range_do_not_exist(model):
    settings = evaluate_synthetic.SyntheticEvaluationConfig(faces=2, batch=2, yaw_limit=0.0)
    networks = types.SimpleNamespace(face_model=model, coarse=Known(tf.zeros([2, 290])))
    report = evaluate_synthetic.run(networks, settings)
    pose = report["more"][0]
    assert "the 0 faces within ±0°" in pose["protocol"]
    assert pose["rows"][0]["yaw_within_deg"] is None and pose["rows"][1]["yaw_deg"] > 0.0


def test_depth_error_ignores_a_shift_along_z(model):
    """A bigger head by s has larger depth; the same head is compared in true mm."""
    r = np.zeros((1, 290), np.float32)
    errors = evaluate_synthetic.DepthComparison(model, 64).errors(r, r)
    assert errors[0].size > 500 and errors[0].max() < 1e-5


def test_angles_wrap():
    true, found = np.zeros((1, 290)), np.zeros((1, 290))
    true[0, 284:287], found[0, 284:287] = [0.1, 0.0, np.pi - 0.05], [0.0, 0.2, -np.pi + 0.05]
    np.testing.assert_allclose(evaluate_synthetic.angle_errors(true, found), np.degrees([[0.2, 0.1, 0.1]]))


@pytest.fixture(scope="module")
def photos(model, tmp_path_factory):
    """A folder of validation photographs of noise, and the r that is right for each one's crop."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    r = np.zeros((PHOTOS, 290), np.float32)
    r[:, 285] = np.radians([0, 20, 40, -50])
    table = landmark_correspondences(model)
    faces = fitting.Fit(np.tile([120.0, 130.0, 230.0], (PHOTOS, 1)), r, np.zeros((PHOTOS, 0)))
    points = fitting.project_points(model, faces, table)
    all_points = np.zeros((PHOTOS, 478, 2), np.float32)
    all_points[:, :68] = points
    for i in range(PHOTOS):
        Image.fromarray(rng.integers(0, 255, (256, 256, 3), np.uint8)).save(folder / "images" / f"{i:05d}.jpg")
    np.savez(
        folder / "landmarks.npz",
        points=all_points,
        euler=np.degrees(r[:, [285, 284, 286]]),
        valid=np.tile([0, 0, 256, 256], (PHOTOS, 1)),
        source=np.array(["drawn"] * PHOTOS),
        face_px=np.full(PHOTOS, 200.0),
    )
    np.savetxt(folder / "landmarks68.txt", np.arange(68), fmt="%d")
    (folder / "train.txt").write_text("")
    np.savetxt(folder / "val.txt", np.arange(PHOTOS), fmt="%05d")
    squares = evaluate_landmarks.landmark_squares(points)
    answer = r.copy()
    answer[:, 287:289] = (faces.square[:, :2] - squares[:, :2]) / (squares[:, 2:] / 2)
    answer[:, 289] = np.log(faces.square[:, 2] / squares[:, 2])
    return folder, answer


def test_landmarks_of_the_right_answer(model, photos, tmp_path):
    folder, answer = photos
    networks = types.SimpleNamespace(face_model=model, coarse=Known(answer))
    config = evaluate.EvaluateConfig("landmarks", photos=str(folder), json=str(tmp_path / "report.json"))
    report = evaluate.run(config, networks)
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["all"]["faces"] == PHOTOS and rows["all"]["outline68_percent"] < 0.1
    assert rows["yaw 0–30°"]["faces"] == 2 and rows["yaw 30–60°"]["faces"] == 2
    assert rows["yaw 60–90°"] == {"name": "yaw 60–90°", "faces": 0}
    means = [rows[name]["all68_percent"] for name in ("yaw 0–30°", "yaw 30–60°")]
    assert rows["mean of bins"]["all68_percent"] == pytest.approx(np.mean(means))
    # On turned heads the 3D jaw is not the outline.
    assert rows["yaw 30–60°"]["all68_percent"] > rows["yaw 30–60°"]["outline68_percent"]
    assert rows["all"]["inner51_percent"] < 0.1
    assert report["more"][0]["rows"][0]["mean_mae_deg"] < 1e-2
    assert len(report["more"]) == 1
    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert written["faces"] == PHOTOS and written["more"][0]["rows"][1]["faces"] == PHOTOS


def test_features_stand_beside_landmarks_when_there_are_fits(model, photos, tmp_path):
    folder, answer = photos
    np.savez(tmp_path / "fits.npz", number=np.arange(PHOTOS), r=answer)
    networks = types.SimpleNamespace(face_model=model, coarse=Known(answer))
    config = evaluate.EvaluateConfig("landmarks", photos=str(folder), fits=str(tmp_path / "fits.npz"))
    pose, features = evaluate.run(config, networks)["more"]
    assert "head pose" in pose["rows"][0]["name"]
    assert max(row["mae_mm"] for row in features["rows"]) < 1e-4


def test_a_shifted_answer_costs_its_shift(model, photos):
    folder, answer = photos
    shifted = answer.copy()
    shifted[:, 287] += 0.1
    networks = types.SimpleNamespace(face_model=model, coarse=Known(shifted))
    report = evaluate.run(evaluate.EvaluateConfig("landmarks", photos=str(folder)), networks)
    points = landmark_photos.load(folder).points68
    box = np.sqrt(np.prod(np.ptp(points, axis=1), axis=-1))
    expected = 100 * np.mean(0.05 * evaluate_landmarks.landmark_squares(points)[:, 2] / box)
    assert report["rows"][0]["inner51_percent"] == pytest.approx(expected, rel=0.02)


def test_tables_print(model, photos, capsys):
    folder, answer = photos
    networks = types.SimpleNamespace(face_model=model, coarse=Known(answer))
    evaluate.show(evaluate.run(evaluate.EvaluateConfig("landmarks", photos=str(folder)), networks))
    printed = capsys.readouterr().out
    assert "NME" in printed and "30–60" in printed


def test_figures_that_do_not_exist_are_null(model, photos, tmp_path, monkeypatch, capsys):
    """JSON has no NaN, and a table says –."""
    report = {"protocol": "p", "faces": 0, "rows": [{"name": "a", "x": float("nan")}], "more": [{"y": (1.0, np.inf)}]}
    monkeypatch.setitem(evaluate._MEASURE, "synthetic", lambda networks, config: report)
    found = evaluate.run(evaluate.EvaluateConfig(json=str(tmp_path / "new" / "r.json")), networks=object())
    assert found["rows"][0]["x"] is None and found["more"][0]["y"] == [1.0, None]
    assert json.loads((tmp_path / "new" / "r.json").read_text(encoding="utf-8")) == found
    evaluate.show({**found, "more": []})
    assert "–" in capsys.readouterr().out


def test_pose_errors_wrap_and_leave_out_what_is_usual():
    given, found = np.array([[0.0, 0, 179], [10, 0, 0]]), np.array([[1.0, 0, -179], [10, -3, 0]])
    everyone, usual = evaluate_landmarks.pose_rows(given, found)
    assert everyone["roll_mae_deg"] == pytest.approx(1.0) and everyone["roll_bias_deg"] == pytest.approx(1.0)
    assert usual["faces"] == 1 and usual["pitch_bias_deg"] == pytest.approx(-3.0)
    assert evaluate_landmarks.pose_rows(given[:1], found[:1])[1] == {"name": "head pose, within ±99°", "faces": 0}


def test_contact_sheet_of_networks(model, photos, tmp_path):
    folder, answer = photos
    networks = types.SimpleNamespace(face_model=model, coarse=Known(answer[1:3]))
    config = contact_sheet.ContactSheetConfig(str(folder), str(tmp_path / "s.png"), people=(1, 2), size=64)
    with Image.open(contact_sheet.run(config, networks=networks)) as sheet:
        # Two people of photo, overlay, coarse, normals and depth side by side.
        assert sheet.size == (2 * 5 * 64, 64)


def test_contact_sheet_of_a_reconstructor(photos, tmp_path):
    folder, _ = photos
    depth = np.full((256, 256), np.nan, np.float32)
    depth[100:200, 80:180] = 3.0
    normals = np.where(np.isfinite(depth)[..., None], np.float32([0, 0, 1]), np.float32(np.nan))
    raised = depth + np.where(np.arange(256) < 130, 1.0, -1.0).astype(np.float32)
    maps = {"depth": raised, "coarse_depth": depth, "normals": normals, "coarse_normals": normals, "mm_per_px": 0.6}
    corners = np.array([[80.0, 100.0, 3.0], [80.0, 200.0, 3.0], [180.0, 100.0, 3.0]])
    mesh = {"vertices_image": corners, "triangles": np.array([[0, 1, 2]]), "region": lambda name: np.ones(3, bool)}
    face = types.SimpleNamespace(**maps, **mesh)
    config = contact_sheet.ContactSheetConfig(str(folder), str(tmp_path / "s.png"), people=(0, 3), size=64)
    answers = iter([[face], []])
    path = contact_sheet.run(config, reconstructor=lambda image, boxes: next(answers))
    with Image.open(path) as sheet:
        # Photo, overlay, coarse, fine, relief, normals and depth, also of somebody who wasn't found.
        assert sheet.size == (2 * 7 * 64, 64)
        relief = np.asarray(sheet, int)[:, 4 * 64 : 5 * 64]
    on_face = relief.min(axis=-1) < 250
    columns = np.arange(64)[None] + 0 * relief[..., 0]
    more_red, more_blue = (on_face & (relief[..., a] > relief[..., b] + 30) for a, b in ((0, 2), (2, 0)))
    assert more_red.sum() > 20 and more_blue.sum() > 20 and columns[more_red].max() < columns[more_blue].min()


def test_contact_sheet_of_synthetic_faces(tmp_path):
    seen = []

    def nothing(picture, boxes):
        seen.append((picture.shape, boxes[0]))
        return []

    config = contact_sheet.ContactSheetConfig(output=str(tmp_path / "s.png"), people=2, size=64, columns=1)
    with Image.open(contact_sheet.run(config, reconstructor=nothing)) as sheet:
        assert sheet.size == (7 * 64, 2 * 64)
    assert [shape for shape, _ in seen] == [(200, 200, 3)] * 2
    assert all(x1 - x0 > 40 and y1 - y0 > 40 for _, (x0, y0, x1, y1) in seen)
    with pytest.raises(ValueError, match="received what needs --photos"):
        contact_sheet.run(dataclasses.replace(config, people=(1, 2)))


def test_the_command_knows_every_protocol():
    from tfface.commands import evaluate as command

    parser = argparse.ArgumentParser()
    command.configure(parser)
    assert command.PROTOCOLS == evaluate.PROTOCOLS == tuple(evaluate._MEASURE)
    given = parser.parse_args(["detail", "--sizes", "200", "400"])
    assert given.sizes == [200, 400] and given.crop is None
    with pytest.raises(InputError, match="--faces of at least 1, .* received -1"):
        command.run(parser.parse_args(["synthetic", "--faces", "-1"]))
    with pytest.raises(InputError, match="expected a folder of photographs with depth maps"):
        command.run(parser.parse_args(["depth"]))


def test_refuses_in_words(photos, tmp_path, capsys):
    with pytest.raises(ValueError, match="expected a protocol of synthetic, landmarks, .*, received 'depths'"):
        evaluate.run(evaluate.EvaluateConfig("depths"), networks=object())
    for protocol in ("landmarks", "depth", "normals"):
        with pytest.raises(ValueError, match=f"expected a folder of photographs .* protocol {protocol}"):
            evaluate.run(evaluate.EvaluateConfig(protocol), networks=object())
    with pytest.raises(FileNotFoundError, match="AFLW2000-3D's format .*nowhere"):
        evaluate_landmarks.read_folder(tmp_path / "nowhere")
    assert contact_sheet.main(["--photos", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    with pytest.raises(ValueError, match="expected crop to be one of"):
        evaluate_landmarks.run(None, evaluate_landmarks.LandmarkEvaluationConfig(str(photos[0]), crop="haar"))


def test_skin_tone_is_the_typology_angle_of_the_cheeks():
    from skimage.color import lab2rgb

    points = np.random.default_rng(0).uniform(40, 60, (68, 2))
    points[[36, 45]] = (30, 40), (70, 40)
    for lightness, yellow in ((70.0, 15.0), (35.0, 18.0), (55.0, 20.0)):
        rgb = np.uint8(np.rint(255 * lab2rgb(np.full((100, 100, 3), [lightness, 10.0, yellow]))))
        expected = np.degrees(np.arctan2(lightness - 50, yellow))
        assert evaluate_landmarks.skin_tone(rgb, points) == pytest.approx(expected, abs=1.5)
    assert np.isnan(evaluate_landmarks.skin_tone(np.full((100, 100, 3), 120, np.uint8), points))
    assert np.isnan(evaluate_landmarks.skin_tone(np.full((100, 100, 3), 120, np.uint8), points + 500))
