"""Cutting and resizing pictures along their axes, exact to the pixel-centre convention.

Pixel (i, j) has its centre at (x, y) = (j + 0.5, i + 0.5). A resize along the axes is two small matrix products, which
costs little, keeps linear ramps linear to rounding, and has none of the 1/32 px steps of image warping routines.
"""

import numpy as np


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' interpolating kernel ("Cubic convolution interpolation for digital image processing", 1981), a = −½."""
    near = (1.5 * x - 2.5) * x**2 + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


KERNELS = {
    "triangle": (1.0, lambda x: np.maximum(1.0 - x, 0.0)),
    "cubic": (2.0, _cubic),
    "lanczos": (3.0, lambda x: np.where(x < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)),
}
"""Filters by name: how far they reach, px, and their weight at a distance. The last two keep more of what is fine, and
overshoot at edges."""


def axis_weights(
    length: int, start: float, step: float, count: int, outside: str = "replicate", kernel: str = "triangle"
) -> np.ndarray:
    """Weights of a one-dimensional resize by a filter that is widened when it shrinks, so that nothing aliases.

    Args:
      length: source pixels.
      start: source coordinate of the left edge of the first output pixel.
      step: source pixels per output pixel.
      count: output pixels.
      outside: what lies beyond the source: "replicate" (its border) or "zero".
      kernel: a key of `KERNELS`.

    Returns:
      `[count, length]` float32; rows sum to 1 (with "zero", to less near the border).
    """
    centres = start + (np.arange(count) + 0.5) * step - 0.5
    wide, (support, weight) = max(float(step), 1.0), KERNELS[kernel]
    reach = int(np.ceil(support * wide))
    offsets = np.arange(-reach, reach + 2)
    taps = np.floor(centres)[:, None] + offsets
    distance = taps - centres[:, None]
    weights, bump = (of(np.abs(distance) / wide) for of in (weight, KERNELS["triangle"][1]))
    weights, bump = (values / values.sum(axis=1, keepdims=True) for values in (weights, bump))
    # A widened filter on a pixel grid shifts a ramp by up to a hundredth of a pixel: take the first moment out, by way
    # of a filter whose second one isn't zero.
    moment, centre = ((values * distance).sum(axis=1, keepdims=True) for values in (weights, bump))
    spread = (bump * distance**2).sum(axis=1, keepdims=True) - centre**2
    weights -= bump * (distance - centre) * np.where(spread > 1e-9, moment / np.maximum(spread, 1e-9), 0.0)
    if outside == "zero":
        weights = np.where((taps >= 0) & (taps < length), weights, 0.0)
    matrix = np.zeros((count, length))
    rows = np.broadcast_to(np.arange(count)[:, None], taps.shape)
    np.add.at(matrix, (rows, np.clip(taps, 0, length - 1).astype(np.int64)), weights)
    return matrix.astype(np.float32)


def resample(
    image: np.ndarray,
    left: float,
    top: float,
    step: float,
    height: int,
    width: int,
    outside: str = "replicate",
    kernel: str = "triangle",
) -> np.ndarray:
    """Resizes the rectangle that starts at (left, top) and takes `step` source pixels per output pixel.

    Args:
      image: `[H, W]` or `[H, W, C]`, any real type.
      left: x of the rectangle's left edge in the image, px; may lie outside.
      top: y of its top edge, px.
      step: source pixels per output pixel, above 0; above 1 shrinks (antialiased), below 1 enlarges.
      height: output rows.
      width: output columns.
      outside: "replicate" or "zero", see `axis_weights`.
      kernel: a key of `KERNELS`.

    Returns:
      `[height, width]` or `[height, width, C]` float32.
    """
    rows = axis_weights(image.shape[0], top, step, height, outside, kernel)
    columns = axis_weights(image.shape[1], left, step, width, outside, kernel)
    # Only the pixels that some weight reaches take part: the face of a huge photo costs what the face costs.
    y0, y1 = _reached(rows)
    x0, x1 = _reached(columns)
    part = np.asarray(image[y0:y1, x0:x1], np.float32)
    rows, columns = rows[:, y0:y1], columns[:, x0:x1]
    if part.ndim == 2:
        return (rows @ part) @ columns.T
    return np.stack([(rows @ part[..., c]) @ columns.T for c in range(part.shape[-1])], axis=-1)


def _reached(weights: np.ndarray) -> tuple[int, int]:
    """First and past-the-last column that isn't all zero."""
    used = np.flatnonzero(weights.any(axis=0))
    return (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
