"""Training of what judges detail by the whole face: its data, that it learns, and that nothing else is touched."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from tfface.losses.local import local_means
from tfface.morphable import representation
from tfface.networks import context_net
from tfface.networks.fine_net import FineNetConfig
from tfface.pipelines import detail_bank
from tfface.pipelines import train_context as room
from tfface.pipelines.detail_bank import DetailBankConfig
from tfface.pipelines.synthetic_detail import DetailWorld
from tfface.pipelines.train_context import TrainContextConfig, context_dataset, train_context

SMALL = FineNetConfig(width=0.125, regressor=(8,), slopes=True, standardise=True, light=2.0, context=(4, 6))
SIZE = 96


def _config(folder, **changes):
    settings = {"network": SMALL, "batches": (2,), "steps": 4, "epoch_steps": 2, "average": 0.5}
    return TrainContextConfig(output=str(folder), **(settings | changes))


@pytest.fixture(scope="module")
def bank(model, tmp_path_factory):
    folder, world = tmp_path_factory.mktemp("bank"), DetailWorld(model, fine_px=SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detail_bank, "DetailWorld", lambda _: world)
        detail_bank.write_bank(model, folder, 2, SIZE)
    return DetailBankConfig(path=str(folder), sizes=(48, 96))


def test_what_is_asked_for_is_the_relief_and_what_is_narrow_of_the_error(model, bank):
    config = _config("unused", heads=bank, batches=(2, 1), exact=0.0)
    first, second = context_dataset(model, config).take(2).as_numpy_iterator()
    assert [heads["image"].shape for heads in first] == [(2, 48, 48, 1), (1, 96, 96, 1)]
    # What is drawn for one size depends neither on the others nor on where the run began.
    config = dataclasses.replace(config, heads=dataclasses.replace(bank, sizes=(48,)), batches=(2,), exact=1.0)
    (right,) = next(context_dataset(model, config, start=1).as_numpy_iterator())
    (heads, _) = second
    np.testing.assert_array_equal(heads["image"], right["image"])
    both = (heads["valid"] > 0) & (right["valid"] > 0)
    assert both.mean() > 0.1 and np.abs(heads["depth"] - right["depth"])[both].max() > 0.3
    asked, relief = (x["truth"] - x["depth"] for x in (heads, right))
    # The relief, and what is narrow of the difference between the two coarse faces.
    shown = np.float32(heads["valid"] + heads["rest"] > 0)
    off = (right["depth"] - heads["depth"]) * shown
    (wide,) = local_means([off], shown, 0.025 * 48)
    np.testing.assert_allclose(asked[both], (relief + off - wide)[both], atol=1e-3)
    assert np.abs(asked - relief)[both].max() > 0.05
    its = relief[both]
    assert 0.005 < its.std() < 1.0
    assert not np.any((heads["valid"] > 0) & (heads["rest"] > 0))


def test_heads_start_from_what_coarse_net_answers(model, bank, monkeypatch):
    answer = np.float32(0.1 * np.random.default_rng(0).normal(size=(1, representation.SIZE)))

    class Answers:
        config = types.SimpleNamespace(size=24)

        def __call__(self, image, training):
            assert image.shape[1:] == (24, 24, 1) and not training
            return tf.tile(answer, [tf.shape(image)[0], 1])

    monkeypatch.setattr(room, "load_coarse_run", lambda folder, face_model: Answers())
    heads = dataclasses.replace(bank, sizes=(48,))
    config = _config("unused", heads=heads, coarse="some", exact=0.0, answered=1.0)
    ((drawn,),) = context_dataset(model, config).take(1).as_numpy_iterator()
    np.testing.assert_array_equal(drawn["depth"][0], drawn["depth"][1])
    assert drawn["mask"].mean() > 0.1 and np.abs(drawn["image"][0] - drawn["image"][1]).max() > 0.1


def test_as_many_batches_as_sizes_are_expected(model, bank):
    with pytest.raises(ValueError, match="as many batches as sizes of heads, 2"):
        context_dataset(model, _config("unused", heads=bank, batches=(2,)))


@pytest.fixture
def quick(monkeypatch):
    """Ripples that the picture shows, instead of heads: as exactly numbered, and drawn at once; on a coarse grid."""
    monkeypatch.setattr(context_net, "CELLS", 48)
    monkeypatch.setattr(context_net, "WIDTH", 28)
    y, x = (np.mgrid[:48, :48] + 0.5) / 48 * 2 - 1
    disc = tf.constant((x**2 + y**2 < 0.8)[None, ..., None], tf.float32)
    depth = tf.constant(12 * (1 - x**2 - y**2)[None, ..., None], tf.float32)

    def draw(i):
        seed = tf.stack([tf.constant(7, tf.int64), i])
        relief = tf.image.resize(tf.random.stateless_normal([2, 12, 12, 1], seed), [48, 48], "bicubic") * 0.5
        masks = tf.tile(disc, [2, 1, 1, 1])
        known = {"image": 0.5 + 0.3 * tf.tanh(relief), "depth": depth * masks, "mask": masks, "valid": masks}
        return ({**known, "truth": depth + relief * masks, "paint": 0.0 * masks, "rest": 0.0 * masks},)

    monkeypatch.setattr(
        room, "context_dataset", lambda model, config, start=0: tf.data.Dataset.counter(start).map(draw)
    )


def test_kept_pictures_return_mirrored_too(quick, tmp_path):
    config = _config("unused")
    fine = room.build_trainer(config).fine
    fine.detail_layer.kernel.assign(tf.ones_like(fine.detail_layer.kernel))

    def dataset(start):
        # Two sizes of heads would be two in each element.
        return room.context_dataset(None, config, start).map(lambda of_sizes: (of_sizes, of_sizes))

    first = room.keep_pictures(fine, dataset, tmp_path, 1)[0].read_bytes()
    paths = room.keep_pictures(fine, dataset, tmp_path, 2)
    assert [path.name for path in paths] == ["00000.npz", "00001.npz"] and paths[0].read_bytes() == first
    made = list(dataset(0).take(2).as_numpy_iterator())
    seen = list(room.kept_pictures(paths, seed=3).take(20).as_numpy_iterator())
    which = []
    for element in seen:
        pairs = [(i, step) for i in range(2) for step in (1, -1)]
        off = [np.abs(element[0]["image"] - made[i][0]["image"][:, :, ::step]).max() for i, step in pairs]
        assert min(off) < 1e-3
        i, step = pairs[int(np.argmin(off))]
        which.append((i, step))
        for heads, true in zip(element, made[i], strict=True):
            for name, value in true.items():
                np.testing.assert_allclose(heads[name][:, :, ::step], value, rtol=1e-3, atol=1e-3, err_msg=name)
            _, said = room._said(fine, true)
            assert np.std(said) > 0.01
            np.testing.assert_allclose(heads["detail"][:, :, ::step], said, atol=2e-3 * np.abs(said).max())
    assert len(set(which)) == 4 and all(sum(i == n for i, _ in which) == 10 for n in (0, 1))
    (again,) = room.kept_pictures(paths, seed=3, start=7).take(1).as_numpy_iterator()
    np.testing.assert_array_equal(again[0]["image"], seen[7][0]["image"])


def test_it_learns_what_the_picture_shows(quick):
    config = _config("unused", learning_rate=1e-2, steps=80, bending=0.0)
    trainer = room.build_trainer(config)
    history = trainer.fit(room.context_dataset(None, config), epochs=2, steps_per_epoch=40, verbose=0).history
    assert np.allclose(history["before"], 0.0, atol=1e-4)  # FineNet itself says nothing yet
    assert history["closer"][1] > 0.15 and history["loss"][1] < 0.9 * history["loss"][0]


def test_resumes_exactly_and_touches_nothing_else(quick, resumed_part):
    resumed_part(train_context, _config, dataclasses.replace(SMALL, context=()))


def test_painted_pixels_count_more():
    trainer = room.build_trainer(_config("unused"))
    y, x = np.mgrid[:48, :48].astype(np.float32)
    ones = np.ones((1, 48, 48, 1), np.float32)
    bump = np.exp(-((x - 12) ** 2 + (y - 24) ** 2) / 18.0)[None, ..., None]
    heads = {"image": 0.5 * ones, "depth": 0 * ones, "mask": ones, "truth": bump, "valid": ones, "rest": 0 * ones}
    left = np.float32(x < 24)[None, ..., None]
    of_paint, of_skin = (float(trainer.terms(heads | {"paint": paint})["loss"]) for paint in (left, 1 - left))
    assert of_paint > 1.1 * of_skin


def test_the_command_shows_its_recipe_and_names_what_is_missing(tmp_path, capsys):
    from tfface.cli import main

    asked = ["train", "context", "--output", "here", "--heads", "bank", "--coarse", "run", "--set", "steps=7"]
    assert main([*asked, "--show"]) == 0
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("output='here'", "steps=7", "path='bank'", "coarse='run'"))
    run = ["train", "context", "--output", str(tmp_path / "run")]
    assert main([*run, "--set", "kept=-1"]) == 2
    assert "received -1" in capsys.readouterr().err
    assert main(run) == 2
    assert "name one with --heads" in capsys.readouterr().err
    assert main([*run, "--heads", str(tmp_path / "none")]) == 2
    assert "`python -m tfface.pipelines.detail_bank" in capsys.readouterr().err
