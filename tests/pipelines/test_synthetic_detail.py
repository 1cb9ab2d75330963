"""Heads with true wrinkles: the relief that is drawn is the relief that the depth has, and marks are none."""

import dataclasses

import numpy as np
import pytest

from tfface.morphable.model import MorphableModel
from tfface.pipelines import synthetic_skin
from tfface.pipelines.synthetic_detail import FLAT, DetailWorld, image_normals
from tfface.pipelines.synthetic_skin import MM_PER_CELL, Groove

SIZE = 64


@pytest.fixture(scope="module")
def world():
    return DetailWorld(MorphableModel.default(), fine_px=128)


@pytest.fixture(scope="module")
def head(world):
    return world.head(3)


def test_chart_unrolls_the_front_of_the_face(world):
    chart, mean = world.chart, world.model.mean[world.model.landmarks]
    eyes = [36, 39, 42, 45]
    np.testing.assert_allclose(chart.landmarks[eyes], mean[eyes, :2], atol=2.5)
    # Cheeks are unrolled: the jaw's ends lie farther apart along the skin than in a frontal picture.
    assert np.ptp(chart.landmarks[[0, 16], 0]) > 1.3 * np.ptp(mean[[0, 16], 0])
    u = np.arange(chart.shape[1])[None] + np.zeros((chart.shape[0], 1))
    places = np.array([[3.3, 40.0], [-20.0, -55.55]])
    np.testing.assert_allclose(chart.sample(u, places), chart.cell(places)[:, 0], atol=1e-4)
    where, points = chart.window(np.array([-3.0, 10.0]), np.array([4.0, 12.0]))
    assert points[0, 0, 0] <= -3.0 + MM_PER_CELL and points[-1, -1, 1] >= 12.0 - MM_PER_CELL
    np.testing.assert_allclose(chart.sample(u, points), u[where], atol=1e-3)


def test_a_groove_is_as_deep_and_wide_as_said(world):
    relief = world.chart.blank()
    groove = Groove(np.array([-20.0, 0.0]), np.array([20.0, 0.0]), bow=0.0, depth=0.5, width=1.5, waver=0.0)
    synthetic_skin.draw_groove(world.chart, relief, groove, np.random.default_rng(0))
    v = np.linspace(-10, 10, 401)
    across = world.chart.sample(relief, np.stack([np.zeros(401), v], -1))
    assert abs(v[across.argmin()]) < 0.2 and -0.55 < across.min() < -0.25
    edge = np.abs(v[across < across.min() / 3]).max()
    assert edge == pytest.approx(1.3, abs=0.35)
    # The skin beside it is pushed up, and farther away untouched.
    assert 0.02 < across.max() < 0.2 and abs(across[0]) < 1e-3
    assert np.abs(world.chart.sample(relief, np.array([[-21.0, 0.0], [21.0, 0.0]]))).max() < 1e-3


def test_skin_rolls_up_on_both_sides_of_a_pushed_line(world):
    def across(roll):
        relief = world.chart.blank()
        line = Groove(np.array([-20.0, 0.0]), np.array([20.0, 0.0]), 0.0, 0.5, 1.0, roll=roll, waver=0.0)
        synthetic_skin.draw_groove(world.chart, relief, line, np.random.default_rng(0))
        return world.chart.sample(relief, np.stack([np.zeros(401), np.linspace(-10, 10, 401)], -1))

    more = across(0.5) - across(0.0)
    np.testing.assert_allclose(more, more[::-1], atol=0.02)
    assert 0.25 < more.max() < 0.55 and abs(abs(np.linspace(-10, 10, 401)[more.argmax()]) - 3.2) < 0.3
    assert more[200] < 0.1 * more.max() and abs(more[0]) < 0.02


def test_skin_hangs_over_a_fold_on_one_side(world):
    relief = world.chart.blank()
    line = Groove(np.array([0.0, 20.0]), np.array([0.0, -20.0]), 0.0, 0.0, 1.5, bulge=2.0, hang=10.0, waver=0.0)
    synthetic_skin.draw_groove(world.chart, relief, line, np.random.default_rng(0))
    across = world.chart.sample(relief, np.stack([np.linspace(-40, 40, 801), np.zeros(801)], -1))
    # Downwards, so that its left is the image's right.
    crest = np.linspace(-40, 40, 801)[across.argmax()]
    assert 1.1 < across.max() < 2.1 and crest == pytest.approx(5.0, abs=0.6)
    assert np.abs(across[:398]).max() < 1e-6 and np.abs(across[710:]).max() < 0.02
    steepest = np.abs(np.gradient(across, 0.1))
    assert 0 <= np.linspace(-40, 40, 801)[steepest.argmax()] < 0.6 and steepest.max() < 1.2


def test_old_skin_sags_on_the_same_wrinkles(world):
    marks = world.chart.landmarks
    few, many = (synthetic_skin.random_folds(marks, a, np.random.default_rng(2)) for a in (0.5, 1.0))
    # The same folds, deeper; what hangs does so away from the middle, or above.
    assert len(few) == len(many) > 8
    for shallow, deep in zip(few, many, strict=True):
        np.testing.assert_array_equal(shallow.start, deep.start)
        assert shallow.depth <= deep.depth <= deep.width and shallow.bulge <= deep.bulge <= 0.35 * max(deep.hang, 1.0)
    hanging = [
        g for seed in range(8) for g in synthetic_skin.random_folds(marks, 1.0, np.random.default_rng(seed)) if g.hang
    ]
    for groove in hanging:
        along = groove.end - groove.start
        left = np.array([-along[1], along[0]]) / np.linalg.norm(along)
        middle = (groove.start + groove.end) / 2
        chin = abs(middle[0]) < 8.0 and middle[1] < marks[57, 1]
        assert (left[1] < -0.8) if chin else (left[1] > 0.8 or left[0] * np.sign(middle[0]) > 0.3), groove
    # No young head has them.
    young, old = (synthetic_skin.wrinkles(world.chart, s, np.random.default_rng(3)) for s in (1.0, 2.0))
    assert old.max() > 1.5 * young.max() and np.abs(old).mean() > 2.0 * np.abs(young).mean()


def test_relief_has_the_size_of_skin(world):
    rng = np.random.default_rng(1)
    old, young = (synthetic_skin.wrinkles(world.chart, severity, rng) for severity in (1.0, 0.2))
    assert -1.5 < old.min() < -0.3 and 0.2 < old.max() < 1.5
    assert old.std() > 2 * young.std()
    pores = synthetic_skin.pores(world.chart, 0.1, rng)
    assert -0.35 < pores.min() and 0.01 < pores.std() < 0.08


def test_the_same_number_draws_the_same_head(world, head):
    again, other = world.head(3), world.head(4)
    np.testing.assert_array_equal(head.relief, again.relief)
    np.testing.assert_array_equal(world.render(head, SIZE).image, world.render(again, SIZE).image)
    assert not np.array_equal(head.r, other.r) and not np.array_equal(head.marks, other.marks)


def test_relief_lifts_the_surface_along_its_normal(world, head):
    raised = dataclasses.replace(head, relief=np.full(world.chart.shape, 1.0, np.float32))
    before, after = (world.render(one, SIZE) for one in (dataclasses.replace(head, relief=None), raised))
    skin = before.skin & after.skin
    assert skin.sum() > 300
    along = ((after.depth - before.depth) * before.normals[..., 2] / before.px_per_mm)[skin]
    assert np.median(along) == pytest.approx(1.0, abs=0.02)
    # Less only where skin is seen nearly edge-on.
    assert np.median(after.relief[skin]) == 1.0 and after.relief.max() == 1.0


def test_the_smooth_truth_is_the_coarse_surface_without_its_creases(world, head):
    picture = world.render(dataclasses.replace(head, relief=None), 128)
    difference = (picture.depth - picture.coarse)[picture.skin] / picture.px_per_mm
    assert np.abs(difference - np.median(difference)).mean() < 0.5
    coarse = image_normals(picture.coarse, picture.mask)
    cosine = (coarse * picture.normals).sum(-1)[picture.skin]
    assert 0.2 < np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean() < 1.5


def test_flat_light_shows_folds_by_the_sky_that_they_hide(world, head):
    flat = dataclasses.replace(head, light=FLAT, noise=0.0, blur=0.0)
    folds = synthetic_skin.wrinkles(world.chart, 1.5, np.random.default_rng(4))
    smooth, rough, again = (world.render(dataclasses.replace(flat, relief=r), 2 * SIZE) for r in (None, folds, None))
    np.testing.assert_array_equal(smooth.image, again.image)
    assert np.abs(smooth.depth - rough.depth)[smooth.skin].max() > 0.01
    darker = np.log(smooth.image / rough.image)
    deep, even = rough.skin & (rough.relief < -0.4), rough.skin & (np.abs(rough.relief) < 0.005)
    assert deep.sum() > 20 and even.sum() > 500
    assert darker[deep].mean() > 0.01 > 5 * np.abs(darker[even]).mean()


def test_marks_are_no_shape(world, head):
    flat = dataclasses.replace(head, light=FLAT, noise=0.0, blur=0.0)
    smooth = world.render(dataclasses.replace(flat, relief=None), SIZE)
    unpainted = world.render(dataclasses.replace(flat, relief=None, marks=None), SIZE)
    np.testing.assert_array_equal(smooth.depth, unpainted.depth)
    np.testing.assert_array_equal(smooth.normals, unpainted.normals)
    assert np.abs(smooth.image - unpainted.image)[smooth.skin].max() > 0.02


def test_pictures_of_any_size(world, head):
    for size in (50, 101):
        picture = world.render(head, size)
        assert picture.image.shape == picture.skin.shape == (size, size)
        assert 0.0 <= picture.image.min() < picture.image.max() <= 1.0
        assert picture.skin.any() and not picture.skin[picture.mask == 0].any()
    with pytest.raises(ValueError, match="at least 32 px, received 8"):
        world.render(head, 8)


def test_painted_marks_lie_on_the_face(world):
    rng, chart = np.random.default_rng(0), world.chart
    for ink in (synthetic_skin.brows(chart, rng), synthetic_skin.moles(chart, rng), synthetic_skin.text(chart)):
        assert 0.5 < ink.max() <= 1.01 and ink.min() >= 0.0
        row, column = np.nonzero(ink > 0.5)
        places = (np.stack([column, row], -1) + 0.5) * MM_PER_CELL + synthetic_skin._LOW
        low, high = chart.landmarks.min(0), chart.landmarks.max(0) + [0.0, 30.0]
        assert (places >= low).all() and (places <= high).all()


def test_natural_heads_have_a_shape_and_shadows_of_their_own(world, head):
    natural = world.head(3, natural=True)
    assert natural.light.cast > 0 == head.light.cast and head.fullness is None
    for name in ("r", "albedo", "relief", "marks"):
        np.testing.assert_array_equal(getattr(natural, name), getattr(head, name))
    assert 0.15 < natural.fullness.std() < 1.7
    plain, own = (world.render(one, 128) for one in (head, dataclasses.replace(natural, light=head.light)))
    np.testing.assert_array_equal(plain.coarse, own.coarse)
    np.testing.assert_array_equal(plain.relief, own.relief)
    both = plain.skin & own.skin
    # Along the normal, as relief is.
    flat = dataclasses.replace(natural, fullness=np.ones_like(natural.fullness), light=head.light)
    lifted = world.render(flat, 128)
    both &= lifted.skin
    along = ((lifted.depth - plain.depth) * plain.normals[..., 2] / plain.px_per_mm)[both]
    assert np.median(along) == pytest.approx(1.0, abs=0.03)
    rise = (own.depth - plain.depth) / plain.px_per_mm
    assert 0.1 < rise[both].std() < 3.0
    # 20 mm are 10 px here: what is added bends little from pixel to pixel.
    inside = both[:, 2:] & both[:, 1:-1] & both[:, :-2]
    assert np.abs(np.diff(rise, 2, axis=1))[inside].mean() < 0.1 * rise[both].std()
    # From the left, the nose hides light from the cheek to its right; what it doesn't reach stays as it was.
    side = dataclasses.replace(head.light, directions=np.array([[-0.8, -0.1, 0.59]]), strengths=np.ones(1))
    bare = dataclasses.replace(head, noise=0.0, blur=0.0)
    lit, shaded = (
        world.render(dataclasses.replace(bare, light=dataclasses.replace(side, cast=cast)), 128).image
        for cast in (0.0, 0.05)
    )
    np.testing.assert_array_equal(shaded > lit + 1e-6, False)
    assert 0.005 < (lit - shaded > 0.05)[plain.skin].mean() < 0.6
