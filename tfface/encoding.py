"""Arrays as the bytes of files."""

import io

import numpy as np


def npy_bytes(array: np.ndarray) -> bytes:
    """A `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def png_bytes(array: np.ndarray) -> bytes:
    """A PNG of `[H, W]` uint8 or uint16, or `[H, W, 3]` uint8 RGB."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()
