"""A larger FineNet answers what the smaller one did, and can learn more."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfface.networks.fine_net import FineNet, FineNetConfig
from tfface.pipelines import train_end_to_end
from tfface.pipelines.assemble import save_fine_run
from tfface.pipelines.widen_fine import widen

NARROW = FineNetConfig(width=0.125, regressor=(8, 4), slopes=True, light=3.0, smooth_upsampling=True, skin=(4, 4))


def _built(**changes):
    network = FineNet(dataclasses.replace(NARROW, **changes))
    network.build()
    return network


@pytest.fixture(scope="module")
def narrow():
    network, rng = _built(detail_noise=0.1), np.random.default_rng(1)
    for variable in network.weights:
        variable.assign(variable + 0.1 * rng.normal(size=variable.shape))
    return network


def _face():
    rng = np.random.default_rng(2)
    image, depth = rng.random((2, 1, 24, 28, 1)).astype(np.float32)
    return {"image": image, "depth": 5 * depth, "mask": np.ones_like(depth)}


@pytest.mark.parametrize("further, mixing", [((), False), ((6, 5), False), ((6, 5), True)])
def test_it_answers_the_same_and_new_channels_can_be_read(narrow, further, mixing):
    wide, face = _built(width=0.25, further=further, mixing=mixing, detail_noise=0.1), _face()
    widen(narrow, wide)
    before = narrow(face).numpy()
    assert np.abs(before - face["depth"]).max() > 0.01
    np.testing.assert_allclose(wide(face), before, atol=1e-5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(wide(face) ** 2)
    names = ["regressor_1", *(["up4_1"] if further else []), *(["mix4_2"] if mixing else [])]
    read = [wide.get_layer(name).kernel for name in names]
    slope, *below = tape.gradient(loss, read)
    assert all(np.abs(change).max() > 1e-6 for change in below)
    for new in (slice(8, 16), slice(32, 48), slice(80, 112)):
        assert np.abs(slope[0, 0, new]).max() > 1e-6


@pytest.mark.parametrize("mixing", [False, True])
def test_blocks_grow_too(mixing):
    few, many, face = _built(further=(4,), mixing=mixing), _built(width=0.25, further=(6, 5), mixing=True), _face()
    rng = np.random.default_rng(3)
    for variable in few.weights:
        variable.assign(variable + 0.1 * rng.normal(size=variable.shape))
    widen(few, many)
    np.testing.assert_allclose(many(face), few(face), atol=1e-5)
    with pytest.raises(ValueError, match="expected a FineNet like the one to start from"):
        widen(many, few)


@pytest.mark.parametrize("changes", [{"width": 0.0625}, {"width": 0.25, "light": 0.0}, {"regressor": (4,)}])
def test_another_network_is_refused(narrow, changes):
    with pytest.raises(ValueError, match="expected a FineNet like the one to start from"):
        widen(narrow, _built(**changes))


def test_a_training_starts_from_a_narrower_run(model, narrow, tmp_path):
    save_fine_run(narrow, tmp_path)
    network = dataclasses.replace(NARROW, width=0.25)
    config = train_end_to_end.TrainFineConfig(network=network, widen=str(tmp_path), precision="float32")
    trained, plain, face = train_end_to_end.build(config, model).fine_net, _built(), _face()
    plain.set_weights(narrow.get_weights())
    np.testing.assert_allclose(trained(face), plain(face), atol=1e-5)


def test_a_training_starts_from_one_network():
    with pytest.raises(ValueError, match="received both: a.npz and runs/b"):
        train_end_to_end.TrainFineConfig(initial="a.npz", widen="runs/b")
