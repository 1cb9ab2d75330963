"""Face: its files are whole, and reload as what they were."""

import dataclasses
import json
import os

import numpy as np
import pytest
from PIL import Image

from tests.fakes import FakeNetworks, LiftingFine, face_of
from tfface.errors import InputError, OutputError
from tfface.face import FORMATS


@pytest.fixture(scope="module")
def face():
    return face_of(FakeNetworks(fine=LiftingFine(1.0)))


def test_save_writes_every_format(face, tmp_path):
    pytest.importorskip("k3d")
    files = face.save(tmp_path / "new" / "folder", FORMATS, name="me")
    expected = "me.obj me.mtl me_texture.png me.ply me.glb me_arkit.glb me_arkit.json me_detail.ply me_detail.glb "
    expected += "me_depth.npy me_depth.png me_normals.npy me_normals.png me_preview.png me_turntable.gif me.html "
    expected += "me_camera.json me.json"
    assert sorted(files) == sorted(expected.split()) == sorted(os.listdir(tmp_path / "new" / "folder"))
    assert all(os.path.getsize(path) > 0 for path in files.values())


def test_frontal_takes_the_pose_out(face):
    # The fake's expression component of 0.5 moves everything by 5 mm along x.
    neutral = face.face_model.mean
    np.testing.assert_allclose(face.frontal(), neutral, atol=1e-4)
    np.testing.assert_allclose(face.frontal("expression"), neutral + [5, 0, 0], atol=1e-4)
    np.testing.assert_allclose(face.frontal("expression") @ face.rotation.T, face.vertices, atol=1e-3)


def test_wrong_frontal_is_refused_before_anything_is_written(face, tmp_path):
    with pytest.raises(InputError, match="expected frontal to be one of neutral, expression, received 'smile'"):
        face.save(tmp_path / "out", "obj", frontal="smile")
    with pytest.raises(InputError, match="expected a mesh format"):
        face.save(tmp_path / "out", "json", frontal="neutral")
    assert not (tmp_path / "out").exists()


def test_a_face_of_another_model_says_so(face):
    other = dataclasses.replace(face, face_model=None)
    with pytest.raises(InputError, match="make the Face with face_model="):
        _ = other.texture


def test_depth_files(face, tmp_path):
    files = face.save(tmp_path, ["depth"])
    np.testing.assert_array_equal(np.load(files["face_depth.npy"]), face.depth)
    code = np.asarray(Image.open(files["face_depth.png"])).astype(float)
    valid = np.isfinite(face.depth)
    assert (code[~valid] == 0).all() and (code[valid] > 0).all()
    np.testing.assert_allclose((code[valid] - 32768) / 100, face.depth[valid] * face.mm_per_px, atol=0.006)


def test_normal_files(face, tmp_path):
    files = face.save(tmp_path, ("normals",))
    np.testing.assert_array_equal(np.load(files["face_normals.npy"]), face.normals)
    colors = np.asarray(Image.open(files["face_normals.png"])).astype(float)
    valid = np.isfinite(face.depth)
    assert (colors[~valid] == 0).all()
    decoded = colors[valid] / 127.5 - 1
    np.testing.assert_allclose(decoded * [1, -1, 1], face.normals[valid], atol=0.005)


def test_json_holds_pose_camera_and_landmarks(face, tmp_path):
    (path,) = face.save(tmp_path, "json").values()
    data = json.loads(open(path, encoding="utf-8").read())
    np.testing.assert_allclose(data["landmarks"], face.landmarks, atol=1e-3)
    assert (data["yaw_degrees"], data["pitch_degrees"]) == pytest.approx(face.euler_degrees[:2], abs=1e-3)
    # The saved camera overlays the saved mesh: rotation is already in the vertices.
    camera = data["camera"]
    scale, (tx, ty) = camera["scale_px_per_mm"], camera["translation_px"]
    overlay = face.vertices * [scale, -scale, scale] + [tx, ty, 0]
    np.testing.assert_allclose(overlay, face.vertices_image, atol=0.01)
    assert data["blendshapes"] == {"jawOpen": 0.5} and data["image_size"] == [220, 260]


@pytest.mark.parametrize("formats", ["stl", ("obj", "pdf"), ()])
def test_unknown_formats_are_refused_before_anything_is_written(face, tmp_path, formats):
    with pytest.raises(InputError, match="expected formats from obj"):
        face.save(tmp_path / "out", formats)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("broken", ["write", "replace"])
def test_a_full_disk_leaves_nothing_half_written(face, tmp_path, monkeypatch, broken):
    face.save(tmp_path, "json")
    before = (tmp_path / "face.json").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    if broken == "replace":
        monkeypatch.setattr(os, "replace", full)
    else:
        monkeypatch.setattr(os, "fdopen", lambda handle, *_: (os.close(handle), full()))
    with pytest.raises(OutputError, match="No space left on device"):
        face.save(tmp_path, ("json", "obj"), name="face")
    assert os.listdir(tmp_path) == ["face.json"] and (tmp_path / "face.json").read_bytes() == before


def test_the_folder_is_a_file(face, tmp_path):
    (tmp_path / "file").write_text("kept")
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(OutputError, match="received a file"):
            face.save(folder, "json")
    assert (tmp_path / "file").read_text() == "kept"


def test_hidden_vertices_take_the_median_colour(face):
    colors = face.vertex_colors
    assert colors.shape == face.vertices.shape and colors.dtype == np.uint8


def test_depth_is_spread_over_the_grid_once(face):
    assert face.depth is face.depth
    assert repr(face).startswith("Face(box=[60, 50, 140, 160], score=1.00, yaw=-14°")
    assert "yaw=0°, pitch=0°, roll=-1°" in repr(dataclasses.replace(face, euler_degrees=(-0.2, 0.2, -0.8)))
