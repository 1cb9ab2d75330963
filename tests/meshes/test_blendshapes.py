"""The morph targets of the GLB are the face model's actions, read back without our own code."""

import json
import struct

import numpy as np
import pytest
import trimesh

from tests.meshes.fixtures import painted_face
from tfface.meshes.texture import face_texture

TYPES = {5125: "<u4", 5126: "<f4"}


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    face = painted_face(model, yaw=0.3)
    face.__dict__["texture"] = face_texture(face, model, 64)
    object.__setattr__(face, "blendshapes", {name: index / 100 for index, name in enumerate(model.action_names)})
    return face.save(tmp_path_factory.mktemp("arkit"), "glb-arkit", name="me")


@pytest.fixture(scope="module")
def asset(files):
    data = open(files["me_arkit.glb"], "rb").read()
    magic, version, total, length, kind = struct.unpack_from("<4sIIII", data)
    assert (magic, version, total, kind) == (b"glTF", 2, len(data), 0x4E4F534A)
    binary = data[28 + length :]
    assert struct.unpack_from("<II", data, 20 + length) == (len(binary), 0x004E4942) and length % 4 == 0
    return json.loads(data[20 : 20 + length]), binary


def rows(asset, view, kind, columns):
    tree, binary = asset
    view = tree["bufferViews"][view]
    start = view.get("byteOffset", 0)
    assert start % 4 == 0 and start + view["byteLength"] <= len(binary)
    return np.frombuffer(binary[start : start + view["byteLength"]], kind).reshape(-1, columns)


def accessor(asset, number):
    entry = asset[0]["accessors"][number]
    values = np.zeros((entry["count"], 3), np.float32)
    if "bufferView" in entry:
        values[:] = rows(asset, entry["bufferView"], "<f4", 3)
    if "sparse" in entry:
        sparse = entry["sparse"]
        index = rows(asset, sparse["indices"]["bufferView"], TYPES[sparse["indices"]["componentType"]], 1)[:, 0]
        assert len(index) == sparse["count"] and (np.diff(index.astype(int)) > 0).all()
        values[index] = rows(asset, sparse["values"]["bufferView"], "<f4", 3)
    np.testing.assert_array_equal(entry["min"], values.min(axis=0))
    np.testing.assert_array_equal(entry["max"], values.max(axis=0))
    return values


def test_targets_are_the_actions(asset, model):
    (mesh,) = asset[0]["meshes"]
    (primitive,) = mesh["primitives"]
    assert mesh["extras"]["targetNames"] == list(model.action_names) and len(primitive["targets"]) == 52
    assert mesh["weights"] == [0.0] * 52
    for name in ("jawOpen", "eyeBlinkLeft", "tongueOut"):
        number = model.action_names.index(name)
        wanted = model.expression_basis @ model.actions[number]
        found = accessor(asset, primitive["targets"][number]["POSITION"])
        assert len(found) == len(model.uv)
        np.testing.assert_allclose(found[: len(wanted)] * 1000, wanted, atol=0.03)


def test_normals_follow(asset, model):
    from tfface.meshes.drawing import smooth_normals

    (primitive,) = asset[0]["meshes"][0]["primitives"]
    number = model.action_names.index("mouthSmileLeft")
    moved = model.mean + model.expression_basis @ model.actions[number]
    found = accessor(asset, primitive["targets"][number]["NORMAL"])[: len(moved)]
    rest = smooth_normals(model.mean, model.triangles)
    np.testing.assert_allclose(rest + found, smooth_normals(moved, model.triangles), atol=0.02)


def test_other_programs_read_the_head(files, model):
    mesh = trimesh.load(files["me_arkit.glb"], process=False, force="mesh")
    np.testing.assert_allclose(mesh.vertices[: len(model.mean)] * 1000, model.mean, atol=1e-3)


def test_weights_lie_beside_it(files, model):
    weights = json.loads(open(files["me_arkit.json"], encoding="utf-8").read())["blendshapes"]
    assert list(weights) == list(model.action_names) and weights["browDownRight"] == 0.01
