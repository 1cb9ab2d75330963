"""The look at the picture on the face: its layers, what it starts as, and that it is taken as often as asked."""

import dataclasses

import numpy as np
import pytest

from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet, changed
from tfface.networks.look_net import PlaceDense, build_look_net
from tfface.networks.pretrained import load_coarse_weights, save_coarse_weights
from tfface.rendering.aligned_view import PATCH, mirrored

SMALL = CoarseNetConfig(size=64, widths=(8, 8), blocks=(1, 1), stem=8, passes=2, refined=(4,), look=(4, 6), looks=2)


@pytest.fixture(scope="module")
def looking(model):
    coarse = IterativeCoarseNet(model, SMALL)
    draw = np.random.default_rng(0)
    for network in coarse.corrections.values():
        steps = network.get_layer("steps")
        steps.set_weights([0.04 + 0.04 * draw.uniform(size=w.shape) for w in steps.get_weights()])
    # As they are on disk: what rounding does to a number between two steps of `on_grid` is up to chance.
    coarse.set_weights([np.float16(w) for w in coarse.get_weights()])
    return coarse


def test_every_place_has_weights_of_its_own():
    layer, draw = PlaceDense(3), np.random.default_rng(1)
    x = draw.normal(size=(2, 4, 5, 6)).astype(np.float32)
    layer.build(x.shape)
    kernel, bias = draw.normal(size=(20, 6, 3)), draw.normal(size=(20, 3))
    layer.set_weights([kernel, bias])
    wanted = np.empty((2, 4, 5, 3))
    for i in range(4):
        for j in range(5):
            wanted[:, i, j] = x[:, i, j] @ kernel[5 * i + j] + bias[5 * i + j]
    np.testing.assert_allclose(layer(x), wanted, atol=1e-5)
    assert PlaceDense.from_config(layer.get_config()).units == 3


@pytest.mark.parametrize("widths", [(4, 6), (4, 6, 8), (3, 4, 5, 6)])
def test_without_training_it_adds_nothing(widths):
    draw = np.random.default_rng(2)
    patches = draw.normal(size=(2, 32, 32, PATCH)).astype(np.float32)
    step, moves = build_look_net(widths)([patches, draw.normal(size=(2, 290)).astype(np.float32)])
    np.testing.assert_array_equal(step, np.zeros((2, 290)))
    assert moves.shape == (2, 16, 16, 3)


def test_each_look_is_at_the_last_answer_both_ways(looking):
    image = np.random.default_rng(3).uniform(size=(2, 64, 64, 1)).astype(np.float32)
    found = changed(looking, look=())(image)
    reflection, view, net = looking.face_model.reflection, looking.aligned_view, looking.look_net
    for _ in range(2):
        before, patches = found, view.patches(image, found)
        one = before + net([patches, before])[0]
        other = reflection(before) + net([mirrored(patches), reflection(before)])[0]
        found = (one + reflection(other)) / 2.0
        assert np.abs(found - before).max() > 0.01
    np.testing.assert_allclose(looking(image), found, atol=1e-4)
    assert not looking.look_net.trainable_variables


def test_its_weights_have_a_file_of_their_own(looking, tmp_path):
    save_coarse_weights(looking, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"coarse.npz", "refine.npz", "look.npz"}
    loaded = IterativeCoarseNet(looking.face_model, SMALL)
    load_coarse_weights(loaded, tmp_path)
    image = np.random.default_rng(5).uniform(size=(1, 64, 64, 1)).astype(np.float32)
    np.testing.assert_allclose(loaded(image), looking(image), atol=1e-4)
    assert np.abs(np.asarray(loaded.look_net.get_layer("steps").bias)).min() > 0.03


def test_what_changes_is_untrained_and_the_rest_is_kept(looking):
    other = changed(looking, look=(5, 6), looks=1)
    assert other.config == dataclasses.replace(looking.config, look=(5, 6), looks=1)
    for one, same in zip(looking.refine_net.get_weights(), other.refine_net.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.asarray(other.look_net.get_layer("steps").bias).any()
    again = changed(looking, refined=())
    assert list(again.corrections) == ["look"]
    np.testing.assert_array_equal(again.look_net.get_layer("steps").bias, looking.look_net.get_layer("steps").bias)
    assert not np.asarray(changed(looking, refined=(5,)).refine_net.get_layer("steps").bias).any()


@pytest.mark.parametrize("widths", [(4,), (0, 4), (4,) * 7])
def test_what_cannot_be_built_is_refused(widths):
    with pytest.raises(ValueError, match="expected 2 to 6 positive widths"):
        build_look_net(widths)


def test_a_look_that_is_never_taken_is_refused():
    with pytest.raises(ValueError, match="at least 1 of `looks`"):
        CoarseNetConfig(looks=0)
