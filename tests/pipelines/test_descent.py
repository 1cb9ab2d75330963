"""The criterion's own minimum: it explains a picture better than any step of it, and keeps to skin."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tfface.losses import shading
from tfface.pipelines import evaluate
from tfface.pipelines.descent import Descent

SIZE = 48


def hill(size=SIZE):
    y, x = np.mgrid[:size, :size] / (size - 1.0) * 2 - 1
    return (12.0 * (1.0 - 0.4 * (x**2 + y**2)))[None, ..., None].astype(np.float32)


def picture(bump):
    """Grey picture, lit from the left, of the hill with a bump on it; coarse depth and mask."""
    from tfface.geometry.depth import normals_from_depth

    mask = tf.ones([1, SIZE, SIZE, 1])
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    true = hill() + bump * np.exp(-((x - 24) ** 2 + (y - 24) ** 2) / 18.0)[None, ..., None]
    light = tf.linalg.matvec(normals_from_depth(true, mask), [-0.4, -0.1, 0.5])[..., None]
    return {"image": (0.2 + 0.5 * light) ** (1 / 2.2), "depth": tf.constant(hill()), "mask": mask}, true


def criterion(fine, inputs):
    config, one = shading.release(), tf.ones_like(inputs["image"])
    found = shading.explain(config, inputs["image"], inputs["depth"], one, one, 0.4 * one, 0.0 * one)
    return float(shading.shading_criterion(config, fine, inputs["depth"], one, found).total[0])


def test_a_bump_is_found_and_more_steps_explain_more():
    inputs, true = picture(1.0)
    bare = types.SimpleNamespace(skin_net=None)
    left = [criterion(inputs["depth"], inputs)]
    left += [criterion(Descent(bare, steps)(inputs), inputs) for steps in (20, 200)]
    assert left[1] < 0.9 * left[0] and left[2] < 0.9 * left[1]
    added, wanted = (np.asarray(x - inputs["depth"])[0, 8:-8, 8:-8, 0] for x in (Descent(bare, 200)(inputs), true))
    assert np.corrcoef(np.gradient(added)[1].ravel(), np.gradient(wanted)[1].ravel())[0, 1] > 0.8


def test_nothing_is_added_off_the_skin():
    inputs, _ = picture(1.0)
    half = np.zeros((1, SIZE, SIZE, 1), np.float32)
    half[:, :, :20] = 1.0
    knows = types.SimpleNamespace(skin_net=object(), skin=lambda *_: tf.constant(half))
    added = np.asarray(Descent(knows, 20)(inputs) - inputs["depth"])
    assert np.all(added[half == 0] == 0) and np.abs(added[half > 0]).max() > 0
    none = Descent(knows, 20)(inputs | {"detailed": tf.zeros_like(half)}) - inputs["depth"]
    assert np.all(np.asarray(none) == 0)


def test_only_where_there_is_detail_to_measure():
    with pytest.raises(ValueError, match="expected descent for detail or shading, received it for landmarks"):
        evaluate.run(evaluate.EvaluateConfig("landmarks", photos="x", descent=5), object())
