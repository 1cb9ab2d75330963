"""Sizes of features against fitted ones: equal faces agree, damped ones say by how much, and bad files are named."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.pipelines import evaluate_features


@pytest.fixture(scope="module")
def faces():
    return np.random.default_rng(0).normal(size=(12, 290)).astype(np.float32) * 0.7


@pytest.fixture
def fits(faces, tmp_path):
    np.savez(tmp_path / "fits.npz", number=np.arange(12), r=faces)
    return tmp_path / "fits.npz"


def test_sizes_are_distances_of_the_decoded_mesh(model, faces):
    vertices = model.decode(tf.constant(faces[:, :200]), tf.constant(faces[:, 200:284])).numpy()
    points = vertices[:, np.asarray(model.landmarks)]
    found = evaluate_features.sizes(model, faces)
    np.testing.assert_allclose(found["jaw's width"], np.linalg.norm(points[:, 5] - points[:, 11], axis=-1), atol=1e-3)
    lips = [np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in ((51, 62), (57, 66))]
    np.testing.assert_allclose(found["lips' thickness"], np.mean(lips, 0), atol=1e-3)
    corners = points[:, 51, 1] - points[:, [48, 54], 1].mean(1)
    np.testing.assert_allclose(found["mouth's corners, height"], corners, atol=1e-3)


def test_the_same_faces_agree_and_the_mean_face_says_nothing(model, faces, fits):
    turned = faces.copy()
    turned[:, 284:] = 0.0
    report = evaluate_features.table(model, turned, np.arange(12), fits)
    assert [row["name"] for row in report["rows"]] == list(evaluate_features.FEATURES)
    for row in report["rows"]:
        figures = [row["correlation"], row["spread"], row["slope"], row["mae_mm"]]
        np.testing.assert_allclose(figures, [1, 1, 1, 0], atol=1e-4)
        assert row["fits_sd_mm"] > 0.1
    flat = evaluate_features.table(model, np.zeros_like(faces), np.arange(12), fits)["rows"]
    assert all(np.isnan(row["correlation"]) and abs(row["slope"]) < 1e-6 and row["mae_mm"] > 0.1 for row in flat)


def test_half_the_face_has_half_the_spread(model, faces, fits):
    rows = evaluate_features.table(model, faces * 0.5, np.arange(12), fits)["rows"]
    height = next(row for row in rows if row["name"] == "mouth's corners, height")  # linear in r
    assert height["correlation"] == pytest.approx(1.0) and height["spread"] == pytest.approx(0.5, abs=1e-4)


def test_only_photographs_with_a_fit_count(model, faces, tmp_path):
    broken = faces.copy()
    broken[3] = np.nan
    np.savez(tmp_path / "fits.npz", number=np.arange(12), r=broken)
    chosen, r = evaluate_features.read_fits(tmp_path / "fits.npz", [11, 3, 99, 0])
    assert chosen.tolist() == [True, False, False, True]
    np.testing.assert_array_equal(r, faces[[11, 0]])


def test_bad_files_are_named(tmp_path, fits):
    with pytest.raises(FileNotFoundError, match="fit_photos` makes them"):
        evaluate_features.read_fits(tmp_path / "none.npz", [0])
    (tmp_path / "text.npz").write_text("no fits")
    with pytest.raises(ValueError, match="expected fits of"):
        evaluate_features.read_fits(tmp_path / "text.npz", [0])
    with pytest.raises(ValueError, match="received none of them"):
        evaluate_features.read_fits(fits, [99])
