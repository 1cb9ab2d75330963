"""Depth and normals against measured ones, on a folder whose truth is known and reconstructors that know it or not."""

import json
import types

import cv2
import numpy as np
import pytest
from PIL import Image

from tfface.face import depth_normals
from tfface.pipelines import evaluate, evaluate_depth, evaluate_normals, evaluate_truth
from tfface.pipelines.evaluate_depth import DepthEvaluationConfig
from tfface.pipelines.evaluate_normals import NormalsEvaluationConfig

H, W = 60, 80
MM_PER_PX = 0.5
AXIS_SIGNS = {"right,up,near": (1, -1, 1), "right,down,near": (1, 1, 1), "left,up,far": (-1, -1, -1)}


def dome(bump=0.0):
    """Depth `[H, W]` in px, NaN off an ellipse, with ripples of a given height."""
    y, x = np.mgrid[:H, :W] + 0.5
    inside = ((x - 40) / 30) ** 2 + ((y - 30) / 25) ** 2 < 1
    depth = 20 - (x - 40) ** 2 / 60 - (y - 30) ** 2 / 50 + bump * np.sin(x / 2)
    return np.where(inside, depth, np.nan).astype(np.float32)


def reconstructor(shift=0.0, **_):
    """Answers the smooth dome as coarse and the rippled one as fine; finds a face only where a box is given."""
    coarse, fine = dome(), dome(1.0)
    face = types.SimpleNamespace(
        depth=fine + shift,
        coarse_depth=coarse + shift,
        normals=depth_normals(fine),
        coarse_normals=depth_normals(coarse),
        mm_per_px=MM_PER_PX,
    )
    calls = []

    def reconstruct(image, boxes=None):
        calls.append(boxes)
        return [face] if boxes else []

    reconstruct.calls = calls
    return reconstruct


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        Image.fromarray(np.full((H, W, 3), 120, np.uint8)).save(tmp_path / f"{name}.jpg")
        mask = np.uint8(np.isfinite(dome())) * 255
        Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
    return tmp_path


def test_depth_of_the_truth_up_to_a_shift(folder):
    for name in ("a", "b"):
        np.save(folder / f"{name}_depth.npy", dome(1.0) * MM_PER_PX + 700.0)
    report = evaluate_depth.run(reconstructor(shift=9.0), DepthEvaluationConfig(str(folder)))
    coarse, fine = report["rows"]
    assert report["faces"] == 2 and fine["faces"] == 2 and fine["mean_mm"] < 1e-4
    # The mean of |sin| is 2/π.
    assert coarse["mean_mm"] == pytest.approx(MM_PER_PX * 2 / np.pi, rel=0.05)
    assert coarse["p90_mm"] == pytest.approx(MM_PER_PX * np.sin(0.9 * np.pi / 2), rel=0.05)
    assert coarse["pixels"] == 2 * np.isfinite(dome()).sum()


def test_depth_pngs_with_units_direction_and_pitch(folder):
    depth = np.nan_to_num(30000 - dome(1.0) * 2 * MM_PER_PX * 100)
    for name in ("a", "b"):
        values = np.where(np.isfinite(dome()), depth, 0).astype(np.uint16)
        values[30, 20:30] = 0
        cv2.imwrite(str(folder / f"{name}_depth.png"), values)
    settings = {"mm_per_unit": 0.01, "nearer": "smaller", "mm_per_px": 2 * MM_PER_PX}
    (folder / "depth.json").write_text(json.dumps(settings))
    rows = {row["name"]: row for row in evaluate_depth.run(reconstructor(), DepthEvaluationConfig(str(folder)))["rows"]}
    # The head is twice as large as the average one: only the measured pitch gets it right.
    assert rows["fine, true scale"]["mean_mm"] < 0.01 < 0.5 < rows["fine"]["mean_mm"]
    assert rows["fine"]["pixels"] == 2 * (np.isfinite(dome()).sum() - 10)


def test_faces_without_common_pixels_are_named(folder):
    np.save(folder / "a_depth.npy", np.full((H, W), np.nan))
    np.save(folder / "b_depth.npy", dome())
    report = evaluate_depth.run(reconstructor(), DepthEvaluationConfig(str(folder)))
    assert report["rows"][0]["faces"] == 1 and "not counted: a." in report["protocol"]


@pytest.mark.parametrize("axes", AXIS_SIGNS)
@pytest.mark.parametrize("kind", ["npy", "png8", "png16"])
def test_normals_of_the_truth(folder, axes, kind):
    true = depth_normals(dome(1.0)) * AXIS_SIGNS[axes]
    for name in ("a", "b"):
        if kind == "npy":
            np.save(folder / f"{name}_normals.npy", true * 3.0)
        else:
            top, number = (255, np.uint8) if kind == "png8" else (65535, np.uint16)
            values = np.where(np.isfinite(true), np.rint((true + 1) / 2 * top), 0).astype(number)
            cv2.imwrite(str(folder / f"{name}_normals.png"), values[..., ::-1])
    report = evaluate_normals.run(reconstructor(), NormalsEvaluationConfig(str(folder), axes=axes))
    coarse, fine = report["rows"]
    assert fine["mean_deg"] < (0.5 if kind == "png8" else 0.02) and fine["below_11.25_percent"] == 100.0
    assert coarse["mean_deg"] > 5.0 and coarse["below_11.25_percent"] < 95.0
    expected = 100 * (1 - fine["mean_deg"] / coarse["mean_deg"])
    assert fine["closer_percent"] == pytest.approx(expected)
    assert axes in report["protocol"]


def test_angles_are_angles():
    a, b = np.zeros((1, 3, 3)), np.zeros((1, 3, 3))
    a[..., 2], angles = 1.0, np.radians([0.001, 30.0, 180.0])
    b[0, :, 0], b[0, :, 2] = np.sin(angles), np.cos(angles)
    found = evaluate_normals.angular_errors(a, b, np.ones((1, 3), bool))
    np.testing.assert_allclose(found, [0.001, 30.0, 180.0], rtol=1e-6)


def test_the_face_under_the_mask_is_taken():
    mask = np.zeros((H, W), bool)
    mask[20:40, 50:70] = True
    near = types.SimpleNamespace(box=np.array([48.0, 18, 70, 42]))
    far = types.SimpleNamespace(box=np.array([0.0, 0, 30, 30]))
    photo = np.zeros((H, W, 3), np.uint8)
    assert evaluate_truth.reconstruct(lambda rgb, boxes=None: [far, near], photo, mask) is near
    # Nothing is found there: the mask's own box.
    seen = evaluate_truth.reconstruct(lambda rgb, boxes=None: [boxes] if boxes else [far], photo, mask)
    assert seen == [(50.0, 20.0, 70.0, 40.0)]
    call = reconstructor()
    evaluate_truth.reconstruct(call, photo, mask, "mask")
    assert call.calls == [[(50.0, 20.0, 70.0, 40.0)]]


def test_limit_spreads_over_the_folder(folder):
    for name in ("a", "b"):
        np.save(folder / f"{name}_depth.npy", dome())
    assert [one.name for one in evaluate_truth.list_folder(folder, "depth", 1)] == ["a"]
    assert [one.name for one in evaluate_truth.list_folder(folder, "depth")] == ["a", "b"]


def refuses(message, folder, what="depth", error=ValueError, **settings):
    config = {"depth": DepthEvaluationConfig, "normals": NormalsEvaluationConfig}[what]
    protocol = {"depth": evaluate_depth, "normals": evaluate_normals}[what]
    with pytest.raises(error, match=message):
        protocol.run(reconstructor(), config(str(folder), **settings))


def test_bad_folders_say_so(folder):
    refuses("none there", folder / "nowhere", error=FileNotFoundError)
    refuses("no NAME_depth file", folder)
    np.save(folder / "c_depth.npy", dome())
    refuses("c.jpg or c.png beside", folder, error=FileNotFoundError)
    Image.new("RGB", (W, H)).save(folder / "c.png")
    refuses("c_mask.png beside", folder, error=FileNotFoundError)
    Image.new("L", (W, H)).save(folder / "c_mask.png")
    refuses("some white pixels", folder)
    Image.new("L", (W + 1, H), 255).save(folder / "c_mask.png")
    refuses(f"expected {W}×{H} px as its photograph has, received {W + 1}×{H}", folder)
    Image.new("L", (W, H), 255).save(folder / "c_mask.png")
    refuses("expected crop to be one of mtcnn, mask", folder, crop="landmarks")
    np.save(folder / "c_depth.npy", np.zeros((H, W, 3)))
    refuses(r"depth of shape \[H, W\], received \[60, 80, 3\]", folder)
    (folder / "c_depth.npy").write_bytes(b"nothing")
    refuses("array saved by numpy", folder)
    (folder / "depth.json").write_text("{")
    refuses("expected JSON", folder)
    (folder / "depth.json").write_text('{"scale": 2}')
    refuses("some of mm_per_unit, nearer, mm_per_px", folder)
    (folder / "depth.json").write_text('{"mm_per_px": 0}')
    refuses("mm_per_px to be a number above 0", folder)
    (folder / "depth.json").write_text('{"nearer": "up"}')
    refuses("larger or smaller", folder)


def test_bad_normals_say_so(folder):
    np.save(folder / "a_normals.npy", depth_normals(dome()) * [1, -1, -1])
    refuses("look away; say where", folder, "normals")
    refuses(r"right\|left,up\|down,near\|far", folder, "normals", axes="x,y,z")
    np.save(folder / "a_normals.npy", dome())
    refuses(r"normals of shape \[H, W, 3\]", folder, "normals")
    (folder / "a_normals.npy").unlink()
    (folder / "a_normals.png").write_bytes(b"nothing")
    refuses("expected a PNG", folder, "normals")


def test_the_command_reaches_both(folder, monkeypatch):
    """From the configuration to the protocol, with a Reconstructor around given networks."""
    for name in ("a", "b"):
        np.save(folder / f"{name}_depth.npy", dome())
        np.save(folder / f"{name}_normals.npy", depth_normals(dome()) * [1, -1, 1])
    monkeypatch.setattr("tfface.reconstructor.Reconstructor", lambda networks: reconstructor())
    for protocol in ("depth", "normals"):
        config = evaluate.EvaluateConfig(protocol, photos=str(folder), crop="mask", faces=1)
        report = evaluate.run(config, networks=object())
        assert report["faces"] == 1 and "bounding box, as a box drawn" in report["protocol"]
