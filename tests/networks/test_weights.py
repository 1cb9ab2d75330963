"""Weights on disk: float16 within rounding, whole or not at all, and clear words for anything else."""

import keras
import numpy as np
import pytest

from tfface.networks.weights import load_weights, save_weights


def network(units=4):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, name="a"), keras.layers.Dense(2, name="b")])


def test_round_trip_is_exact_to_float16(tmp_path):
    first, second = network(), network()
    save_weights(first, tmp_path / "w.npz")
    load_weights(second, tmp_path / "w.npz")
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(a).astype(np.float16), np.asarray(b).astype(np.float16))
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"]


def test_another_architecture_is_refused_before_anything_changes(tmp_path):
    save_weights(network(4), tmp_path / "w.npz")
    other = network(5)
    before = [np.asarray(v).copy() for v in other.variables]
    with pytest.raises(ValueError, match="received other variables or shapes"):
        load_weights(other, tmp_path / "w.npz")
    for kept, variable in zip(before, other.variables, strict=True):
        np.testing.assert_array_equal(kept, np.asarray(variable))


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected trained weights at"):
        load_weights(network(), tmp_path / "none.npz")
    (tmp_path / "w.npz").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match="to be an .npz of weights"):
        load_weights(network(), tmp_path / "w.npz")


def test_weights_that_float16_cannot_hold_are_refused(tmp_path):
    big = network()
    big.layers[0].kernel.assign(np.full((3, 4), 1e6, np.float32))
    with pytest.raises(ValueError, match="within float16's range"):
        save_weights(big, tmp_path / "w.npz")
    assert not list(tmp_path.iterdir())


def test_what_fits_can_be_taken_from_another_architecture(tmp_path):
    first, other = network(4), network(5)
    save_weights(first, tmp_path / "w.npz")
    missing = load_weights(other, tmp_path / "w.npz", strict=False)
    assert missing == ["a/bias", "a/kernel", "b/kernel"]
    np.testing.assert_array_equal(np.asarray(other.layers[1].bias), np.asarray(first.layers[1].bias))
    stranger = keras.Sequential([keras.Input((7,)), keras.layers.Dense(9, name="c")])
    with pytest.raises(ValueError, match="received other variables or shapes"):
        load_weights(stranger, tmp_path / "w.npz", strict=False)
