"""The preview sheet shows what it says."""

import io

import numpy as np
import pytest

from tests.fakes import ConstantCoarse, FakeNetworks, LiftingFine, face_of
from tfface.preview import TILES, contact_sheet, preview_sheet, preview_tiles, shade


@pytest.fixture(scope="module")
def face():
    return face_of(FakeNetworks(fine=LiftingFine(1.0)))


def test_tiles(face):
    tiles = preview_tiles(face, 160)
    assert tuple(tiles) == TILES
    for tile in tiles.values():
        assert tile.shape == (160, 160, 3) and tile.dtype == np.uint8
    paper = (tiles["coarse"] == 250).all(axis=-1)
    assert 0.2 < paper.mean() < 0.7 and paper[0, 0] and not paper[80, 80]
    assert np.abs(tiles["overlay"][paper].astype(int) - tiles["photo"][paper]).max() <= 1
    assert (tiles["overlay"][~paper] != tiles["photo"][~paper]).any(axis=-1).mean() > 0.9
    near, far = tiles["depth"][80, 80].astype(int), tiles["depth"][80][~paper[80]][2].astype(int)
    assert near.sum() > far.sum()


def test_sheet(face):
    sheet = preview_sheet(face, tile=100, columns=4)
    assert sheet.dtype == np.uint8 and sheet.shape == (3 * 132 + 10, 4 * 110 + 10, 3)


def test_the_coarse_tile_shows_no_facets(face):
    tile = preview_tiles(face, 160)["coarse"].astype(float).mean(axis=-1)
    # Inside an ellipsoid shading bends evenly; at the edges of flat triangles it would jump.
    bend = np.abs(np.diff(tile[60:100, 60:100], n=2, axis=1))
    assert bend.max() < 3.0


def test_sides_show_the_same_head_from_two_sides(face):
    tiles = preview_tiles(face, 100)
    for kind in ("shape", "texture"):
        left, right = tiles[f"{kind}, left"], tiles[f"{kind}, right"]
        assert ((left == 250).all(axis=-1).mean()) < 0.9 and (left != right).any()


def test_turntable_swings_and_comes_back(face):
    from PIL import Image

    from tfface.turntable import turntable_gif

    picture = Image.open(io.BytesIO(turntable_gif(face, frames=8, height=60, width=50)))
    assert picture.n_frames == 8 and picture.size == (100, 60) and picture.info["loop"] == 0
    frames = []
    for index in range(8):
        picture.seek(index)
        frames.append(np.asarray(picture.convert("RGB")).astype(int))
    assert np.abs(frames[2] - frames[6]).max() > 30
    np.testing.assert_array_equal(frames[1], frames[3])


def test_a_face_outside_the_photo_still_has_a_sheet():
    beyond = face_of(FakeNetworks(coarse=ConstantCoarse((0, 0, 0, -3, -3, 0))), (0, 0, 40, 50), recrop=False)
    assert preview_sheet(beyond, tile=64).shape[-1] == 3


def test_light_comes_from_the_upper_left():
    lit, away = shade(np.array([[[-0.4, -0.4, 0.8]]])), shade(np.array([[[0.4, 0.6, 0.7]]]))
    assert lit.mean() > away.mean() + 40


def test_contact_sheet_fills_rows():
    picture = np.zeros((20, 30, 3), np.uint8)
    assert contact_sheet([("a", picture)] * 5, 2).shape == (3 * 52 + 10, 2 * 40 + 10, 3)
