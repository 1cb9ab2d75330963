"""The second correction by the aligned picture: what it starts as, what it sees, and its place behind the first."""

import dataclasses

import numpy as np
import pytest

from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.pretrained import load_coarse_weights, save_coarse_weights
from tfface.networks.refine_net import Standardised, build_refine_net
from tfface.rendering.aligned_view import mirrored

SMALL = CoarseNetConfig(size=64, widths=(8, 8), blocks=(1, 1), stem=8, passes=2, aligned=(3, 5), refined=(4, 6))


@pytest.fixture(scope="module")
def refined(model):
    coarse = IterativeCoarseNet(model, SMALL)
    draw = np.random.default_rng(0)
    for network in coarse.corrections.values():
        # Means and deviations, too: what is seen is then nowhere as it was.
        network.set_weights([0.04 + 0.04 * draw.uniform(size=w.shape) for w in network.get_weights()])
    # As they are on disk: what rounding does to a number between two steps of `on_grid` is up to chance.
    coarse.set_weights([np.float16(w) for w in coarse.get_weights()])
    return coarse


def test_gradients_are_standardised_where_they_are_seen():
    layer, draw = Standardised(), np.random.default_rng(1)
    layer.build((None, 32, 32, 9))
    mean, deviation = draw.uniform(0.5, 1.5, size=(2, 32, 32, 8))
    layer.set_weights([mean, deviation])
    gradients = draw.uniform(size=(2, 32, 32, 9)).astype(np.float32)
    got, seen = layer(gradients).numpy(), gradients[..., 8:]
    np.testing.assert_allclose(got[..., :8], (gradients[..., :8] - mean) / deviation * seen, atol=1e-5)
    np.testing.assert_array_equal(got[..., 8:], seen)


@pytest.mark.parametrize("widths", [(4,), (4, 6, 8)])
def test_without_training_it_adds_nothing(widths):
    draw = np.random.default_rng(2)
    answer = build_refine_net(widths)(
        [draw.uniform(size=(2, 32, 32, 9)).astype(np.float32), draw.normal(size=(2, 290)).astype(np.float32)]
    )
    np.testing.assert_array_equal(answer, np.zeros((2, 290)))


def test_it_sees_the_picture_on_what_the_first_correction_found(refined):
    image = np.random.default_rng(3).uniform(size=(2, 64, 64, 1)).astype(np.float32)
    first = IterativeCoarseNet(refined.face_model, dataclasses.replace(SMALL, refined=()))
    first.network.set_weights(refined.network.get_weights())
    first.aligned_net.set_weights(refined.aligned_net.get_weights())
    before, after = first(image), refined(image)
    assert np.abs(after - before).max() > 0.01
    reflection, view, net = refined.face_model.reflection, refined.aligned_view(image, before), refined.refine_net
    one = before + net([view, before])
    other = reflection(before) + net([mirrored(view), reflection(before)])
    np.testing.assert_allclose(after, (one + reflection(other)) / 2.0, atol=1e-4)
    assert not refined.refine_net.trainable_variables


def test_its_weights_have_a_file_of_their_own(refined, tmp_path):
    save_coarse_weights(refined, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"coarse.npz", "aligned.npz", "refine.npz"}
    loaded = IterativeCoarseNet(refined.face_model, SMALL)
    load_coarse_weights(loaded, tmp_path)
    image = np.random.default_rng(5).uniform(size=(1, 64, 64, 1)).astype(np.float32)
    np.testing.assert_allclose(loaded(image), refined(image), atol=1e-4)
    assert np.abs(np.asarray(loaded.refine_net.get_layer("steps").bias)).min() > 0.03


def test_it_may_be_the_only_correction(model):
    alone = IterativeCoarseNet(model, dataclasses.replace(SMALL, aligned=()))
    assert list(alone.corrections) == ["refine"]
    alone.refine_net.get_layer("steps").bias.assign(np.ones(290))
    image = np.random.default_rng(6).uniform(size=(1, 64, 64, 1)).astype(np.float32)
    estimates = alone.all_passes(image, passes=2).numpy()
    np.testing.assert_allclose(alone.corrected(image, estimates[:, 1])[:, -1] - estimates[:, 1, -1], 0.02, atol=1e-5)


@pytest.mark.parametrize("widths", [(0,), (4,) * 7])
def test_what_cannot_be_built_is_refused(widths):
    with pytest.raises(ValueError, match="expected 1 to 6 positive widths"):
        build_refine_net(widths)
