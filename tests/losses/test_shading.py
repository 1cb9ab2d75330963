"""The criterion of eq. 14: values against a slow reference, gradients, and the direction it pushes depth in."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfface.geometry.depth import normals_from_depth
from tfface.losses import shading
from tfface.losses.lighting import shade
from tfface.losses.local import local_means

SIZE = 40


def _face():
    """A dome with its mask, a flat albedo and light from the upper left."""
    centre = np.arange(SIZE) + 0.5 - SIZE / 2
    x, y = np.meshgrid(centre, centre)
    mask = (x**2 + y**2 < 17**2).astype(np.float32)[None, ..., None]
    coarse = np.sqrt(30.0**2 - x**2 - y**2)[None, ..., None].astype(np.float32) * mask
    wrinkle = (0.5 * np.exp(-0.5 * ((x - 2) / 1.5) ** 2))[None, ..., None].astype(np.float32) * mask
    return coarse, wrinkle, mask


LIGHT = np.array([[0.45, -0.25, -0.15, 0.35]], np.float32)


def _photo(depth, mask):
    return (0.8 * shade(normals_from_depth(depth, mask), LIGHT) * mask).numpy()


def _explain(config, image, coarse, mask):
    return shading.explain(config, image, coarse, mask, mask, 0.8 * mask, np.zeros((1, SIZE, SIZE, 10), np.float32))


def test_terms_agree_with_a_slow_reference():
    coarse, wrinkle, mask = _face()
    config = shading.paper()
    refined = coarse + wrinkle
    image = _photo(coarse, mask)
    found = _explain(config, image, coarse, mask)
    terms = shading.shading_criterion(config, refined, coarse, mask, found)
    predicted = 0.8 * shade(normals_from_depth(refined, mask), found.lighting).numpy()
    count = mask.sum()
    sh = np.sum(((predicted - image) * 255) ** 2 * mask) / count
    fidelity = np.sum(wrinkle**2) / count
    smooth = 0.0
    for i in range(1, SIZE - 1):
        for j in range(1, SIZE - 1):
            z, m = refined[0, :, :, 0], mask[0, :, :, 0]
            if not m[i, j]:
                continue
            value = (z[i, j + 1] + z[i, j - 1] - 2 * z[i, j]) * m[i, j + 1] * m[i, j - 1]
            value += (z[i + 1, j] + z[i - 1, j] - 2 * z[i, j]) * m[i + 1, j] * m[i - 1, j]
            smooth += abs(value)
    assert float(terms.shading[0]) == pytest.approx(sh, rel=1e-3)
    assert float(terms.fidelity[0]) == pytest.approx(fidelity, rel=1e-4)
    assert float(terms.smoothness[0]) == pytest.approx(smooth / count, rel=0.05)
    assert float(terms.total[0]) == pytest.approx(float(terms.shading[0] + 5e-3 * fidelity + terms.smoothness[0]))


def test_the_paper_preset_is_the_papers():
    config = shading.paper()
    assert (config.shading, config.fidelity, config.smoothness, config.slope) == (1.0, 5e-3, 1.0, 0.0)
    assert config.lighting_order == 1 and config.charbonnier is None and not config.local_sigma
    assert config.smooth_reference is None and not config.robust_iterations and not config.albedo_prior
    assert not config.trust and not config.margin


@pytest.mark.parametrize("preset", [shading.paper, shading.release])
def test_descent_recovers_a_wrinkle_from_its_shading(preset):
    coarse, wrinkle, mask = _face()
    # Without regularisation: the image formation term alone must find the shape that made the image.
    config = dataclasses.replace(preset(), fidelity=1e-5, smoothness=1e-4, slope=0.0, gamma=1.0, intensity_scale=1.0)
    found = _explain(config, _photo(coarse + wrinkle, mask), coarse, mask)
    detail = tf.Variable(np.zeros_like(coarse))
    optimizer = tf.keras.optimizers.Adam(0.02)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            terms = shading.shading_criterion(config, coarse + detail * mask, coarse, mask, found)
        optimizer.apply_gradients([(tape.gradient(terms.total, detail), detail)])

    for _ in range(300):
        step()

    def band(z):
        return z[0, 8:32, 14:30, 0] - z[0, 8:32, 14:30, 0].mean()

    solution = detail.numpy() * mask
    assert np.corrcoef(band(solution).ravel(), band(wrinkle).ravel())[0, 1] > 0.8


def test_true_depth_has_no_residual_and_no_gradient():
    coarse, _, mask = _face()
    config = dataclasses.replace(shading.paper(), fidelity=0.0, smoothness=0.0)
    found = _explain(config, _photo(coarse, mask), coarse, mask)
    refined = tf.Variable(coarse)
    with tf.GradientTape() as tape:
        total = shading.shading_criterion(config, refined, coarse, mask, found).total
    assert float(total[0]) < 1e-4
    assert np.abs(tape.gradient(total, refined)).max() < 1e-3


@pytest.mark.parametrize("preset", [shading.paper, shading.release])
def test_gradient_agrees_with_finite_differences(preset):
    coarse, wrinkle, mask = (x.astype(np.float64) for x in _face())
    config = preset()
    image = _photo(coarse + wrinkle, mask)
    basis = np.zeros((1, SIZE, SIZE, 10))
    found = shading.explain(config, image, coarse, mask, mask, 0.8 * mask, basis)
    refined = tf.Variable(coarse + 0.3 * wrinkle)

    def total(z):
        return shading.shading_criterion(config, z, coarse, mask, found).total[0]

    with tf.GradientTape() as tape:
        value = total(refined)
    gradient = tape.gradient(value, refined).numpy()
    for i, j in ((20, 20), (15, 23), (25, 18), (20, 5)):
        step = np.zeros_like(coarse)
        step[0, i, j, 0] = 1e-5
        numerical = float(total(refined + step) - total(refined - step)) / 2e-5
        assert gradient[0, i, j, 0] == pytest.approx(numerical, rel=2e-3, abs=1e-8)


def test_no_gradient_reaches_light_albedo_or_the_coarse_depth():
    coarse, wrinkle, mask = _face()
    variable = tf.Variable(coarse)
    with tf.GradientTape() as tape:
        found = _explain(shading.release(), _photo(coarse, mask), variable, mask)
        terms = shading.shading_criterion(shading.release(), coarse + wrinkle, variable, mask, found)
    assert tape.gradient(terms.total, variable) is None


def test_local_matching_forgives_a_smooth_stain_but_not_a_wrinkle():
    coarse, wrinkle, mask = _face()
    centre = np.arange(SIZE) + 0.5 - SIZE / 2
    x, y = np.meshgrid(centre, centre)
    stain = (1 - 0.4 * np.exp(-((x - 6) ** 2 + y**2) / (2 * 8**2)))[None, ..., None].astype(np.float32)
    exact = dataclasses.replace(shading.release(), gamma=1.0, lighting_order=1, relative=False, local_sigma=3.0)
    unmatched = dataclasses.replace(exact, local_sigma=0.0)

    def residual(config, image):
        found = _explain(config, image, coarse, mask)
        inner = np.sqrt(x**2 + y**2) < 12
        return np.sqrt(np.mean(shading.shading_residual(config, coarse, mask, found).numpy()[0, ..., 0][inner] ** 2))

    stained = _photo(coarse, mask) * stain
    assert residual(exact, stained) < 0.5 * residual(unmatched, stained)
    assert residual(exact, _photo(coarse + wrinkle, mask)) > 2 * residual(exact, _photo(coarse, mask))


def test_local_mean_is_blind_to_what_the_mask_hides():
    values = np.full((1, 20, 20, 1), 3.0, np.float32)
    mask = np.ones_like(values)
    mask[:, :, :9] = 0
    values[:, :, :9] = 1e3
    np.testing.assert_allclose(local_means([values], mask, 3.0)[0][:, :, 9:], 3.0, rtol=1e-5)
    assert np.all(np.isfinite(local_means([values], 0 * mask, 3.0)))


def test_an_impossible_config_is_refused():
    with pytest.raises(ValueError, match="expected local_sigma > 0 when relative is set"):
        shading.ShadingConfig(relative=True)
