"""CoarseNet's training: its criterion, its data, and a run that is interrupted and goes on."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfface.losses.landmarks import ProjectedLandmarks
from tfface.morphable.representation import vertices_image
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.weights import load_weights, save_weights
from tfface.pipelines.sampling import sample_r
from tfface.pipelines.train_coarse import (
    PRESETS,
    CoarseLoss,
    CoarseTrainer,
    TrainCoarseConfig,
    Trapezoid,
    build_trainer,
    train_coarse,
)

NET = CoarseNetConfig(widths=(8,), blocks=(1,), stem=8, residual=True)


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
    with_features = CoarseLoss(model, faces, feature_weight=0.5)
    extra = 0.5 * np.mean(loss.features.distance(faces, tf.zeros_like(faces)))
    assert float(with_features(faces, tf.zeros_like(faces))) == pytest.approx(2.0 + extra, rel=1e-4)


def test_presets_are_the_paper_and_what_ships():
    paper, release = PRESETS["paper"], PRESETS["release"]
    assert paper.landmark_weight == paper.feature_weight == 0 and paper.data.photos is None and paper.passes == 1
    assert not paper.network.residual and paper.network.blocks == (2, 2, 2, 2)
    assert release.landmark_weight > 0 and release.network.points > 68 and paper.network.points == 0


def test_the_learning_rate_rises_stays_and_falls():
    rate = Trapezoid(1e-3, warmup=10, steps=100, decay=0.2)
    values = [float(rate(step)) for step in (0, 9, 50, 79, 90, 100)]
    np.testing.assert_allclose(values, [1e-4, 1e-3, 1e-3, 1e-3, 5e-4, 0], atol=1e-9)


def test_each_face_comes_round_with_the_answer_it_got(model, faces):
    coarse = IterativeCoarseNet(model, NET)
    config = TrainCoarseConfig(network=NET, faces=2, passes=3, own_from=0, own_full=1)
    trainer = CoarseTrainer(coarse, config, ProjectedLandmarks(model))
    seen = []
    one_pass = coarse.one_pass

    def recording(image, r, training=False):
        answer = one_pass(image, r, training)
        seen.append((image.numpy(), r.numpy(), answer.numpy()))
        return answer

    coarse.one_pass = recording
    trainer.compile(keras.optimizers.Adam(1e-4), loss=CoarseLoss(model, faces), jit_compile=False, run_eagerly=True)
    images = np.random.default_rng(0).uniform(size=(6, 200, 200, 1)).astype(np.float32)
    for step in range(3):
        rows = slice(2 * step, 2 * step + 2)
        trainer.train_step((tf.constant(images[rows]), faces[rows], tf.zeros([2, 290])))
    # Faces 0 and 1: new in the first step, then with their first answer, then with their second.
    np.testing.assert_array_equal(seen[1][0][2:4], images[:2])
    np.testing.assert_array_equal(seen[1][1][2:4], seen[0][2][:2])
    np.testing.assert_array_equal(seen[2][0][4:6], images[:2])
    np.testing.assert_array_equal(seen[2][1][4:6], seen[1][2][2:4])
    assert np.all(seen[2][1][:2] == 0)


def test_answers_come_back_gradually(model, faces):
    coarse = IterativeCoarseNet(model, NET)
    config = TrainCoarseConfig(network=NET, faces=8, passes=3, own_from=10, own_full=20)
    trainer = CoarseTrainer(coarse, config, ProjectedLandmarks(model))
    trainer.compile(keras.optimizers.Adam(1e-4), loss=CoarseLoss(model, faces), jit_compile=False)
    answer = tf.fill([16, 290], 100.0)
    shares = []
    for step in (5, 15, 25):
        trainer.optimizer.iterations.assign(step)
        shares.append(np.mean(trainer._next_estimates(faces, answer).numpy()[:, 0] == 100.0))
    assert shares[0] == 0 and 0.1 < shares[1] < 0.9 and shares[2] == 1


def test_a_run_can_start_from_weights(model, tmp_path):
    save_weights(IterativeCoarseNet(model, NET).network, tmp_path / "first.npz")
    config = TrainCoarseConfig(
        output=str(tmp_path), network=NET, initial=str(tmp_path / "first.npz"), precision="float32"
    )
    network = build_trainer(model, config).coarse.network
    with np.load(tmp_path / "first.npz") as kept:
        np.testing.assert_allclose(network.get_layer("r").kernel, kept["r/kernel"], atol=1e-6)


@pytest.mark.slow
def test_an_interrupted_run_ends_as_an_uninterrupted_one(model, tmp_path):
    whole = TrainCoarseConfig(output=str(tmp_path / "whole"), network=NET, steps=4, epoch_steps=2, faces=4, passes=2)
    train_coarse(model, whole)
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
            train_coarse(model, halves)
    finally:
        module.SaveAveraged = original
    train_coarse(model, halves)
    nets = [IterativeCoarseNet(model, NET).network for _ in range(2)]
    for net, run in zip(nets, (whole, halves), strict=True):
        load_weights(net, f"{run.output}/coarse.npz")
    for a, b in zip(nets[0].variables, nets[1].variables, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=2e-3)


def test_a_short_run_writes_weights_that_load(model, tmp_path):
    config = TrainCoarseConfig(output=str(tmp_path / "run"), network=NET, steps=3, epoch_steps=3, faces=3, passes=2)
    train_coarse(model, config)
    load_weights(IterativeCoarseNet(model, NET).network, tmp_path / "run" / "coarse.npz")
    with open(tmp_path / "run" / "log.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1 and float(rows[0]["loss"]) > 0 and float(rows[0]["last_px"]) > 0


def test_points_are_trained_and_the_way_from_them_to_r_stays_as_primed(model, tmp_path):
    net = CoarseNetConfig(widths=(8, 8), blocks=(1, 1), stem=8, points=128)
    config = TrainCoarseConfig(
        output=str(tmp_path), network=net, steps=2, epoch_steps=2, faces=2, passes=2, prime_steps=2, precision="float32"
    )
    trainer = build_trainer(model, config)
    head = trainer.coarse.network.get_layer("points_to_face")
    primed = [np.asarray(v).copy() for v in head.variables]
    trained = {v.path for v in trainer.coarse.network.trainable_variables}
    assert trained and not trained & {v.path for v in head.variables}
    image = np.random.default_rng(0).uniform(size=(2, 200, 200, 1)).astype(np.float32)
    truth = sample_r(model, 2, tf.constant([1, 2], tf.int64))
    before = np.asarray(trainer.coarse.network.get_layer("scores_and_depths").kernel).copy()
    trainer.optimizer.build(trainer.coarse.network.trainable_variables)
    # A graph, as in training.
    logs = tf.function(trainer.train_step, autograph=False)((tf.constant(image), truth, tf.zeros([2, 290])))
    assert float(logs["points_px"]) > 0 and np.isfinite(float(logs["loss"]))
    assert np.abs(trainer.coarse.network.get_layer("scores_and_depths").kernel - before).max() > 0
    for a, b in zip(primed, head.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_way_from_points_to_r_can_be_freed(model):
    net = CoarseNetConfig(widths=(8, 8), blocks=(1, 1), stem=8, points=70)
    config = TrainCoarseConfig(network=net, faces=2, passes=2, prime_steps=0, precision="float32", free_points=True)
    network = build_trainer(model, config).coarse.network
    trained = {v.path for v in network.trainable_variables}
    assert {v.path for v in network.get_layer("points_to_face").variables} <= trained


def test_a_run_notes_which_vertices_its_points_are(model, tmp_path):
    net = CoarseNetConfig(widths=(8, 8), blocks=(1, 1), stem=8, points=70)
    config = TrainCoarseConfig(output=str(tmp_path), network=net, steps=0, prime_steps=0, precision="float32")
    trained = train_coarse(model, config)
    kept = json.loads((tmp_path / "coarse_net.json").read_text())["point_vertices"]
    assert kept == list(trained.config.point_vertices) and len(kept) == 70


def test_weights_of_another_architecture_are_taken_where_they_fit(model, tmp_path, capsys):
    plain = CoarseNetConfig(widths=(8, 8), blocks=(1, 1), stem=8)
    source = IterativeCoarseNet(model, plain).network
    save_weights(source, tmp_path / "plain.npz")
    config = TrainCoarseConfig(
        network=dataclasses.replace(plain, points=70), prime_steps=1, initial=str(tmp_path / "plain.npz")
    )
    network = build_trainer(model, config).coarse.network
    np.testing.assert_allclose(network.get_layer("stem_conv").kernel, source.get_layer("stem_conv").kernel, atol=1e-3)
    assert "holds no weights for" in capsys.readouterr().out
