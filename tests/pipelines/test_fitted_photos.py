"""Photographs with fits: r follows crop and flip, training on them resumes exactly, and heads join them."""

import dataclasses
import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.fakes import write_around
from tests.pipelines.interruptions import left_by_an_interruption
from tfface.losses import shading
from tfface.morphable import representation
from tfface.morphable.mirror import Mirror
from tfface.morphable.model import MorphableModel
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.end_to_end import EndToEndConfig
from tfface.networks.fine_net import FineNetConfig
from tfface.networks.weights import save_weights
from tfface.pipelines import detail_bank, fitted_photos, train_end_to_end
from tfface.pipelines.assemble import assemble, load_coarse_run, save_coarse_run
from tfface.pipelines.crops import AugmentationConfig
from tfface.pipelines.fitted_photos import FittedPhotosConfig

SIZE = 64


@pytest.fixture(scope="module")
def face_model():
    return MorphableModel.default()


@pytest.fixture
def folder(tmp_path, face_model):
    """Six photographs of one bright dot each, on the nose tip of the face that was 'fitted' to them."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    r = rng.normal(0, 0.3, (8, 290)).astype(np.float32)
    r[:, 284:] *= 0.3
    square = np.tile(np.array([60.0, 62.0, 100.0], np.float32), (8, 1))
    vertices = representation.vertices_image(face_model, tf.constant(r), 100).numpy()
    nose = vertices[:, face_model.landmarks[30], :2] + square[:, :2] - 50
    x, y = np.meshgrid(np.arange(120) + 0.5, np.arange(120) + 0.5)
    for i in range(8):
        dot = 40 + 200 * np.exp(-((x - nose[i, 0]) ** 2 + (y - nose[i, 1]) ** 2) / (2 * 2.0**2))
        Image.fromarray(np.repeat(dot[..., None], 3, -1).astype(np.uint8)).save(
            tmp_path / "images" / f"{i:05d}.jpg", quality=98
        )
    bounds = np.tile(np.array([0, 0, 120, 120], np.float16), (8, 1))
    source = np.array(["sharp"] * 4 + ["soft"] * 4)
    np.savez(tmp_path / "landmarks.npz", source=source, face_px=np.full(8, 200, np.float16), valid=bounds)
    (tmp_path / "train.txt").write_text("0\n1\n2\n3\n4\n5\n")
    (tmp_path / "val.txt").write_text("6\n7\n")
    ok = np.array([True] * 5 + [False] * 3)
    np.savez(tmp_path / "fits.npz", number=np.arange(8), square=square, r=r, ok=ok)
    return tmp_path


def _config(folder, **changes):
    defaults = {"photos": str(folder), "fits": str(folder / "fits.npz"), "size": SIZE, "batch_size": 4}
    return FittedPhotosConfig(**(defaults | changes))


def test_the_nose_stays_under_the_dot(folder, face_model):
    augmentation = AugmentationConfig(shift=0.1, scale=0.15, gamma=0.1)
    data = fitted_photos.dataset(_config(folder, augmentation=augmentation), Mirror.of(face_model))
    for batch in data.take(4).as_numpy_iterator():
        vertices = representation.vertices_image(face_model, tf.constant(batch["r"]), SIZE).numpy()
        nose = vertices[:, face_model.landmarks[30], :2]
        for image, expected in zip(batch["image"][..., 0], nose, strict=True):
            i, j = np.unravel_index(np.argmax(image), image.shape)
            assert abs(j + 0.5 - expected[0]) < 1.1 and abs(i + 0.5 - expected[1]) < 1.1


def test_selection(folder):
    assert list(fitted_photos.select(_config(folder)).number) == [0, 1, 2, 3, 4]
    assert list(fitted_photos.select(_config(folder, split="val")).number) == [6, 7]
    assert list(fitted_photos.select(_config(folder, sources=("soft",))).number) == [4]
    twice = fitted_photos.select(_config(folder, sources=("soft",), oversample=(("soft", 3),)))
    assert list(twice.number) == [4, 4, 4]
    with pytest.raises(ValueError, match="expected at least one fitted photograph"):
        fitted_photos.select(_config(folder, min_face_px=500))
    with pytest.raises(FileNotFoundError, match="fits are made by"):
        fitted_photos.select(_config(folder, fits=str(folder / "none.npz")))


def test_a_stopped_training_resumes_exactly(folder, face_model):
    network = FineNetConfig(width=0.0625, regressor=(8,), slopes=True)
    config = train_end_to_end.release(
        output=str(folder / "whole"), network=network, data=_config(folder), epochs=2, steps_per_epoch=3, validation=1
    )
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, window=32))
    with left_by_an_interruption(folder / "whole", folder / "parts"):
        whole, history = train_end_to_end.train_fine(config, face_model, verbose=0)
    assert len(history.history["val_loss"]) == 2

    parts = dataclasses.replace(config, output=str(folder / "parts"))
    resumed, history = train_end_to_end.train_fine(parts, face_model, verbose=0)
    assert history.epoch == [1]
    for a, b in zip(whole.fine_net.weights, resumed.fine_net.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)

    saved = keras.models.load_model(folder / "parts" / "fine_net.keras")
    np.testing.assert_array_equal(saved.detail_layer.kernel, resumed.fine_net.detail_layer.kernel)
    assert json.loads((folder / "parts" / "config.json").read_text())["epochs"] == 2


class _Asked:
    """In place of a CoarseNet: takes every picture for the mean face, and notes how many it saw."""

    config, seen = SimpleNamespace(size=SIZE // 2), 0

    def __call__(self, image, training):
        assert image.shape[1:] == [SIZE // 2, SIZE // 2, 1] and not training
        self.seen += image.shape[0]
        return tf.zeros([image.shape[0], representation.SIZE])


def test_heads_join_the_photographs_and_coarse_net_is_asked_about_them(folder, face_model, monkeypatch):
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    inside = x**2 + y**2 < 0.3
    head = {"r": np.zeros(290), "depth": np.where(inside, 20.0 - 8.0 * (x**2 + y**2), 0.0), "albedo": np.ones_like(x)}
    head |= {"mask": inside, "skin": inside, "sky": np.full(x.shape, 255)}
    (folder / "heads").mkdir()
    (folder / "heads" / "1000000.head").write_bytes(detail_bank.pack(head))
    (folder / "heads" / "bank.json").write_text(json.dumps({"size": SIZE, "heads": 1}))
    asked, names = _Asked(), []

    def load(name, model):
        names.append(name)
        return SimpleNamespace(coarse=asked)

    monkeypatch.setattr(train_end_to_end, "load_pretrained", load)
    release = train_end_to_end.release()
    (folder / "around").mkdir()
    write_around(folder / "around", np.zeros((1, 290)), np.full((1, 256, 256, 2), 0.5))
    bank = {"path": str(folder / "heads"), "surroundings": str(folder / "around")}
    heads = dataclasses.replace(release.heads, sizes=(SIZE,), asked="theirs", **bank)
    config = train_end_to_end.release(
        output=str(folder / "run"),
        network=FineNetConfig(width=0.0625, regressor=(8,), slopes=True),
        data=_config(folder),
        heads=heads,
        model=dataclasses.replace(release.model, window=32),
        epochs=1,
        steps_per_epoch=1,
        validation=0,
    )
    _, history = train_end_to_end.train_fine(config, face_model, verbose=0)
    # A graph is traced once, with one head of three.
    assert names == ["theirs"] and asked.seen == 1
    assert np.isfinite(history.history["closer"][0]) and history.history["supervised"][0] > 0
    without = dataclasses.replace(config, output=str(folder / "other"), heads=dataclasses.replace(heads, answered=0.0))
    train_end_to_end.train_fine(without, face_model, verbose=0)
    assert names == ["theirs"] and asked.seen == 1


class _Notes(keras.callbacks.Callback):
    """The weights of the last layer after every step, and what the file of the epoch has of it."""

    def __init__(self, path):
        super().__init__()
        self.path, self.steps, self.saved = path, [], None

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.model.fine_net.detail_layer.kernel.numpy())

    def on_epoch_end(self, epoch, logs=None):
        self.saved = keras.models.load_model(self.path).detail_layer.kernel.numpy()


def test_what_is_saved_is_the_average_of_the_steps(folder, face_model, tmp_path):
    network = FineNetConfig(width=0.0625, regressor=(8,), slopes=True)
    config = train_end_to_end.release(
        output=str(tmp_path), network=network, data=_config(folder), epochs=1, steps_per_epoch=3, validation=0
    )
    config = dataclasses.replace(config, average=0.5, model=dataclasses.replace(config.model, window=32))
    notes = _Notes(tmp_path / "fine_net.keras")
    train_end_to_end.train_fine(config, face_model, verbose=0, extra=[notes])
    mean = notes.steps[0]
    for step in notes.steps[1:]:
        mean = 0.5 * mean + 0.5 * step
    np.testing.assert_allclose(notes.saved, mean, rtol=1e-4, atol=1e-8)
    assert np.abs(notes.steps[0] - notes.steps[-1]).max() > 1e-4


def test_training_starts_from_given_weights(folder, face_model):
    network = FineNetConfig(width=0.0625, regressor=(8,), slopes=True)
    config = train_end_to_end.release(network=network, data=_config(folder))
    first = train_end_to_end.build(config, face_model).fine_net
    save_weights(first, folder / "fine.npz")
    other = dataclasses.replace(config, seed=5)
    started = dataclasses.replace(other, initial=str(folder / "fine.npz"))
    for a, b in zip(first.weights, train_end_to_end.build(started, face_model).fine_net.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    assert np.abs(first.weights[0] - train_end_to_end.build(other, face_model).fine_net.weights[0]).max() > 0.01


def test_presets():
    paper = train_end_to_end.paper()
    assert paper.network.channels() == (64, 128, 256) and paper.model == EndToEndConfig()
    assert train_end_to_end.release().model.criterion.trust > 0


def test_end_to_end_training_moves_coarse_net_and_both_assemble(folder, face_model):
    coarse = IterativeCoarseNet(face_model, CoarseNetConfig(size=SIZE, widths=(8,), blocks=(1,), stem=8, passes=2))
    save_coarse_run(coarse, folder / "coarse")
    network = FineNetConfig(width=0.0625, regressor=(8,), slopes=True, light=4.0)
    config = train_end_to_end.release(
        output=str(folder / "run"), network=network, data=_config(folder), epochs=1, steps_per_epoch=2, validation=0
    )
    config = dataclasses.replace(
        config, coarse=str(folder / "coarse"), model=EndToEndConfig(criterion=shading.release()), faces=2
    )
    _, history = train_end_to_end.train_fine(config, face_model, verbose=0)
    assert history.history["coarse_fidelity"][0] > 0 and history.history["faces_px"][0] > 0
    after = load_coarse_run(folder / "run", face_model)
    moved = [np.abs(a - b).max() for a, b in zip(coarse.get_weights(), after.get_weights(), strict=True)]
    assert max(moved) > 1e-4
    both = assemble(folder / "run", folder / "run", folder / "model")
    np.testing.assert_array_equal(both.coarse.get_weights()[0], after.get_weights()[0])
    strong = assemble(
        folder / "run", folder / "run", folder / "strong", changes={"detail_scale": 2.0, "detail_noise": 0.1}
    ).fine
    assert (strong.config.detail_scale, both.fine.config.detail_scale) == (2.0, 1.0)
    assert (strong.config.detail_noise, both.fine.config.detail_noise) == (0.1, 0.0)
    for one, other in zip(strong.get_weights(), both.fine.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    mean = assemble(folder / "run", folder / "run", folder / "blend", blend=folder / "coarse").coarse.get_weights()
    for one, two, between in zip(coarse.get_weights(), after.get_weights(), mean, strict=True):
        np.testing.assert_allclose(between, (one + two) / 2, atol=2e-3)
    again = assemble(folder / "model", folder / "strong", folder / "again", mirrored=True)
    blended = assemble(folder / "again", folder / "again", folder / "blend", blend=folder / "run").coarse
    assert blended.config.mirrored  # which has no weights
    assert again.fine.config == strong.config
    assert again.coarse.config == dataclasses.replace(both.coarse.config, mirrored=True)
    for mine, other in ((again.coarse, both.coarse), (again.fine, strong)):
        for one, two in zip(mine.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-6)  # a model keeps halves
    save_coarse_run(IterativeCoarseNet(face_model, dataclasses.replace(coarse.config, passes=3)), folder / "other")
    with pytest.raises(ValueError, match="of one architecture"):
        assemble(folder / "run", folder / "run", folder / "blend", blend=folder / "other")
    with pytest.raises(FileNotFoundError, match="from a training run of at least one epoch"):
        load_coarse_run(folder, face_model)
    with pytest.raises(FileNotFoundError, match="or a model's config.json and fine.npz, found neither"):
        assemble(folder / "run", folder, folder / "no")
