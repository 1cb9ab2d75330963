"""The depth layer: values (6), the paper's gradient (7), and the full gradient against numerical Jacobians."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import rasterize as slow

from tfface.rendering.depth import DepthLayer, curved_offset, render_depth
from tfface.rendering.visibility import rasterize

TRIANGLES = np.array([[0, 2, 1], [1, 2, 3], [4, 6, 5]], np.int32)
"""Two triangles that make a tilted sheet, and a third that is hidden behind it but for a corner."""
VERTICES = np.array(
    [[1.2, 1.1, 3], [14.3, 2.2, 5], [2.1, 13.7, 4], [13.9, 14.6, 1], [5, 5, -6], [12, 6, -7], [6, 19.5, -8]],
    np.float32,
)
SIZE = 20


def depth_and_gradient(vertices, upstream, gradient):
    vertices = tf.constant(vertices[None])
    visibility = rasterize(vertices, TRIANGLES, SIZE, SIZE)
    with tf.GradientTape() as tape:
        tape.watch(vertices)
        depth = render_depth(vertices, TRIANGLES, visibility, gradient)
        loss = tf.reduce_sum(depth[0, :, :, 0] * upstream)
    return depth.numpy()[0, :, :, 0], tape.gradient(loss, vertices).numpy()[0]


def test_values_equal_the_reference():
    depth, _ = depth_and_gradient(VERTICES, np.ones((SIZE, SIZE), np.float32), "paper")
    np.testing.assert_allclose(depth, slow(VERTICES, TRIANGLES, SIZE, SIZE)[2], atol=1e-4)


def test_paper_gradient_is_the_sum_of_barycentric_weights():
    upstream = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    _, gradient = depth_and_gradient(VERTICES, upstream, "paper")
    index, weights, _ = slow(VERTICES, TRIANGLES, SIZE, SIZE)
    expected = np.zeros_like(VERTICES)
    for i, j in zip(*np.nonzero(index >= 0), strict=True):
        for corner in range(3):
            expected[TRIANGLES[index[i, j]][corner], 2] += upstream[i, j] * weights[i, j, corner]
    np.testing.assert_allclose(gradient, expected, atol=1e-4)
    assert np.all(gradient[:, :2] == 0)


def test_hidden_vertices_get_no_gradient():
    vertices = VERTICES.copy()
    vertices[6, :2] = (6, 11)  # now wholly behind the sheet
    for gradient in ("paper", "full"):
        _, result = depth_and_gradient(vertices, np.ones((SIZE, SIZE), np.float32), gradient)
        assert np.all(result[4:] == 0)
        assert np.any(result[:4] != 0)


def test_full_gradient_equals_the_numerical_jacobian_of_interior_pixels():
    index, weights, _ = slow(VERTICES, TRIANGLES, SIZE, SIZE)
    # A pixel whose own and neighbouring pixels see one triangle, well inside it, keeps it under small motions.
    interior = np.nonzero((index == 0) & (weights.min(-1) > 0.08))
    step = 1e-2
    for i, j in list(zip(*interior, strict=True))[::5]:
        upstream = np.zeros((SIZE, SIZE), np.float32)
        upstream[i, j] = 1
        _, gradient = depth_and_gradient(VERTICES, upstream, "full")
        for vertex in TRIANGLES[0]:
            for axis in range(3):
                moved = [VERTICES.astype(np.float64).copy() for _ in range(2)]
                moved[0][vertex, axis] += step
                moved[1][vertex, axis] -= step
                high, low = (slow(m, TRIANGLES[:1], SIZE, SIZE)[2][i, j] for m in moved)
                assert gradient[vertex, axis] == pytest.approx((high - low) / (2 * step), abs=2e-3)


def test_gradient_is_finite_for_degenerate_triangles():
    vertices = VERTICES.copy()
    vertices[5] = vertices[4]
    _, gradient = depth_and_gradient(vertices, np.ones((SIZE, SIZE), np.float32), "full")
    assert np.all(np.isfinite(gradient))


def test_layer_gives_depth_and_mask_and_survives_saving(tmp_path):
    inputs = keras.Input((len(VERTICES), 3))
    depth, mask = DepthLayer(TRIANGLES, SIZE, SIZE, gradient="full", cull=False)(inputs)
    network = keras.Model(inputs, [depth, mask])
    before = network(VERTICES[None])
    assert before[0].shape == (1, SIZE, SIZE, 1)
    np.testing.assert_array_equal(before[1].numpy() > 0, slow(VERTICES, TRIANGLES, SIZE, SIZE)[0][None, ..., None] >= 0)
    network.save(tmp_path / "layer.keras")
    after = keras.saving.load_model(tmp_path / "layer.keras")(VERTICES[None])
    np.testing.assert_array_equal(before[0].numpy(), after[0].numpy())


def test_unknown_gradient_is_refused():
    with pytest.raises(ValueError, match="expected gradient to be one of paper, full"):
        DepthLayer(TRIANGLES, gradient="fast")


def test_curved_triangles_follow_a_paraboloid_exactly():
    # z = a + b·x − k(x² + y²), sampled on a coarse grid with its true normals.
    size, step, k = 40, 8.0, 0.01
    axis = np.arange(0, size + 1, step, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    z = 30 + 0.2 * x - k * ((x - 20) ** 2 + (y - 20) ** 2)
    n = len(axis)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)[None, :]).ravel()
    lower = np.stack([corner, corner + n, corner + 1], -1)
    triangles = np.concatenate([lower, np.stack([corner + 1, corner + n, corner + n + 1], -1)]).astype(np.int32)
    slope_x, slope_y = 0.2 - 2 * k * (x - 20), -2 * k * (y - 20)
    normals = np.stack([-slope_x, slope_y, np.ones_like(x)], -1)  # the camera's y points up
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    vertices = tf.constant(np.stack([x, y, z], -1).reshape(1, -1, 3), tf.float32)
    visibility = rasterize(vertices, triangles, size, size)
    flat = render_depth(vertices, triangles, visibility)
    offset = curved_offset(vertices, tf.constant(normals.reshape(1, -1, 3), tf.float32), triangles, visibility)
    px, py = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    truth = 30 + 0.2 * px - k * ((px - 20) ** 2 + (py - 20) ** 2)
    assert np.abs(flat.numpy()[0, ..., 0] - truth).max() > 0.1
    np.testing.assert_allclose((flat + offset).numpy()[0, ..., 0], truth, atol=2e-3)


def test_steep_tangents_are_cut_and_nothing_leaks_off_the_mesh():
    vertices = tf.constant([[[2.0, 2.0, 0.0], [2.0, 10.0, 0.0], [10.0, 2.0, 0.0]]])
    triangles = np.array([[0, 1, 2]], np.int32)
    visibility = rasterize(vertices, triangles, 16, 16)
    sideways = tf.constant([[[1.0, 0.0, 0.0]] * 3])
    offset = curved_offset(vertices, sideways, triangles, visibility, steepest=2.0).numpy()[0, ..., 0]
    assert np.all(np.isfinite(offset)) and np.abs(offset).max() <= 8.0
    assert np.all(offset[visibility.triangle.numpy()[0] < 0] == 0)
