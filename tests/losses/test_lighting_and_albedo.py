"""Lighting (11) and albedo (12) are recovered from images made with them."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.losses.albedo import compose_albedo, estimate_albedo
from tfface.losses.least_squares import least_squares_of_rows, robust_least_squares, weighted_least_squares
from tfface.losses.lighting import estimate_lighting, harmonics, shade


def _sphere(size=48):
    centre = (np.arange(size) + 0.5 - size / 2) / (size / 2)
    x, y = np.meshgrid(centre, centre)
    inside = x**2 + y**2 < 0.9
    z = np.sqrt(np.maximum(1 - x**2 - y**2, 0.05))
    normals = np.stack([x, y, z], -1) / np.sqrt(x**2 + y**2 + z**2)[..., None]
    mask = inside[None, ..., None].astype(np.float32)
    return (normals[None] * mask).astype(np.float32), mask


@pytest.mark.parametrize("order", [1, 2])
def test_lighting_is_exact_per_image(order):
    normals, mask = _sphere()
    rng = np.random.default_rng(1)
    normals, mask = np.repeat(normals, 3, 0), np.repeat(mask, 3, 0)
    lighting = rng.normal(size=(3, 4 if order == 1 else 9)).astype(np.float32)
    albedo = rng.uniform(0.3, 0.9, mask.shape).astype(np.float32)
    image = albedo * shade(normals, lighting)
    found = estimate_lighting(image, albedo, normals, mask, order=order)
    np.testing.assert_allclose(found, lighting, atol=2e-3)


def test_pixels_off_the_mask_do_not_count():
    normals, mask = _sphere()
    lighting = np.array([[0.5, 0.2, -0.3, 0.4]], np.float32)
    image = shade(normals, lighting).numpy()
    image[mask == 0] = 50.0
    np.testing.assert_allclose(estimate_lighting(image, np.ones_like(mask), normals, mask), lighting, atol=1e-4)


def test_robust_rounds_ignore_a_cast_shadow():
    normals, mask = _sphere()
    lighting = np.array([[0.5, 0.2, -0.3, 0.4]], np.float32)
    image = shade(normals, lighting).numpy()
    image[:, 30:36] = 0.0
    plain = estimate_lighting(image, np.ones_like(mask), normals, mask)
    robust = estimate_lighting(image, np.ones_like(mask), normals, mask, iterations=10)
    assert np.abs(robust - lighting).max() < 0.5 * np.abs(plain - lighting).max()


def test_an_empty_mask_gives_zeros_and_one_normal_gives_numbers():
    normals, mask = _sphere()
    assert np.all(estimate_lighting(mask, mask, normals, 0 * mask).numpy() == 0)
    flat = np.zeros_like(normals) + np.array([0, 0, 1], np.float32)
    found = estimate_lighting(0.7 * mask, np.ones_like(mask), flat, mask)
    np.testing.assert_allclose(shade(flat, found), 0.7, atol=1e-3)


def test_albedo_is_exact_without_a_prior_and_shrinks_with_it():
    normals, mask = _sphere()
    rng = np.random.default_rng(2)
    basis = rng.normal(0, 0.05, (*mask.shape[:3], 10)).astype(np.float32)
    mean = np.full(mask.shape, 0.5, np.float32)
    shading = shade(normals, np.array([[0.6, 0.2, -0.3, 0.5]], np.float32))
    truth = rng.normal(size=(1, 10)).astype(np.float32)
    image = compose_albedo(mean, basis, truth) * shading
    np.testing.assert_allclose(estimate_albedo(image, shading, mean, basis, mask, prior=0.0), truth, atol=1e-3)
    shrunk = estimate_albedo(image, shading, mean, basis, mask, prior=1e-2).numpy()
    assert np.linalg.norm(shrunk) < 0.7 * np.linalg.norm(truth)


def test_least_squares_agrees_with_numpy():
    rng = np.random.default_rng(3)
    design, target = rng.normal(size=(2, 50, 6)), rng.normal(size=(2, 50))
    weights = rng.random((2, 50))
    found = weighted_least_squares(*(tf.constant(x) for x in (design, target, weights)))
    for i in range(2):
        root = np.sqrt(weights[i])[:, None]
        expected = np.linalg.lstsq(design[i] * root, target[i] * root[:, 0], rcond=None)[0]
        np.testing.assert_allclose(found[i], expected, atol=1e-4)
    np.testing.assert_array_equal(robust_least_squares(*(tf.constant(x) for x in (design, target, weights))), found)
    rows = least_squares_of_rows(tf.constant(design.transpose(0, 2, 1)), tf.constant(target), tf.constant(weights), 0.0)
    np.testing.assert_allclose(rows, found, atol=1e-9)


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="expected a lighting order of 1 or 2, received 3"):
        harmonics(np.zeros((1, 3), np.float32), 3)
