"""The web page: one file, complete without a network, and opened by a browser where there is one."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.meshes.fixtures import painted_face, place_colors
from tfface.errors import InputError
from tfface.meshes.page import page_bytes

k3d = pytest.importorskip("k3d")


@pytest.fixture(scope="module")
def page(model):
    """Someone with blue eyes and a red mouth."""
    colors = place_colors(model)
    colors[model.region_mask("eyes")] = 20, 20, 220
    colors[model.region_mask("lips", "mouth")] = 220, 20, 20
    return page_bytes(painted_face(model, colors=colors), "someone")


@pytest.fixture
def plots(monkeypatch):
    """The plots that are made."""
    made, original = [], k3d.plot

    def keep(**options):
        made.append(original(**options))
        return made[-1]

    monkeypatch.setattr(k3d, "plot", keep)
    return made


def test_the_page_needs_nothing_else(page):
    text = page.decode()
    assert "<title>tfface: someone</title>" in text and len(text) > 500_000
    head = text[: text.index("window.k3dCompressed")]
    assert "src=" not in head and "http://" not in head and "https://" not in head
    assert "[DATA]" not in text and "[K3D_SOURCE]" not in text


def test_the_head_is_in_it_fine_coarse_and_textured(model, plots):
    face = painted_face(model)
    page_bytes(face)
    names = [thing.name for thing in plots[0].objects]
    assert names == ["photo", "clay, fine", "clay, coarse"]
    assert [thing.visible for thing in plots[0].objects] == [True, False, False]
    coarse = plots[0].objects[2]
    np.testing.assert_allclose(np.unique(coarse.vertices, axis=0), np.unique(face.vertices, axis=0), atol=1e-4)


def test_its_texture_shows_the_photo_where_it_was_seen(model, plots):
    page_bytes(painted_face(model))
    head = plots[0].objects[0]
    x, y, z = head.vertices.T
    texture = np.asarray(Image.open(io.BytesIO(head.texture)).convert("RGB"), np.float32)
    # k3d uploads the picture as it is (flipY = false): v is 0 in its first row.
    column, row = np.int32(head.uvs * texture.shape[1::-1]).T
    front = (z > 5) & (np.abs(x) < 30)
    painted = np.stack([170 + 0.3 * y, 120 + 0.4 * np.abs(x), 100 + 0.2 * (z + 80)], axis=-1)  # as `place_colors`
    assert front.sum() > 1000
    # Upside down it would be 19.
    assert np.median(np.abs(texture[row[front], column[front]] - painted[front]).max(axis=-1)) < 3


def test_a_missing_package_is_named(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "k3d", None)
    with pytest.raises(InputError, match=r"pip install 'tfface\[html\]'"):
        page_bytes(painted_face(model))


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium")
@pytest.mark.parametrize("width, height", [(500, 400), (390, 844)])
def test_a_browser_draws_it(page, width, height, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    (tmp_path / "face.html").write_bytes(page)
    flags = ["--no-sandbox", "--disable-background-networking", "--use-gl=angle", "--use-angle=swiftshader"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*flags, "--enable-unsafe-swiftshader"]
        )
        tab = browser.new_page(viewport={"width": width, "height": height})
        errors, asked = [], []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto((tmp_path / "face.html").as_uri())
        tab.wait_for_function("typeof K3DInstance !== 'undefined'", timeout=60_000)
        for _ in range(60):
            tab.wait_for_timeout(500)
            tab.screenshot(path=tmp_path / "page.png")
            pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"), np.float32)
            red, green, blue = np.moveaxis(pixels, -1, 0)
            mouth, eyes = red > 2 * np.maximum(green, blue) + 20, blue > 2 * np.maximum(red, green) + 20
            if mouth.any() and eyes.any():
                break
        browser.close()
    (mouth_y, mouth_x), (eyes_y, eyes_x) = (np.nonzero(part) for part in (mouth, eyes))
    head = np.abs(pixels - pixels[height // 2, 5]).max(axis=-1) > 20
    head[:120, width - 240 :] = False  # the menu
    rows, columns = np.flatnonzero(head.any(axis=1)), np.flatnonzero(head.any(axis=0))
    # All of it is seen, no smaller than needed, with the mouth below the eyes, both in the middle.
    assert 10 < columns[0] and columns[-1] < width - 10 and 10 < rows[0] and rows[-1] < height - 10
    assert len(rows) > 0.7 * height or len(columns) > 0.6 * width
    share = np.array([np.median(eyes_y), np.median(mouth_y)]) - rows[0]
    np.testing.assert_allclose(share / len(rows), [0.45, 0.75], atol=0.1)
    np.testing.assert_allclose([np.mean(eyes_x), np.mean(mouth_x)], width / 2, atol=0.05 * width)
    assert not errors and all(url.startswith(("file:", "blob:", "data:")) for url in asked)
