"""The morphable model: eq. (1), its file format, and the facts about the one that ships."""

import numpy as np
import pytest
from reference import rasterize

from tfface.morphable.model import MorphableModel

RNG = np.random.default_rng(0)


def arrays(vertices=5):
    """The smallest thing that is a face model."""
    return {
        "name": "tiny",
        "version": "1",
        "license": "none",
        "source": "test",
        "mean": RNG.normal(size=(vertices, 3)),
        "identity_basis": RNG.normal(size=(vertices, 3, 200)),
        "expression_basis": RNG.normal(size=(vertices, 3, 84)),
        "albedo_mean": RNG.uniform(size=(vertices, 3)),
        "albedo_basis": RNG.normal(size=(vertices, 3, 10)),
        "triangles": np.array([[0, 1, 2], [2, 3, 4]]),
        "uv": RNG.uniform(size=(6, 2)),
        "uv_triangles": np.array([[0, 1, 2], [3, 4, 5]]),
        "regions": np.zeros(vertices, int),
        "region_names": np.array(["skin"]),
        "landmarks": np.arange(68) % vertices,
        "mirror": np.arange(vertices),
        "action_names": np.array(["a", "b"]),
        "actions": RNG.normal(size=(2, 84)),
    }


def test_decode_is_equation_1():
    tiny = MorphableModel(**arrays())
    identity, expression = RNG.normal(size=(2, 200)), RNG.normal(size=(2, 84))
    result = tiny.decode(identity.astype(np.float32), expression.astype(np.float32)).numpy()
    for b in range(2):
        expected = tiny.mean.astype(np.float64).copy()
        for k in range(200):
            expected += tiny.identity_basis[:, :, k] * identity[b, k]
        for k in range(84):
            expected += tiny.expression_basis[:, :, k] * expression[b, k]
        # The basis is rounded by half of 2⁻¹⁶ mm per step (`grid.exact_basis`).
        rounding = np.sum(np.abs(np.concatenate([identity[b], expression[b]])) / tiny.steps) * 2.0**-17
        np.testing.assert_allclose(result[b], expected, atol=1e-3 + rounding)


def test_gram_gives_squared_distances_of_vertices():
    tiny = MorphableModel(**arrays())
    coefficients = RNG.normal(size=284).astype(np.float32)
    moved = tiny.decode(coefficients[None, :200], coefficients[None, 200:]).numpy()[0] - tiny.mean
    assert coefficients @ tiny.gram @ coefficients == pytest.approx(np.sum(moved**2), rel=1e-4)


def test_albedo_is_clipped_to_what_a_surface_can_reflect():
    tiny = MorphableModel(**arrays())
    result = tiny.albedo(np.full((1, 10), 5.0, np.float32)).numpy()
    assert result.shape == (1, 5, 3)
    assert result.min() >= 0 and result.max() <= 1
    np.testing.assert_allclose(tiny.albedo(np.zeros((1, 10))).numpy()[0], tiny.albedo_mean, atol=1e-6)


def test_save_and_load_keep_everything(tmp_path):
    tiny = MorphableModel(**arrays())
    tiny.save(tmp_path / "tiny.npz")
    again = MorphableModel.load(tmp_path / "tiny.npz")
    np.testing.assert_array_equal(again.mean, tiny.mean)
    np.testing.assert_allclose(again.identity_basis, tiny.identity_basis, rtol=1e-3, atol=1e-6)
    assert (again.name, again.region_names, again.action_names) == ("tiny", ("skin",), ("a", "b"))
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.npz"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.zeros((4, 3))}, r"expected identity_basis of shape \[4, 3, 200\], received \[5, 3, 200\]"),
        ({"identity_basis": np.zeros((5, 3, 199))}, r"expected identity_basis of shape \[5, 3, 200\]"),
        ({"triangles": np.array([[0, 1, 5], [0, 1, 2]])}, "expected triangles within 0…4, received 0…5"),
        ({"landmarks": np.zeros(67, int)}, r"expected landmarks of shape \[68\], received \[67\]"),
        ({"regions": np.ones(5, int)}, "expected regions within 0…0"),
        ({"albedo_mean": np.full((5, 3), np.nan)}, "expected finite numbers in albedo_mean"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        MorphableModel(**(arrays() | change))


def test_a_missing_array_is_named():
    incomplete = arrays()
    del incomplete["mirror"]
    with pytest.raises(ValueError, match="expected a face model with mirror"):
        MorphableModel(**incomplete)


def test_wrong_files_are_refused_in_words(tmp_path):
    with pytest.raises(FileNotFoundError, match="found no file"):
        MorphableModel.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not a model")
    with pytest.raises(ValueError, match="to be a face model"):
        MorphableModel.load(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="expected a face model of format 1"):
        MorphableModel.load(tmp_path / "other.npz")


def test_default_model_is_what_the_documents_say(model):
    assert model.identity_basis.shape[-1] == 200 and model.expression_basis.shape[-1] == 84
    assert model.albedo_basis.shape[-1] == 10
    assert model.license == "CC0-1.0"
    assert len(model.action_names) == 52 and "jawOpen" in model.action_names
    assert model.region_names == ("skin", "lips", "eyes", "brows", "ears", "neck", "mouth", "scalp")
    assert all(model.region_mask(name).sum() > 20 for name in model.region_names)
    # The origin is the anchors' centroid, near that of the landmarks; a head is some 14 cm wide at the cheekbones.
    assert np.linalg.norm(model.mean[model.landmarks].mean(axis=0)) < 2.0
    assert 125 < np.ptp(model.mean[model.landmarks[[1, 15]], 0]) < 150


def test_default_model_is_symmetric(model):
    np.testing.assert_array_equal(model.mirror[model.mirror], np.arange(len(model.mean)))
    np.testing.assert_allclose(model.mean[model.mirror] * [-1, 1, 1], model.mean, atol=0.05)
    partner = np.r_[16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45:41:-1, 47, 46, 39:35:-1, 41, 40]
    partner = np.r_[partner, 54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1]
    np.testing.assert_array_equal(model.mirror[model.landmarks], model.landmarks[partner])


def test_jaw_row_descends_evenly_to_the_chin(model):
    jaw = model.mean[model.landmarks[:9]]
    steps = np.linalg.norm(np.diff(jaw[:, :2], axis=0), axis=1)
    assert (np.diff(jaw[:, 1]) < 1).all() and 7 < steps.min() and steps.max() < 30
    # OpenFace's mean shape, fitted to the inner landmarks: x, y in mm at the ear, the angle of the jaw, the chin.
    np.testing.assert_allclose(jaw[[0, 4, 8], :2], [(-67, 32), (-54, -36), (0, -71)], atol=7)


def test_every_inner_landmark_lies_on_the_visible_surface(model):
    size = 260
    vertices = np.stack([model.mean[:, 0] + size / 2, size / 2 - model.mean[:, 1], model.mean[:, 2]], axis=1).astype(
        np.float32
    )
    for landmark in model.landmarks[17:]:
        x, y, z = vertices[landmark]
        near = np.abs(vertices[model.triangles][:, :, :2] - (x, y)).max(axis=(1, 2)) < 15
        # One pixel, centred on the landmark, over the triangles around it.
        shifted = vertices - np.array([x - 0.5, y - 0.5, 0], np.float32)
        _, _, depth = rasterize(shifted, model.triangles[near], 1, 1, cull=True)
        assert depth[0, 0] - z < 1.0, f"vertex {landmark} lies {depth[0, 0] - z:.1f} mm behind the surface"


def test_components_fall_in_size(model):
    # Ordered by variance with the face weighted more than the rest, so only roughly ordered by plain size.
    sizes = np.linalg.norm(model.geometry_basis[:200], axis=1).reshape(10, 20).mean(axis=1)
    assert np.all(sizes[1:] < 1.1 * sizes[:-1])
    assert sizes[0] > 10 * sizes[-1]


def test_blendshapes_recover_named_actions(model):
    smile, jaw = (model.action_names.index(name) for name in ("mouthSmileLeft", "jawOpen"))
    found = model.blendshapes(0.8 * model.actions[smile] + 0.5 * model.actions[jaw])
    assert found["mouthSmileLeft"] == pytest.approx(0.8, abs=0.05)
    assert found["jawOpen"] == pytest.approx(0.5, abs=0.05)
    assert sum(found.values()) < 1.6
    assert all(0 <= value <= 1 for value in found.values())
    assert max(model.blendshapes(np.zeros(84)).values()) == 0


def test_blendshapes_of_a_noisy_expression_are_few_and_do_not_undo_each_other(model):
    names = list(model.action_names)
    rng = np.random.default_rng(0)
    smile = model.actions[names.index("mouthSmileLeft")] + model.actions[names.index("mouthSmileRight")]
    opposed = (("mouthLeft", "mouthRight"), ("jawLeft", "jawRight"), ("eyeLookUpLeft", "eyeLookDownLeft"))
    for _ in range(5):
        found = model.blendshapes(0.7 * smile + rng.normal(0, 0.15, 84))
        assert found["mouthSmileLeft"] > 0.4
        assert sum(weight > 0.02 for weight in found.values()) < 16
        assert max(min(found[a], found[b]) for a, b in opposed) < 0.05


def test_unknown_region_is_named(model):
    with pytest.raises(ValueError, match="expected regions among skin"):
        model.region_mask("nose")
