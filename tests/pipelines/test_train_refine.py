"""Training of the second correction: what it sees, that it learns and goes on alike, and the command."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.pipelines.interruptions import check_it_goes_on_alike, left_by_an_interruption
from tests.pipelines.test_fit_aligned import TINY, plain_faces
from tfface.cli import main
from tfface.networks.coarse_net import IterativeCoarseNet, changed
from tfface.pipelines import fit_aligned
from tfface.pipelines import train_refine as room
from tfface.pipelines.assemble import load_coarse_run, save_coarse_run
from tfface.pipelines.coarse_data import CoarseDataConfig
from tfface.pipelines.train_refine import TrainRefineConfig
from tfface.rendering.aligned_view import mirrored


@pytest.fixture(scope="module")
def start(model, tmp_path_factory):
    """Folder of a CoarseNet with a first correction that says something."""
    folder = tmp_path_factory.mktemp("coarse")
    coarse = IterativeCoarseNet(model, dataclasses.replace(TINY, aligned=(2, 290), refined=(4,)))
    coarse.aligned_net.get_layer("seen").bias.assign(np.full(290, 0.01))
    coarse.refine_net.get_layer("steps").bias.assign(np.full(290, 9.0))
    save_coarse_run(coarse, folder)
    return folder


@pytest.fixture(scope="module")
def few():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_aligned, "FILE", 40)
        patch.setattr(fit_aligned, "synthetic_batches", plain_faces)
        yield


def _config(start, folder, **changes):
    settings = {
        "output": str(folder),
        "coarse": str(start),
        "data": CoarseDataConfig(seed=5),
        "synthetic": 120,
        "network": (4, 6),
        "batch": 8,
        "steps": 40,
        "epoch_steps": 20,
        "average": 0.5,
    }
    return TrainRefineConfig(**(settings | changes))


@pytest.fixture(scope="module")
def trained(model, start, few, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refine")
    config = _config(start, folder, network=(8, 12), learning_rate=0.005)
    with left_by_an_interruption(folder, folder.with_name("half_of_refine")):
        return folder, config, room.train_refine(model, config)


def _with_views(trained, folder):
    """A folder with what `trained` has collected."""
    for name in ("faces", "views"):
        shutil.copytree(trained[0] / name, folder / name)
    return folder


def test_views_are_of_the_first_corrections_estimate_both_ways(model, start, trained):
    folder, _, _ = trained
    plain = changed(load_coarse_run(start, model), refined=())
    assert list(plain.corrections) == ["aligned"]
    with np.load(folder / "faces" / "synthetic_001.npz") as file:
        image, r, a = tf.constant(file["image"][:3], tf.float32) / 255.0, file["r"][:3], file["a"][:3]
    with np.load(folder / "views" / "synthetic_001.npz") as file:
        view = {name: file[name] for name in file.files}
    assert view["gradients"].shape == (40, 32, 32, 9) and view["gradients"].dtype == np.float16
    np.testing.assert_array_equal(view["r"][:3], r)
    np.testing.assert_allclose(view["estimate"][:3], plain.corrected(image, a), atol=1e-3)
    seen = plain.aligned_view(image, view["estimate"][:3])
    np.testing.assert_allclose(view["gradients"][:3], seen, atol=0.02)
    assert view["photo"] == 0.0
    views = room.read_views(model, [folder / "views" / "synthetic_001.npz"])
    assert len(views["photo"]) == 80
    np.testing.assert_allclose(views["r"][40], model.reflection(r)[0], atol=1e-6)
    np.testing.assert_array_equal(views["gradients"][40:43], mirrored(view["gradients"][:3]))


def test_a_coarse_net_without_a_first_correction_is_refined_too(model, start, trained, tmp_path):
    plain = IterativeCoarseNet(model, TINY)
    plain.network.set_weights(load_coarse_run(start, model).network.get_weights())
    folder = _with_views(trained, tmp_path / "run")
    (folder / "views" / "synthetic_002.npz").unlink()
    room.collect_views(plain, _config(start, folder))
    with (
        np.load(folder / "views" / "synthetic_002.npz") as view,
        np.load(folder / "faces" / "synthetic_002.npz") as face,
    ):
        np.testing.assert_array_equal(view["estimate"], face["a"])


def test_it_learns_and_leaves_the_rest_as_it_was(model, start, trained):
    folder, _, refined = trained
    table = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    assert table["loss"][1] < table["loss"][0]
    before, after = (load_coarse_run(path, model) for path in (start, folder))
    for one, other in zip(before.network.get_weights(), after.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(before.aligned_net.get_weights(), after.aligned_net.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert after.config.refined == (8, 12)
    with np.load(folder / "faces" / "synthetic_000.npz") as file:
        image, r, a = tf.constant(file["image"], tf.float32) / 255.0, file["r"], file["a"]
    trainer = room.RefineTrainer(refined, TrainRefineConfig())
    first, second = (
        trainer.criterion(r, net.corrected(image, a), np.zeros(len(r), np.float32)).numpy().mean()
        for net in (changed(before, refined=()), after)
    )
    assert second < 0.97 * first


def test_an_interrupted_run_goes_on_alike(model, trained):
    folder, config, _ = trained
    half = folder.with_name("half_of_refine")
    check_it_goes_on_alike(lambda changed: room.train_refine(model, changed), config, half, "refine.npz")


def test_the_command(model, start, trained, tmp_path, capsys):
    output = _with_views(trained, tmp_path / "run")
    fields = {"synthetic": 120, "data.seed": 5, "network": "4", "steps": 2, "epoch_steps": 2, "batch": 4}
    changes = [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]
    assert main(["train", "refine", "--coarse", str(start), "--output", str(output), *changes]) == 0
    assert "train assemble --coarse" in capsys.readouterr().out
    assert load_coarse_run(output, model).config.refined == (4,)
    assert main(["train", "refine", "--output", str(output)]) == 2
    assert "--coarse" in capsys.readouterr().err
    assert main(["train", "refine", "--coarse", str(start), "--photos", "x", "--output", str(output)]) == 2
    assert "--photos and --fits together" in capsys.readouterr().err
