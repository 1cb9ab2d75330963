"""The One Euro filter: still signals hold still, moving ones aren't held back."""

import numpy as np

from tfface.tracking.smoothing import OneEuro, OneEuroConfig

RATE = 1 / 30


def follow(config, signal):
    smooth = OneEuro(config)
    return np.array([smooth([x], [[x]], RATE)[0] for x in signal])


def test_a_constant_stays_and_the_first_value_is_taken_as_it_is():
    np.testing.assert_allclose(follow(OneEuroConfig(), [3.0] * 5), 3.0)


def test_noise_on_a_still_signal_is_taken_away():
    noise = np.random.default_rng(0).normal(0, 0.01, 300)
    smooth = follow(OneEuroConfig(cutoff=0.7, response=1.0), noise)
    assert smooth[60:].std() < 0.35 * noise[60:].std()


def test_a_moving_signal_lags_less_than_a_still_filter_would():
    ramp = np.clip(np.arange(90) - 30, 0, None) * RATE * 1.5  # 1.5 units a second after a second of rest
    quick = follow(OneEuroConfig(cutoff=0.7, response=20.0), ramp)
    slow = follow(OneEuroConfig(cutoff=0.7, response=0.0), ramp)
    lag, held = ((ramp[-1] - x[-1]) / 1.5 for x in (quick, slow))
    assert lag < 0.02 < 0.15 < held  # seconds


def test_a_step_follows_the_first_order_low_pass():
    # With no response the gain is that of dt / (dt + 1 / 2πf).
    found = follow(OneEuroConfig(cutoff=1.0, response=0.0), [0.0, 1.0, 1.0])
    gain = RATE / (RATE + 1 / (2 * np.pi))
    np.testing.assert_allclose(found, [0, gain, gain + (1 - gain) * gain], rtol=1e-6)
