"""Evaluation's pictures with surroundings and as small files: what changes, what counts, and always alike."""

import numpy as np
import pytest

from tests.fakes import write_around
from tfface.pipelines.as_photographed import AsPhotographed
from tfface.pipelines.synthetic_detail import DetailWorld

SIZE = 96


@pytest.fixture(scope="module")
def rendered(model):
    world = DetailWorld(model, fine_px=SIZE)
    head = world.head(3)
    return world.render(head, SIZE), head


def test_nothing_asked_nothing_changed(model, rendered):
    picture, _ = rendered
    same = AsPhotographed(model)(*rendered)
    np.testing.assert_array_equal(same.image, picture.image)
    np.testing.assert_array_equal(same.skin, picture.skin)


def test_hidden_skin_does_not_count(model, rendered, tmp_path):
    picture, head = rendered
    levels = np.full((1, 256, 256, 2), 0.5)
    levels[..., 1] = np.arange(256)[:, None] >= 128
    write_around(tmp_path, head.r[None], levels)
    change = AsPhotographed(model, str(tmp_path))
    laid, again = change(*rendered), change(*rendered)
    np.testing.assert_array_equal(laid.image, again.image)
    assert laid.image.dtype == np.float32 and laid.image.shape == picture.image.shape
    # The photograph's face is where the head is.
    upper, lower = np.arange(SIZE)[:, None] < SIZE // 2 - 2, np.arange(SIZE)[:, None] > SIZE // 2 + 2
    assert not (laid.skin & upper).any() and (picture.skin & upper).any()
    np.testing.assert_array_equal(laid.skin & lower, picture.skin & lower)
    np.testing.assert_allclose(laid.image[laid.skin & lower], picture.image[laid.skin & lower], atol=1e-5)
    assert np.std(laid.image[(picture.mask > 0) & upper]) < 0.05 < np.std(picture.image[picture.mask > 0])


def test_small_pictures_lose_what_is_fine(model, rendered):
    picture, _ = rendered
    change = AsPhotographed(model, small=True)
    small = change(*rendered)
    np.testing.assert_array_equal(small.image, change(*rendered).image)
    np.testing.assert_array_equal(small.skin, picture.skin)

    def fine(image):
        return np.abs(np.diff(image, n=2, axis=1))[picture.skin[:, 1:-1]].mean()

    assert fine(small.image) < 0.9 * fine(picture.image)
    assert np.abs(small.image - picture.image)[picture.skin].mean() < 0.05
