"""What the trainings of FineNet's parts share: which weights they take, and what they refuse."""

import dataclasses

import numpy as np
import pytest

from tfface.networks.fine_net import FineNet, FineNetConfig
from tfface.networks.weights import save_weights
from tfface.pipelines.fine_parts import load_fine, start_part
from tfface.pipelines.train_shape import TrainShapeConfig

SMALL = FineNetConfig(width=0.125, regressor=(8,), slopes=True, standardise=True, light=2.0, shape=(4,), skin=(4,))


def _built(**changes):
    network = FineNet(dataclasses.replace(SMALL, **changes))
    network.build()
    return network


def test_parts_may_be_missing_and_nothing_else(tmp_path):
    bare, whole = _built(shape=(), skin=()), _built()
    save_weights(bare, tmp_path / "bare.npz")
    load_fine(whole, tmp_path / "bare.npz")
    for one, other in zip(bare.convolutions, whole.convolutions, strict=True):
        np.testing.assert_allclose(one.kernel, other.kernel, rtol=2e-3, atol=1e-5)  # float16 on disk
    save_weights(whole, tmp_path / "whole.npz")
    load_fine(_built(skin=()), tmp_path / "whole.npz")
    with pytest.raises(ValueError, match="received none that fit (regressor_1|detail)/"):
        load_fine(_built(regressor=(12,)), tmp_path / "bare.npz")


def test_one_part_alone_is_trained():
    fine = start_part(TrainShapeConfig(network=SMALL), "skin_net")
    assert {layer.name for layer in fine.layers if layer.trainable} == {"skin_net"}
    with pytest.raises(ValueError, match="expected a FineNet with `skin` widths"):
        start_part(TrainShapeConfig(network=dataclasses.replace(SMALL, skin=())), "skin_net")
