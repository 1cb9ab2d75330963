"""The synthetic world: repeatable, varied, and true to the r that comes with each picture."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.morphable.representation import vertices_image
from tfface.networks.coarse_net import CoarseNetConfig, build_coarse_net
from tfface.pipelines.sampling import SamplingConfig
from tfface.pipelines.synthetic import SyntheticConfig, SyntheticWorld, synthetic_dataset, training_dataset

SMALL = SyntheticConfig(size=64, batch=4)


def test_same_seed_same_data_and_element_depends_on_its_number_alone(model):
    take = lambda seed, skip: next(iter(synthetic_dataset(model, SMALL, seed).skip(skip)))  # noqa: E731
    first, again, other = take(0, 1), take(0, 1), take(1, 1)
    np.testing.assert_array_equal(first["image"], again["image"])
    np.testing.assert_array_equal(first["r"], again["r"])
    assert np.abs(first["r"] - other["r"]).max() > 0.1


def test_pictures_are_grey_in_range_and_varied(model):
    sample = SyntheticWorld(model, SMALL).draw(tf.constant([0, 0], tf.int64))
    image = sample["image"].numpy()
    assert image.shape == (4, 64, 64, 1) and sample["r"].shape == (4, 290)
    assert image.min() >= 0 and image.max() <= 1
    assert np.all(image.std(axis=(1, 2, 3)) > 0.02)


def test_the_face_is_where_r_says(model):
    # A still, evenly lit world: what changes between two draws of light is the face, and it lies within r's outline.
    sampling = SamplingConfig(yaw_degrees=10, pitch_degrees=5, roll_degrees=5, shift=0.2, log_scale=0.0)
    world = SyntheticWorld(model, SyntheticConfig(size=64, batch=2, sampling=sampling))
    r = world.draw(tf.constant([0, 5], tf.int64))["r"]
    seen = world.renderer.geometry(r)[2].triangle.numpy() >= 0
    points = vertices_image(model, r, 64).numpy()
    for b in range(2):
        rows, columns = np.nonzero(seen[b])
        low, high = np.clip(points[b].min(axis=0), 0, 64), np.clip(points[b].max(axis=0), 0, 64)
        np.testing.assert_allclose([columns.min(), rows.min()], low[:2], atol=1.5)
        np.testing.assert_allclose([columns.max() + 1, rows.max() + 1], high[:2], atol=1.5)


def test_training_dataset_feeds_fit_and_repeats_itself(model):
    data, same = (training_dataset(model, SMALL, seed=4) for _ in range(2))
    first, second = next(iter(data)), next(iter(same))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    x, r = (value.numpy() for value in first)
    assert x.shape == (SMALL.batch, SMALL.size, SMALL.size, 7) and r.shape == (SMALL.batch, 290)
    # The picture shows only where the estimate is, which also has its PNCC there.
    off = x[..., 1:4].max(-1) == 0
    assert off.any() and np.all(x[..., 0][off] == 0)
    network = build_coarse_net(CoarseNetConfig(size=SMALL.size, widths=(8,), blocks=(1,), stem=8))
    network.compile("adam", "mse", jit_compile=False)
    history = network.fit(data, steps_per_epoch=2, verbose=0).history
    assert np.isfinite(history["loss"][0])


@pytest.mark.parametrize("order", [1, 2])
def test_spherical_harmonics_basis(order):
    from tfface.losses.lighting import harmonics

    normal = np.array([[0.6, 0.0, 0.8]], np.float32)
    basis = harmonics(normal, order).numpy()[0]
    np.testing.assert_allclose(basis[:4], [1, 0.6, 0, 0.8], atol=1e-6)
    if order == 2:
        np.testing.assert_allclose(basis[4:], [0, 0.48, 0, 0.36, 0.92], atol=1e-6)
