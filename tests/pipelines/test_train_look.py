"""Training of the look: what it sees of which estimates, that it learns and goes on alike, and the command."""

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
from tfface.pipelines import train_look as room
from tfface.pipelines.assemble import load_coarse_run, save_coarse_run
from tfface.pipelines.coarse_data import CoarseDataConfig
from tfface.pipelines.train_look import TrainLookConfig


@pytest.fixture(scope="module")
def start(model, tmp_path_factory):
    """Folder of a CoarseNet with two corrections that say something, and an old look."""
    folder = tmp_path_factory.mktemp("coarse")
    coarse = IterativeCoarseNet(model, dataclasses.replace(TINY, aligned=(2, 290), refined=(4,), look=(3, 3)))
    coarse.aligned_net.get_layer("seen").bias.assign(np.full(290, 0.01))
    coarse.refine_net.get_layer("steps").bias.assign(np.full(290, 0.02))
    coarse.look_net.get_layer("steps").bias.assign(np.full(290, 9.0))
    save_coarse_run(coarse, folder)
    return folder


@pytest.fixture(scope="module")
def few():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_aligned, "FILE", 20)
        patch.setattr(fit_aligned, "synthetic_batches", plain_faces)
        yield


def _config(start, folder, **changes):
    settings = {
        "output": str(folder),
        "coarse": str(start),
        "data": CoarseDataConfig(seed=5),
        "synthetic": 60,
        "network": (4, 6),
        "batch": 4,
        "steps": 6,
        "epoch_steps": 3,
        "average": 0.5,
    }
    return TrainLookConfig(**(settings | changes))


@pytest.fixture(scope="module")
def trained(model, start, few, tmp_path_factory):
    folder = tmp_path_factory.mktemp("look")
    config = _config(start, folder, network=(8, 12), learning_rate=0.005, batch=8, steps=40, epoch_steps=20)
    with left_by_an_interruption(folder, folder.with_name("half_of_look")):
        return folder, config, room.train_look(model, config)


def _with_faces(trained, folder):
    """A folder with what `trained` has collected."""
    for name in ("faces", "estimates"):
        shutil.copytree(trained[0] / name, folder / name)
    return folder


def test_estimates_are_those_of_each_correction(model, start, trained):
    folder, _, _ = trained
    plain = changed(load_coarse_run(start, model), look=())
    faces = room.read_faces(sorted((folder / "faces").iterdir())[1:2])
    assert faces["image"].shape == (20, 200, 200, 1) and faces["image"].dtype == tf.uint8
    with np.load(folder / "faces" / "synthetic_001.npz") as file:
        image, r, a = tf.constant(file["image"][:3], tf.float32) / 255.0, file["r"][:3], file["a"][:3]
    first = changed(plain, refined=()).corrected(image, a)
    np.testing.assert_allclose(faces["estimate"][:3, 0], first, atol=1e-3)
    np.testing.assert_allclose(faces["estimate"][:3, 1], plain.corrected(image, a), atol=1e-3)
    np.testing.assert_array_equal(faces["r"][:3], r)
    np.testing.assert_array_equal(faces["photo"], np.zeros(20))


def test_without_corrections_the_answers_are_the_estimates(model, start, trained, tmp_path):
    plain = changed(load_coarse_run(start, model), aligned=(), refined=(), look=())
    folder = _with_faces(trained, tmp_path / "run")
    (folder / "estimates" / "synthetic_002.npz").unlink()
    room.collect_faces(plain, _config(start, folder))
    with (
        np.load(folder / "estimates" / "synthetic_002.npz") as found,
        np.load(folder / "faces" / "synthetic_002.npz") as face,
    ):
        np.testing.assert_array_equal(found["estimate"], face["a"][:, None])


def _numbered(count=30):
    """Faces whose r says which they are, and whose picture's left half is bright."""
    r = np.zeros((count, 290), np.float32)
    r[:, 284] = np.arange(count)
    estimate = np.repeat(r[:, None], 2, axis=1)
    estimate[:, 0, 288], estimate[:, 1, 288] = 1.0 + np.arange(count), 0.25
    image = np.zeros((count, 8, 8, 1), np.uint8)
    image[:, :, :4] = 255
    photo = (np.arange(count) >= 20).astype(np.float32)
    return {"image": image, "r": r, "estimate": estimate, "photo": photo}


def test_estimates_are_disturbed_by_errors_of_other_synthetic_faces(model):
    faces = {name: tf.constant(values) for name, values in _numbered().items()}
    config = TrainLookConfig(batch=1000, disturbed=0.5, disturbance=2.0)
    batch = {name: v.numpy() for name, v in next(iter(room.disturbed_faces(model, faces, config))).items()}
    face = np.round(batch["r"][:, 284]).astype(int)
    mirrored = batch["image"][:, 0, 0, 0] == 0.0
    assert 400 < mirrored.sum() < 600 and batch["image"].max() == 1.0
    # Up and down, which mirroring leaves alone.
    added = batch["estimate"][:, 288]
    # Of the second correction, as it is; of the first, as it is: half of the faces, less those of no disturbance.
    second, first = np.abs(added - 0.25) < 1e-4, np.abs(added - 1.0 - face) < 1e-3
    assert 200 < second.sum() < 300 and 200 < first.sum() < 320
    rest = added[~second & ~first]
    # At most twice the largest error of a synthetic face, 20, and the own error of any.
    assert rest.max() < 2.0 * 20.0 + 30.0 and rest.max() > 35.0
    np.testing.assert_array_equal(batch["photo"], face >= 20)


def test_elements_depend_on_their_number_alone(model):
    faces = {name: tf.constant(values) for name, values in _numbered().items()}
    config = TrainLookConfig(batch=6)
    *_, third = room.disturbed_faces(model, faces, config).take(3)
    again = next(iter(room.disturbed_faces(model, faces, config, 2)))
    for name, values in third.items():
        np.testing.assert_array_equal(values, again[name])


def test_it_learns_and_leaves_the_rest_as_it_was(model, start, trained):
    folder, _, _ = trained
    table = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    assert table["loss"][1] < table["loss"][0]
    # While it trains: means of so few steps are no use yet to what normalises its batches.
    assert table["landmarks_px"][1] < 0.95 * table["before_px"][1]
    before, after = (load_coarse_run(path, model) for path in (start, folder))
    assert after.config.look == (8, 12) and after.config.looks == 2
    for name in ("aligned", "refine"):
        for one, other in zip(
            before.corrections[name].get_weights(), after.corrections[name].get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow  # the second correction's does it in the same way
def test_an_interrupted_run_goes_on_alike(model, trained):
    folder, config, _ = trained
    half = folder.with_name("half_of_look")
    check_it_goes_on_alike(lambda changed: room.train_look(model, changed), config, half, "look.npz")


def test_the_command_trains_on_a_look_of_the_same_widths(model, trained, tmp_path, capsys):
    folder, _, looking = trained
    output = _with_faces(trained, tmp_path / "run")
    fields = {"synthetic": 60, "data.seed": 5, "network": "8,12", "steps": 1, "epoch_steps": 1, "batch": 4}
    fields |= {"learning_rate": 0.0, "weight_decay": 0.0}
    changes = [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]
    assert main(["train", "look", "--coarse", str(folder), "--output", str(output), *changes]) == 0
    said = capsys.readouterr()
    assert "train assemble --coarse" in said.out and "gets worse on photographs" in said.err
    again = load_coarse_run(output, model)
    assert again.config.look == (8, 12)
    again.look_net.trainable = True
    for one, other in zip(looking.look_net.trainable_variables, again.look_net.trainable_variables, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-2)  # what is on disk are halves
    assert main(["train", "look", "--output", str(output)]) == 2
    assert "--coarse" in capsys.readouterr().err
    assert main(["train", "look", "--coarse", str(folder), "--photos", "x", "--output", str(output)]) == 2
    assert "--photos and --fits together" in capsys.readouterr().err
