"""The web page: one file, complete without a network, and opened by a browser where there is one."""

import shutil

import numpy as np
import pytest

from tests.meshes.fixtures import painted_face
from tfface.errors import InputError
from tfface.meshes.page import page_bytes

k3d = pytest.importorskip("k3d")


@pytest.fixture(scope="module")
def page(model):
    return page_bytes(painted_face(model), "someone")


def test_the_page_needs_nothing_else(page):
    text = page.decode()
    assert "<title>tfface: someone</title>" in text and len(text) > 500_000
    head = text[: text.index("window.k3dCompressed")]
    assert "src=" not in head and "http://" not in head and "https://" not in head
    assert "[DATA]" not in text and "[K3D_SOURCE]" not in text


def test_the_head_is_in_it_fine_coarse_and_textured(model, monkeypatch):
    plots = []
    original = k3d.plot

    def keep(**options):
        plots.append(original(**options))
        return plots[-1]

    monkeypatch.setattr(k3d, "plot", keep)
    face = painted_face(model)
    page_bytes(face)
    names = [thing.name for thing in plots[0].objects]
    assert names == ["photo", "clay, fine", "clay, coarse"]
    assert [thing.visible for thing in plots[0].objects] == [True, False, False]
    coarse = plots[0].objects[2]
    np.testing.assert_allclose(np.unique(coarse.vertices, axis=0), np.unique(face.vertices, axis=0), atol=1e-4)


def test_a_missing_package_is_named(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "k3d", None)
    with pytest.raises(InputError, match=r"pip install 'tfface\[html\]'"):
        page_bytes(painted_face(model))


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium")
def test_a_browser_draws_it(page, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    from PIL import Image

    (tmp_path / "face.html").write_bytes(page)
    flags = ["--no-sandbox", "--disable-background-networking", "--use-gl=angle", "--use-angle=swiftshader"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*flags, "--enable-unsafe-swiftshader"]
        )
        tab = browser.new_page(viewport={"width": 500, "height": 400})
        errors, asked = [], []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto((tmp_path / "face.html").as_uri())
        tab.wait_for_function("typeof K3DInstance !== 'undefined'", timeout=60_000)
        for _ in range(60):
            tab.wait_for_timeout(500)
            tab.screenshot(path=tmp_path / "page.png")
            pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"), np.float32)
            if pixels[100:300, 150:250].std() > 8:
                break
        browser.close()
    assert pixels[100:300, 150:250].std() > 8  # the head
    assert pixels[:, :60].std() < 6  # on an even background
    assert not errors and all(url.startswith(("file:", "blob:", "data:")) for url in asked)
