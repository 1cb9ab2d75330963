"""Pictures of known surfaces: lit as said, and dark where folds hide the sky."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.geometry.depth import normals_from_depth
from tfface.pipelines.detail_bank import DetailBankConfig
from tfface.pipelines.photographer import Photographer, shaded_normals

SIZE = 96


def test_pictures_are_lit_from_where_their_shading_says():
    config = DetailBankConfig(batch=1, painted=0.0, shaded=0.0, covered=0.0)
    world = Photographer(config, SIZE)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    ball = np.sqrt(np.maximum(0.64 - x**2 - y**2, 0)) * SIZE / 2
    mask = (x**2 + y**2 < 0.5).astype(np.uint8)
    sky = np.full_like(mask, 255)
    head = {"r": np.zeros(290), "depth": ball, "albedo": np.ones_like(ball), "mask": mask, "skin": mask, "sky": sky}
    kinds = {"mask": tf.uint8, "skin": tf.uint8, "sky": tf.uint8, "albedo": tf.float16}
    head = {name: tf.cast(value, kinds.get(name, tf.float32))[None] for name, value in head.items()}
    flat, errors = 0, []
    for number in range(24):
        image = world(head, tf.constant([5, number], tf.int64))["image"].numpy()[0, ..., 0] ** 2.2
        depth, seen = head["depth"][..., None], tf.cast(mask, tf.float32)[None, ..., None]
        normals = normals_from_depth(depth, seen).numpy()[0]
        inner = x**2 + y**2 < 0.4
        design = np.concatenate([np.ones((inner.sum(), 1)), normals[inner]], axis=1)
        light = np.linalg.lstsq(design, image[inner], rcond=None)[0]
        flat += np.linalg.norm(light[1:]) < 0.05 * abs(light[0])
        errors.append(np.std(design @ light - image[inner]) / image[inner].mean())
    assert 1 <= flat <= 8  # one in eight is lit from everywhere
    assert np.median(errors) < 0.25  # attached shadows and gloss are all that the first harmonics miss


def test_a_hidden_sky_is_dark_in_light_from_everywhere():
    world = Photographer(DetailBankConfig(batch=1, painted=0.0, flat=1.0), SIZE)
    ones = np.ones((1, SIZE, SIZE))
    sky = np.where(np.arange(SIZE) < SIZE // 2, 255, 153) * ones
    head = {"r": tf.zeros([1, 290]), "depth": tf.zeros(ones.shape), "albedo": tf.cast(ones, tf.float16)}
    head |= {name: tf.cast(value, tf.uint8) for name, value in {"mask": ones, "skin": ones, "sky": sky}.items()}
    image = world(head, tf.constant([5, 1], tf.int64))["image"].numpy()[0, ..., 0] ** 2.2
    assert image[:, 60:90].mean() / image[:, 6:36].mean() == pytest.approx(0.6, abs=0.02)


def test_light_shows_finer_slopes_than_central_differences():
    y, x = np.mgrid[:40, :48].astype(np.float32)
    wave, cubic = 0.2 * np.sin(np.pi / 2 * (x + 0.5 * y)), (x - 20) ** 3 / 2000 + (y - 20) ** 2 / 80
    depth, whole = np.stack([wave, cubic])[..., None], np.ones((2, 40, 48, 1), np.float32)
    slopes = shaded_normals(tf.constant(depth), tf.constant(whole)).numpy()
    slopes = -slopes[..., :2] / slopes[..., 2:]
    inner = (slice(2, -2), slice(2, -2))
    true = 0.2 * np.pi / 2 * np.cos(np.pi / 2 * (x + 0.5 * y))
    coarse = -normals_from_depth(tf.constant(depth), tf.constant(whole)).numpy()
    coarse = coarse[..., :1] / -coarse[..., 2:]
    # Of waves of four pixels central differences have 0.64, (8 sin ω − sin 2ω) / 6ω is 0.85.
    np.testing.assert_allclose(slopes[0, ..., 0][inner], 0.849 * true[inner], atol=1e-3)
    np.testing.assert_allclose(coarse[0, ..., 0][inner], 0.637 * true[inner], atol=1e-3)
    np.testing.assert_allclose(slopes[1, ..., 0][inner], (3 * (x - 20) ** 2 / 2000)[inner], atol=1e-4)
    np.testing.assert_allclose(slopes[1, ..., 1][inner], ((y - 20) / 40)[inner], atol=1e-4)


def test_light_stops_where_the_surface_does():
    rng = np.random.default_rng(0)
    mask = (rng.random((1, 40, 48, 1)) < 0.9).astype(np.float32)
    mask[:, :, 30:] = 1.0
    depth = rng.random(mask.shape).astype(np.float32)
    depth[:, 20:] += 9.0
    fine, plain = (f(tf.constant(depth), tf.constant(mask), 4.0).numpy() for f in (shaded_normals, normals_from_depth))
    same = np.isclose(fine, plain).all(-1)[0]
    assert same[[0, 1, 38, 39, 18, 19, 20, 21]].sum() > 0 and same[mask[0, ..., 0] == 0].all()
    # What lies off the mask, or behind the jump, has no say.
    other = np.where(mask > 0, depth, 7.0)
    np.testing.assert_array_equal(shaded_normals(tf.constant(other), tf.constant(mask)), fine)
    lower = depth + np.where(np.arange(40) >= 20, 30.0, 0.0)[None, :, None, None].astype(np.float32)
    np.testing.assert_allclose(shaded_normals(tf.constant(lower), tf.constant(mask)), fine, atol=2e-5)
