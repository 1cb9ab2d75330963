"""The correction by the aligned picture: its features, what it adds to CoarseNet's last pass, and its file."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfface.networks.aligned_net import RandomFeatures, build_aligned_net
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.pretrained import load_coarse_weights, save_coarse_weights

SMALL = CoarseNetConfig(size=64, widths=(8, 8), blocks=(1, 1), stem=8, passes=2, aligned=(3, 5))


@pytest.fixture(scope="module")
def corrected(model):
    coarse = IterativeCoarseNet(model, SMALL)
    draw = np.random.default_rng(0)
    coarse.aligned_net.set_weights([0.1 + 0.1 * draw.uniform(size=w.shape) for w in coarse.aligned_net.get_weights()])
    return coarse


def test_features_are_cosines_of_each_neighbourhood_by_how_well_it_is_seen():
    layer = RandomFeatures(2)
    layer.build((None, 32, 32, 9))
    draw = np.random.default_rng(1)
    mean, deviation, kernel, phase = (draw.uniform(0.5, 1.5, w.shape) for w in layer.get_weights())
    layer.set_weights([mean, deviation, kernel, phase])
    gradients = draw.uniform(size=(1, 32, 32, 9)).astype(np.float32)
    got = layer(gradients).numpy()
    assert got.shape == (1, 16, 16, 2)
    x = (gradients[0, ..., :8] - mean) / deviation * gradients[0, ..., 8:]
    for i, j in ((0, 0), (3, 8), (14, 14)):
        # A stride of 2 over an even width: the window starts at its own cell.
        window = np.s_[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        wanted = np.cos(np.einsum("ijc,ijck->k", x[window], kernel) + phase) * gradients[0, ..., 8][window].mean()
        np.testing.assert_allclose(got[0, i, j], wanted, atol=1e-4)


def test_without_weights_it_adds_nothing():
    net = build_aligned_net(4, 6)
    draw = np.random.default_rng(2)
    answer = net([draw.uniform(size=(2, 32, 32, 9)).astype(np.float32), draw.normal(size=(2, 290)).astype(np.float32)])
    np.testing.assert_array_equal(answer, np.zeros((2, 290)))


def test_only_the_last_pass_is_corrected_and_none_in_training(corrected):
    image = np.random.default_rng(3).uniform(size=(2, 64, 64, 1)).astype(np.float32)
    plain = IterativeCoarseNet(corrected.face_model, dataclasses.replace(SMALL, aligned=()))
    plain.network.set_weights(corrected.network.get_weights())
    before, after = plain.all_passes(image).numpy(), corrected.all_passes(image).numpy()
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-6)
    assert np.abs(after[:, 1] - before[:, 1]).max() > 0.01
    np.testing.assert_allclose(after[:, 1], corrected.corrected(image, before[:, 1]), atol=1e-4)
    first, second = (net.all_passes(image, training=True).numpy() for net in (plain, corrected))
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert not corrected.aligned_net.trainable_variables


def test_a_face_and_its_mirror_image_are_corrected_alike(corrected):
    draw = np.random.default_rng(4)
    image, r = draw.uniform(size=(1, 64, 64, 1)).astype(np.float32), 0.2 * draw.normal(size=(1, 290))
    reflection = corrected.face_model.reflection
    r = reflection(reflection(tf.constant(r, tf.float32)))  # within what a reflection keeps
    one = corrected.corrected(image, r).numpy()
    other = reflection(corrected.corrected(image[:, :, ::-1].copy(), reflection(r))).numpy()
    # A reflection keeps most of what is added, not all.
    assert np.abs(one - other).mean() < 0.02 * np.abs(one - r).mean()


def test_its_weights_have_a_file_of_their_own(corrected, tmp_path):
    save_coarse_weights(corrected, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"coarse.npz", "aligned.npz"}
    loaded = IterativeCoarseNet(corrected.face_model, SMALL)
    load_coarse_weights(loaded, tmp_path)
    for one, other in zip(loaded.aligned_net.get_weights(), corrected.aligned_net.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3)
    (tmp_path / "aligned.npz").unlink()
    with pytest.raises(FileNotFoundError, match="aligned.npz"):
        load_coarse_weights(loaded, tmp_path)


def test_what_cannot_be_built_is_refused():
    for bad in ((0, 5), (3, 0), (3, 291)):
        with pytest.raises(ValueError, match="expected at least 1 feature and 1 to 290 directions"):
            build_aligned_net(*bad)
    with pytest.raises(ValueError, match="two numbers, features and directions"):
        CoarseNetConfig(aligned=(3,))
