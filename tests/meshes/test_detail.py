"""The dense surfaces lie where the depth map says, and end softly."""

import numpy as np
import pytest
import trimesh

from tests.meshes.fixtures import painted_face
from tfface.meshes.detail import depth_surface, displaced_head
from tfface.meshes.drawing import draw, smooth_normals
from tfface.meshes.texture import face_texture


def waves(x, y):
    return 0.8 * np.sin(x / 7) * np.cos(y / 9)


@pytest.fixture(scope="module")
def face(model):
    made = painted_face(model, yaw=0.25, lift=waves, size=300)
    made.__dict__["texture"] = face_texture(made, model, 64)
    return made


def test_the_surface_is_the_depth_map(face):
    vertices, triangles, colors = depth_surface(face)
    scale = 1 / face.mm_per_px
    x, y = vertices[:, 0] * scale + face.translation[0], face.translation[1] - vertices[:, 1] * scale
    row, column = np.rint(y - 0.5).astype(int), np.rint(x - 0.5).astype(int)
    np.testing.assert_allclose(vertices[:, 2] * scale, face.depth[row, column], atol=1e-3)
    np.testing.assert_array_equal(colors, face.image[row, column])
    valid = np.isfinite(face.depth)
    assert 0.85 * valid.sum() < len(vertices) < valid.sum()
    normal = np.cross(*(vertices[triangles[:, k]] - vertices[triangles[:, 0]] for k in (1, 2)))
    assert (normal[:, 2] > 0).all()
    # Trimmed: no curtain hangs from the nose or the chin.
    assert np.ptp(vertices[triangles][..., 2], axis=1).max() < 3.01 * face.mm_per_px


def test_small_pieces_go(face, model):
    import dataclasses

    depth = face.patch.coarse.copy()
    depth[:8, :8] = 0.0
    patch = dataclasses.replace(face.patch, coarse=depth, fine=depth)
    vertices, _, _ = depth_surface(dataclasses.replace(face, patch=patch))
    corner = (np.array([8, 8]) - face.translation) * [1, -1] * face.mm_per_px
    assert not ((vertices[:, 0] < corner[0]) & (vertices[:, 1] > corner[1])).any()


def test_large_faces_are_thinned_out(model, monkeypatch):
    monkeypatch.setattr("tfface.meshes.detail._MOST_SIDE", 100)
    face = painted_face(model, size=300)
    vertices, triangles, _ = depth_surface(face)
    assert 1000 < len(vertices) < 100 * 100 and len(triangles) > 1000


def test_no_face_no_surface(model):
    vertices, triangles, colors = depth_surface(painted_face(model, shift=(-900, 0)))
    assert len(vertices) == len(triangles) == len(colors) == 0


def test_the_head_follows_the_fine_depth(face, model):
    mesh = displaced_head(face)
    assert len(mesh.triangles) == 16 * len(model.triangles)
    scale = 1 / face.mm_per_px
    points = mesh.vertices * [scale, -scale, scale] + [*face.translation, 0]
    depth, mask = draw(points, mesh.triangles, points[:, 2:], 300, 300)
    detail = face.patch.fine - face.patch.coarse
    from scipy.ndimage import binary_erosion

    inner = binary_erosion(np.isfinite(face.patch.coarse), iterations=14) & mask
    facing = face.coarse_normals[..., 2] > 0.75
    before = np.abs(detail)[inner & facing].mean()
    after = np.abs(depth[..., 0] - face.patch.fine)[inner & facing]
    assert after.mean() < 0.25 * before


def test_the_outline_is_no_polygon(face):
    """Of a sphere's vertices, those that division adds lie on the sphere, not on its chords."""
    import dataclasses
    from types import SimpleNamespace

    ball = trimesh.creation.icosphere(subdivisions=2, radius=80.0)
    unseen = dataclasses.replace(face.patch, coarse=np.full((4, 4), np.nan), fine=np.full((4, 4), np.nan))
    layout = SimpleNamespace(source=np.arange(len(ball.vertices)), uv=ball.vertices[:, :2] / 200, triangles=ball.faces)
    texture = SimpleNamespace(atlas=layout, image=None)
    head = SimpleNamespace(
        vertices=np.float32(ball.vertices),
        triangles=ball.faces,
        texture=texture,
        patch=unseen,
        mm_per_px=1.0,
        translation=(0.0, 0.0),
    )
    radius = np.linalg.norm(displaced_head(head).vertices, axis=1)
    flat = ball.subdivide().subdivide()
    assert np.abs(radius - 80).max() < 0.2 * np.abs(np.linalg.norm(flat.vertices, axis=1) - 80).max()


def test_nothing_moves_where_nothing_is_seen(face, model):
    mesh = displaced_head(face, rounds=0)
    moved = np.linalg.norm(mesh.vertices - face.vertices[face.texture.atlas.source], axis=1)
    back = smooth_normals(face.vertices, face.triangles)[face.texture.atlas.source, 2] < 0.2
    assert moved[back].max() == 0 and moved.max() > 0.3
    # Copies of a vertex on a seam stay together.
    first = mesh.vertices[face.texture.atlas.source]
    np.testing.assert_allclose(mesh.vertices, first, atol=1e-6)


def test_files(face, tmp_path):
    files = face.save(tmp_path, "detail", name="me")
    surface = trimesh.load(files["me_detail.ply"], process=False)
    assert len(surface.vertices) == len(depth_surface(face)[0])
    head = trimesh.load(files["me_detail.glb"], process=False, force="mesh")
    np.testing.assert_allclose(head.bounds * 1000, np.stack([face.vertices.min(0), face.vertices.max(0)]), atol=2)
