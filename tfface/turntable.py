"""A GIF of the head turning to and fro, as clay and with its texture."""

import io

import numpy as np

from tfface.face import Face
from tfface.preview import Head, halved

_SWING = np.radians(70.0)
"""To either side: farther round, little of what would be seen comes from the photo."""


def turntable_gif(face: Face, frames: int = 28, height: int = 260, width: int = 230, seconds: float = 3.0) -> bytes:
    """The animation, endless, clay left and texture right.

    Args:
      face: a reconstructed face.
      frames: pictures in one swing to and fro, even.
      height, width: of each of the two views, px.
      seconds: for one swing.
    """
    from PIL import Image

    head = Head(face, rounds=1)
    pictures = {}
    angles = [round(float(angle), 6) for angle in _SWING * np.sin(2 * np.pi * np.arange(frames) / frames)]
    # The way back shows the pictures of the way there.
    for yaw in dict.fromkeys(angles):
        views = [halved(view) for view in head.pictures(yaw, 2 * height, 2 * width)]
        pictures[yaw] = Image.fromarray(np.concatenate(views, axis=1))
    # One palette without dithering: flicker would show, and cost more bytes than the head.
    sides = [pictures[angles[index]] for index in (0, frames // 4, 3 * frames // 4)]
    palette = Image.fromarray(np.concatenate(sides)).quantize(192)
    drawn = [pictures[yaw].quantize(palette=palette, dither=Image.Dither.NONE) for yaw in angles]
    buffer = io.BytesIO()
    duration = round(1000 * seconds / frames)
    drawn[0].save(buffer, "GIF", save_all=True, append_images=drawn[1:], duration=duration, loop=0, optimize=True)
    return buffer.getvalue()
