"""Fitting a folder of landmarked photographs."""

import numpy as np
import pytest

from tfface.morphable import fitting
from tfface.morphable.correspondences import landmark_correspondences
from tfface.morphable.model import MorphableModel
from tfface.pipelines import fit_photos, landmark_photos, mediapipe_points


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight drawn faces of the mean shape, six to train on, whose first 68 of 478 points are the landmarks."""
    folder = tmp_path_factory.mktemp("photos")
    model = MorphableModel.default()
    rng = np.random.default_rng(0)
    r = np.zeros((8, 290), np.float32)
    r[:, :284] = rng.normal(0, 0.3, (8, 284))
    r[:, 285] = np.linspace(-0.3, 0.3, 8)
    faces = fitting.Fit(np.tile([128.0, 128.0, 256.0], (8, 1)), r, np.zeros((8, 0)))
    points = np.zeros((8, 478, 2), np.float16)
    points[:, :68] = fitting.project_points(model, faces, landmark_correspondences(model))
    np.savez(
        folder / "landmarks.npz",
        points=points,
        euler=np.column_stack([np.degrees(r[:, 285]), np.zeros(8), np.zeros(8)]).astype(np.float16),
        valid=np.tile([0, 0, 256, 256], (8, 1)).astype(np.float16),
        source=np.array(["drawn"] * 8),
        face_px=np.full(8, 200, np.float16),
    )
    np.savetxt(folder / "landmarks68.txt", np.arange(68), fmt="%d")
    np.savetxt(folder / "train.txt", np.arange(6), fmt="%05d")
    np.savetxt(folder / "val.txt", [6, 7], fmt="%05d")
    return folder


def test_fits_every_photograph(folder, tmp_path):
    output = tmp_path / "runs" / "fits.npz"
    report = fit_photos.run(fit_photos.FitPhotosConfig(str(folder), str(output), dense=False))
    with np.load(output) as fits:
        assert fits["r"].shape == (8, 290) and fits["r"].dtype == np.float32
        assert fits["square"].shape == (8, 3)
        assert np.all(fits["r"][:, 287:] == 0)
        assert fits["residual"].max() < 0.03
        # Validation photographs are fitted, and never fit to train on.
        assert fits["ok"].tolist() == [True] * 6 + [False] * 2
        assert fits["number"].tolist() == list(range(8))
    assert report["photos"] == 8 and report["ok"] == 6


def test_limit(folder, tmp_path):
    config = fit_photos.FitPhotosConfig(str(folder), str(tmp_path / "f.npz"), dense=False, limit=3)
    assert fit_photos.run(config)["photos"] == 3


def test_a_missing_folder_is_said(tmp_path, capsys):
    assert fit_photos.main(["--photos", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_photos_know_their_split(folder):
    photos = landmark_photos.load(folder)
    assert photos.train.tolist() == [True] * 6 + [False] * 2
    assert photos.points68.shape == (8, 68, 2)
    assert photos.take(~photos.train).number.tolist() == [6, 7]
    assert photos.path(3).name == "00003.jpg"


def test_points_find_their_places_on_the_mesh():
    model = MorphableModel.default()
    mean, triangles = np.asarray(model.mean, np.float64), np.asarray(model.triangles).astype(int)
    wanted = mean[triangles[[10, 500]]].mean(1)
    chosen, weights = mediapipe_points.closest_on_mesh(wanted, mean, triangles)
    found = (mean[triangles[chosen[:, 0]]] * weights[:, 0, :, None]).sum(1)
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_mirror_pairs_of_a_symmetric_row():
    points = np.array([[0.0, 0], [2, 0], [5, 1], [8, 0], [10, 0]])
    assert mediapipe_points.mirror_pairs(points).tolist() == [4, 3, 2, 1, 0]


def test_the_stored_table_fits_the_default_model():
    model, table = MorphableModel.default(), fit_photos.dense_table()
    assert table.index.max() < 468 and len(np.unique(table.index)) == len(table.index) > 300
    assert table.corners.max() < len(model.mean)
    np.testing.assert_allclose(table.barycentric.sum(1), 1.0, atol=1e-5)
