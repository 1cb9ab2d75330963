"""Crops from folders, cached squares, VGG-Face lists and TFDS."""

import json

import numpy as np
import pytest
from PIL import Image

from tfface.pipelines import photos, vgg_face
from tfface.pipelines.photos import CropList, PhotosConfig


def _image(path, value=None, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    array = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    if value is not None:
        array[:] = value
    Image.fromarray(array).save(path)


CONFIG = PhotosConfig(size=16, batch_size=2)


def test_folders_yield_the_same_crops_for_the_same_seed(tmp_path):
    for name in ("a.png", "deep/b.jpg", "c.bmp"):
        _image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    listed = photos.from_folders(tmp_path)
    assert len(listed.paths) == 3
    first = list(photos.dataset(listed, CONFIG).take(4).as_numpy_iterator())
    again = list(photos.dataset(listed, CONFIG).take(4).as_numpy_iterator())
    resumed = list(photos.dataset(listed, CONFIG, start=2).take(2).as_numpy_iterator())
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])
    np.testing.assert_array_equal(first[3]["image"], resumed[1]["image"])
    assert first[0]["image"].shape == first[0]["valid"].shape == (2, 16, 16, 1)
    assert 0 <= first[0]["image"].min() and first[0]["image"].max() <= 1


def test_cached_squares_name_the_faces(tmp_path):
    _image(tmp_path / "two.png")
    _image(tmp_path / "none.png")
    found = {"two.png": [[10, 10, 8], [20, 15, 12]], "none.png": []}
    assert photos.cache_squares(tmp_path, lambda path: found[path.name]) == 2
    assert json.loads((tmp_path / "squares.json").read_text())["none.png"] == []
    listed = photos.from_folders(tmp_path)
    np.testing.assert_array_equal(listed.squares, [[10, 10, 8], [20, 15, 12]])


def test_noise_is_in_the_input_only(tmp_path):
    _image(tmp_path / "a.png", value=128)
    still = photos.AugmentationConfig(flip=False, shift=0, scale=0, gamma=0, noise=0.1)
    config = PhotosConfig(size=16, batch_size=1, augmentation=still)
    batch = next(photos.dataset(photos.from_folders(tmp_path), config).as_numpy_iterator())
    np.testing.assert_allclose(batch["clean"], 128 / 255, atol=1e-5)
    assert batch["image"].std() > 1e-3


def test_an_empty_or_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="expected images"):
        photos.from_folders(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected a folder of images, received"):
        photos.from_folders(tmp_path / "nowhere")


def _squares(boxes):
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([centre, (boxes[:, 2:3] - boxes[:, :1]) * 1.5], axis=1)


def test_vgg_face_lists_skip_and_count_missing_images(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "A_Person.txt").write_text(
        "00000001 http://x/a.jpg 5.0 6.0 25.0 26.0 3 4.2 1\n"
        "00000002 http://x/b c.jpg 5.0 6.0 25.0 26.0 3 4.2 1\n"
        "00000003 http://x/d.jpg 1.0 2.0 3.0 4.0 2 1.0 0\n"
    )
    _image(tmp_path / "images" / "A_Person" / "00000001.jpg")
    listed = vgg_face.read_lists(tmp_path, _squares)
    assert len(listed.paths) == 1 and listed.skipped == 1
    np.testing.assert_array_equal(listed.squares, [[15, 16, 30]])
    assert vgg_face.read_lists(tmp_path, _squares, curated_only=False).skipped == 2
    batch = next(photos.dataset(listed, CONFIG).as_numpy_iterator())
    assert batch["image"].shape == (2, 16, 16, 1)


def test_a_broken_list_names_its_line(tmp_path):
    path = tmp_path / "P.txt"
    path.write_text("00000001 http://x/a.jpg 5.0 6.0 25.0 26.0 3 4.2 1\nrubbish\n")
    with pytest.raises(ValueError, match="in line 2 of .*received 'rubbish'"):
        vgg_face.read_list(path)
    with pytest.raises(FileNotFoundError, match="expected VGG-Face lists"):
        vgg_face.read_lists(tmp_path, _squares)


def test_tfds_by_name():
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=3):
        try:
            data = photos.from_tfds("celeb_a", config=CONFIG)
        except Exception as error:  # noqa: BLE001 - without the registry's metadata nothing can be mocked
            pytest.skip(f"TFDS cannot mock celeb_a here: {error}")
        batch = next(data.as_numpy_iterator())
    assert batch["image"].shape == (2, 16, 16, 1)


def test_a_crop_list_can_be_made_by_hand(tmp_path):
    _image(tmp_path / "a.png", value=255)
    listed = CropList([str(tmp_path / "a.png")], np.array([[20, 15, 10]], np.float32))
    batch = next(photos.dataset(listed, CONFIG).as_numpy_iterator())
    np.testing.assert_allclose(batch["clean"][batch["valid"] > 0], 1, atol=1e-5)
