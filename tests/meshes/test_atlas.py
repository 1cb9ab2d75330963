"""The texture's layout: every triangle keeps its side, none lies on another, the face gets the room."""

import numpy as np

from tests.fakes import DomeModel
from tfface.meshes.atlas import atlas


def areas(uv, triangles):
    a, b, c = (uv[triangles[:, k]].astype(float) for k in range(3))
    return 0.5 * ((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))


def test_vertices_keep_their_numbers(model):
    layout = atlas(model)
    np.testing.assert_array_equal(layout.source[: len(model.mean)], np.arange(len(model.mean)))
    np.testing.assert_array_equal(layout.source[layout.triangles], model.triangles)
    assert len(layout.uv) == len(layout.source) == len(model.uv)
    assert layout.uv.min() >= 0.01 and layout.uv.max() <= 0.99


def test_nothing_folds_or_overlaps(model):
    layout = atlas(model)
    before, after = areas(model.uv, model.uv_triangles), areas(layout.uv, layout.triangles)
    assert (np.sign(before) == np.sign(after)).all()
    # Painted one after the other, triangles that don't overlap cover as many texels as they have area.
    from tfface.rendering.visibility import rasterize

    size = 400
    flat = np.concatenate([layout.uv * size, np.zeros((len(layout.uv), 1))], axis=1).astype(np.float32)
    covered = (rasterize(flat[None], layout.triangles, size, size).triangle.numpy() >= 0).mean()
    assert abs(covered - np.abs(after).sum()) < 0.003


def test_the_face_is_upright_and_large(model):
    layout = atlas(model)
    uv = layout.uv[: len(model.mean)]
    chin, brow = uv[model.landmarks[8]], uv[model.landmarks[19]]
    assert brow[1] - chin[1] > 0.35
    assert uv[model.landmarks[16], 0] - uv[model.landmarks[0], 0] > 0.4
    skin = model.region_mask("skin", "lips")[model.triangles].all(axis=1)
    share = np.abs(areas(layout.uv, layout.triangles))[skin].sum() / np.abs(areas(layout.uv, layout.triangles)).sum()
    assert share > 0.4


def test_a_mesh_of_one_island_fills_the_texture():
    layout = atlas(DomeModel())
    assert np.ptp(layout.uv, axis=0).min() > 0.95
