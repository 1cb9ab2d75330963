"""CoarseNet's training: its criterion, its data, and a run that is interrupted and goes on."""

import csv
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfface.losses.landmarks import ProjectedLandmarks
from tfface.morphable.representation import vertices_image
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.weights import load_weights
from tfface.pipelines.sampling import sample_r
from tfface.pipelines.train_coarse import PRESETS, CoarseLoss, TrainCoarseConfig, rotate_crop, train_coarse

NET = CoarseNetConfig(widths=(8,), blocks=(1,), stem=8)


@pytest.fixture(scope="module")
def faces(model):
    return sample_r(model, 16, tf.constant([0, 9], tf.int64))


def test_projected_landmarks_are_those_of_the_mesh(model, faces):
    landmarks = ProjectedLandmarks(model)
    expected = vertices_image(model, faces, 200).numpy()[:, model.landmarks]
    np.testing.assert_allclose(landmarks(faces), expected, atol=1e-2)
    assert np.all(landmarks.distance(faces, faces).numpy() == 0)


def test_loss_starts_balanced_and_is_zero_for_the_truth(model, faces):
    loss = CoarseLoss(model, faces)
    assert float(loss(faces, tf.zeros_like(faces))) == pytest.approx(2.0, rel=1e-4)  # one part geometry, one part pose
    assert float(loss(faces, faces)) == 0
    with_landmarks = CoarseLoss(model, faces, landmark_weight=0.1)
    extra = 0.1 * np.mean(loss.landmarks.distance(faces, tf.zeros_like(faces)))
    assert float(with_landmarks(faces, tf.zeros_like(faces))) == pytest.approx(2.0 + extra, rel=1e-4)


def test_a_turned_crop_takes_its_landmarks_along(model):
    # A bright dot at a landmark must still be at that landmark after turning.
    r = np.zeros((2, 290), np.float32)
    r[:, 287:289] = (0.1, -0.05)
    angle = np.radians([25.0, -40.0]).astype(np.float32)
    nose = vertices_image(model, r, 200).numpy()[:, model.landmarks[30]]
    image = np.zeros((2, 200, 200, 1), np.float32)
    for b in range(2):
        column, row = int(nose[b, 0]), int(nose[b, 1])
        image[b, row - 1 : row + 2, column - 1 : column + 2] = 1
    turned, r_turned = rotate_crop(tf.constant(image), tf.constant(r), tf.constant(angle))
    moved = vertices_image(model, r_turned, 200).numpy()[:, model.landmarks[30]]
    for b in range(2):
        rows, columns = np.nonzero(turned.numpy()[b, :, :, 0] > 0.5)
        np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], moved[b, :2], atol=1.0)


def test_presets_are_the_paper_and_what_ships():
    assert PRESETS["paper"].landmark_weight == 0 and PRESETS["paper"].photos is None
    assert PRESETS["release"].landmark_weight > 0


@pytest.mark.slow
def test_an_interrupted_run_ends_as_an_uninterrupted_one(model, tmp_path):
    whole = TrainCoarseConfig(
        output=str(tmp_path / "whole"), steps=4, epoch_steps=2, batch=4, synthetic_count=8, landmark_weight=0.1
    )
    train_coarse(model, whole, NET)
    halves = dataclasses.replace(whole, output=str(tmp_path / "halves"))

    class Interrupted(Exception):
        pass

    from tfface.pipelines import train_coarse as module

    class StopAfterOne(module.SaveAveraged):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise Interrupted

    original, module.SaveAveraged = module.SaveAveraged, StopAfterOne
    try:
        with pytest.raises(Interrupted):
            train_coarse(model, halves, NET)
    finally:
        module.SaveAveraged = original
    train_coarse(model, halves, NET)
    nets = [IterativeCoarseNet(model, NET).network for _ in range(2)]
    for net, run in zip(nets, (whole, halves), strict=True):
        load_weights(net, f"{run.output}/coarse.npz")
    for a, b in zip(nets[0].variables, nets[1].variables, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=2e-3)


def test_a_short_run_writes_weights_that_load(model, tmp_path):
    config = TrainCoarseConfig(output=str(tmp_path / "run"), steps=3, epoch_steps=3, batch=4, synthetic_count=8)
    train_coarse(model, config, NET)
    load_weights(IterativeCoarseNet(model, NET).network, tmp_path / "run" / "coarse.npz")
    with open(tmp_path / "run" / "log.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1 and np.isfinite(float(rows[0]["loss"]))
