"""What judges detail by the whole face: what it is shown, what it may answer, and how a FineNet takes that."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from tfface.networks import context_net
from tfface.networks.fine_net import FineNet, FineNetConfig

SMALL = FineNetConfig(width=0.125, regressor=(8,), slopes=True, standardise=True, context=(4, 6))


def _face(size):
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size * 2 - 1
    mask = np.float32(x**2 + y**2 < 0.8)
    depth = size / 4 * (1 - x**2 - y**2) * mask
    image = (0.5 + 0.2 * np.sin(9 * x) * np.cos(7 * y)).astype(np.float32)
    return {name: value[None, ..., None] for name, value in (("image", image), ("depth", depth), ("mask", mask))}


def _network(config=SMALL, answers=False):
    keras.utils.set_random_seed(3)
    network = FineNet(config)
    network.build()
    network.detail_layer.kernel.assign(np.random.default_rng(0).normal(size=network.detail_layer.kernel.shape))
    if answers:
        kernel = network.context_net.get_layer("context_answer").kernel
        kernel.assign(np.random.default_rng(1).normal(size=kernel.shape))
    return network


def _added(network, face):
    return (network(face) - face["depth"] * face["mask"]).numpy()[0, ..., 0]


def test_the_network_is_shown_the_slopes_of_the_detail():
    mask = np.ones((1, 200, 200, 1), np.float32)
    detail = np.tile(0.05 * np.arange(200, dtype=np.float32), (200, 1))[None, ..., None]
    cells = context_net.seen(tf.zeros([1, 200, 200, 5]), detail, mask).numpy()
    assert cells.shape == (1, 200, 200, 5 + context_net.CHANNELS)
    np.testing.assert_allclose(cells[0, 96, 96], [0, 0, 0, 0, 0, 0.5, 0, 0.25, 1], atol=1e-4)
    steep = context_net.seen(tf.zeros([1, 200, 200, 5]), -40.0 * detail, mask).numpy()
    np.testing.assert_allclose(steep[0, 96, 96, 5:], [-5.0, 0.0, 25.0, 1.0], atol=1e-4)


def test_what_is_folded_unfolds_in_its_place():
    cells = np.random.default_rng(4).random((2, 200, 200, 3)).astype(np.float32)
    folded = context_net.fold(cells)
    assert folded.shape == (2, context_net.WIDTH, context_net.WIDTH, 12) and context_net.WIDTH % 8 == 0
    np.testing.assert_array_equal(folded[0, 2, 2], cells[0, :2, :2].reshape(-1))
    np.testing.assert_array_equal(context_net.unfold(folded), cells)


def test_an_answer_of_nothing_leaves_detail_alone():
    network, face = _network(), _face(200)
    plain = _network(dataclasses.replace(SMALL, context=()))
    plain.set_weights(network.get_weights()[: len(plain.get_weights())])
    assert np.abs(_added(plain, face)).max() > 0.1
    np.testing.assert_allclose(_added(network, face), _added(plain, face), atol=1e-4)


def test_detail_is_weighed_and_relief_has_lost_what_is_wide():
    rng = np.random.default_rng(2)
    answer = rng.normal(size=(1, 200, 200, 2)).astype(np.float32)
    weight, relief = (x.numpy()[0, ..., 0] for x in context_net.judged(answer, np.ones((1, 200, 200, 1), np.float32)))
    np.testing.assert_allclose(weight, 2 / (1 + np.exp(-answer[0, ..., 0])), rtol=1e-4)
    asked = context_net.RELIEF_SCALE * answer[0, ..., 1].astype(np.float64)
    wide = gaussian_filter(asked, context_net.WIDEST, truncate=4.3)
    np.testing.assert_allclose(relief[25:-25, 25:-25], (asked - wide)[25:-25, 25:-25], atol=2e-4)
    everywhere = np.ones((1, 200, 200, 2), np.float32)
    none, cover = context_net.judged(everywhere, np.ones((1, 200, 200, 1), np.float32)), np.zeros((1, 200, 200, 1))
    np.testing.assert_allclose(none[1], 0.0, atol=1e-6)
    np.testing.assert_array_equal(context_net.judged(answer, np.float32(cover))[1], 0.0)


def test_a_face_is_judged_alike_at_any_resolution():
    network, face = _network(answers=True), _face(200)
    large = {name: value.repeat(2, 1).repeat(2, 2) for name, value in face.items()}
    large["depth"] *= 2
    detail = np.float32(0.3 * np.sin(np.arange(200) / 5.0))[None, None, :, None] * face["mask"]
    found = []
    for times, given in ((1, face), (2, large)):
        prepared = network.prepare(given["image"], given["depth"], given["mask"])
        wide = detail.repeat(times, 1).repeat(times, 2) * times
        found.append(network.judge(prepared, wide, given["mask"]))
    for small, its_large in zip(*found, strict=True):
        # Slopes are taken between pixels: repeated ones have them in steps.
        assert np.std(small) > 0.01 and np.corrcoef(np.ravel(small), np.ravel(its_large))[0, 1] > 0.98


def test_sizes_that_fit_no_grid_are_judged_too():
    network = _network(answers=True)
    for size in (50, 203):
        added = _added(network, _face(size))
        assert np.isfinite(added).all() and np.all(added[_face(size)["mask"][0, ..., 0] == 0] == 0)
