"""What FineNet's detail is worth in the whole face: the line of a painted brow is no fold, and half a fold is none.

FineNet's convolutions see 44 px at a time. A network of `cell_net` sees the whole face, with the detail that FineNet
says, and answers for each cell by how much it counts and what is to be added to it. It is not in the paper.
"""

import tensorflow as tf

from tfface.geometry.depth import slope_maps
from tfface.losses.local import local_means
from tfface.networks.cell_net import to_cells

CELLS = 200
"""The grid's width: a pixel of 200 px crops, 1.2 mm of the face, so that a wrinkle is some cells wide."""

_MARGIN = 4
"""Cells around the grid, which make its width a multiple of 16: four levels fit."""

WIDTH = (CELLS + 2 * _MARGIN) // 2
"""Of the network's own grid: 2×2 cells are one of its, with four times the channels. Convolutions take as long for four
times as many channels there, and learn more."""

CHANNELS = 4
"""Of what `seen` adds to what the convolutions read."""

GREATEST = 2.0
"""By how much detail counts at most."""

RELIEF_SCALE = 0.2
"""What the network's answers are multiplied by, in cells of depth: its first steps then add hundredths of a mm."""

_SLOPE_SCALE = 10.0
"""Slopes of detail, 0.1 or so, come near the unit variance that He's initial weights expect."""

_STEEPEST = 0.5
"""Slopes of detail are shown as at most so much: those at a rim, ten times a fold's, would outshout the face."""

WIDEST = 5.0
"""Cells; relief loses its mean within a Gaussian of this size: what is wider is the coarse face's."""


def seen(prepared: tf.Tensor, detail: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """What the network is shown, `[B, 200, 200, C + 4]`.

    Args:
        prepared: `[B, H, W, C]`, what the convolutions read of whole faces.
        detail: `[B, H, W, 1]` px, what they said.
        mask: `[B, H, W, 1]`.
    """
    along_x, along_y = (
        _SLOPE_SCALE * tf.clip_by_value(slope, -_STEEPEST, _STEEPEST) for slope in slope_maps(detail, mask)
    )
    return to_cells(tf.concat([prepared, along_x, along_y, along_x**2 + along_y**2, mask], axis=-1), CELLS)


def fold(cells: tf.Tensor) -> tf.Tensor:
    """`[B, 200, 200, C]` as the network reads it, `[B, 104, 104, 4 C]`."""
    sides = [_MARGIN, _MARGIN]
    return tf.nn.space_to_depth(tf.pad(cells, [[0, 0], sides, sides, [0, 0]]), 2)


def unfold(answer: tf.Tensor) -> tf.Tensor:
    """The way back from `fold`, of what the network answers."""
    return tf.nn.depth_to_space(answer, 2)[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def judged(answer: tf.Tensor, cover: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """By how much detail counts, 0…2, and the relief to be added in cells, each `[B, 200, 200, 1]`.

    Args:
        answer: `[B, 200, 200, 2]` of the network; 0 leaves detail as it is.
        cover: `[B, 200, 200, 1]`, the share of the face in each cell.
    """
    inside = tf.cast(cover > 0.5, tf.float32)
    relief = RELIEF_SCALE * answer[..., 1:] * inside
    (mean,) = local_means([relief], inside, WIDEST)
    return GREATEST * tf.sigmoid(answer[..., :1]), (relief - mean) * inside
