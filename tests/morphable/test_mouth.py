"""The sheet inside the mouth: it spans its rim, lies behind it, and moves with it but for the upper teeth."""

import numpy as np
import pytest

from tfface.geometry.mesh import pieces
from tfface.morphable.model import MorphableModel
from tfface.morphable.mouth import BEHIND_MM, mouth_sheet, with_sheet
from tfface.rendering.visibility import rasterize


def grid(side):
    """A square sheet of side² vertices, its triangles, and which vertices aren't on its border."""
    y, x = np.mgrid[:side, :side]
    vertices = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3).astype(float)
    a = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    triangles = np.concatenate([np.stack([a, a + 1, a + side + 1], 1), np.stack([a, a + side + 1, a + side], 1)])
    inner = ((x > 0) & (y > 0) & (x < side - 1) & (y < side - 1)).reshape(-1)
    return vertices, triangles, inner


def test_every_vertex_lies_at_the_mean_of_its_neighbours():
    vertices, triangles, inner = grid(5)
    sheet = mouth_sheet(triangles, inner)
    assert set(sheet.inside) == set(np.nonzero(inner)[0]) and len(sheet.rim) == 14  # all but two corners
    found = vertices.copy()
    found[sheet.inside] = sheet.movements(vertices)
    for vertex in sheet.inside:
        near = np.unique(triangles[(triangles == vertex).any(axis=1)])
        np.testing.assert_allclose(found[vertex], found[near[near != vertex]].mean(axis=0), atol=1e-9)
    depth = vertices[sheet.rim, 2].min() - sheet.positions(vertices)[:, 2]
    assert depth.min() > 0 and depth.max() == pytest.approx(BEHIND_MM)


def test_what_is_no_disc_is_refused():
    _, triangles, inner = grid(5)
    with pytest.raises(ValueError, match="one disc"):
        mouth_sheet(triangles[1:], inner | True)
    hole = ~(triangles == 12).any(axis=1)  # without the middle it is a ring
    inner[12] = False
    with pytest.raises(ValueError, match="one disc"):
        mouth_sheet(triangles[hole], inner)


def test_the_default_models_mouth_is_a_sheet_and_stays_one():
    model = MorphableModel.default()
    again = with_sheet(model)
    np.testing.assert_allclose(again.mean, model.mean, atol=1e-4)
    # The file's bases are halves.
    np.testing.assert_allclose(again.identity_basis, model.identity_basis, atol=2e-3)
    np.testing.assert_allclose(again.expression_basis, model.expression_basis, atol=2e-2)
    sheet = mouth_sheet(model.triangles, model.region_mask("mouth"))
    lips = model.mean[sheet.rim]
    assert model.mean[sheet.inside, 2].min() > lips[:, 2].min() - BEHIND_MM - 0.1


def test_upper_teeth_stay_where_they_are_and_the_rest_follows_the_lower_lip():
    model = MorphableModel.default()
    sheet = mouth_sheet(model.triangles, model.region_mask("mouth"))
    before = model.mean[sheet.inside]
    for name in ("jawOpen", "mouthFunnel", "mouthUpperUpLeft"):
        moved = model.expression_basis @ model.actions[model.action_names.index(name)]
        far = np.linalg.norm(moved[sheet.inside], axis=1)
        rim = np.linalg.norm(moved[sheet.rim], axis=1).max()
        # Behind the upper lip, and a bit below where the lips meet.
        teeth = before[:, 1] > model.mean[sheet.rim, 1].max() + 2
        edges = before[:, 1] < model.mean[sheet.rim, 1].min() - 0.5
        assert teeth.sum() > 20 and edges.sum() > 5
        # The gum beside the lip goes with it.
        assert np.median(far[teeth]) < 0.15 * rim
    opened = before + (model.expression_basis @ model.actions[model.action_names.index("jawOpen")])[sheet.inside]
    assert np.ptp(opened[:, 1]) > 25


def test_lips_that_are_shut_hide_the_sheet():
    model = MorphableModel.default()
    names = ("mouthRollUpper", "mouthRollLower", "mouthPucker", "mouthLeft", "jawLeft", "mouthPressLeft")
    faces = [np.zeros(84), *(model.actions[model.action_names.index(name)] for name in names)]
    vertices = np.stack([model.mean + model.expression_basis @ face for face in faces])
    points = np.float32(vertices * [1, -1, 1] + [100, 100, 0])
    seen = rasterize(points, model.triangles, 200, 200, cull=True).triangle.numpy()
    inside = np.append(model.region_mask("mouth")[model.triangles].all(axis=1), False)
    assert inside[seen].sum((1, 2)).max() <= 10


def test_the_sheet_is_laid_out_flat_in_the_texture():
    model = MorphableModel.default()
    piece = pieces(model.uv_triangles, len(model.uv))[model.uv_triangles[:, 0]]
    inside = model.region_mask("mouth")[model.triangles].all(axis=1)
    of_mouth = [number for number in np.unique(piece) if inside[piece == number].mean() > 0.9]
    assert len(of_mouth) == 1
    a, b, c = (model.uv[model.uv_triangles[piece == of_mouth[0], corner]] for corner in range(3))
    turning = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    assert (turning > 0).all() or (turning < 0).all()
