"""Labels of skin: what is drawn on a face in another colour or far too dark is found, shading and wrinkles aren't."""

import cv2
import numpy as np
import pytest

from tfface.morphable.representation import SIZE as R_SIZE
from tfface.networks.fine_net import SKIN_CELLS
from tfface.pipelines import skin_labels as room
from tfface.pipelines.fitted_photos import FittedPhotosConfig
from tfface.pipelines.skin_labels import SIZE, label, read_labels, skin_map

SKIN = np.array([205.0, 150.0, 120.0])


def _sphere():
    """Normals `[S, S, 3]` and mask of a ball that fills most of the crop."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE * 2 - 1
    z = np.sqrt(np.maximum(0.81 - x**2 - y**2, 0.0))
    inside = x**2 + y**2 < 0.6
    normals = np.stack([x, y, z], -1) / 0.9 * inside[..., None]
    return normals.astype(np.float32), inside


def _lit(normals, colour=SKIN):
    """The ball in light from the upper left, display-referred."""
    light = 0.3 + 0.7 * np.maximum(normals @ np.array([-0.4, -0.5, 0.77], np.float32), 0.0)
    return colour * light[..., None] ** (1 / 2.2)


@pytest.mark.parametrize("colour", [SKIN, SKIN * 0.45, np.array([150.0, 150.0, 150.0])])
def test_what_is_before_the_skin_is_found_in_any_tone(colour):
    normals, inside = _sphere()
    picture = _lit(normals, colour) + np.random.default_rng(0).normal(0, 2, (SIZE, SIZE, 3))
    hair, rim = np.zeros((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool)
    hair[30:60, 60:140] = True
    rim[90:96, 50:150] = True
    # A fold: as wide as the rim, and not nearly as dark.
    fold = np.zeros_like(rim)
    fold[130:136, 60:140] = True
    picture[hair | rim] *= 0.35
    picture[fold] *= 0.8
    found = skin_map(np.clip(picture, 0, 255), normals, inside)
    bare = inside & ~cv2.dilate((hair | rim).astype(np.uint8), np.ones((9, 9))).astype(bool)
    assert found[hair].mean() < 0.1 and found[rim].mean() < 0.35
    assert found[bare].mean() > 0.95 and found[fold].mean() > 0.8


def test_another_colour_as_bright_as_skin_is_found():
    normals, inside = _sphere()
    picture = _lit(normals)
    scarf = np.zeros((SIZE, SIZE), bool)
    scarf[120:150, 60:140] = True
    picture[scarf] = _lit(normals, np.array([120.0, 165.0, 190.0]))[scarf]
    found = skin_map(picture, normals, inside)
    assert found[122:148, 62:138].mean() < 0.1 and found[60:110, 60:140].mean() > 0.95


def _photographs(folder, model, count=3):
    """A folder of photographs with fits, all of the mean face."""
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        cv2.imwrite(str(folder / "images" / f"{number:05d}.jpg"), rng.integers(90, 160, (256, 256, 3), np.uint8))
    np.savez(
        folder / "landmarks.npz",
        source=np.repeat("some", count),
        face_px=np.full(count, 200.0),
        valid=np.tile([0.0, 0.0, 256.0, 256.0], (count, 1)),
    )
    np.savetxt(folder / "train.txt", np.arange(count), fmt="%d")
    np.savez(
        folder / "fits.npz",
        number=np.arange(count),
        square=np.tile([128.0, 128.0, 200.0], (count, 1)),
        r=np.zeros((count, R_SIZE), np.float32),
        ok=np.ones(count, bool),
    )
    return FittedPhotosConfig(photos=str(folder), fits=str(folder / "fits.npz"))


def test_a_folder_is_labelled_and_read_back(model, tmp_path, capsys):
    config = _photographs(tmp_path, model)
    path = tmp_path / "skin.npz"
    arguments = ["--photos", config.photos, "--fits", config.fits, "--output", str(path), "--count", "2"]
    assert room.main(arguments) == 0
    assert "2 photographs" in capsys.readouterr().out
    found = read_labels(path)
    assert found["image"].shape == (2, SIZE, SIZE) and found["skin"].shape == (2, SKIN_CELLS, SKIN_CELLS)
    assert found["image"].dtype == found["skin"].dtype == np.uint8 and found["skin"].max() > 200
    numbers = [set(label(model, config, count)["number"]) for count in (2, None)]
    assert numbers[0] < numbers[1] == {0, 1, 2}


def test_what_cannot_be_labelled_or_read_is_named(model, tmp_path, capsys):
    config = _photographs(tmp_path, model)
    output = tmp_path / "skin.npz"
    (tmp_path / "images" / "00001.jpg").write_bytes(b"no picture")
    arguments = ["--photos", config.photos, "--fits", config.fits, "--output", str(output)]
    assert room.main(arguments) == 2
    assert "00001.jpg, found none that can be read" in capsys.readouterr().err and not output.exists()
    assert room.main([*arguments, "--count", "0"]) == 2
    assert "--count of at least 1, received 0" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="`tfface.pipelines.skin_labels` makes them"):
        read_labels(output)
    np.savez(output, image=np.zeros((2, 5, 5)), skin=np.zeros((2, 5, 5)), r=np.zeros((2, R_SIZE)))
    with pytest.raises(ValueError, match="received other arrays"):
        read_labels(output)
    output.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="to hold labels of skin, but"):
        read_labels(output)
