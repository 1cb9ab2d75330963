"""The sheet inside the mouth: it spans its rim, lies behind it and moves with it."""

import numpy as np
import pytest

from tfface.geometry.mesh import pieces
from tfface.morphable.model import MorphableModel
from tfface.morphable.mouth import BEHIND_MM, mouth_sheet, with_sheet


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
    wide_open = model.expression_basis @ model.actions[model.action_names.index("jawOpen")]
    rim, inside = (model.mean + wide_open)[sheet.rim], (model.mean + wide_open)[sheet.inside]
    assert np.ptp(rim[:, 1]) > 10
    assert (inside[:, 1] > rim[:, 1].min()).all() and (inside[:, 1] < rim[:, 1].max()).all()
    assert inside[:, 2].min() > rim[:, 2].min() - BEHIND_MM - 0.1


def test_the_sheet_is_laid_out_flat_in_the_texture():
    model = MorphableModel.default()
    piece = pieces(model.uv_triangles, len(model.uv))[model.uv_triangles[:, 0]]
    inside = model.region_mask("mouth")[model.triangles].all(axis=1)
    of_mouth = [number for number in np.unique(piece) if inside[piece == number].mean() > 0.9]
    assert len(of_mouth) == 1
    a, b, c = (model.uv[model.uv_triangles[piece == of_mouth[0], corner]] for corner in range(3))
    turning = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    assert (turning > 0).all() or (turning < 0).all()
