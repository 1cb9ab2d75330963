"""Photographs laid around heads: brought to the head's place, over all but bare skin, as bright as the head."""

import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.fakes import write_around
from tfface.losses.landmarks import ProjectedLandmarks
from tfface.pipelines import surroundings
from tfface.pipelines.fitted_photos import FittedPhotosConfig
from tfface.pipelines.sampling import SamplingConfig, sample_r
from tfface.pipelines.surroundings import SIZE, TABLE, Surroundings, write_surroundings

WIDTH = 96


def dots(points, size, sigma=2.0):
    """A bright dot at each point `[N, 2]` px."""
    y, x = np.mgrid[:size, :size] + 0.5
    return np.max([np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in points], axis=0)


@pytest.fixture(scope="module")
def people(model):
    """r of a head and of a photographed face, turned alike, in other places."""
    poses = SamplingConfig(yaw_degrees=1.0, pitch_degrees=1.0, roll_degrees=0.0, shift=0.0, log_scale=0.0)
    r = sample_r(model, 2, tf.constant([3, 4]), poses).numpy()
    r[1, 286:] += [0.3, 0.15, -0.1, 0.2]  # roll in radians, shift, ln(scale)
    return r


def test_features_of_the_photograph_come_to_the_heads(model, people, tmp_path):
    chosen = [36, 45, 30, 48, 54, 8]
    photo = ProjectedLandmarks(model, SIZE)(people[1:])[0].numpy()[chosen, :2]
    write_around(tmp_path, people[1:], [np.stack([dots(photo, SIZE, 5.0), np.zeros((SIZE, SIZE))], -1)])
    black = tf.zeros([1, WIDTH, WIDTH, 1])
    picture, shown = Surroundings(tmp_path, model, WIDTH)(black, black + 1.0, people[:1], tf.constant([1, 2]))
    picture = picture[0, ..., 0].numpy()
    assert picture.shape == (WIDTH, WIDTH) and shown.numpy().max() == 0.0
    for x, y in ProjectedLandmarks(model, WIDTH)(people[:1])[0].numpy()[chosen, :2]:
        row, column = int(y), int(x)
        near = picture[row - 6 : row + 7, column - 6 : column + 7]
        peak = np.unravel_index(near.argmax(), near.shape)
        assert np.hypot(peak[0] - 6, peak[1] - 6) < 4.0  # two people's features aren't quite in the same places
        assert near.max() > 5 * np.median(picture)


def test_only_bare_skin_stays_the_heads_and_both_are_as_bright(model, people, tmp_path):
    alpha = np.zeros((SIZE, SIZE))
    nose = ProjectedLandmarks(model, SIZE)(people[1:])[0].numpy()[30, :2]
    y, x = np.mgrid[:SIZE, :SIZE]
    alpha[np.hypot(x - nose[0], y - nose[1]) < 50] = 1.0
    write_around(tmp_path, people[1:], [np.stack([np.full_like(alpha, 0.25), alpha], -1)])
    noise = np.random.default_rng(0).uniform(0.55, 0.65, (1, WIDTH, WIDTH, 1)).astype(np.float32)
    mask = np.ones_like(noise)
    mask[:, :, :20] = 0.0
    laid = Surroundings(tmp_path, model, WIDTH)
    picture, shown = (x.numpy() for x in laid(tf.constant(noise), tf.constant(mask), people[:1], tf.constant([1, 2])))
    assert 0.05 < shown.mean() < 0.6 and shown[:, :, :20].max() == 0.0
    np.testing.assert_allclose(picture[shown == 1.0], noise[shown == 1.0], atol=1e-6)
    around = picture[shown == 0.0]
    assert around.std() < 1e-3  # nothing of the head
    # A photograph of a third of the light: as bright as the head, but for up to three deviations.
    assert 0.6 * np.exp(-0.6 / 2.2) < around.mean() < 0.6 * np.exp(0.6 / 2.2)
    again, _ = laid(tf.constant(noise), tf.constant(mask), people[:1], tf.constant([1, 2]))
    np.testing.assert_array_equal(again, picture)
    other, _ = laid(tf.constant(noise), tf.constant(mask), people[:1], tf.constant([1, 3]))
    assert np.abs(other - picture).max() > 1e-3


def test_a_head_gets_a_photograph_that_is_turned_as_it_is(model, tmp_path, monkeypatch):
    """Of three photographs, one a side view, which also is the other side's, mirrored."""
    monkeypatch.setattr(surroundings, "ALIKE", 1)
    r = np.zeros((3, 290), np.float32)
    r[:, 285] = [0.0, 0.7, 0.3]
    levels = np.zeros((3, SIZE, SIZE, 2))
    levels[:, :, : SIZE // 2, 0] = np.array([0.2, 0.5, 0.8])[:, None, None]
    write_around(tmp_path, r, levels)
    laid, black = Surroundings(tmp_path, model, WIDTH), tf.zeros([2, WIDTH, WIDTH, 1])
    monkeypatch.setattr(surroundings, "GAINS", (1.0, 1.0))
    heads = np.zeros((2, 290), np.float32)
    heads[:, 285] = [0.6, -0.75]
    picture, _ = laid(black, black, heads, tf.constant([1, 2]))
    left, right = picture[:, :, :10].numpy().mean((1, 2, 3)), picture[:, :, -10:].numpy().mean((1, 2, 3))
    assert left[0] > 3 * right[0] and right[1] > 3 * left[1]
    brightness = [left[0], right[1]]
    assert all(0.5 * np.exp(-0.3) < value < 0.5 * np.exp(0.3) for value in brightness)


def test_crops_of_a_folder(model, tmp_path, monkeypatch, capsys):
    """What is written: the face's crop, and skin only where FineNet sees some and detail belongs."""
    photos = tmp_path / "photos"
    (photos / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(0, 255, (96, 96, 3), np.uint8)).save(photos / "images" / f"{number:05d}.jpg")
    np.savez(
        photos / "landmarks.npz",
        source=np.array(["a", "a"]),
        face_px=np.full(2, 99.0),
        valid=np.tile([0, 0, 96, 96], (2, 1)),
    )
    (photos / "train.txt").write_text("0\n1\n")
    fits = {"number": np.arange(2), "square": np.tile([48.0, 48.0, 96.0], (2, 1)), "ok": np.ones(2, bool)}
    np.savez(tmp_path / "fits.npz", **fits, r=np.zeros((2, 290)))

    def left_half(image, depth, mask, training):
        return tf.where(tf.range(SIZE)[None, None, :, None] < SIZE // 2, tf.ones_like(image), 0.0)

    networks = types.SimpleNamespace(face_model=model, fine=types.SimpleNamespace(skin_net=1, skin=left_half))
    config = FittedPhotosConfig(photos=str(photos), fits=str(tmp_path / "fits.npz"), oversample=(("a", 2),))
    folder = tmp_path / "around"
    write_surroundings(networks, config, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["00000.png", "00001.png", TABLE]
    levels = np.asarray(Image.open(folder / "00000.png"))
    assert levels.shape == (SIZE, SIZE, 2) and levels[..., 0].std() > 10
    skin = levels[..., 1]
    assert skin[:, SIZE // 2 :].max() == 0 and 0.05 < (skin[:, : SIZE // 2] == 255).mean() < 0.9
    with np.load(folder / TABLE) as table:
        assert table["number"].tolist() == [0, 1] and table["r"].shape == (2, 290)
    networks.fine.skin_net = None
    with pytest.raises(ValueError, match="tells skin from hair"):
        write_surroundings(networks, config, folder)
    assert surroundings.main(["--photos", str(tmp_path / "none"), "--output", str(folder)]) == 2
    assert "landmarks.npz" in capsys.readouterr().err


def test_says_how_to_make_some(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="tfface.pipelines.surroundings --output"):
        Surroundings(tmp_path, model, WIDTH)
