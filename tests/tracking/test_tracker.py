"""Following faces: identities that last, detection now and then, still heads held still, frames without a face."""

import numpy as np
import pytest
import tensorflow as tf

from tests.fakes import DomeModel
from tfface.detection import Detection
from tfface.reconstructor import Reconstructor
from tfface.tracking import FaceTracker, TrackerConfig
from tfface.tracking import tracker as room

HEIGHT, WIDTH = 120, 200


class Scene:
    """Faces at known places: (x, y), or (x, y, number of the person); the stand-ins for the networks know them."""

    face_model = DomeModel(8)

    def __init__(self, noise=0.0):
        self.noise, self.rng, self.looks = noise, np.random.default_rng(0), 0
        self.faces = []

    def frame(self, *faces):
        self.faces = [(*face, 0)[:3] for face in faces]
        return np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    def detect(self, image, detector):
        self.looks += 1
        return [Detection((x - 20, y - 25, x + 20, y + 25), 0.9, detector) for x, y, _ in self.faces]

    def coarse(self, image, squares):
        r = np.zeros((len(squares), 290), np.float32)
        for row, (cx, cy, side) in zip(r, squares, strict=True):

            def away(face, cx=cx, cy=cy):
                return np.hypot(face[0] - cx, face[1] - cy)

            nobody = cx, cy, 9  # a crop of a wall has an answer, too
            x, y, person = min([face for face in self.faces if away(face) < side / 2], key=away, default=nobody)
            row[:200] = 0.4 * person
            row[200] = 0.5
            row[284:290] = 0.1, 0.2, 0.0, 2 * (x - cx) / side, 2 * (y - cy) / side, np.log(80.0 / side)
            row += self.noise * self.rng.normal(size=290)
        return r


@pytest.fixture
def scene(monkeypatch):
    scene = Scene()
    monkeypatch.setattr(room, "detect", scene.detect)
    return scene


def test_a_face_keeps_its_number_and_is_where_it_is(scene):
    tracker = FaceTracker(scene)
    for number in range(40):
        place = 60 + 1.5 * number, 60.0
        (face,) = tracker(scene.frame(place), number / 30)
    assert face.id == 0 and scene.looks == 2  # at 0 s and at 1 s
    # A face that crosses half its width a second lags by less than a frame.
    np.testing.assert_allclose(face.translation, place, atol=1.5)
    assert face.square[2] == pytest.approx(80, rel=1e-3)
    np.testing.assert_allclose(face.euler_degrees, np.degrees([0.2, -0.1, 0.0]), atol=0.05)
    assert face.blendshapes == {"jawOpen": pytest.approx(0.5, abs=1e-3)}
    low, high = face.landmarks[:, :2].min(0), face.landmarks[:, :2].max(0)
    np.testing.assert_allclose(face.box, [*low, *high], rtol=1e-6)


def test_a_still_head_is_held_still(scene):
    scene.noise = 0.006
    tracker = FaceTracker(scene)
    tracks = np.array([tracker(scene.frame((90.0, 60.0)), n / 30)[0].landmarks[:, :2] for n in range(90)])
    raw = np.array([scene.coarse(None, [(90.0, 60.0, 80.0)])[0, 287:289] * 40 for n in range(90)])
    jitter = np.linalg.norm(np.diff(tracks[30:], axis=0), axis=-1).mean()
    assert jitter < 0.3 * np.linalg.norm(np.diff(raw, axis=0), axis=-1).mean()


def test_the_shipped_weights_hold_a_still_portrait_still():
    from skimage.data import astronaut

    tracker, rng, picture = FaceTracker(Reconstructor.from_pretrained()), np.random.default_rng(0), astronaut()
    frames = [np.clip(picture + rng.normal(0.0, 5.0, picture.shape), 0, 255).astype(np.uint8) for _ in range(12)]
    tracks = np.array([tracker(frame, n / 30)[0].landmarks[:, :2] for n, frame in enumerate(frames)])
    assert np.linalg.norm(np.diff(tracks, axis=0), axis=-1).mean() < 0.3


def test_faces_come_and_go(scene):
    tracker = FaceTracker(scene, TrackerConfig(detect_seconds=0.2, patience=0))
    time, numbers = 0.0, []
    for faces in ([], [(50, 60)], [(50, 60), (150, 60, 1)], [(150, 60, 1)], [], [(50, 60, 2)]):
        for _ in range(20):
            numbers.append([face.id for face in tracker(scene.frame(*faces), time)])
            time += 1 / 30
    assert numbers[19::20] == [[], [0], [0, 1], [1], [], [2]]


def test_a_face_missed_once_is_kept_and_two_boxes_on_one_face_are_one(scene):
    tracker = FaceTracker(scene, TrackerConfig(detect_seconds=0.1, patience=2))
    tracker(scene.frame((60, 60)), 0.0)
    tracker(scene.frame(), 0.2)
    (face,) = tracker(scene.frame((60, 60), (63, 61)), 0.4)
    assert face.id == 0


def test_a_face_that_left_is_gone_soon_after_the_look_that_missed_it(scene):
    tracker = FaceTracker(scene)
    followed = [
        len(tracker(scene.frame((60, 60)) if number < 10 else scene.frame(), number / 30)) for number in range(60)
    ]
    # The look at 1 s misses it, and so do the two that follow within a third of a second.
    assert followed[:30] == [1] * 30 and followed[40:] == [0] * 20


def test_a_cut_ends_what_is_followed_at_once(scene):
    tracker = FaceTracker(scene)
    dark, bright = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    scene.frame((60, 60))
    assert [len(tracker(dark, number / 30)) for number in range(4)] == [1] * 4
    scene.frame()
    assert [len(tracker(bright, number / 30)) for number in range(4, 8)] == [0] * 4
    scene.frame((150, 60, 1))
    (face,) = tracker(dark, 8 / 30)
    assert face.id == 1 and face.translation[0] == pytest.approx(150, abs=1)


def follow(tracker, scene, *shots):
    """The last ids of each shot, (seconds, faces), one after the other at 30 frames a second."""
    time, last = 0, []
    for seconds, faces in shots:
        for _ in range(round(30 * seconds)):
            found = tracker(scene.frame(*faces), time / 30)
            time += 1
        last.append([face.id for face in found])
    return last


@pytest.mark.parametrize("away, memory, number", [(0.6, 3, 0), (2.5, 3, 0), (6, 3, 1), (0.6, 0, 1), (2.5, 0, 1)])
def test_a_face_that_comes_back_soon_has_its_number(scene, away, memory, number):
    tracker = FaceTracker(scene, TrackerConfig(memory_seconds=memory))
    ids = follow(tracker, scene, (1.5, [(60, 60)]), (away, []), (1, [(140, 60)]), (1, [(140, 60), (50, 60)]))
    # Its number is given once: the same face seen twice is two. (Soon, it isn't even known yet that it has gone.)
    assert ids == [[0], [0] if away < 1 else [], [number], [number, number + 1]]


def test_a_face_that_comes_back_after_a_cut_has_its_number(scene):
    tracker = FaceTracker(scene)
    dark, bright = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    seen = []
    for number, (image, face) in enumerate([(dark, (60, 60)), (bright, (150, 60, 1)), (dark, (60, 60))] * 2):
        scene.frame(face)
        seen += [face.id for face in tracker(image, float(number))]
    assert seen == [0, 1, 0, 0, 1, 0]


def test_somebody_else_at_the_same_place_has_another_number(scene):
    ids = follow(FaceTracker(scene), scene, (1.5, [(60, 60)]), (2, []), (1, [(60, 60, 1)]))
    assert ids == [[0], [], [1]]


def test_two_who_change_places_unseen_keep_their_numbers(scene):
    before, after = [(50, 60), (150, 60, 1)], [(50, 60, 1), (150, 60)]
    ids = follow(FaceTracker(scene), scene, (1.5, before), (2, []), (1, after))
    assert ids == [[0, 1], [], [1, 0]]


def test_only_so_many_faces_are_followed(scene):
    tracker = FaceTracker(scene, TrackerConfig(max_faces=1))
    assert [face.id for face in tracker(scene.frame((50, 60), (150, 60)), 0.0)] == [0]


def test_time_must_grow(scene):
    tracker = FaceTracker(scene)
    tracker(scene.frame(), 1.0)
    with pytest.raises(ValueError, match="expected a time after 1 s, received 1 s"):
        tracker(scene.frame(), 1.0)


def test_poses_in_the_frame_are_those_of_the_crop():
    from tfface.morphable import representation

    pose = np.array([0.1, 0.2, 0.3, 0.12, -0.2, 0.07], np.float32)
    square = (100.0, 60.0, 80.0)
    moved = room._to_frame(pose, square)
    before = representation.camera(tf.constant(pose[None]), square[2])
    after = representation.camera(tf.constant(np.float32([[*pose[:3], 0, 0, 0]])), float(np.exp(moved[5])))
    corner = np.array([100 - 40, 60 - 40])
    np.testing.assert_allclose(before.translation[0] + corner, moved[3:5], rtol=1e-5)
    np.testing.assert_allclose(before.scale, after.scale, rtol=1e-5)
