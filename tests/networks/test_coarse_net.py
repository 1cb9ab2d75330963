"""CoarseNet: shapes, the feedback that it is shown, passes that share weights, and that it learns."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfface.morphable import representation
from tfface.networks import coarse_net
from tfface.networks.coarse_net import (
    CoarseNetConfig,
    IterativeCoarseNet,
    build_coarse_net,
    network_input,
    on_grid,
)
from tfface.networks.weights import load_weights, save_weights
from tfface.rendering.feedback import FeedbackRenderer, pncc_colors

SMALL = CoarseNetConfig(size=64, widths=(8, 8), blocks=(1, 1), stem=8, passes=3)


@pytest.fixture(scope="module")
def small(model):
    keras.utils.set_random_seed(0)  # how near to the mean face it starts depends on chance
    return IterativeCoarseNet(model, SMALL)


def test_starts_near_the_mean_face_and_answers_290_numbers(small):
    r = small(np.random.default_rng(0).uniform(size=(2, 64, 64, 1)).astype(np.float32))
    assert r.shape == (2, 290)
    assert np.abs(r.numpy()).max() < 0.2


def test_passes_are_one_network_applied_to_its_own_feedback(small):
    image = np.random.default_rng(1).uniform(size=(1, 64, 64, 1)).astype(np.float32)
    estimates = small.all_passes(image).numpy()
    assert estimates.shape == (1, 3, 290)
    r = np.zeros((1, 290), np.float32)
    for step in range(3):
        r = small.network(network_input(image, small.feedback(on_grid(r, small.steps)))).numpy()
        np.testing.assert_allclose(estimates[:, step], r, atol=1e-5)
    assert len(small.variables) == len(small.network.variables)


def test_what_is_rendered_does_not_depend_on_the_last_bits(small):
    r = np.random.default_rng(2).normal(size=(4, 290)).astype(np.float32) * np.r_[np.ones(284), np.full(6, 0.2)]
    r, steps = tf.constant(r, tf.float32), small.steps
    shown = on_grid(r, steps).numpy()
    np.testing.assert_array_equal(shown / steps, np.round(shown / steps))
    assert np.all(np.abs(shown - r) <= 0.5 * steps)
    nudged = on_grid(r * (1 + 1e-7), steps).numpy()
    assert (shown != nudged).mean() < 0.001
    with tf.GradientTape() as tape:
        tape.watch(r)
        y = tf.reduce_sum(on_grid(r, steps) * shown)
    np.testing.assert_array_equal(tape.gradient(y, r), shown)


def test_input_is_masked_by_what_the_estimate_makes_visible(model):
    renderer = FeedbackRenderer(model, 64)
    feedback = renderer(tf.zeros([1, representation.SIZE])).numpy()
    x = network_input(np.ones((1, 64, 64, 1), np.float32), feedback).numpy()
    mask = feedback[0, :, :, 0] > 0
    assert x.shape == (1, 64, 64, 7)
    assert 0.2 < mask.mean() < 0.6  # a frontal head fills the middle of its crop
    assert np.all(x[0][~mask] == 0)
    assert np.all(x[0][mask][:, 0] == 1)
    assert np.all((x[0][mask][:, 1:4] >= -1e-5) & (x[0][mask][:, 1:4] <= 1 + 1e-5))
    # The tip of the nose faces the viewer.
    nose = (model.mean[model.landmarks[30]] * [64 / 240, -64 / 240, 1] + [32, 32, 0]).astype(int)
    assert x[0, nose[1], nose[0], 6] > 0.6


def test_pncc_is_the_mean_face_scaled_to_its_box(model):
    colors = pncc_colors(model.mean)
    np.testing.assert_allclose(colors.min(axis=0), 0)
    np.testing.assert_allclose(colors.max(axis=0), 1)


def test_feedback_follows_the_pose(model):
    renderer = FeedbackRenderer(model, 64)
    r = np.zeros((2, 290), np.float32)
    r[1, 287] = 0.25  # a quarter of half the crop to the right
    mask = renderer(r).numpy()[..., 0]
    centers = [np.nonzero(m)[1].mean() for m in mask]
    assert centers[1] - centers[0] == pytest.approx(8, abs=0.5)


def test_learns_the_pose_of_one_face(model):
    keras.utils.set_random_seed(0)
    net = IterativeCoarseNet(model, SMALL)
    x = np.random.default_rng(0).uniform(size=(8, 64, 64, 7)).astype(np.float32)
    target = np.zeros((8, 290), np.float32)
    target[:, -6:] = np.linspace(-0.5, 0.5, 8)[:, None]
    net.network.compile(keras.optimizers.Adam(5e-3), "mse", jit_compile=False)
    history = net.network.fit(x, target, epochs=60, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < 0.2 * history[0]


def test_weights_survive_the_disk(model, small, tmp_path):
    save_weights(small.network, tmp_path / "coarse.npz")
    again = IterativeCoarseNet(model, SMALL)
    load_weights(again.network, tmp_path / "coarse.npz")
    # One application of the network: over several, float16's rounding can flip a pixel of the feedback.
    x = np.random.default_rng(2).uniform(size=(1, 64, 64, 7)).astype(np.float32)
    np.testing.assert_allclose(again.network(x).numpy(), small.network(x).numpy(), atol=2e-3)


def test_a_residual_network_adds_to_the_estimate(model):
    net = IterativeCoarseNet(model, dataclasses.replace(SMALL, residual=True))
    image = np.random.default_rng(1).uniform(size=(2, 64, 64, 1)).astype(np.float32)
    r = np.random.default_rng(2).normal(0, 0.1, (2, 290)).astype(np.float32)
    change = net.network(network_input(image, net.feedback(on_grid(r, net.steps)))).numpy()
    np.testing.assert_allclose(net.one_pass(image, r).numpy(), r + change, atol=1e-6)
    net.network.get_layer("r").set_weights([0 * w for w in net.network.get_layer("r").get_weights()])
    assert np.all(net(image).numpy() == 0)


def test_mirrored_feedback_is_the_feedback_of_the_mirrored_face(model):
    renderer = FeedbackRenderer(model, 64)
    r = np.random.default_rng(3).normal(0, 0.2, (2, 290)).astype(np.float32)
    rendered = renderer(model.reflection(r)).numpy()
    flipped = coarse_net._mirrored(renderer(tf.constant(r))).numpy()
    away = np.abs(rendered - flipped).max(axis=-1)
    # The mirrored basis is projected onto the basis: a vertex moves by hundredths of a px.
    assert np.quantile(away, 0.98) < 0.02 and (away > 0.2).mean() < 0.005


@pytest.mark.parametrize("residual", [False, True])
def test_mirrored_answers_the_mean_of_both_pictures_in_the_last_pass(model, small, residual):
    net = IterativeCoarseNet(model, dataclasses.replace(SMALL, mirrored=True, residual=residual))
    net.network.set_weights(small.network.get_weights())
    plain = IterativeCoarseNet(model, dataclasses.replace(SMALL, residual=residual))
    plain.network.set_weights(small.network.get_weights())
    image = np.random.default_rng(4).uniform(size=(2, 64, 64, 1)).astype(np.float32)
    estimates = net.all_passes(image)
    before = plain.all_passes(image, passes=2)
    np.testing.assert_allclose(estimates[:, :2], before, atol=1e-5)
    r = before[:, -1]
    other = plain.one_pass(image[:, :, ::-1], model.reflection(r))
    expected = (plain.one_pass(image, r) + model.reflection(other)) / 2
    np.testing.assert_allclose(estimates[:, -1], expected, atol=2e-3)
    np.testing.assert_array_equal(net(image), estimates[:, -1])
    # Training goes through one picture alone.
    trained = net.all_passes(image, training=True)
    np.testing.assert_allclose(trained, plain.all_passes(image, training=True), atol=1e-5)


def test_a_mirrored_picture_is_answered_with_the_mirrored_face(model):
    keras.utils.set_random_seed(0)
    one_way = IterativeCoarseNet(model, dataclasses.replace(SMALL, passes=1))
    for name in ("r", "places"):
        kernel = one_way.network.get_layer(name).kernel
        kernel.assign(tf.random.stateless_normal(kernel.shape, [1, 2], stddev=0.05))
    both_ways = IterativeCoarseNet(model, dataclasses.replace(one_way.config, mirrored=True))
    both_ways.network.set_weights(one_way.network.get_weights())
    image = np.random.default_rng(5).uniform(size=(2, 64, 64, 1)).astype(np.float32)

    def asymmetry(net):
        return np.linalg.norm(net(image[:, :, ::-1]) - model.reflection(net(image)))

    # Not quite 0: the bases hold no exact mirror images.
    assert asymmetry(both_ways) < 0.05 * asymmetry(one_way)


def test_mixed_precision_computes_in_bfloat16_and_answers_in_float32():
    network = build_coarse_net(SMALL, "mixed_bfloat16")
    assert network.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert network(np.zeros((1, 64, 64, 7), np.float32)).dtype == tf.float32
    assert all(v.dtype == "float32" for v in network.variables)
    assert keras.config.dtype_policy().name == "float32"


def test_no_1x1_convolution_strides_over_few_channels():
    # Its gradient crashes, see `_LEAST_STRIDED`.
    layers = build_coarse_net(CoarseNetConfig(size=64, widths=(8, 16, 24), blocks=(1, 1, 1), stem=8)).layers
    single = [layer for layer in layers if getattr(layer, "kernel_size", None) == (1, 1)]
    strided = {layer.name for layer in single if layer.strides != (1, 1)}
    assert strided == {"stage3_1_shortcut_conv"} and "stage2_1_shortcut_conv" in {layer.name for layer in single}


def test_picking_pixels_before_a_1x1_convolution_is_striding(monkeypatch):
    config = CoarseNetConfig(size=40, widths=(8, 8), blocks=(1, 1), stem=8)
    image = np.random.default_rng(0).uniform(size=(2, 40, 40, 7)).astype(np.float32)
    picked = build_coarse_net(config)
    monkeypatch.setattr(coarse_net, "_LEAST_STRIDED", 0)
    strided = build_coarse_net(config)
    strided.set_weights(picked.get_weights())
    np.testing.assert_allclose(picked(image), strided(image), rtol=1e-4, atol=1e-7)


def test_uneven_configurations_are_named():
    with pytest.raises(ValueError, match="expected as many widths as blocks"):
        build_coarse_net(CoarseNetConfig(widths=(8, 8), blocks=(1,)))
