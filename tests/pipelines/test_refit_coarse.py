"""The last layer in closed form: it recovers a linear law, leaves noise alone, and is what CoarseNet then answers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.pipelines import refit_coarse
from tfface.pipelines.assemble import load_coarse_run, save_coarse_run

SMALL = CoarseNetConfig(size=48, widths=(8, 8, 8, 8), blocks=(1, 1, 1, 1), stem=8)


@pytest.fixture(scope="module", params=[(0, 0), (68, 0), (68, 16)], ids=["features", "points", "joint"])
def coarse(request, model):
    points, joint = request.param
    return IterativeCoarseNet(model, dataclasses.replace(SMALL, points=points, joint=joint))


def test_a_linear_law_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    answer, seen = rng.normal(size=(3000, 4)), rng.normal(size=(3000, 6)) * [1, 1, 1, 1, 1, 9]
    law = rng.normal(size=(6, 4)) * [1.0, 1.0, 0.0, 0.0]
    target = 1.5 * answer + seen @ law + 0.3
    target[:, 2:] = answer[:, 2:] + rng.normal(size=(3000, 2))
    faces = {"answer": answer, "target": target, "seen": seen, "held_out": np.arange(3000) % 5 == 4}
    slope, offset, penalty = refit_coarse.solve(faces)
    found = answer + np.concatenate([answer, seen], axis=1) @ slope + offset
    # Least squares with the least penalty, written out.
    z = np.concatenate([answer, seen], axis=1)
    middle, deviation = z.mean(0), z.std(0)
    z = (z - middle) / deviation
    missing = target - answer
    expected = z @ np.linalg.solve(z.T @ z + penalty[0] * np.eye(10), z.T @ (missing - missing.mean(0)))
    np.testing.assert_allclose((found - answer)[:, 0], (expected + missing.mean(0))[:, 0], atol=1e-6)
    assert penalty[0] == penalty[1] == min(refit_coarse.PENALTIES)
    assert np.square(found - target)[:, :2].mean() < 0.1 * np.square(missing)[:, :2].mean()
    assert np.abs(found - answer)[:, 2:].std() < 0.1 and np.all(penalty[2:] >= 3000)


def test_the_network_answers_what_was_solved_for(coarse):
    rng = np.random.default_rng(1)
    network = tf.keras.models.clone_model(coarse.network)
    network.set_weights([w + rng.normal(size=w.shape) * 0.02 for w in coarse.network.get_weights()])
    image = rng.uniform(size=(3, 48, 48, 7)).astype(np.float32)
    answer, *seen = (np.asarray(part) for part in refit_coarse.with_inputs(network)(image))
    seen = np.concatenate(seen, axis=1)
    slope = rng.normal(size=(290 + seen.shape[1], 290)) * 0.01
    offset = rng.normal(size=290)
    refit_coarse.apply(network, slope, offset)
    expected = answer + np.concatenate([answer, seen], axis=1) @ slope + offset
    np.testing.assert_allclose(np.asarray(network(image)), expected, atol=2e-3)


def test_faces_are_collected_as_the_passes_see_them(model, monkeypatch):
    coarse = IterativeCoarseNet(model, dataclasses.replace(SMALL, residual=True))
    image, r = tf.random.stateless_uniform([4, 48, 48, 1], [0, 1]), tf.random.stateless_normal([4, 290], [0, 2])
    given = tf.data.Dataset.from_tensor_slices((image, r, r)).batch(2, drop_remainder=True)
    monkeypatch.setattr(refit_coarse, "coarse_dataset", lambda *_: given)
    faces = refit_coarse.collect(coarse, refit_coarse.RefitConfig(faces=3, batch=2, passes=2))
    assert faces["answer"].shape == faces["target"].shape == (4, 290) and not faces["held_out"].any()
    # What is missing of the answer is what is missing of the estimate.
    passes = coarse.all_passes(image, passes=2)
    np.testing.assert_allclose(faces["target"] - faces["answer"], r - passes[:, 1], atol=1e-4)
    np.testing.assert_allclose(faces["answer"], passes[:, 1] - passes[:, 0], atol=1e-4)


def test_the_command_writes_a_run_and_names_bad_input(model, tmp_path, monkeypatch, capsys):
    coarse = IterativeCoarseNet(model, dataclasses.replace(SMALL, size=200))
    save_coarse_run(coarse, tmp_path / "run")
    rng = np.random.default_rng(2)

    def collected(given, config):
        assert config.faces == 400 and config.data.photos is None
        seen = rng.normal(size=(400, refit_coarse.with_inputs(given.network).output[1].shape[-1]))
        target = rng.normal(size=(400, 290)) + 2.0
        return {"answer": 0 * target, "target": target, "seen": seen, "held_out": np.arange(400) % 5 == 4}

    monkeypatch.setattr(refit_coarse, "collect", collected)
    command = ["--coarse", str(tmp_path / "run"), "--output", str(tmp_path / "refit")]
    assert refit_coarse.main([*command, "--faces", "400"]) == 0
    assert "290 of 290 coefficients" in capsys.readouterr().out
    before, after = (load_coarse_run(tmp_path / name, model) for name in ("run", "refit"))
    bias = after.network.get_layer("r").get_weights()[1] - before.network.get_layer("r").get_weights()[1]
    np.testing.assert_allclose(bias, 2.0, atol=0.6)
    assert refit_coarse.main([*command, "--faces", "3"]) == 2
    assert refit_coarse.main([*command, "--photos", "somewhere"]) == 2
    assert refit_coarse.main(["--coarse", str(tmp_path / "none"), "--output", str(tmp_path / "refit")]) == 2
    assert "coarse.npz" in capsys.readouterr().err
