"""Heads on disk as training data: what a file holds, pictures that never repeat, light that shading explains."""

import dataclasses
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.fakes import write_around
from tfface.losses.detail import painted as marks
from tfface.morphable import representation
from tfface.pipelines import detail_bank
from tfface.pipelines.detail_bank import DetailBankConfig, detail_dataset
from tfface.pipelines.synthetic_detail import DetailWorld
from tfface.rendering.coarse_surface import CoarseSurface

SIZE = 96


@pytest.fixture(scope="module")
def make_bank(model, tmp_path_factory):
    world = DetailWorld(model, fine_px=SIZE)

    def make(heads, **how):
        folder = tmp_path_factory.mktemp("bank")
        detail_bank.DetailWorld, original = (lambda _: world), detail_bank.DetailWorld
        try:
            detail_bank.write_bank(model, folder, heads, SIZE, **how)
        finally:
            detail_bank.DetailWorld = original
        return folder

    return make


@pytest.fixture(scope="module")
def folder(make_bank):
    return make_bank(3)


def test_batches_hold_what_training_needs_and_follow_the_seed(folder):
    config = DetailBankConfig(path=str(folder), batch=2)
    first, second = detail_dataset(config, 48).take(2).as_numpy_iterator()
    assert {name: value.shape for name, value in first.items()} == {
        **{name: (2, 48, 48, 1) for name in ("image", "depth", "mask", "skin", "albedo")},
        **{name: (2, 290) for name in ("r", "coarse_r")},
    }
    assert 0 <= first["image"].min() and first["image"].max() <= 1 and first["image"].std() > 0.02
    assert 0.1 < first["skin"].mean() < first["mask"].mean() < 0.9
    assert np.abs(first["image"] - second["image"]).max() > 0.05
    (again,) = detail_dataset(config, 48, start=1).take(1).as_numpy_iterator()
    for name, value in again.items():
        np.testing.assert_array_equal(value, second[name])


def test_the_same_depth_at_half_the_size_is_half_as_many_pixels(folder):
    full, half = (
        next(detail_dataset(DetailBankConfig(path=str(folder), batch=3), size).as_numpy_iterator()) for size in (96, 48)
    )
    # The order of heads depends on the size: match them by r.
    order = [int(np.argmin(np.abs(full["r"] - r).sum(1))) for r in half["r"]]
    inside = half["mask"][..., 0] > 0
    pooled = full["depth"][order][..., 0].reshape(3, 48, 2, 48, 2).mean((2, 4)) / 2
    np.testing.assert_allclose(half["depth"][..., 0][inside], pooled[inside], atol=1e-3)


def test_two_sizes_have_nothing_but_the_heads_in_common(folder):
    config = DetailBankConfig(path=str(folder), batch=3, exact=0.0)
    full, half = (next(detail_dataset(config, size).as_numpy_iterator()) for size in (96, 48))
    one, other = (batch["coarse_r"] - batch["r"] for batch in (full, half))
    assert all(np.abs(a - b).max() > 0.1 for a in one for b in other)


def test_coarse_faces_are_wrong_but_for_the_exact_ones(folder):
    config = DetailBankConfig(path=str(folder), batch=3)
    batch = next(detail_dataset(dataclasses.replace(config, exact=1.0), 48).as_numpy_iterator())
    np.testing.assert_array_equal(batch["r"], batch["coarse_r"])
    batch = next(detail_dataset(dataclasses.replace(config, exact=0.0), 48).as_numpy_iterator())
    off = batch["coarse_r"] - batch["r"]
    assert 0.3 < off[:, :200].std() < 0.5 and 0.01 < off[:, 284:287].std() < 0.1


class _Taken:
    """Answers how bright a picture is, in place of a CoarseNet's r."""

    config = SimpleNamespace(size=48)

    def __call__(self, image, training):
        assert image.shape[1] == 48 and not training
        seen = tf.stack([tf.reduce_mean(image, [1, 2, 3]), tf.reduce_max(image, [1, 2, 3])], axis=1)
        return tf.pad(seen, [[0, 0], [0, 288]])


@pytest.mark.parametrize("size", [48, SIZE])
def test_the_first_coarse_faces_are_what_coarse_net_takes_their_own_pictures_for(folder, size):
    config = DetailBankConfig(path=str(folder), batch=3, exact=0.0, answered=0.6)
    plain = next(detail_dataset(dataclasses.replace(config, answered=0.0), size).as_numpy_iterator())
    batch = next(detail_dataset(config, size, coarse=_Taken()).as_numpy_iterator())
    times = size // 48
    seen = batch["image"].reshape(3, 48, times, 48, times).mean((2, 4))
    expected = np.stack([seen.mean((1, 2)), seen.max((1, 2))], axis=1)[:2]
    np.testing.assert_allclose(batch["coarse_r"][:2, :2], expected, rtol=1e-5)
    assert expected[0, 0] != expected[1, 0] and (batch["coarse_r"][:2, 2:] == 0).all()
    np.testing.assert_array_equal(batch["coarse_r"][2], plain["coarse_r"][2])
    for name in set(plain) - {"coarse_r"}:
        np.testing.assert_array_equal(plain[name], batch[name])


def test_a_small_share_of_answers_is_one(folder):
    config = DetailBankConfig(path=str(folder), batch=3, exact=0.0, answered=0.01)
    batch = next(detail_dataset(config, 48, coarse=_Taken()).as_numpy_iterator())
    assert [(r[2:] == 0).all() for r in batch["coarse_r"]] == [True, False, False]


def test_answers_want_a_coarse_net_of_a_size_that_fits(folder):
    config = DetailBankConfig(path=str(folder), batch=3, answered=0.6)
    with pytest.raises(ValueError, match="expected a CoarseNet for heads.answered.*received none"):
        detail_dataset(config, 48)
    with pytest.raises(ValueError, match="divides 32 px, received one of 48 px"):
        detail_dataset(config, 32, coarse=_Taken())


def test_surrounded_heads_show_a_photograph_where_it_shows_no_skin(folder, model, tmp_path):
    """A grey photograph whose lower half is skin."""
    levels = np.full((1, 256, 256, 2), 0.5)
    levels[..., 1] = np.arange(256)[:, None] >= 128
    write_around(tmp_path, np.zeros((1, 290)), levels)
    config = DetailBankConfig(path=str(folder), batch=3, painted=0.0)
    plain = next(detail_dataset(config, SIZE).as_numpy_iterator())
    around = dataclasses.replace(config, surroundings=str(tmp_path), surrounded=1.0)
    batch = next(detail_dataset(around, SIZE, model=model).as_numpy_iterator())
    for name in set(plain) - {"image", "skin"}:
        np.testing.assert_array_equal(plain[name], batch[name])
    kept = batch["skin"] > 0
    assert (plain["skin"][kept] > 0).all() and 0.1 < kept.mean() / plain["skin"].mean() < 0.9
    np.testing.assert_allclose(batch["image"][kept], plain["image"][kept], atol=0.3)
    assert np.median(np.abs(batch["image"] - plain["image"])[kept]) < 1e-3
    off = plain["mask"] == 0
    assert np.abs(batch["image"] - plain["image"])[off].mean() > 0.02
    np.testing.assert_array_equal(
        next(detail_dataset(dataclasses.replace(around, surrounded=0.0), SIZE).as_numpy_iterator())["image"],
        plain["image"],
    )


def test_surrounded_heads_want_surroundings(folder, tmp_path, model):
    config = DetailBankConfig(path=str(folder), surrounded=0.5)
    with pytest.raises(ValueError, match="received no folder; heads.surrounded=0"):
        detail_dataset(config, SIZE, model=model)
    config = dataclasses.replace(config, surroundings=str(tmp_path))
    with pytest.raises(ValueError, match="received no face model"):
        detail_dataset(config, SIZE)
    with pytest.raises(FileNotFoundError, match="pipelines.surroundings"):
        detail_dataset(config, SIZE, model=model)


def test_older_skin_has_deeper_folds_and_is_the_same_head(folder, make_bank):
    known = np.fromfile(folder / "1000000.head", np.float32, 290)

    def roughness(severity):
        config = DetailBankConfig(path=str(make_bank(1, severity=severity)), batch=1)
        batch = next(detail_dataset(config, SIZE).as_numpy_iterator())
        np.testing.assert_array_equal(batch["r"][0], known)
        depth, skin = batch["depth"][..., 0], batch["skin"][..., 0] > 0
        return np.abs(np.diff(depth, n=2, axis=1))[skin[:, 1:-1]].mean()

    assert roughness(4.0) > 1.1 * roughness(0.25)


def test_a_missing_bank_and_an_odd_size_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="detail_bank --output"):
        detail_dataset(DetailBankConfig(path=str(tmp_path)), 48)
    with pytest.raises(ValueError, match="expected a size that divides 96"):
        detail_dataset(DetailBankConfig(path=str(folder)), 50)
    shutil.copy(folder / "bank.json", tmp_path)
    (tmp_path / "1000000.head").write_bytes(b"as it was before")
    with pytest.raises(ValueError, match="bytes in .*1000000.head, received 16"):
        detail_dataset(DetailBankConfig(path=str(tmp_path)), 48)
    assert detail_bank.main(["--output", str(tmp_path), "--heads", "0"]) == 2
    assert detail_bank.main(["--output", str(tmp_path), "--heads", "1", "--severity", "9"]) == 2
    assert detail_bank.main(["--output", str(tmp_path), "--heads", "1", "--first", "7"]) == 2


@pytest.mark.parametrize(
    ("kind", "most"), [("painted", 0.6), ("shaded", 0.9), ("covered", 0.9), ("enlarged", 0.5), ("jpeg", 0.6)]
)
def test_what_is_no_shape_changes_the_picture_and_nothing_else(folder, kind, most):
    config = DetailBankConfig(path=str(folder), batch=3)
    plain, changed = (
        next(detail_dataset(dataclasses.replace(config, **{kind: share}), SIZE).as_numpy_iterator())
        for share in (0.0, 1.0)
    )
    for name in set(plain) - {"image", "albedo"}:
        np.testing.assert_array_equal(plain[name], changed[name])
    other = np.abs(plain["image"] - changed["image"])[..., 0] * plain["skin"][..., 0] > 0.02
    share = other.sum((1, 2)) / plain["skin"].sum((1, 2, 3))
    assert share.max() > 0.05 and share.mean() < most


def test_marks_are_where_the_paint_is(folder):
    config = DetailBankConfig(path=str(folder), batch=3)

    def pictures(share):
        # Several, since some are painted faintly.
        batches = [*detail_dataset(dataclasses.replace(config, painted=share), SIZE).take(4).as_numpy_iterator()]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}

    plain, painted = pictures(0.0), pictures(1.0)
    before, after = (marks(batch["albedo"], batch["mask"]).numpy() for batch in (plain, painted))
    more = (after - before)[..., 0]
    darker = (plain["image"] - painted["image"])[..., 0] * plain["skin"][..., 0]
    assert more[darker > 0.1].mean() > 0.5 and np.abs(more[np.abs(darker) < 0.002]).mean() < 0.1


def test_half_of_the_heads_are_mirrored_with_their_faces(folder, model):
    config = DetailBankConfig(path=str(folder), batch=3, exact=0.0)
    plain = detail_dataset(config, 48).take(6)
    turned = detail_dataset(config, 48, mirror=model.reflection).take(6)
    seen = []
    for one, other in zip(plain.as_numpy_iterator(), turned.as_numpy_iterator(), strict=True):
        for index in range(3):
            was, now = ({name: value[index] for name, value in batch.items()} for batch in (one, other))
            seen.append(bool((was["image"] != now["image"]).any()))
            for name, value in now.items():
                if not seen[-1]:
                    expected = was[name]
                elif was[name].ndim == 1:
                    expected = model.reflection(was[name][None]).numpy()[0]
                else:
                    expected = was[name][:, ::-1]
                np.testing.assert_allclose(value, expected, atol=1e-6)
    assert 4 < sum(seen) < 14
    # What is mirrored is still the depth of its face.
    surface = CoarseSurface(model)
    found = surface(representation.vertices_image(model, tf.constant(other["r"]), 48), 48, 48)
    both = (found.mask.numpy() > 0) & (other["mask"] > 0) & (other["skin"] > 0)
    assert both.any() and np.abs(found.depth.numpy() - other["depth"])[both].mean() < 0.2


def test_shapes_beyond_the_face_model_are_smooth_and_lit(folder):
    config = DetailBankConfig(path=str(folder), batch=3, exact=1.0)
    plain = next(detail_dataset(config, SIZE).as_numpy_iterator())
    some = [
        next(detail_dataset(dataclasses.replace(config, off_model=1.0, seed=0), SIZE, start=start).as_numpy_iterator())
        for start in range(2)
    ]
    np.testing.assert_array_equal(some[0]["r"], plain["r"])
    np.testing.assert_array_equal(some[0]["coarse_r"], plain["r"])
    inside = plain["mask"][..., 0] > 0
    added = (some[0]["depth"] - plain["depth"])[..., 0]
    # Over 6 to 12 cells of a picture of 96 px a pixel's step is small, and so is its change.
    steps = np.diff(added, axis=2)[inside[:, :, 1:] & inside[:, :, :-1]]
    bends = np.diff(added, 2, axis=2)[inside[:, :, 2:] & inside[:, :, 1:-1] & inside[:, :, :-2]]
    assert 0.005 < steps.std() < 0.15 and bends.std() < 0.35 * steps.std()
    assert (added[~inside] == 0).all() and np.abs(some[0]["image"] - plain["image"])[..., 0][inside].mean() > 0.005
    # In mm, whatever the scale: 0.2 to 2 times the noise's own 0.8.
    everywhere = [
        (one["depth"] - next(detail_dataset(config, SIZE, start=start).as_numpy_iterator())["depth"])[index, ..., 0]
        for start, one in enumerate(some)
        for index in range(3)
    ]
    r = np.concatenate([one["r"] for one in some])
    mm = [np.std(x[x != 0]) * 240 / SIZE / np.exp(r[i, 289]) for i, x in enumerate(everywhere)]
    assert 0.08 < min(mm) < max(mm) < 2.5 and 0.4 < np.mean(mm) < 1.5


def test_faces_stand_in_the_way_of_their_own_lights(folder):
    config = DetailBankConfig(path=str(folder), batch=3, flat=0.0)
    plain, cast = (
        next(detail_dataset(dataclasses.replace(config, cast=share), SIZE).as_numpy_iterator()) for share in (0.0, 1.0)
    )
    for name in ("depth", "mask", "skin", "albedo", "r", "coarse_r"):
        np.testing.assert_array_equal(cast[name], plain[name])
    # Exposure follows the face's mean: what light still reaches is brighter by one factor.
    mask = plain["mask"][..., 0] > 0
    light = [np.maximum(batch["image"][..., 0], 0.02) ** 2.2 for batch in (plain, cast)]
    for index in range(3):
        ratio = (light[1] / light[0])[index][mask[index]]
        hidden = ratio < 0.8 * np.percentile(ratio, 90)
        assert 0.01 < hidden.mean() < 0.6
