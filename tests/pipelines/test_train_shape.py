"""Training of what corrects the coarse shape: it learns, resumes exactly, and leaves the rest of FineNet alone."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from tfface.networks.fine_net import FineNetConfig
from tfface.pipelines import train_shape as room
from tfface.pipelines.sampling import sample_r
from tfface.pipelines.train_shape import MisfitConfig, TrainShapeConfig, misfit, train_shape

SMALL = FineNetConfig(width=0.125, regressor=(8,), slopes=True, standardise=True, light=2.0, shape=(8, 8))


def _config(folder, **changes):
    settings = {"network": SMALL, "faces": 2, "steps": 4, "epoch_steps": 2, "average": 0.5}
    return TrainShapeConfig(output=str(folder), **(settings | changes))


def test_misfits_keep_a_part_of_the_truth_and_the_pose_roughly():
    r = tf.random.stateless_normal([400, 290], [1, 2])
    off = misfit(MisfitConfig(noise=0.0), r, tf.constant([3, 4], tf.int64)).numpy()
    share = off[:, :284] / r.numpy()[:, :284]
    np.testing.assert_allclose(share[:, :200].std(1), 0, atol=1e-3)
    assert 0.0 <= share[:, :200].min() and share[:, :200].max() <= 0.4 + 1e-3 and share[:, 200:].max() > 0.6
    turned = np.degrees(off[:, 284:287] - r.numpy()[:, 284:287]).std(0)
    np.testing.assert_allclose(turned, MisfitConfig().angles, rtol=0.15)


def test_the_truth_is_the_true_faces_depth(model, monkeypatch, tmp_path):
    def blank(model, config, faces, start):
        def draw(i):
            seed = tf.stack([tf.constant(config.seed, tf.int64), i])
            return {"image": tf.zeros([faces, 200, 200, 1]), "r": sample_r(model, faces, seed)}

        return tf.data.Dataset.counter(start).map(draw)

    monkeypatch.setattr(room, "synthetic_batches", blank)
    exact = MisfitConfig(0.0, 0.0, 0.0, (0.0, 0.0, 0.0), 0.0, 0.0)
    data = room.shape_dataset(model, _config("unused", misfit=exact, nearer=0.0))
    batch = next(iter(data))
    assert {name: tuple(value.shape) for name, value in batch.items()} == dict.fromkeys(
        ("image", "depth", "mask", "detailed", "truth", "true_mask"), (2, 64, 64, 1)
    )
    # With nothing but the pose the coarse face is the mean one where the true one is.
    both = (batch["mask"] * batch["true_mask"]).numpy() > 0
    away = np.abs(batch["truth"] - batch["depth"])[both]
    assert both.mean() > 0.1 and 0.01 < np.median(away) < 3.0
    # Known answers are what is rendered, again and again; these are the truth itself.
    faces = blank(model, types.SimpleNamespace(seed=7), 2, 0).take(2)
    np.savez(tmp_path / "answers.npz", r=np.stack([face["r"] for face in faces]), seed=7)
    config = _config("unused", misfit=exact, nearer=0.0, drawn=0.0, answers=str(tmp_path / "answers.npz"))
    first, second, third = room.shape_dataset(model, config, start=1).take(3)
    for one in (first, second, third):
        np.testing.assert_allclose(one["depth"], one["truth"], atol=1e-4)
    np.testing.assert_array_equal(first["truth"], third["truth"])
    assert np.abs(first["truth"] - second["truth"]).max() > 1
    with pytest.raises(ValueError, match="expected answers to batches of 3 faces, received batches of 2"):
        room.shape_dataset(model, dataclasses.replace(config, faces=3))


def test_it_learns_a_bulge_that_the_picture_shows():
    """Pictures whose brightness is the missing relief: after some steps most of it is found."""
    rng = np.random.default_rng(0)
    y, x = (np.mgrid[:64, :64] - 31.5) / 32
    mask = (x**2 + y**2 < 0.7).astype(np.float32)
    batches = []
    for _ in range(4):
        bumps = []
        for cx, cy in rng.uniform(-0.4, 0.4, (4, 2)):
            bump = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.05)
            bumps.append((bump, 20 * (1 - x**2 - y**2)))
        image, base = (np.stack(part)[..., None].astype(np.float32) for part in zip(*bumps, strict=True))
        masks = np.repeat(mask[None, ..., None], 4, 0)
        batch = {"image": image, "depth": base * masks, "mask": masks, "detailed": masks, "true_mask": masks}
        batches.append(batch | {"truth": (base + 3 * image) * masks})
    trainer = room.build_trainer(_config("unused", steps=60, learning_rate=5e-3))
    data = tf.data.Dataset.from_generator(
        lambda: batches, output_signature={name: tf.TensorSpec([4, 64, 64, 1]) for name in batches[0]}
    ).repeat()
    history = trainer.fit(data, epochs=2, steps_per_epoch=30, verbose=0).history
    assert history["closer"][1] > 0.3 and history["loss"][1] < history["loss"][0]


@pytest.fixture
def quick(monkeypatch):
    """Noise instead of rendered faces: as exactly numbered, and drawn at once."""

    def noise(model, config, faces, start):
        def draw(i):
            seed = tf.stack([tf.constant(config.seed, tf.int64), i])
            random = tf.random.stateless_uniform
            return {
                name: random([faces, 64, 64, 1], seed + n)
                for n, name in enumerate(("image", "depth", "truth", "mask", "true_mask", "detailed"))
            }

        return tf.data.Dataset.counter(start).map(draw)

    monkeypatch.setattr(room, "shape_dataset", lambda model, config, start=0: noise(model, config, 2, start))


def test_resumes_exactly_and_touches_nothing_else(quick, resumed_part):
    kept, resumed = resumed_part(train_shape, _config, dataclasses.replace(SMALL, shape=()))
    # What is saved is the average, and what training goes on with isn't.
    assert any(
        np.abs(a.numpy() - b.numpy()).max() > 1e-7
        for a, b in zip(kept.shape_net.variables, resumed.shape_net.variables, strict=True)
    )


def test_a_network_without_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a FineNet with `shape` widths"):
        room.build_trainer(_config(tmp_path, network=FineNetConfig(width=0.125, regressor=(8,))))


def test_curvature_is_that_of_second_differences():
    values = np.random.default_rng(3).normal(size=(2, 9, 9, 1)).astype(np.float32) * 50
    expected = np.abs(np.diff(values, 2, axis=1)).mean() + np.abs(np.diff(values, 2, axis=2)).mean()
    assert float(room.curvature(tf.constant(values))) == pytest.approx(expected, rel=1e-2)
    plane = np.add.outer(np.arange(9.0), 2 * np.arange(9.0))[None, ..., None].astype(np.float32)
    assert float(room.curvature(tf.constant(plane))) == pytest.approx(0.0, abs=1e-5)


def test_the_command_shows_its_recipe_and_names_what_is_missing(tmp_path, capsys):
    from tfface.cli import main

    assert main(["train", "shape", "--output", "here", "--set", "steps=7", "--show"]) == 0
    shown = capsys.readouterr().out
    assert "output='here'" in shown and "steps=7" in shown
    missing = ["train", "shape", "--output", str(tmp_path / "run"), "--set", "initial=nowhere.npz"]
    assert main(missing) == 2
    assert "expected trained weights at nowhere.npz" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
