"""Training of what tells skin from the rest: its data, that it learns, and that nothing else is touched."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.pipelines.interruptions import left_by_an_interruption
from tfface.networks.fine_net import SKIN_CELLS, FineNet, FineNetConfig
from tfface.networks.weights import load_weights, save_weights
from tfface.pipelines import train_skin as room
from tfface.pipelines.assemble import load_fine_weights
from tfface.pipelines.detail_bank import DetailBankConfig
from tfface.pipelines.skin_labels import SIZE
from tfface.pipelines.train_skin import TrainSkinConfig, skin_dataset, train_skin

SMALL = FineNetConfig(width=0.125, regressor=(8,), slopes=True, standardise=True, light=2.0, skin=(4, 8, 8))


def _config(folder, **changes):
    settings = {"network": SMALL, "photos": 2, "steps": 4, "epoch_steps": 2, "average": 0.5}
    return TrainSkinConfig(output=str(folder), **(settings | changes))


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Three grey pictures of the mean face, whose left half is said to be no skin."""
    path = tmp_path_factory.mktemp("labels") / "skin.npz"
    skin = np.full((3, SKIN_CELLS, SKIN_CELLS), 255, np.uint8)
    skin[:, :, : SKIN_CELLS // 2] = 0
    image = np.full((3, SIZE, SIZE), 120, np.uint8)
    image[:, :, : SIZE // 2] = 40
    np.savez(path, image=image, skin=skin, r=np.zeros((3, 290), np.float32))
    return str(path)


def test_batches_follow_the_pictures_and_what_is_drawn_over_them(model, labels):
    config = _config("unused", labels=labels, strands=1.0)
    first, second = skin_dataset(model, config).take(2)
    (again,) = skin_dataset(model, config, start=1).take(1)
    for name in ("image", "depth", "mask", "skin", "weight"):
        assert first[name].shape == (2, SKIN_CELLS, SKIN_CELLS, 1)
        np.testing.assert_array_equal(second[name], again[name])
    assert np.abs(first["image"] - second["image"]).max() > 0.05
    plain = dataclasses.replace(config, strands=0.0, gamma=0.0, noise=0.0)
    for batch, bare in zip([first, second], skin_dataset(model, plain).take(2), strict=True):
        # Mirrored with the picture, and less where hair was drawn over it.
        dark = bare["image"].numpy() < 0.3
        untouched = np.isclose(bare["image"].numpy(), 40 / 255, atol=1e-3) | np.isclose(
            bare["image"].numpy(), 120 / 255, atol=1e-3
        )
        assert untouched.mean() > 0.5
        # A pixel of what was drawn may be as bright as the picture by chance.
        assert np.mean(np.abs(bare["skin"].numpy()[untouched] - ~dark[untouched]) > 0.05) < 2e-3
        assert batch["skin"].numpy().sum() < bare["skin"].numpy().sum()
        assert np.all(bare["weight"].numpy()[bare["mask"].numpy() == 0] == 0)


def test_eyes_of_photographs_and_brows_of_heads_are_left_open(model, labels, monkeypatch):
    def heads(config, size, start):
        r = tf.zeros([2, 290])
        ones = tf.ones([2, size, size, 1])
        return tf.data.Dataset.from_tensors({"image": 0.5 * ones, "mask": ones, "r": r, "coarse_r": r}).repeat()

    monkeypatch.setattr(room, "detail_dataset", heads)
    monkeypatch.setattr(room.Occluders, "__call__", lambda self, image, r, seed: image)
    bank = DetailBankConfig(path="there", batch=2, exact=1.0)
    config = _config("unused", labels=labels, strands=0.0, heads=bank)
    (batch,) = skin_dataset(model, config).take(1)
    assert batch["image"].shape[0] == 4
    weight, detailed = batch["weight"].numpy()[..., 0], batch["mask"].numpy()[..., 0] > 0
    photo, head = weight[0], weight[2]
    assert np.all(batch["skin"].numpy()[2:] > 0.999)
    # All are the mean face: each leaves cells open that the other is sure of.
    assert np.sum((photo < 0.1) & (head > 0.9)) > 100 and np.sum((head < 0.1) & (photo > 0.9)) > 50
    assert detailed.any()


@pytest.fixture
def quick(monkeypatch):
    """Discs that are skin where they are bright, instead of photographs: as exactly numbered, and drawn at once."""
    y, x = (np.mgrid[:SKIN_CELLS, :SKIN_CELLS] + 0.5) / SKIN_CELLS * 2 - 1
    disc = tf.constant((x**2 + y**2 < 0.6)[None, ..., None], tf.float32)
    depth = tf.constant(30 * (1 - x**2 - y**2)[None, ..., None], tf.float32)

    def draw(i):
        level = tf.random.stateless_uniform([2, 4, 4, 1], tf.stack([tf.constant(7, tf.int64), i]))
        image = tf.image.resize(level, [SKIN_CELLS, SKIN_CELLS])
        masks = tf.tile(disc, [2, 1, 1, 1])
        skin = tf.cast(image > 0.5, tf.float32)
        return {"image": image, "depth": depth * masks, "mask": masks, "skin": skin, "weight": masks}

    monkeypatch.setattr(room, "skin_dataset", lambda model, config, start=0: tf.data.Dataset.counter(start).map(draw))


def test_it_learns_what_is_dark(quick):
    config = _config("unused", learning_rate=5e-3, steps=60)
    history = (
        room.build_trainer(config).fit(room.skin_dataset(None, config), epochs=2, steps_per_epoch=30, verbose=0).history
    )
    assert history["wrong"][1] < 0.25 and history["loss"][1] < 0.7 * history["loss"][0]


def _built(**changes):
    network = FineNet(dataclasses.replace(SMALL, **changes))
    network.build()
    return network


def test_resumes_exactly_and_touches_nothing_else(quick, tmp_path):
    start, initial = _built(skin=()), tmp_path / "start.npz"
    save_weights(start, initial)
    with left_by_an_interruption(tmp_path / "whole", tmp_path / "half"):
        whole = train_skin(None, _config(tmp_path / "whole", initial=str(initial)))
    resumed = train_skin(None, _config(tmp_path / "half", initial=str(initial)))
    for one, other in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6, err_msg=one.path)
    kept = _built()
    load_weights(kept, tmp_path / "half" / "fine.npz")
    for one, other in zip(start.convolutions, kept.convolutions, strict=True):
        np.testing.assert_allclose(one.kernel, other.kernel, rtol=2e-3, atol=1e-5)  # float16 on disk


def test_one_part_alone_is_trained():
    fine = room.build_trainer(_config("unused")).fine
    assert {layer.name for layer in fine.layers if layer.trainable} == {"skin_net"}
    with pytest.raises(ValueError, match="expected a FineNet with `skin` widths"):
        room.build_trainer(_config("unused", network=dataclasses.replace(SMALL, skin=())))


def test_what_it_starts_from_may_lack_skin_and_nothing_else(tmp_path):
    bare, whole = _built(skin=()), _built()
    save_weights(bare, tmp_path / "bare.npz")
    load_fine_weights(whole, tmp_path / "bare.npz")
    for one, other in zip(bare.convolutions, whole.convolutions, strict=True):
        np.testing.assert_allclose(one.kernel, other.kernel, rtol=2e-3, atol=1e-5)
    save_weights(whole, tmp_path / "whole.npz")
    load_fine_weights(_built(skin=()), tmp_path / "whole.npz")
    with pytest.raises(ValueError, match="received none that fit (regressor_1|detail)/"):
        load_fine_weights(_built(regressor=(12,)), tmp_path / "bare.npz")


def test_the_command_shows_its_recipe_and_names_what_is_missing(tmp_path, capsys):
    from tfface.cli import main

    asked = ["train", "skin", "--output", "here", "--labels", "mine.npz", "--heads", "bank", "--set", "steps=7"]
    assert main([*asked, "--show"]) == 0
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("output='here'", "steps=7", "labels='mine.npz'", "path='bank'"))
    run = tmp_path / "run"
    assert main(["train", "skin", "--output", str(run), "--labels", str(tmp_path / "none.npz")]) == 2
    assert "`tfface.pipelines.skin_labels` makes them" in capsys.readouterr().err
