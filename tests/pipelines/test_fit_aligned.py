"""The correction's closed form: against least squares, with photographs, into weights, and the command."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfface.morphable import representation
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.pipelines import fit_aligned
from tfface.pipelines.assemble import load_coarse_run, save_coarse_run
from tfface.pipelines.coarse_data import CoarseDataConfig
from tfface.rendering.feedback import FeedbackRenderer

TINY = CoarseNetConfig(size=200, widths=(4, 4), blocks=(1, 1), stem=4, passes=2)


@pytest.fixture(scope="module")
def coarse(model):
    return IterativeCoarseNet(model, TINY)


def sums_of(x, y):
    return fit_aligned.Sums(np.tril(x.T @ x).astype(np.float32), (x.T @ y).astype(np.float32))


def test_it_is_ridge_regression_of_weighted_faces():
    draw = np.random.default_rng(0)
    x, photos = draw.normal(size=(60, 12)), draw.normal(size=(40, 12))
    y, of_photos = draw.normal(size=(60, 290)), draw.normal(size=(40, 290))
    for other, rows, wanted in (
        (None, [], []),
        (sums_of(photos, of_photos), [np.sqrt(0.5) * photos], [np.sqrt(0.5) * of_photos]),
    ):
        rows, wanted = [x, np.sqrt(3.0) * np.eye(12), *rows], [y, np.zeros((12, 290)), *wanted]
        solution = np.linalg.lstsq(np.concatenate(rows), np.concatenate(wanted), rcond=None)[0]
        np.testing.assert_allclose(fit_aligned.solve(sums_of(x, y), other, 0.5, 3.0), solution, atol=2e-3)


def plain_faces(model, data, batch, start, size=200):
    """As `synthetic_batches`, of faces lit from the front before black: a tenth of the time."""
    render = FeedbackRenderer(model, size)

    @tf.autograph.experimental.do_not_convert
    def draw(number):
        noise = tf.random.stateless_normal([batch, 290], tf.stack([tf.constant(data.seed, tf.int64), number]))
        r = noise * np.r_[np.full(284, 0.5), 0.1, 0.2, 0.1, 0.05, 0.05, 0.05].astype(np.float32)
        return {"image": render(r)[..., 6:], "r": r}

    return tf.data.Dataset.counter(start).map(draw)


@pytest.fixture(scope="module")
def few():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_aligned, "FILE", 40)
        patch.setattr(fit_aligned, "PENALTIES", (1.0, 10.0))
        patch.setattr(fit_aligned, "synthetic_batches", plain_faces)
        yield


@pytest.fixture(scope="module")
def fitted(coarse, few, tmp_path_factory):
    output = tmp_path_factory.mktemp("aligned")
    config = fit_aligned.FitAlignedConfig(
        output=str(output), data=CoarseDataConfig(seed=5), synthetic=120, network=(2, 290)
    )
    return output, config, fit_aligned.fit(coarse, config)


def test_faces_are_kept_and_an_interrupted_collection_goes_on_alike(coarse, fitted):
    output, config, _ = fitted
    paths = sorted((output / "faces").iterdir())
    assert [path.name for path in paths] == [f"synthetic_{number:03d}.npz" for number in range(3)]
    with np.load(paths[1]) as file:
        before = {name: file[name] for name in file.files}
    assert before["image"].shape == (40, 200, 200, 1) and before["image"].dtype == np.uint8
    x = tf.constant(before["image"][:4], tf.float32) / 255.0
    np.testing.assert_allclose(fit_aligned.answers(coarse, x), before["a"][:4], atol=0.05)
    kept = paths[0].stat().st_mtime_ns
    paths[1].unlink()
    fit_aligned.collect(coarse, config)
    assert paths[0].stat().st_mtime_ns == kept
    with np.load(paths[1]) as file:
        np.testing.assert_allclose(file["r"], before["r"], atol=1e-6)
        assert np.abs(file["image"].astype(int) - before["image"].astype(int)).max() <= 1


def test_the_network_says_what_was_solved_for(fitted):
    output, _, corrected = fitted
    path = output / "faces" / "synthetic_000.npz"
    examples = fit_aligned.Examples(corrected, path)
    draw = np.random.default_rng(3)
    slope = 0.1 * draw.normal(size=(len(examples.middle) + 291, 290)).astype(np.float32)
    before = corrected.aligned_net.get_weights()
    fit_aligned.set_weights(corrected.aligned_net, examples, slope)
    x, _, a = examples(path)
    gradients = np.concatenate([part for part, _, _ in examples.parts(path)])
    np.testing.assert_allclose(corrected.aligned_net([gradients, a]), x @ slope, atol=2e-3)
    corrected.aligned_net.set_weights(before)


def test_it_brings_faces_nearer_than_an_untrained_network(fitted):
    output, _, corrected = fitted
    with np.load(output / "faces" / "synthetic_000.npz") as file:
        image, r, a = tf.constant(file["image"], tf.float32) / 255.0, file["r"], file["a"]
    before, after = (
        np.square((x - r)[:, representation.GEOMETRY_SIZE :]).mean() for x in (a, corrected.corrected(image, a))
    )
    assert after < 0.7 * before


def test_the_command_writes_a_run_that_loads(coarse, fitted, tmp_path, monkeypatch):
    _, _, corrected = fitted
    asked = []
    monkeypatch.setattr(fit_aligned, "fit", lambda coarse, config: asked.append(config) or corrected)
    save_coarse_run(coarse, tmp_path / "coarse")
    output = tmp_path / "run"
    arguments = ["--coarse", str(tmp_path / "coarse"), "--faces", "80", "--seed", "5", "--output", str(output)]
    assert fit_aligned.main(arguments) == 0
    assert (asked[0].synthetic, asked[0].data.seed, asked[0].output) == (80, 5, str(output))
    loaded = load_coarse_run(output, coarse.face_model)
    assert loaded.config == dataclasses.replace(TINY, aligned=(2, 290))
    one, other = (net.aligned_net.get_layer("seen").get_weights()[0] for net in (loaded, corrected))
    np.testing.assert_allclose(one, other, atol=1e-3 * np.abs(other).max())


def test_bad_arguments_are_said(tmp_path, capsys):
    assert fit_aligned.main(["--coarse", "x", "--faces", "10"]) == 2
    assert "expected --faces" in capsys.readouterr().err
    assert fit_aligned.main(["--coarse", "x", "--photos", "y"]) == 2
    assert "--photos and --fits together" in capsys.readouterr().err
    assert fit_aligned.main(["--coarse", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "from a training run" in capsys.readouterr().err
