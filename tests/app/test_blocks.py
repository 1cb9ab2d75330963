"""The page of `tfface app`: what its controls do, and the page itself over loopback and in a browser."""

import shutil
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fakes import FakeNetworks, photo
from tfface import reconstructor as room
from tfface.detection import Detection
from tfface.reconstructor import Reconstructor

gradio = pytest.importorskip("gradio")
pytest.importorskip("k3d")
from tfface.app.blocks import DOWNLOADS, VIEWS, Page, angles, build, describe, direction, launch  # noqa: E402


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Bright photos have two faces, dark ones none."""
    found = [Detection((60, 50, 140, 160), 0.9, "mtcnn"), Detection((20, 30, 60, 80), 0.9, "mtcnn")]
    monkeypatch.setattr(room, "detect", lambda image, detector: found if image.mean() > 10 else [])
    return Page(Reconstructor(FakeNetworks()), tmp_path)


class Progress(list):
    """What was told, in the place of Gradio's, which also counts as false as long as it counts no steps."""

    def __call__(self, share, desc):
        self.append((share, desc))


@pytest.fixture
def picture(tmp_path):
    """Path of a photo with two faces."""
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


def test_a_photo_becomes_faces_views_and_words(page, picture):
    told = Progress()
    shown, choice, about = page.reconstruct(picture, told)
    assert [words for _, words in told] == [
        "finding and reconstructing faces",
        "drawing face 1 of 2",
        "drawing face 2 of 2",
    ]
    assert len(shown) == 2 and choice.choices == [("face 1", "face 1"), ("face 2", "face 2")]
    assert "Yaw -14°" in about and about == page.about(shown, "face 1") == describe(shown[0]["face"])
    pictures = [page.picture(shown, "face 2", kind, 0, 0) for kind in VIEWS]
    assert all(p.shape == (480, 480, 3) and p.dtype == np.uint8 for p in pictures)
    # The stand-in for FineNet adds nothing: fine is coarse, and all others differ.
    assert len({picture.tobytes() for picture in pictures}) >= len(VIEWS) - 1


def test_light_comes_from_where_the_sliders_say(page, picture):
    np.testing.assert_allclose(direction(90, 0), [1, 0, 0], atol=1e-6)
    assert angles(direction(-37, 31)) == (-37, 31)
    np.testing.assert_allclose(direction(0, 90), [0, -1, 0], atol=1e-6)  # image space: y points down
    shown, *_ = page.reconstruct(picture)
    from_left, from_right = (page.picture(shown, "face 1", "coarse", at, 0).astype(float) for at in (-80, 80))
    on_face = shown[0]["views"].alpha[::2, ::2, 0] > 0
    middle = np.nonzero(on_face)[1].mean()
    left = on_face & (np.arange(480) < middle)
    right = on_face & (np.arange(480) > middle)
    assert from_left[left].mean() > from_right[left].mean() + 20
    assert from_right[right].mean() > from_left[right].mean() + 20


def test_the_head_and_the_files_are_there_to_load(page, picture):
    shown, *_ = page.reconstruct(picture)
    with open(page.head(shown, "face 1"), "rb") as file:
        assert file.read(4) == b"glTF"
    told = Progress()
    archive, *files = page.files(shown, "face 2", told)
    endings = {"obj", "mtl", "png", "ply", "glb", "npy", "json", "gif", "html"}
    assert endings == {path.rsplit(".", 1)[-1] for path in files}
    assert len(told) == len(DOWNLOADS) and told[0] == (0, "writing obj") and told == sorted(told)
    assert sorted(zipfile.ZipFile(archive).namelist()) == sorted(Path(path).name for path in files)


def test_what_cannot_be_done_is_said(page, tmp_path):
    Image.fromarray(np.zeros((50, 50, 3), np.uint8)).save(tmp_path / "black.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    said = {None: "Expected a photo", "black.png": "No face found", "broken.jpg": "^.This photo can't be used: broken"}
    for name, words in said.items():
        with pytest.raises(gradio.Error, match=words):
            page.reconstruct(str(tmp_path / name) if name else None)
    with pytest.raises(gradio.Error, match="reconstruct a photo first"):
        page.files(None, None)
    assert page.picture(None, None, "fine", 0, 0) is None and page.about(None, None) == ""


def test_nothing_of_the_page_comes_from_elsewhere(page):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    blocks = launch(page, "127.0.0.1", port, block=False)
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30).read().decode()
        assert "tfface" in text and "fonts.googleapis" not in text and 'script src="http' not in text
        if shutil.which("chromium"):
            _in_a_browser(f"http://127.0.0.1:{port}/", page.folder)
    finally:
        blocks.close()


def _in_a_browser(url, folder):
    playwright = pytest.importorskip("playwright.sync_api")
    Image.fromarray(photo()).save(folder / "photo.png")
    flags = ["--no-sandbox", "--disable-background-networking", "--use-gl=angle", "--use-angle=swiftshader"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*flags, "--enable-unsafe-swiftshader"]
        )
        tab = browser.new_page(viewport={"width": 400, "height": 900})
        asked = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(url)
        tab.wait_for_selector("#photo input[type=file]", state="attached", timeout=60_000)
        tab.set_input_files("#photo input[type=file]", folder / "photo.png")
        tab.wait_for_selector("#photo img", timeout=60_000)
        tab.focus("#kind input[value=fine]")
        for key, value in (("ArrowRight", "normals"), ("ArrowLeft", "fine"), ("ArrowUp", "coarse")):
            tab.keyboard.press(key)
            tab.wait_for_function(f"document.activeElement === document.querySelector('#kind input[value={value}]')")
            tab.wait_for_function(f"document.querySelector('#kind input:checked').value === '{value}'")
        tab.focus("#start")
        tab.keyboard.press("Enter")  # the keyboard is enough
        tab.wait_for_selector("#seen img", timeout=120_000)
        tab.wait_for_selector("#head canvas", timeout=120_000)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 400
        browser.close()
    assert all(address.startswith((url, "blob:", "data:")) for address in asked)


def test_a_damaged_file_gets_as_far_as_the_page(page, tmp_path):
    from gradio.data_classes import ImageData

    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (field,) = (block for block in build(page).blocks.values() if getattr(block, "elem_id", None) == "photo")
    path = field.preprocess(ImageData(path=str(tmp_path / "broken.jpg"), orig_name="broken.jpg"))
    assert path == str(tmp_path / "broken.jpg") and field.preprocess(None) is None


def test_the_layout_builds_without_a_server(page):
    blocks = build(page)
    names = {block._id: block.elem_id for block in blocks.blocks.values() if getattr(block, "elem_id", None)}
    assert {"photo", "start", "head", "seen", "kind", "azimuth", "elevation", "files"} <= set(names.values())
    (start,) = (
        event for event in blocks.config["dependencies"] if [names.get(i) for i in event["inputs"]] == ["photo"]
    )
    assert [names[number] for number in start["show_progress_on"]] == ["head"]  # what is there to be seen all along
