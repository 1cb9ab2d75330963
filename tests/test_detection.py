"""Detection, box rules, and cutting crops exactly."""

import numpy as np
import pytest

from tfface import detection
from tfface.detection import CROP_RULES, check_boxes, crop_map, crop_square, cut, detect
from tfface.errors import InputError


@pytest.fixture(scope="module")
def astronaut():
    from skimage.data import astronaut

    return astronaut()


@pytest.mark.parametrize("size", [200, 64, 400])
@pytest.mark.parametrize(
    "square", [(150.3, 120.7, 97.1), (160.0, 130.0, 200.0), (155.5, 128.25, 223.7), (150, 130, 31)]
)
def test_cut_keeps_linear_ramps_exactly(size, square):
    y, x = np.mgrid[:260, :320] + 0.5
    crop = cut(np.stack([x, y], axis=-1).astype(np.float32), square, size)
    left, top, step = crop_map(square, size)
    j = np.arange(size) + 0.5
    assert np.abs(crop[..., 0] - (left + step * j)[None]).max() < 1e-3
    assert np.abs(crop[..., 1] - (top + step * j)[:, None]).max() < 1e-3


def test_cut_at_full_size_copies_pixels():
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    np.testing.assert_allclose(cut(image, (32, 32, 64), 64), image, atol=1e-6)
    np.testing.assert_allclose(cut(image, (30, 20, 10), 10), image[15:25, 25:35], atol=1e-6)


def test_cut_repeats_the_border_outside():
    image = np.tile(np.arange(64, dtype=np.float32), (64, 1))
    crop = cut(image, (0, 32, 64), 64)
    assert (crop[:, :30] == 0).all() and np.isclose(crop[0, -1], 31)
    far = cut(image, (1000, 1000, 64), 32)
    assert far.shape == (32, 32) and np.allclose(far, 63)


def test_shrinking_does_not_alias():
    board = np.indices((400, 400)).sum(axis=0) % 2
    crop = cut(board, (200, 200, 390), 97)
    assert np.abs(crop - 0.5).max() < 0.03


@pytest.mark.parametrize("style", CROP_RULES)
def test_crop_square_moves_and_scales_with_the_box(style):
    cx, cy, side = crop_square((10, 20, 85, 120), style)
    moved = crop_square((10 + 7, 20 - 3, 85 + 7, 120 - 3), style)
    np.testing.assert_allclose(moved, (cx + 7, cy - 3, side))
    np.testing.assert_allclose(crop_square((30, 60, 255, 360), style), (3 * cx, 3 * cy, 3 * side))
    assert np.isclose(cx, 47.5) and 20 < cy < 120 and 120 < side < 300


def test_check_boxes():
    found = check_boxes(np.array([[-20, 10, 50, 90], [5, 5, 60.5, 80]]), 100, 100)
    assert [d.box for d in found] == [(-20, 10, 50, 90), (5, 5, 60.5, 80)] and found[0].score == 1
    assert check_boxes([], 100, 100) == []


@pytest.mark.parametrize(
    "boxes, word",
    [
        ([10, 10, 50, 50], "into a list"),
        ([[10, 10, 50]], r"\[N, 4\]"),
        ([[50, 10, 10, 50]], "x1 > x0"),
        ([[10, 10, 50, 10]], "y1 > y0"),
        ([[10, 10, np.nan, 50]], "finite"),
        ([[10, 10, np.inf, 50]], "finite"),
        ([[200, 200, 250, 250]], "overlaps"),
        ([[10, 10, 11, 11]], "4 px"),
        ([[-1e6, -1e6, 1e6, 1e6]], "4 times"),
        ([[0, 0, 100, 5]], "strip"),
        ([["a", 1, 2, 3]], "numbers"),
        ("face", "numbers"),
        ([[1, 2, 3, 4], [1, 2]], "numbers"),
    ],
)
def test_check_boxes_refuses(boxes, word):
    with pytest.raises(InputError, match=word):
        check_boxes(boxes, 100, 100)


@pytest.mark.parametrize("detector", ["mtcnn", "haar"])
def test_detects_one_face(astronaut, detector):
    (found,) = detect(astronaut, detector)
    x0, y0, x1, y1 = found.box
    # Brow, nose and chin of the portrait, read off by eye.
    assert x0 < 205 and x1 > 245 and y0 < 95 and 150 < y1 < 190
    assert 0.5 < found.score <= 1 and found.style == detector
    cx, cy, side = crop_square(found.box, detector)
    assert abs(cx - 224) < 10 and abs(cy - 130) < 12 and 130 < side < 200


def test_no_face(astronaut):
    blank = np.full((90, 120, 3), 200, np.uint8)
    assert detect(blank, "mtcnn") == [] and detect(blank, "haar") == []


def test_a_face_that_fills_the_frame(astronaut):
    assert len(detect(astronaut[60:180, 170:280], "mtcnn")) == 1


def test_a_face_too_unsure_to_count_is_looked_at_once_more(monkeypatch):
    answers = [[(np.array([10.0, 10.0, 80.0, 90.0]), 0.85)], [(np.array([43.0, 48.0, 113.0, 138.0]), 0.95)]]
    monkeypatch.setitem(detection.DETECTORS, "mtcnn", lambda image: answers.pop(0))
    (found,) = detect(np.zeros((200, 200, 3), np.uint8))
    assert found.score == 0.95 and not answers
    np.testing.assert_allclose(found.box, np.array([43, 48, 113, 138]) - 66)


def test_boxes_of_shrunk_and_enlarged_images_are_in_original_pixels(monkeypatch):
    seen = []

    def fixed(image):
        seen.append(image.shape[:2])
        height, width = image.shape[:2]
        return [(np.array([0.25 * width, 0.25 * height, 0.5 * width, 0.75 * height]), 0.99)]

    monkeypatch.setitem(detection.DETECTORS, "mtcnn", fixed)
    for shape in ((3000, 2000, 3), (48, 64, 3), (300, 400, 3)):
        (found,) = detect(np.zeros(shape, np.uint8))
        height, width = shape[:2]
        np.testing.assert_allclose(found.box, [width / 4, height / 4, width / 2, height * 3 / 4], rtol=0.01)
    assert max(seen[0]) == detection.MAX_DETECTION_SIDE and min(seen[1]) == 160 and seen[2] == (300, 400)


def test_largest_first_without_doubles(monkeypatch):
    boxes = [
        ((0, 0, 20, 30), 0.99),
        ((50, 50, 100, 120), 0.95),
        ((55, 55, 95, 110), 0.99),
        ((0, 60, 30, 90), 0.5),
    ]
    monkeypatch.setitem(detection.DETECTORS, "mtcnn", lambda image: [(np.array(b, float), s) for b, s in boxes])
    found = detect(np.zeros((200, 200, 3), np.uint8))
    assert [d.box for d in found] == [(50, 50, 100, 120), (0, 0, 20, 30)]


def test_unknown_detector():
    with pytest.raises(InputError, match="mtcnn, haar"):
        detect(np.zeros((64, 64, 3), np.uint8), "dlib")
