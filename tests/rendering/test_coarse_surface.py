"""The surface that FineNet starts from: smooth between vertices, and bare where detail doesn't belong."""

import numpy as np
import pytest
import tensorflow as tf

from tfface.morphable.representation import vertices_image
from tfface.rendering.coarse_surface import BARE_REGIONS, HAIRLINE_MM, CoarseSurface
from tfface.rendering.depth import render_depth

SIZE = 120


@pytest.fixture(scope="module")
def rendered(model):
    vertices = vertices_image(model, tf.zeros([1, 290]), SIZE)
    return vertices, CoarseSurface(model)(vertices, SIZE, SIZE)


def test_it_follows_the_triangles_without_their_creases(model, rendered):
    vertices, surface = rendered
    flat = render_depth(vertices, model.triangles, surface.visibility).numpy()[0, ..., 0]
    depth = surface.depth.numpy()[0, ..., 0]
    inside = surface.mask.numpy()[0, ..., 0] > 0
    assert np.array_equal(inside, flat != 0) and np.all(depth[~inside] == 0)
    assert np.median(np.abs(depth - flat)[inside]) < 0.3
    # Curvature along rows over the forehead changes by spikes where creases are, and evenly on a curve.
    patch = slice(24, 36), slice(48, 72)
    jumps = [np.diff(z[patch], 3, axis=1).std() for z in (flat, depth)]
    assert jumps[1] < 0.5 * jumps[0]


def test_detail_belongs_on_the_face_and_not_on_hair_ears_and_neck(model, rendered):
    vertices, surface = rendered
    lift = surface.detailed.numpy()[0, ..., 0]
    triangle = surface.visibility.triangle.numpy()[0]
    bare = model.region_mask(*BARE_REGIONS)[np.asarray(model.triangles)]
    seen = triangle >= 0
    assert np.all(lift[~seen] == 0)
    np.testing.assert_allclose(lift[seen & bare[triangle].all(-1)], 0, atol=1e-6)
    mean = np.asarray(model.mean)
    above = mean[:, 1] - mean[np.asarray(model.landmarks)[17:27], 1].mean()
    crown = (above > HAIRLINE_MM[0])[np.asarray(model.triangles)]
    np.testing.assert_allclose(lift[seen & ~(bare | crown)[triangle].any(-1)], 1, atol=1e-4)
    hair = (above > HAIRLINE_MM[1])[np.asarray(model.triangles)]
    np.testing.assert_allclose(lift[seen & hair[triangle].all(-1)], 0, atol=1e-6)
    assert 0.4 < (lift[seen] > 0.5).mean() < 0.9


def test_gradients_are_those_of_the_depth_layer(model, rendered):
    vertices, surface = rendered
    layer = CoarseSurface(model)

    def gradient(depth_of):
        with tf.GradientTape() as tape:
            tape.watch(vertices)
            value = tf.reduce_sum(tf.sin(tf.range(SIZE, dtype=tf.float32))[None, :, None, None] * depth_of(vertices))
        return tape.gradient(value, vertices).numpy()

    one = gradient(lambda v: layer(v, SIZE, SIZE).depth)
    np.testing.assert_allclose(one, gradient(lambda v: render_depth(v, model.triangles, surface.visibility)), atol=1e-5)
