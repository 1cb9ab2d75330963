"""The way from photo to faces, with networks whose answers are known."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.fakes import POSE, ConstantCoarse, FakeNetworks, LiftingFine, face_of, photo
from tfface import reconstructor as room
from tfface.detection import Detection, crop_square
from tfface.errors import InputError
from tfface.images import grey
from tfface.reconstructor import Reconstructor, ReconstructorConfig

BOX = (60, 50, 140, 160)


def rotation_by_hand(pose):
    x, y, z = pose[:3]
    rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return rz @ ry @ rx


def test_vertices_land_where_the_crop_and_the_pose_say():
    networks = FakeNetworks()
    face = face_of(networks, BOX, recrop=False)
    cx, cy, side = crop_square(BOX)
    scale = side / 240 * np.exp(POSE[5])
    turned = (networks.face_model.mean + [5.0, 0, 0]) @ rotation_by_hand(POSE).T
    np.testing.assert_allclose(face.vertices, turned, atol=2e-3)
    expected = turned * [scale, -scale, scale] + [cx + POSE[3] * side / 2, cy + POSE[4] * side / 2, 0]
    np.testing.assert_allclose(face.vertices_image, expected, atol=2e-3)
    np.testing.assert_allclose(face.landmarks, expected[networks.face_model.landmarks], atol=2e-3)
    np.testing.assert_allclose(face.rotation, rotation_by_hand(POSE), atol=1e-6)
    np.testing.assert_allclose(face.mm_per_px, 1 / scale, rtol=1e-5)
    np.testing.assert_allclose(face.translation, expected[0, :2] - (turned[0] * [scale, -scale, scale])[:2], atol=1e-2)
    np.testing.assert_allclose(face.euler_degrees, np.degrees([POSE[1], -POSE[0], -POSE[2]]), atol=1e-3)
    assert face.blendshapes == {"jawOpen": 0.5} and face.score == 1 and face.box.tolist() == list(BOX)
    assert face.identity.shape == (200,) and face.expression.shape == (84,)


def sample(image, points):
    return image[np.floor(points[:, 1]).astype(int), np.floor(points[:, 0]).astype(int)]


@pytest.mark.parametrize("render_side", [1000, 60])
def test_depth_is_the_height_of_the_mesh_and_nan_off_it(render_side):
    face = face_of(render_side=render_side)
    assert face.depth.shape == face.coarse_depth.shape == (260, 220) and face.depth.dtype == np.float32
    # Vertices well inside the outline: the depth at their pixel is their own z, up to the slope within the pixel.
    inner = face.vertices_image[:600]
    difference = sample(face.coarse_depth, inner) - inner[:, 2]
    assert np.isfinite(difference).all() and np.abs(difference).max() < 1.5 and np.abs(np.mean(difference)) < 0.2
    np.testing.assert_allclose(face.depth, face.coarse_depth, atol=1e-4)
    x, y = face.vertices_image[:, 0], face.vertices_image[:, 1]
    rows, columns = np.nonzero(np.isfinite(face.coarse_depth))
    assert columns.min() > x.min() - 2 and columns.max() < x.max() + 1
    assert rows.min() > y.min() - 2 and rows.max() < y.max() + 1
    share = np.isfinite(face.depth).sum() / ((x.max() - x.min()) * (y.max() - y.min()))
    assert 0.7 < share < 0.85  # an ellipse in its rectangle: π/4


def test_rendering_small_and_enlarging_keeps_the_depth():
    full, enlarged = face_of().coarse_depth, face_of(render_side=60).coarse_depth
    both = np.isfinite(full) & np.isfinite(enlarged)
    assert both.sum() > 0.97 * np.isfinite(full).sum()
    assert np.median(np.abs(full - enlarged)[both]) < 0.05


def test_detail_reaches_the_photo_in_the_photos_pixels():
    networks = FakeNetworks(fine=LiftingFine(2.0))
    face = face_of(networks, recrop=False)
    _, _, side = crop_square(BOX)
    (size,) = networks.fine.sizes
    assert size == 200
    lift = face.depth - face.coarse_depth
    inside = np.isfinite(lift)
    assert np.isclose(np.median(lift[inside]), 2.0 * side / size, rtol=1e-4)
    assert np.isfinite(face.depth).sum() == np.isfinite(face.coarse_depth).sum()


def test_detail_is_as_strong_as_asked_for():
    once, none, twice = (
        face_of(FakeNetworks(fine=LiftingFine(2.0)), recrop=False, detail=detail) for detail in (1.0, 0.0, 2.0)
    )
    np.testing.assert_array_equal(none.depth, none.coarse_depth)
    np.testing.assert_allclose(twice.depth - twice.coarse_depth, 2 * (once.depth - once.coarse_depth), atol=1e-3)
    for wrong in (-0.1, float("nan")):
        with pytest.raises(InputError, match="expected detail from 0 to 10, received"):
            ReconstructorConfig(detail=wrong)


def test_normals_are_unit_and_match_the_depth():
    face = face_of()
    for depth, normals in ((face.depth, face.normals), (face.coarse_depth, face.coarse_normals)):
        valid = np.isfinite(depth)
        assert normals.shape == (260, 220, 3) and (np.isfinite(normals).all(-1) == valid).all()
        np.testing.assert_allclose(np.linalg.norm(normals[valid], axis=-1), 1, atol=1e-5)
        assert (normals[valid][:, 2] > 0).all()
        row, column = np.argwhere(valid).mean(axis=0).astype(int)
        slope = (depth[row, column + 1] - depth[row, column - 1]) / 2
        np.testing.assert_allclose(-normals[row, column, 0] / normals[row, column, 2], slope, atol=1e-4)
    left, right = (face.normals[130, column] for column in (70, 125))
    assert left[0] < 0 < right[0]


@pytest.mark.parametrize("height, expected", [(60, 200), (160, 248), (400, 400)])
def test_fine_size_follows_the_photos_resolution(height, expected):
    networks = FakeNetworks()
    box = (200 - 0.4 * height, 250 - height / 2, 200 + 0.4 * height, 250 + height / 2)
    face = face_of(networks, box, photo(520, 420), recrop=False)
    side = crop_square(box)[2]
    assert networks.fine.sizes == [min(max(8 * round(side / 8), 200), 400)]
    assert np.isfinite(face.depth).any() and abs(networks.fine.sizes[0] - expected) < 25


class CopyingFine:
    """Adds the picture to the depth, and remembers it."""

    def __call__(self, inputs, training=False):
        self.image = inputs["image"][0, ..., 0]
        return tf.convert_to_tensor(inputs["depth"] + inputs["image"] * inputs["mask"])


def test_a_face_of_fine_nets_own_size_is_made_of_the_photos_pixels():
    networks, image = FakeNetworks(fine=CopyingFine()), photo(520, 420)
    face = face_of(networks, (136.3, 170.2, 264.1, 330.7), image, recrop=False)
    size = len(networks.fine.image)
    assert 216 < size < 280
    found = cv2.matchTemplate(grey(image).astype(np.float32), networks.fine.image.astype(np.float32), cv2.TM_SQDIFF)
    top, left = np.unravel_index(found.argmin(), found.shape)
    np.testing.assert_allclose(networks.fine.image, grey(image)[top : top + size, left : left + size], atol=1e-5)
    added = face.depth - face.coarse_depth
    inside = np.isfinite(added) & (np.abs(added) > 1e-6)
    assert inside.sum() > 5000
    np.testing.assert_allclose(added[inside], grey(image)[inside], atol=1e-3)


def test_a_large_face_keeps_what_is_fine():
    """Stripes of 6 px in a photo that is shrunk; bilinear filters would leave a third less of them."""
    networks = FakeNetworks(fine=CopyingFine())
    image = np.tile(np.uint8(128 + 80 * np.sin(2 * np.pi * np.arange(1200) / 6.0)), (1200, 1))
    face = face_of(networks, (400, 350, 800, 850), np.stack([image] * 3, -1), recrop=False)
    assert len(networks.fine.image) == 400
    added = face.depth - face.coarse_depth
    rows = added[590:610, 560:640]
    assert np.isfinite(rows).all()
    seen = networks.fine.image[190:210, 150:250]
    assert 0.9 < (seen.max() - seen.min()) / (160 / 255) < 1.1
    assert (rows.max() - rows.min()) > 0.8 * 160 / 255 * crop_square((400, 350, 800, 850))[2] / 400


def test_a_face_off_centre_is_cut_again():
    pose = (0, 0, 0, 0.2, -0.1, 0.3)
    networks = FakeNetworks(coarse=ConstantCoarse(pose))
    face = face_of(networks, recrop=True)
    assert len(networks.coarse.crops) == 2
    cx, cy, side = crop_square(BOX)
    centre = np.array([cx + 0.2 * side / 2, cy - 0.1 * side / 2])
    side *= np.exp(0.3)
    np.testing.assert_allclose(face.mm_per_px, 240 / side * np.exp(-0.3), rtol=1e-5)
    np.testing.assert_allclose(face.translation, centre + np.array([0.2, -0.1]) * side / 2, atol=1e-3)
    once = FakeNetworks(coarse=ConstantCoarse((0.3, 0, 0, 0.01, 0.01, 0.01)))
    face_of(once, recrop=True)
    assert len(once.coarse.crops) == 1


def test_faces_partly_outside_the_photo():
    face = face_of(box=(-40, -50, 40, 50))
    assert face.depth.shape == (260, 220) and np.isfinite(face.depth).any()
    assert (face.vertices_image[:, 0] < 0).any()
    beyond = face_of(FakeNetworks(coarse=ConstantCoarse((0, 0, 0, -3, -3, 0))), (0, 0, 40, 50), recrop=False)
    assert not np.isfinite(beyond.depth).any()
    assert (beyond.vertex_colors == 128).all()


def test_many_boxes_largest_first_and_limited():
    networks = FakeNetworks()
    reconstructor = Reconstructor(networks, ReconstructorConfig(batch=2))
    boxes = [[10, 10, 40, 50], [60, 50, 140, 160], [100, 20, 150, 80]]
    faces = reconstructor(photo(), boxes=boxes)
    assert [face.box.tolist() for face in faces] == [boxes[1], boxes[2], boxes[0]]
    faces = reconstructor(photo(), boxes=boxes, max_faces=1)
    assert [face.box.tolist() for face in faces] == [boxes[1]]
    assert reconstructor(photo(), boxes=[]) == []


def test_grey_images_give_the_same_face():
    grey = photo()[..., 0]
    faces = [Reconstructor(FakeNetworks())(image, boxes=[BOX])[0] for image in (grey, grey[..., None].repeat(3, -1))]
    np.testing.assert_array_equal(faces[0].depth, faces[1].depth)


def test_detection_is_used_when_there_are_no_boxes(monkeypatch):
    monkeypatch.setattr(room, "detect", lambda image, detector: [Detection((60, 50, 130, 140), 0.9, detector)])
    (face,) = Reconstructor(FakeNetworks())(photo(), detector="haar")
    assert face.score == 0.9 and face.box.tolist() == [60, 50, 130, 140]
    monkeypatch.setattr(room, "detect", lambda image, detector: [])
    assert Reconstructor(FakeNetworks())(photo()) == []


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"image": np.zeros((64, 64, 3))}, "uint8"),
        ({"image": photo(), "boxes": [[1, 2, 3]]}, "N, 4"),
        ({"image": photo(), "boxes": [BOX], "max_faces": 0}, "max_faces"),
        ({"image": photo(), "detector": "none"}, "detector"),
    ],
)
def test_bad_input_is_refused_in_words(arguments, word):
    with pytest.raises(InputError, match=word):
        Reconstructor(FakeNetworks())(**arguments)


def test_a_broken_network_is_named():
    with pytest.raises(InputError, match="finite"):
        face_of(FakeNetworks(coarse=ConstantCoarse((np.nan,) * 6)))
