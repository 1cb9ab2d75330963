"""The SavedModel: its signatures, photos as bytes, and a process that has no tfface."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.export.small import SIZE, crops, networks
from tests.fakes import photo
from tfface.detection import crop_map, crop_square, cut
from tfface.encoding import png_bytes
from tfface.export import ExportConfig, export
from tfface.export.cutting import decode_and_cut
from tfface.export.parity import compare, keras_answers
from tfface.export.runners import open_exported
from tfface.images import grey


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export(networks(), tmp_path_factory.mktemp("saved") / "tfface" / "1", ExportConfig("savedmodel", SIZE))


def test_parity_whatever_the_batch(folder):
    faces = crops(3)
    run = open_exported(folder)
    expected = keras_answers(networks(), faces)
    for parity in compare(run(faces), expected):
        assert parity.same, parity
    for parity in compare(run(faces[:1]), {name: value[:1] for name, value in expected.items()}):
        assert parity.same, parity


def test_a_process_without_tfface_runs_every_signature(folder, tmp_path):
    faces = crops(2)
    np.save(tmp_path / "crops.npy", faces)
    (tmp_path / "photo.png").write_bytes(png_bytes(photo()))
    code = f"""
import sys
import numpy as np, tensorflow as tf
model = tf.saved_model.load({str(folder)!r})
crops = np.load({str(tmp_path / "crops.npy")!r})
answers = model.serve(tf.constant(crops))
again = model.serve(tf.constant(np.uint8(np.rint(crops * 255))))
assert abs(again["landmarks"] - answers["landmarks"]).numpy().max() < 2, "uint8"
named = model.signatures["serve"](crops=tf.constant(crops))
np.testing.assert_allclose(named["r"], answers["r"], atol=1e-5)
data = open({str(tmp_path / "photo.png")!r}, "rb").read()
encoded = model.signatures["serving_default"](
    image_bytes=tf.constant([data, data, data]),
    box=tf.constant([[60.0, 50, 140, 160], [70, 50, 150, 160], [0, 0, 0, 0]]),
)
assert encoded["vertices"].shape[0] == 3 and encoded["crop"].shape == (3, 3)
fine = model.signatures["fine"](**{{name: tf.ones([1, 37, 50, 1]) for name in ("image", "depth", "mask")}})
assert fine["fine_depth"].shape == (1, 37, 50, 1) and fine["normals"].shape == (1, 37, 50, 3)
assert set(model.signatures) == {{"serving_default", "serve", "serve_uint8", "serve_encoded", "fine"}}
assert "tfface" not in sys.modules
np.save({str(tmp_path / "r.npy")!r}, answers["r"])
"""
    # -P and a folder without the checkout: nothing of tfface is to be found.
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(tmp_path / "r.npy"), keras_answers(networks(), faces)["r"], atol=1e-4)


def test_the_folder_describes_itself_and_shares_its_weights(folder):
    description = json.loads((folder / "assets.extra" / "tfface.json").read_text(encoding="utf-8"))
    assert description["input"]["shape"] == ["B", SIZE, SIZE, 3]
    weights = sum(np.prod(v.shape) for v in networks().coarse.variables) + 284 * 3 * 4394
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    # One copy of the weights, and of the graph, for five signatures.
    assert size < 4 * weights + 8e6
    assert not [path for path in folder.parent.iterdir() if path != folder]


@pytest.mark.parametrize(
    "box", [(60, 50, 140, 160), (-40, 90, 70, 200), (3, 3, 9, 11), (-300, -300, 500, 500), (150, 180, 260, 300)]
)
def test_cutting_inside_equals_cutting_outside(box):
    image = photo()
    received, placed = decode_and_cut(tf.constant([png_bytes(image)]), tf.constant([box], tf.float32), 50)
    square = crop_square(box)
    np.testing.assert_allclose(received[0, :, :, 0], grey(cut(image, square, 50)), atol=2e-5)
    np.testing.assert_array_equal(received[..., 0], received[..., 2])
    np.testing.assert_allclose(placed[0], crop_map(square, 50), rtol=1e-5)


def test_an_empty_box_takes_the_middle_of_the_photo():
    image = photo(260, 220)
    received, placed = decode_and_cut(tf.constant([png_bytes(image)]), tf.zeros([1, 4]), 44)
    np.testing.assert_allclose(placed[0], [0, 20, 5])
    np.testing.assert_allclose(received[0, :, :, 0], grey(cut(image, (110, 130, 220), 44)), atol=2e-5)


@pytest.mark.parametrize(
    ("data", "box"), [(b"not a picture", (0, 0, 0, 0)), (None, (0, 0, np.nan, 1)), (None, (0, 0, 1e9, 1e9))]
)
def test_what_cannot_be_cut_is_refused(data, box):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_and_cut(tf.constant([data or png_bytes(photo())]), tf.constant([box], tf.float32), 50)
