"""Cutting and resizing pictures along their axes, exact to the pixel-centre convention.

Pixel (i, j) has its centre at (x, y) = (j + 0.5, i + 0.5). A resize along the axes is two small matrix products, which
costs little, keeps linear ramps linear to rounding, and has none of the 1/32 px steps of image warping routines.
"""

import numpy as np


def axis_weights(length: int, start: float, step: float, count: int, outside: str = "replicate") -> np.ndarray:
    """Weights of a one-dimensional resize by a triangle filter, widened when it shrinks so that nothing aliases.

    Args:
      length: source pixels.
      start: source coordinate of the left edge of the first output pixel.
      step: source pixels per output pixel.
      count: output pixels.
      outside: what lies beyond the source: "replicate" (its border) or "zero".

    Returns:
      `[count, length]` float32; rows sum to 1 (with "zero", to less near the border).
    """
    centres = start + (np.arange(count) + 0.5) * step - 0.5
    reach = max(float(step), 1.0)
    offsets = np.arange(-int(np.ceil(reach)), int(np.ceil(reach)) + 2)
    taps = np.floor(centres)[:, None] + offsets
    distance = taps - centres[:, None]
    weights = np.maximum(1.0 - np.abs(distance) / reach, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    # A widened triangle on a pixel grid shifts a ramp by up to a hundredth of a pixel: take the first moment out.
    moment = (weights * distance).sum(axis=1, keepdims=True)
    spread = (weights * distance**2).sum(axis=1, keepdims=True) - moment**2
    weights -= weights * (distance - moment) * np.where(spread > 1e-9, moment / np.maximum(spread, 1e-9), 0.0)
    if outside == "zero":
        weights = np.where((taps >= 0) & (taps < length), weights, 0.0)
    matrix = np.zeros((count, length))
    rows = np.broadcast_to(np.arange(count)[:, None], taps.shape)
    np.add.at(matrix, (rows, np.clip(taps, 0, length - 1).astype(np.int64)), weights)
    return matrix.astype(np.float32)


def resample(image: np.ndarray, left: float, top: float, step: float, height: int, width: int, outside="replicate"):
    """Resizes the rectangle that starts at (left, top) and takes `step` source pixels per output pixel.

    Args:
      image: `[H, W]` or `[H, W, C]`, any real type.
      left: x of the rectangle's left edge in the image, px; may lie outside.
      top: y of its top edge, px.
      step: source pixels per output pixel, above 0; above 1 shrinks (antialiased), below 1 enlarges (bilinear).
      height: output rows.
      width: output columns.
      outside: "replicate" or "zero", see `axis_weights`.

    Returns:
      `[height, width]` or `[height, width, C]` float32.
    """
    rows = axis_weights(image.shape[0], top, step, height, outside)
    columns = axis_weights(image.shape[1], left, step, width, outside)
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
