"""Ramps between two levels."""

import numpy as np


def smooth_step(values, low=0.0, high=1.0):
    """0 up to `low`, 1 from `high` on, without a kink between; float32."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.float32(share * share * (3 - 2 * share))
