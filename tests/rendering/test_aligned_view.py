"""The picture on the face: where each of its places comes from, what it doesn't depend on, and its gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.morphable import representation
from tfface.rendering.aligned_view import CELLS, DIRECTIONS, PATCH, PICTURE, AlignedView, mirrored

SIZE = 100


@pytest.fixture(scope="module")
def view(model):
    return AlignedView(model, SIZE)


def some_r(seed=0, count=2):
    draw = np.random.default_rng(seed)
    geometry = 0.7 * draw.normal(size=(count, 284))
    pose = draw.normal(size=(count, 6)) * [0.1, 0.3, 0.1, 0.05, 0.05, 0.05]
    return np.concatenate([geometry, pose], axis=1).astype(np.float32)


def waves(shift=0.0):
    """A smooth picture `[1, SIZE, SIZE, 1]`."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    x = x - shift
    return (0.5 + 0.2 * np.sin(x / 5) + 0.2 * np.cos(y / 7 + x / 11))[None, ..., None].astype(np.float32)


def test_a_place_shows_what_lies_on_its_point_of_the_face(view, model):
    r = some_r(count=1)
    picture, seen = (x.numpy()[0, ..., 0] for x in view.picture(waves(), r))
    vertices = representation.vertices_image(model, r, SIZE)[0].numpy()
    nodes = np.einsum("nk,nkc->nc", view.weights, vertices[view.corners])[:, :2].reshape(32, 32, 2)
    checked, there = [], []
    # Four pixels of the picture meet between nodes of which it has one in four: their mean is the middle of four nodes.
    for i in range(4, 28):
        for j in range(4, 28):
            block = np.s_[4 * i + 2 : 4 * i + 6, 4 * j + 2 : 4 * j + 6]
            if seen[block].min() == 1.0:
                x, y = nodes[i : i + 2, j : j + 2].mean((0, 1))
                checked.append(picture[block].mean())
                there.append(0.5 + 0.2 * np.sin((x - 0.5) / 5) + 0.2 * np.cos((y - 0.5) / 7 + (x - 0.5) / 11))
    assert len(checked) > 150
    # Known but for its mean and deviation.
    assert np.corrcoef(checked, there)[0, 1] > 0.995


def test_it_moves_with_the_face_and_does_not_change_with_light(view):
    r = some_r(1, 1)
    moved = r.copy()
    moved[:, 287] += 2.0 * 6 / SIZE
    one, same, dim = (
        view(image, at).numpy() for image, at in ((waves(), r), (waves(6.0), moved), (0.1 + 0.4 * waves(), r))
    )
    assert one.shape == (1, CELLS, CELLS, DIRECTIONS + 1)
    np.testing.assert_allclose(one, same, atol=2e-3)
    assert np.abs(one - dim).mean() < 0.05 * one[..., :DIRECTIONS].mean()


def test_the_first_direction_is_that_of_light_from_the_right(view):
    x = np.tile(np.linspace(0, 1, SIZE, dtype=np.float32)[None, None, :, None], (1, SIZE, 1, 1))
    r = np.zeros((1, 290), np.float32)
    middle = np.s_[0, 12:20, 12:20]
    right, down = view(x, r).numpy()[middle], view(x.swapaxes(1, 2), r).numpy()[middle]
    assert np.all(right[..., :DIRECTIONS].mean((0, 1)).argmax() == 0)
    assert np.all(down[..., :DIRECTIONS].mean((0, 1)).argmax() == 2)


def test_the_mirrored_face_shows_the_mirrored_picture(view, model):
    r = some_r(2, 1)
    image = waves()
    there = image[:, :, ::-1].copy(), model.reflection(tf.constant(r))
    for look in (view, view.patches):
        found, other = mirrored(look(image, r)).numpy(), look(*there).numpy()
        assert np.corrcoef(found[..., :-1].ravel(), other[..., :-1].ravel())[0, 1] > 0.99
        assert np.abs(found[..., -1] - other[..., -1]).mean() < 0.005


def test_what_the_face_turns_away_or_the_crop_lacks_is_not_seen(view):
    r = np.zeros((3, 290), np.float32)
    r[1, 285] = np.radians(60)  # faces the image's right: its own right side, the picture's left, stays in sight
    r[2, 287] = 1.0  # half of the face is beyond the crop's right border
    _, seen = view.picture(np.repeat(waves(), 3, 0), r)
    seen = seen.numpy()[..., 0]
    left, right = np.s_[:, : PICTURE // 2], np.s_[:, PICTURE // 2 :]
    assert seen[0][left].mean() > 0.6 and abs(seen[0][left].mean() - seen[0][right].mean()) < 0.05
    sides = seen[1][left].mean(), seen[1][right].mean()
    assert min(sides) < 0.5 * max(sides)
    assert seen[2][right].mean() < 0.3 < seen[2][left].mean()


def test_patches_are_the_picture_cell_by_cell(view):
    r = some_r(3, 1)
    image = waves()
    picture, seen = (x.numpy()[0, ..., 0] for x in view.picture(image, r))
    patches = view.patches(image, r).numpy()[0]
    assert patches.shape == (CELLS, CELLS, PATCH)
    for i, j in ((5, 9), (16, 16), (20, 11)):
        block = np.s_[4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
        np.testing.assert_allclose(patches[i, j, :16], picture[block].ravel(), atol=1e-6)
        assert patches[i, j, 32] == pytest.approx(seen[block].mean(), abs=1e-6)
    # By contrast around: neither brighter light nor a shadow across the face changes it much.
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    shaded = image * (0.4 + 0.6 * x / SIZE)[None, ..., None]
    local, other = patches[..., 16:32], view.patches(shaded, r).numpy()[0, ..., 16:32]
    assert np.corrcoef(local.ravel(), other.ravel())[0, 1] > 0.9
    assert abs(local.mean()) < 0.1
