"""The whole-face network: its grids against obvious references, and that it starts as nothing."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfface.networks import fine_net, shape_net
from tfface.networks.fine_net import FineNet, FineNetConfig

SMALL = FineNetConfig(width=0.125, regressor=(8,), slopes=True, standardise=True, light=2.0, shape=(4, 6))


def _inputs(height, width, batch=1, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    mask = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2 < 0.16).astype(np.float32)[None, ..., None]
    depth = (30.0 - 60.0 * ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2)).astype(np.float32)[None, ..., None]
    image = rng.random((batch, height, width, 1)).astype(np.float32)
    return {"image": image, "depth": np.repeat(depth * mask, batch, 0), "mask": np.repeat(mask, batch, 0)}


def _trained(config=SMALL, seed=0):
    """A network whose last convolutions aren't zero any more."""
    network = FineNet(config)
    network.build()
    rng = np.random.default_rng(seed)
    for kernel, size in ((network.shape_net.get_layer("shape_answer").kernel, 0.2), (network.detail_layer.kernel, 0.1)):
        kernel.assign(rng.normal(size=kernel.shape) * size)
    return network


def test_planes_are_taken_out_and_nothing_else():
    rng = np.random.default_rng(2)
    mask = (rng.random((2, 20, 30, 1)) > 0.4).astype(np.float32)
    y, x = np.mgrid[:20, :30]
    values = rng.random((2, 20, 30, 1)).astype(np.float32)
    tilted = values + (0.3 * x - 0.2 * y + 5.0).astype(np.float32)[None, ..., None]
    found = shape_net.without_plane(tf.constant(tilted), tf.constant(mask)).numpy()
    np.testing.assert_allclose(found, shape_net.without_plane(tf.constant(values), tf.constant(mask)), atol=2e-4)
    for i in range(2):
        seen = mask[i, ..., 0] > 0
        design = np.stack([x[seen], y[seen], np.ones(seen.sum())], -1)
        fitted = design @ np.linalg.lstsq(design, tilted[i, ..., 0][seen], rcond=None)[0]
        np.testing.assert_allclose(found[i, ..., 0][seen], tilted[i, ..., 0][seen] - fitted, atol=2e-4)


@pytest.mark.parametrize("size", [(64, 64), (40, 57), (17, 130)])
def test_it_starts_as_nothing_at_any_size(size):
    inputs = _inputs(*size)
    np.testing.assert_allclose(FineNet(SMALL)(inputs), inputs["depth"] * inputs["mask"], atol=1e-6)


def test_it_moves_the_face_alike_at_any_resolution():
    """The correction belongs to the face, not to the pixels: twice as many show it twice as large in px."""
    network = _trained()
    inputs = _inputs(64, 64)
    large = {name: value.repeat(2, 1).repeat(2, 2) for name, value in inputs.items()}
    large["depth"] *= 2
    small_relief, large_relief = (network.corrected(**given) - given["depth"] for given in (inputs, large))
    shrunk = tf.nn.avg_pool2d(large_relief, 2, 2, "VALID") / 2
    inner = inputs["mask"] * tf.cast(tf.nn.avg_pool2d(inputs["mask"], 3, 1, "SAME") > 0.99, tf.float32)
    assert float(tf.reduce_max(tf.abs(small_relief))) > 0.05
    # A mean over four pixels isn't the value at their middle, where the spline is as rough as random weights make it.
    seen = inner.numpy() > 0
    one, other = shrunk.numpy()[seen], small_relief.numpy()[seen]
    assert np.corrcoef(one, other)[0, 1] > 0.98
    assert one.std() == pytest.approx(other.std(), rel=0.15)


def test_hair_and_neck_stay_and_a_mouth_moves_along():
    network, inputs = _trained(), _inputs(64, 64)
    everywhere, nowhere = np.ones_like(inputs["mask"]), np.zeros_like(inputs["mask"])
    np.testing.assert_allclose(network(inputs | {"detailed": everywhere}), network(inputs), atol=1e-5)
    np.testing.assert_allclose(network(inputs | {"detailed": nowhere}), inputs["depth"] * inputs["mask"], atol=1e-5)
    mouth = everywhere.copy()
    mouth[:, 40:46, 24:40] = 0.0
    np.testing.assert_allclose(network.corrected(**inputs, detailed=mouth), network.corrected(**inputs), atol=1e-5)
    bald = everywhere.copy()
    bald[:, :24] = 0.0
    found = network.corrected(**inputs, detailed=bald)
    np.testing.assert_allclose(found[:, :18], inputs["depth"][:, :18], atol=1e-5)
    np.testing.assert_allclose(found[:, 32:], network.corrected(**inputs)[:, 32:], atol=1e-5)


def test_it_is_saved_with_the_network(tmp_path):
    import keras

    network, inputs = _trained(), _inputs(32, 32)
    network.save(tmp_path / "fine.keras")
    loaded = keras.models.load_model(tmp_path / "fine.keras")
    assert loaded.config == network.config
    np.testing.assert_array_equal(loaded(inputs), network(inputs))


def test_the_paper_has_none():
    assert fine_net.paper().shape == () and FineNet(fine_net.paper()).shape_net is None


def test_widths_without_a_level_are_refused():
    with pytest.raises(ValueError, match="expected 1 to 6 positive widths, received \\(4, 0\\)"):
        FineNet(dataclasses.replace(SMALL, shape=(4, 0)))
