"""Pictures of known surfaces: lit as said, and dark where folds hide the sky."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.geometry.depth import normals_from_depth
from tfface.pipelines.detail_bank import DetailBankConfig
from tfface.pipelines.photographer import Photographer

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
