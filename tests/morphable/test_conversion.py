"""Other people's face models: small files of each layout come in whole, and hostile ones stay out."""

import json
import os
import pickle
import struct

import numpy as np
import pytest

from tfface.morphable.conversion import convert
from tfface.morphable.conversion.ict import read_obj

h5py = pytest.importorskip("h5py")
K = 4


@pytest.fixture(scope="module")
def foreign(model):
    """Another head in another place, with its vertices in another order: mm, y up, z forward."""
    rng = np.random.default_rng(1)
    order = rng.permutation(len(model.mean))
    new = np.empty_like(order)
    new[order] = np.arange(len(order))
    head = model.mean + model.identity_basis[..., :20] @ rng.normal(0, 0.7, 20)
    return {
        "mean": head[order] * 1.05 + [10.0, -20.0, 35.0],
        "identity": model.identity_basis[order][..., :K] * 1.05,
        "expression": model.expression_basis[order][..., :K] * 1.05,
        "triangles": new[model.triangles][:, ::-1],
        "landmarks": new[model.landmarks],
        "color": rng.uniform(0.2, 0.8, (len(head), 3)),
        "color_basis": rng.normal(0, 0.02, (len(head), 3, K)),
    }


def _check(converted, foreign, expressions=K):
    center = foreign["mean"][converted.landmarks].mean(0)
    np.testing.assert_allclose(converted.mean, foreign["mean"] - center, atol=1e-3)
    np.testing.assert_allclose(converted.identity_basis[..., :K], foreign["identity"], atol=2e-3)
    assert not converted.identity_basis[..., K:].any()
    np.testing.assert_allclose(
        converted.expression_basis[..., :expressions], foreign["expression"][..., :expressions], atol=2e-3
    )
    # The reversed winding is put right: noses point outward.
    nose = converted.triangles[(converted.triangles == converted.landmarks[30]).any(1)]
    a, b, c = (converted.mean[nose[:, k]] for k in range(3))
    assert np.cross(b - a, c - a).sum(0)[2] > 0


def _check_landmarks(converted, foreign):
    off = np.linalg.norm(foreign["mean"][converted.landmarks] - foreign["mean"][foreign["landmarks"]], axis=1)
    assert np.median(off) < 4.0 and off[17:].max() < 12.0, off.round(1)


def test_basel_2009(foreign, tmp_path):
    from scipy.io import savemat

    deviation = np.linspace(2.0, 0.5, K)
    file = {
        "shapeMU": foreign["mean"].reshape(-1, 1) * 1e3,
        "shapePC": foreign["identity"].reshape(-1, K) / deviation,
        "shapeEV": deviation[:, None] * 1e3,
        "texMU": foreign["color"].reshape(-1, 1) * 255,
        "texPC": foreign["color_basis"].reshape(-1, K),
        "texEV": np.full((K, 1), 255.0),
        "tl": foreign["triangles"] + 1,
    }
    savemat(tmp_path / "01_MorphableModel.mat", file)
    converted = convert(tmp_path / "01_MorphableModel.mat")
    _check(converted, foreign, expressions=0)
    _check_landmarks(converted, foreign)
    np.testing.assert_allclose(converted.albedo_mean, foreign["color"] ** 2.2, atol=1e-4)
    assert "not for redistribution" in converted.license


def test_basel_2019(foreign, tmp_path):
    variance = np.linspace(4.0, 1.0, K)
    path = tmp_path / "model2019_bfm.h5"
    with h5py.File(path, "w") as file:
        parts = {"shape": (foreign["mean"], "identity"), "expression": (0 * foreign["mean"], "expression")}
        parts["color"] = (foreign["color"], "color_basis")
        for name, (mean, basis) in parts.items():
            group = file.create_group(f"{name}/model")
            group["mean"] = mean.ravel()
            group["pcaBasis"] = foreign[basis].reshape(-1, K) / np.sqrt(variance)
            group["pcaVariance"] = variance
        file["shape/representer/cells"] = foreign["triangles"].T
    converted = convert(path)
    _check(converted, foreign)
    _check_landmarks(converted, foreign)
    assert converted.name == "basel-2019"


def test_surrey_with_its_blendshapes(foreign, tmp_path):
    def matrix(values):
        values = np.asarray(values, "<f4").reshape(len(values), -1)
        return struct.pack("<ii", *values.shape) + values.T.tobytes()

    def pca(mean, basis, triangles):
        variance = np.full(K, 4.0)
        data = matrix(mean.ravel()) + matrix(basis.reshape(-1, K) / 2.0) + matrix(variance)
        return data + struct.pack("<Q", len(triangles)) + triangles.astype("<i4").tobytes()

    shape = pca(foreign["mean"], foreign["identity"], foreign["triangles"])
    color = pca(foreign["color"], foreign["color_basis"], foreign["triangles"])
    (tmp_path / "sfm.bin").write_bytes(struct.pack("<I", 1) + shape + color + struct.pack("<Q", 0))
    names = [b"anger", b"joy"]
    shapes = b"".join(
        struct.pack("<Q", len(name)) + name + matrix(foreign["expression"][..., k].ravel())
        for k, name in enumerate(names)
    )
    (tmp_path / "expression_blendshapes_3448.bin").write_bytes(struct.pack("<Q", 2) + shapes)
    converted = convert(tmp_path / "sfm.bin")
    _check(converted, foreign, expressions=2)
    assert converted.action_names == ("anger", "joy")
    np.testing.assert_array_equal(converted.actions[1, :3], [0, 1, 0])
    (tmp_path / "cut.bin").write_bytes((tmp_path / "sfm.bin").read_bytes()[:5000])
    with pytest.raises(ValueError, match="too early"):
        convert(tmp_path / "cut.bin")


def test_ict_facekit(foreign, tmp_path):
    def write(name, vertices):
        lines = [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in vertices / 10.0]
        lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in foreign["triangles"] + 1]
        lines[len(vertices) : len(vertices)] = ["vt 0.25 0.75"] * len(vertices)
        (tmp_path / f"{name}.obj").write_text("\n".join(lines))

    write("generic_neutral_mesh", foreign["mean"])
    for k in range(K):
        write(f"identity{k:03d}", foreign["mean"] + foreign["identity"][..., k])
    write("browDown_L", foreign["mean"] + foreign["expression"][..., 0])
    landmarks = {"idx_to_landmark_verts": foreign["landmarks"].tolist()}
    (tmp_path / "vertex_indices.json").write_text(json.dumps(landmarks))
    converted = convert(tmp_path)
    _check(converted, foreign, expressions=1)
    np.testing.assert_array_equal(converted.landmarks, foreign["landmarks"])
    assert converted.action_names == ("browDownLeft",)
    np.testing.assert_allclose(converted.uv, np.tile([0.25, 0.75], (len(converted.mean), 1)))


def test_flame_keeps_chumpy_out(foreign, tmp_path, monkeypatch):
    import sys
    import types

    # A module that exists only while the file is written, as chumpy did.
    class Ch:
        def __init__(self, x):
            self.x = x

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    package, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", package)
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    directions = np.concatenate([foreign["identity"], foreign["expression"]], -1) / 1e3
    content = {"v_template": foreign["mean"] / 1e3, "shapedirs": Ch(directions), "f": foreign["triangles"]}
    (tmp_path / "generic_model.pkl").write_bytes(pickle.dumps(content, protocol=2))
    monkeypatch.undo()
    converted = convert(tmp_path / "generic_model.pkl")
    _check(converted, foreign)


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    for content in (Evil(), {"v_template": Evil()}):
        path = tmp_path / "evil.pkl"
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match="no need of"):
            convert(path)
    assert not marker.exists()


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="found nothing"):
        convert(tmp_path / "none.mat")
    (tmp_path / "face.xyz").write_text("?")
    with pytest.raises(ValueError, match="name its kind"):
        convert(tmp_path / "face.xyz")
    for name in ("a.mat", "a.h5", "a.pkl", "a.bin"):
        (tmp_path / name).write_text("this is no face model")
        with pytest.raises(ValueError, match=r"expected .*a\."):
            convert(tmp_path / name)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ValueError, match="generic_neutral_mesh.obj"):
        convert(folder)


def test_obj_keeps_vertices_in_order_and_splits_polygons(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 9 9 9\nf 1 2 3 4\nf -5 -4 -2\n")
    vertices, _, triangles, _ = read_obj(tmp_path / "a.obj")
    assert len(vertices) == 5
    np.testing.assert_array_equal(triangles, [[0, 1, 2], [0, 2, 3], [0, 1, 3]])
    (tmp_path / "b.obj").write_text("v 0 0 0\nf 1 x 3\n")
    with pytest.raises(ValueError, match="line 2"):
        read_obj(tmp_path / "b.obj")


def test_the_command_knows_every_kind():
    from tfface.commands.model import KINDS as offered
    from tfface.morphable.conversion import KINDS

    assert offered == KINDS
