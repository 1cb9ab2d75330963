"""Resizing against the filters' own formulas, and what of a picture each filter keeps."""

import numpy as np
import pytest

from tfface.resampling import KERNELS, axis_weights, resample


def formula(kernel, x):
    x = abs(x)
    if kernel == "triangle":
        return max(1.0 - x, 0.0)
    if kernel == "lanczos":
        return 1.0 if x == 0 else (3 * np.sin(np.pi * x) * np.sin(np.pi * x / 3) / (np.pi * x) ** 2 if x < 3 else 0.0)
    # Interpolates cubics through the two neighbours, with central differences for slopes (Catmull–Rom).
    return (3 * x**3 - 5 * x**2 + 2) / 2 if x < 1 else ((-(x**3) + 5 * x**2 - 8 * x + 4) / 2 if x < 2 else 0.0)


@pytest.mark.parametrize("kernel", sorted(KERNELS))
@pytest.mark.parametrize("step", [0.37, 1.0, 2.6])
def test_weights_are_the_filter_s(kernel, step):
    weights = axis_weights(60, 7.3, step, 12, kernel=kernel)
    for row, found in enumerate(weights):
        centre, wide = 7.3 + (row + 0.5) * step - 0.5, max(step, 1.0)
        wanted = np.array([formula(kernel, (tap - centre) / wide) for tap in range(60)])
        # A ramp is kept exactly, for which the widened ones are changed a little.
        np.testing.assert_allclose(
            found, wanted / wanted.sum(), atol=1e-6 if step <= 1.0 and kernel != "lanczos" else 0.02
        )
        assert found @ np.arange(60) == pytest.approx(centre, abs=1e-4) and found.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_whole_pixels_stay_as_they_are(kernel):
    image = np.random.default_rng(0).random((30, 40, 2)).astype(np.float32)
    np.testing.assert_allclose(resample(image, 5.0, 3.0, 1.0, 20, 24, kernel=kernel), image[3:23, 5:29], atol=1e-6)


def wave(size, pixels):
    return np.tile(np.sin(2 * np.pi * (np.arange(size) + 0.5) / pixels), (size, 1))


def strength(image, pixels):
    inner = image[:, len(image) // 4 : -len(image) // 4]
    phase = 2 * np.pi * np.arange(inner.shape[1]) / pixels
    return 2 * np.hypot((inner * np.sin(phase)).mean(), (inner * np.cos(phase)).mean())


def test_shrinking_by_lanczos_keeps_what_is_fine_and_takes_out_what_would_alias():
    fine, finer = wave(240, 10.0), wave(240, 3.1)
    kept = {kernel: strength(resample(fine, 0, 0, 2.0, 120, 120, kernel=kernel), 5.0) for kernel in KERNELS}
    assert kept["triangle"] < 0.9 < 0.95 < kept["lanczos"] < 1.05
    assert np.abs(resample(finer, 0, 0, 2.0, 120, 120, kernel="lanczos")[:, 10:-10]).max() < 0.2


def test_enlarging_by_cubics_keeps_what_bilinear_flattens():
    image = wave(60, 5.0)
    large = {kernel: strength(resample(image, 0, 0, 0.5, 120, 120, kernel=kernel), 10.0) for kernel in KERNELS}
    assert large["triangle"] < 0.9 < large["cubic"] < 1.02


def test_beyond_the_border_there_is_nothing_or_the_border():
    ones = np.ones((8, 8))
    for kernel in KERNELS:
        assert resample(ones, -4.0, 0.0, 1.0, 8, 8, "zero", kernel)[:, :3].max() < 1e-6
        np.testing.assert_allclose(resample(ones, -4.0, -3.0, 0.7, 8, 8, kernel=kernel), 1.0, atol=1e-6)
