"""Detail, print-through and shading residual, for networks that know the truth, do nothing, or copy the picture."""

import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.fakes import write_around
from tfface.morphable.model import MorphableModel
from tfface.pipelines import evaluate, evaluate_detail, evaluate_print_through, evaluate_shading
from tfface.pipelines.evaluate_detail import DetailEvaluationConfig, Refiner
from tfface.pipelines.synthetic_detail import DetailWorld

SIZES = (48, 96)


class Remembering(DetailWorld):
    """Knows the last picture it rendered, for networks that shall know the truth, and how old its last head is."""

    def head(self, *arguments, severity=None, natural=False, **options):
        if severity is not None:
            self.severity, self.natural, options["severity"] = severity, natural, severity
        return super().head(*arguments, natural=natural, **options)

    def render(self, head, size):
        self.r, self.last = head.r, super().render(head, size)
        return self.last


@pytest.fixture(scope="module")
def model():
    return MorphableModel.default()


@pytest.fixture(scope="module")
def world(model):
    return Remembering(model, fine_px=96)


class Coarse:
    """Answers the true r of the last head."""

    config = types.SimpleNamespace(size=48, passes=1)

    def __init__(self, world):
        self.world = world

    def __call__(self, image, training=False):
        assert image.shape == (1, 48, 48, 1)
        return tf.constant(self.world.r[None])


def networks(model, world, fine):
    return types.SimpleNamespace(face_model=model, coarse=Coarse(world), fine=fine)


def nothing(inputs, training=False):
    return inputs["depth"] * inputs["mask"]


def copies(inputs, training=False):
    return (inputs["depth"] + inputs["image"] * inputs["detailed"]) * inputs["mask"]


def test_the_truth_is_all_closer(model, world, monkeypatch):
    def knows(inputs, training=False):
        return tf.constant(world.last.depth[None, :, :, None])

    monkeypatch.setattr(evaluate_print_through, "DEFAULT_FACES", 1)
    report = evaluate_detail.run(networks(model, world, knows), DetailEvaluationConfig(sizes=SIZES, faces=2), world)
    rows = {row["name"]: row for row in report["rows"]}
    depth = {row["name"]: row for row in report["more"][0]["rows"]}
    for start in ("true coarse", "CoarseNet"):
        fine, coarse = rows[f"96 px, {start}: fine"], rows[f"96 px, {start}: coarse"]
        assert fine["mean_deg"] < 0.05 < 1.0 < coarse["mean_deg"]
        assert fine["closer_percent"] > 95 and fine["heads_closer"] == 2
        assert fine["wrinkle_closer_percent"] > 95 and fine["wrinkle_mean_deg"] < 0.05
        assert depth[f"96 px, {start}: fine"]["depth_mean_mm"] < 1e-3
        assert depth[f"96 px, {start}: fine"]["detail_correlation"] == pytest.approx(1.0, abs=1e-3)
    enlarged = rows["48 px, true coarse: fine, enlarged to 96"]
    assert rows["96 px, true coarse: fine"]["mean_deg"] < enlarged["mean_deg"]
    assert enlarged["closer_percent"] < rows["96 px, true coarse: fine"]["closer_percent"]
    assert (
        "Natural" not in report["protocol"]
        and "2 synthetic heads" in report["protocol"]
        and "48, 96 px" in report["protocol"]
    )


def test_doing_nothing_is_no_closer(model, world, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(evaluate_print_through, "DEFAULT_FACES", 1)
    monkeypatch.setattr(evaluate_detail, "DetailWorld", lambda face_model: world)
    write_around(tmp_path, np.zeros((1, 290)), np.full((1, 256, 256, 2), 1.0))
    around = {"surroundings": str(tmp_path), "small": True}
    config = evaluate.EvaluateConfig("detail", sizes=(48,), faces=1, severity=2.0, natural=True, **around)
    report = evaluate.run(config, networks(model, world, nothing))
    coarse, smoothed, fine = report["rows"][:3]
    assert "severity up to 2:" in report["protocol"] and world.severity == 2.0
    assert "Natural: lights cast shadows" in report["protocol"] and world.natural
    assert f"of a photograph in {tmp_path}" in report["protocol"] and "Small: pictures" in report["protocol"]
    assert fine["name"] == "48 px, true coarse: fine" and "closer_percent" not in coarse
    assert fine["closer_percent"] == pytest.approx(0.0) and fine["heads_closer"] == 0
    assert smoothed["name"] == "48 px, true coarse: smoothed" and smoothed["mean_deg"] != coarse["mean_deg"]
    assert report["more"][0]["rows"][2]["detail_correlation"] is None
    marks = {row["name"]: row for row in report["more"][1]["rows"]}
    assert marks["48 px, brows, flat"]["relief_um"] == 0.0
    assert marks["48 px, brows, flat"]["relief_of_wrinkles_percent"] is None
    evaluate.show(report)
    assert "Print-through" in capsys.readouterr().out


def test_copying_the_picture_prints_marks_through(model, world):
    rows = evaluate_print_through.run(Refiner(networks(model, world, copies), world), (96,), 1)["rows"]
    rows = {row["name"].removeprefix("96 px, "): row for row in rows}
    wrinkles = rows["wrinkles"]
    assert wrinkles["relief_um"] > 5.0 and rows["wrinkles, truth"]["relief_um"] > 50.0
    for kind in ("brows", "moles", "text"):
        row = rows[f"{kind}, flat"]
        assert row["contrast_percent"] == pytest.approx(wrinkles["contrast_percent"], rel=0.3)
        assert 40 < row["relief_of_wrinkles_percent"] < 250
        assert row["edge_correlation"] > 0.5
        natural = rows[f"{kind}, flat, natural"]
        assert natural["contrast_percent"] > 0 and natural["relief_um"] > 0
    for light in ("flat", "lit"):
        assert rows[f"hair, {light}"]["contrast_percent"] > 3 and rows[f"hair, {light}"]["edge_correlation"] > 0.5


def test_equal_darkness_gives_the_contrast():
    spread = np.array([0.2, 0.5, 1.0])
    darkness = evaluate_print_through.equal_darkness(spread, 0.1)
    assert np.sqrt(np.mean((1 - np.exp(-darkness * spread / 2.2)) ** 2)) == pytest.approx(0.1)


def test_photographs_of_a_wrinkled_head_are_explained_by_its_depth(model, world):
    picture = world.render(world.head(5), 96)

    def knows(inputs, training=False):
        return tf.constant(picture.depth[None, :, :, None])

    valid = np.ones((96, 96), np.float32)
    for fine in (nothing, knows):
        measured = evaluate_shading.Residuals(networks(model, world, fine))
        found = measured(picture.image[..., None], world.r, valid)
        before, after = found["release"]
        assert before > 0.0 and set(found) == {"release", "paper"}
        again = measured(picture.image[..., None], world.r, valid, (0.0, 0.5, 1.0))["release"]
        assert again[0] == again[1] == before and again[3] == after and after <= again[2] <= before
        assert after == pytest.approx(before) if fine is nothing else after < before


def test_shading_of_a_folder(model, world, tmp_path):
    """Two validation photographs in the format of the landmarks protocol, one beyond its real pixels."""
    (tmp_path / "images").mkdir()
    picture = world.render(world.head(5), 96)
    points = np.zeros((2, 478, 2), np.float32)
    points[:, :68] = np.random.default_rng(0).uniform(30, 70, (68, 2))
    for i in range(2):
        grey = Image.fromarray(np.uint8(picture.image * 255))
        grey.convert("RGB").save(tmp_path / "images" / f"{i:05d}.jpg")
    table = {
        "points": points,
        "euler": np.zeros((2, 3)),
        "valid": np.array([[0, 0, 96, 96], [0, 0, 0, 0]]),
        "source": np.array(["drawn"] * 2),
        "face_px": np.full(2, 96.0),
    }
    np.savez(tmp_path / "landmarks.npz", **table)
    np.savetxt(tmp_path / "landmarks68.txt", np.arange(68), fmt="%d")
    (tmp_path / "train.txt").write_text("")
    np.savetxt(tmp_path / "val.txt", np.arange(2), fmt="%05d")

    class Two(Coarse):
        def __call__(self, image, training=False):
            return tf.tile(tf.constant(self.world.r[None]), [len(image), 1])

    nets = networks(model, world, nothing)
    nets.coarse = Two(world)
    config = evaluate.EvaluateConfig("shading", photos=str(tmp_path), sizes=(48,), amounts=(1.0, 1.5))
    report = evaluate.run(config, nets)
    names = [row["name"] for row in report["rows"]]
    assert names == ["48 px, release", "48 px, release, detail × 1.5", "48 px, paper", "48 px, paper, detail × 1.5"]
    assert "Rows “detail × …”" in report["protocol"]
    release, _, paper, _ = report["rows"]
    assert report["faces"] == 2 and release["faces"] == paper["faces"] == 1
    assert release["lower_mean_percent"] == pytest.approx(0.0) and release["lower_by_40_percent_of_faces"] == 0.0


def test_inside_follows_the_crop():
    found = evaluate_shading.inside(np.array([0.0, 0.0, 50.0, 100.0]), np.array([50.0, 50.0, 100.0]), 10)
    np.testing.assert_array_equal(found, np.repeat([[1] * 5 + [0] * 5], 10, axis=0))


def test_refuses_in_words(model, world, tmp_path):
    with pytest.raises(ValueError, match="sizes of at least 32 px, received"):
        DetailEvaluationConfig(sizes=(16,))
    with pytest.raises(ValueError, match="severity of 0.25 to 4, received 5"):
        DetailEvaluationConfig(severity=5.0)
    with pytest.raises(ValueError, match="expected severity for detail, received it for shading"):
        evaluate.run(evaluate.EvaluateConfig("shading", photos="x", severity=2.0), networks=object())
    with pytest.raises(ValueError, match="expected natural for detail, received it for shading"):
        evaluate.run(evaluate.EvaluateConfig("shading", photos="x", natural=True), networks=object())
    for name in ("surroundings", "small"):
        with pytest.raises(ValueError, match=f"expected {name} for detail, received it for shading"):
            evaluate.run(evaluate.EvaluateConfig("shading", photos="x", **{name: "y"}), networks=object())
    with pytest.raises(FileNotFoundError, match="pipelines.surroundings"):
        settings = DetailEvaluationConfig(surroundings=str(tmp_path), faces=1)
        evaluate_detail.run(networks(model, world, nothing), settings, world)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        settings = DetailEvaluationConfig(photos=str(tmp_path / "nowhere"), faces=1)
        evaluate_detail.run(networks(model, world, nothing), settings, world)
