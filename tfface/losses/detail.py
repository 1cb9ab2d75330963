"""FineNet's criterion where the true surface is known, as on synthetic heads: its normals, then its depth."""

from typing import NamedTuple

import tensorflow as tf

from tfface.geometry.depth import normals_from_depth, slopes_from_depth
from tfface.losses.local import erode, local_means

_PAINTED = (0.05, 0.25)
"""Differences of ln albedo between which a pixel goes from skin to paint."""


class DetailTerms(NamedTuple):
    """Each [B]; `closer` is for reading, not for training.

    Attributes:
        total: normals + depth_weight · depth.
        normals: mean length of n(ẑ) − n(z) over the valid pixels, smooth at zero.
        depth: mean absolute ẑ − z in px after its mean was taken off, smooth at zero.
        closer: share of the coarse normals' angular error that was taken away.
    """

    total: tf.Tensor
    normals: tf.Tensor
    depth: tf.Tensor
    closer: tf.Tensor


def detail_criterion(refined, truth, coarse, valid, depth_weight=0.02, max_step=4.0, epsilon=0.03) -> DetailTerms:
    """Compares a refined depth with the true one, for each image of a batch or window of images.

    Args:
        refined, truth, coarse: [B, H, W, 1] depth in px.
        valid: [B, H, W, 1], weights 0…1 of the pixels that count; all three depths are known where it is positive.
        depth_weight: per px.
        max_step: px; pixels next to a jump of the truth, whose slope no depth map can hold, don't count.
        epsilon: residuals of normals are quadratic below this, linear above.

    Returns:
        `DetailTerms`; zeros where nothing is valid.
    """
    seen = tf.cast(valid > 0.0, tf.float32)
    steep = tf.reduce_max(tf.abs(slopes_from_depth(truth, seen)), axis=-1, keepdims=True)
    weight = tf.cast(valid, tf.float32) * erode(seen, 1) * tf.cast(steep < max_step, tf.float32)

    def mean(values):
        return tf.reduce_sum(values * weight, [1, 2, 3]) / tf.maximum(tf.reduce_sum(weight, [1, 2, 3]), 1.0)

    true_normals = normals_from_depth(truth, seen)

    def away(depth):
        difference = normals_from_depth(depth, seen) - true_normals
        return tf.reduce_sum(tf.square(difference), axis=-1, keepdims=True)

    normals = mean(tf.sqrt(away(refined) + epsilon**2) - epsilon)
    off = refined - truth
    off -= mean(off)[:, None, None, None]
    depth = mean(tf.sqrt(tf.square(off) + 0.01) - 0.1)
    before, after = (mean(tf.sqrt(away(z) + 1e-12)) for z in (coarse, refined))
    closer = tf.math.divide_no_nan(before - after, before)
    return DetailTerms(normals + depth_weight * depth, normals, depth, tf.stop_gradient(closer))


def painted(albedo, mask):
    """How much of what a pixel shows is paint, 0…1: how far its albedo is from that around it.

    Args:
        albedo, mask: [B, S, S, 1], whole faces.
    """
    level = tf.math.log(tf.maximum(albedo, 1e-3)) * mask
    (around,) = local_means([level], mask, albedo.shape[1] / 50.0)
    low, high = _PAINTED
    return tf.clip_by_value((tf.abs(level - around) - low) / (high - low), 0.0, 1.0) * mask
