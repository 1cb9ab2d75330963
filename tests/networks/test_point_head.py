"""Points located on a map: which they are, the soft-argmax against a slow reference, and the network around it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.point_head import REACH, Raise, SoftArgmax, build_points_to_face, point_vertices

NET = CoarseNetConfig(size=64, widths=(8, 8, 8), blocks=(1, 1, 1), stem=8, points=70)


def test_points_are_the_landmarks_and_then_far_from_each_other(model):
    chosen = point_vertices(model, 100)
    np.testing.assert_array_equal(chosen[:68], model.landmarks)
    assert len(set(chosen[68:])) == 32
    more = model.mean[chosen[68:]]
    apart = np.linalg.norm(more[:, None] - more[None], axis=-1)[np.triu_indices(32, 1)]
    assert apart.min() > 20  # mm
    with pytest.raises(ValueError, match="expected at least 68 points"):
        point_vertices(model, 60)


def test_points_keep_to_where_they_are_asked_for(model):
    on_face = model.face_vertices()
    chosen = point_vertices(model, 200, on_face)
    np.testing.assert_array_equal(chosen[:68], model.landmarks)
    assert on_face[chosen[68:]].all() and len(set(chosen[68:])) == 132
    assert not on_face[point_vertices(model, 200)[68:]].all()


def test_soft_argmax_is_the_mean_place_and_depth():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 3, 5, 4)).astype(np.float32)
    points = SoftArgmax()(maps).numpy()
    assert points.shape == (2, 2, 3) == SoftArgmax().compute_output_shape(maps.shape)
    for b in range(2):
        for k in range(2):
            share = np.exp(maps[b, :, :, k])
            share /= share.sum()
            x = sum(share[i, j] * REACH * ((j + 0.5) / 2.5 - 1) for i in range(3) for j in range(5))
            y = sum(share[i, j] * REACH * ((i + 0.5) / 1.5 - 1) for i in range(3) for j in range(5))
            np.testing.assert_allclose(points[b, k], [x, y, (share * maps[b, :, :, 2 + k]).sum()], atol=1e-5)


def test_a_point_of_the_crop_is_in_half_widths():
    scores = np.full((1, 25, 25, 2), -50.0, np.float32)
    scores[0, 12, 20, 0] = 50.0
    scores[..., 1] = 0.25
    np.testing.assert_allclose(SoftArgmax()(scores)[0, 0], [REACH * (20.5 / 12.5 - 1), 0.0, 0.25], atol=1e-5)


def test_the_network_still_answers_r_and_shares_its_weights_over_passes(model):
    net = IterativeCoarseNet(model, NET)
    image = np.random.default_rng(1).uniform(size=(2, 64, 64, 1)).astype(np.float32)
    assert net.all_passes(image, passes=2).shape == (2, 2, 290)
    assert net.network.get_layer("points").output.shape == (None, 70, 3)
    assert len(net.variables) == len(net.network.variables)
    without = IterativeCoarseNet(model, dataclasses.replace(NET, points=0))
    names = {v.path.split("/", 1)[-1] for v in net.network.variables}
    shared = [v for v in without.network.variables if v.path.split("/", 1)[-1] in names]
    assert len(shared) > 0.9 * len(without.network.variables)  # so that old weights carry over


def test_r_hangs_on_the_points():
    head = build_points_to_face(70)
    points = tf.Variable(np.random.default_rng(2).normal(size=(2, 70, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(head(points) ** 2)
    gradient = tape.gradient(value, points).numpy()
    assert np.all(np.isfinite(gradient)) and np.all(np.abs(gradient).max((0, 2)) > 0)


def test_maps_are_raised_bilinearly_to_sizes_that_are_no_multiples():
    maps = np.random.default_rng(3).normal(size=(2, 7, 5, 3)).astype(np.float32)
    expected = tf.image.resize(maps, (13, 9), "bilinear")
    np.testing.assert_allclose(Raise(13, 9)(maps), expected, atol=1e-5)
    assert Raise(13, 9).compute_output_shape(maps.shape) == (2, 13, 9, 3)


def test_points_keep_their_vertices_when_landmarks_are_picked_anew(model):
    named = IterativeCoarseNet(model, NET).config
    np.testing.assert_array_equal(named.point_vertices, point_vertices(model, 70))
    other = tuple(reversed(named.point_vertices))
    kept = dataclasses.replace(NET, point_vertices=other)
    assert IterativeCoarseNet(model, kept).config.point_vertices == other
    with pytest.raises(ValueError, match="expected 70 point_vertices, one per point, received 3"):
        IterativeCoarseNet(model, dataclasses.replace(NET, point_vertices=other[:3]))


def test_points_and_features_together_start_by_adding_nothing(model):
    import keras

    together = dataclasses.replace(NET, joint=32)
    plain, joint = IterativeCoarseNet(model, NET), IterativeCoarseNet(model, together)
    for variable in plain.network.variables:
        (same,) = (v for v in joint.network.variables if v.path == variable.path)
        same.assign(variable)
    seen = np.random.default_rng(4).uniform(size=(2, NET.size, NET.size, 7)).astype(np.float32)
    np.testing.assert_allclose(joint.network(seen), plain.network(seen), atol=1e-6)
    joint.network.get_layer("joint").kernel.assign(keras.random.normal([32, 290]))
    assert np.abs(joint.network(seen) - plain.network(seen)).max() > 0.01
    with pytest.raises(ValueError, match="expected points for `joint` to read"):
        dataclasses.replace(together, points=0)
