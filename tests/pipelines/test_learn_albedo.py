"""Albedo from photographs: light is found and divided out, half-seen components are recovered."""

import numpy as np
import pytest

from tfface.losses.lighting import harmonics
from tfface.pipelines import learn_albedo
from tfface.pipelines.learn_albedo import LUMA, delight, fit_light, neutral, principal_components

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def ball():
    """Normals of the front half of a ball, and a light that leaves none of it dark."""
    normals = RNG.normal(size=(2000, 3))
    normals[:, 2] = np.abs(normals[:, 2])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return harmonics(normals, 2).numpy(), np.array([0.8, 0.15, 0.2, 0.25, 0.02, -0.03, 0.02, 0.03, 0.01])


def test_light_is_found_in_spite_of_a_beard(ball):
    basis, light = ball
    albedo = np.full(len(basis), 0.5)
    luminance = albedo * (basis @ light)
    beard = basis[:, 2] < -0.85
    luminance[beard] *= 0.2
    found = fit_light(luminance, albedo, basis, np.ones(len(basis)))
    np.testing.assert_allclose((basis @ found)[~beard], (basis @ light)[~beard], rtol=0.08)


def test_what_is_left_is_the_colour_without_its_light(ball):
    basis, light = ball
    albedo = np.tile([0.6, 0.4, 0.3], (len(basis), 1)).astype(np.float32)
    mole = np.zeros(len(basis), bool)
    mole[:20] = True
    true = np.where(mole[:, None], albedo * 0.3, albedo)
    plain, strength = delight(true * (basis @ light)[:, None], albedo, basis, np.ones(len(basis)), np.ones(len(basis)))
    assert strength == pytest.approx((basis @ light).mean(), rel=0.02)
    np.testing.assert_allclose(plain @ LUMA, true @ LUMA, rtol=0.1, atol=0.01)


def test_components_are_recovered_from_half_of_the_entries():
    scores = RNG.normal(size=(400, 2)) * [3.0, 1.0]
    directions = np.linalg.qr(RNG.normal(size=(60, 2)))[0]
    full = (0.5 + scores @ directions.T).astype(np.float32)
    weights = (RNG.uniform(size=full.shape) < 0.6).astype(np.float32)
    mean, basis = principal_components(np.where(weights > 0, full, 99.0), weights, 2, rounds=30)
    np.testing.assert_allclose(mean, full.mean(0), atol=0.15)
    for k, deviation in enumerate((3.0, 1.0)):
        assert np.linalg.norm(basis[:, k]) == pytest.approx(deviation, rel=0.15)
        assert abs(basis[:, k] @ directions[:, k]) / np.linalg.norm(basis[:, k]) > 0.97


def test_a_cast_of_colour_is_mostly_light():
    skin = np.tile(np.array([0.6, 0.4, 0.3], np.float32), (3, 50, 1))
    cast = skin.copy()
    cast[0] *= [1.5, 1.0, 0.5]
    kept = neutral(cast, np.ones((3, 50)))
    assert np.abs(kept[0] - kept[1]).max() < 0.5 * np.abs(cast[0] - cast[1]).max()
    np.testing.assert_allclose(kept[1], skin[1], rtol=1e-5)


def test_a_missing_folder_is_told_in_a_sentence(tmp_path, capsys):
    arguments = ["--photos", str(tmp_path), "--fits", str(tmp_path / "no.npz"), "--output", str(tmp_path / "a.npz")]
    assert learn_albedo.main(arguments) == 1
    assert capsys.readouterr().err.startswith("learn_albedo: ")
