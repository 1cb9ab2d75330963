"""Mesh files, opened by trimesh: shape, texture and camera are what was saved."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from tests.meshes.fixtures import painted_face


@pytest.fixture(scope="module")
def face(model):
    made = painted_face(model, yaw=0.4)
    made.__dict__["texture"] = small_texture(made, model)
    return made


def small_texture(face, model):
    from tfface.meshes.texture import face_texture

    return face_texture(face, model, 128)


@pytest.mark.parametrize("kind, unit", [("obj", 1.0), ("ply", 1.0), ("glb", 1e-3)])
def test_meshes_open_as_they_were(face, tmp_path, kind, unit):
    files = face.save(tmp_path, kind, name="me")
    mesh = trimesh.load(files[f"me.{kind}"], process=False, force="mesh")
    corners = mesh.vertices[mesh.faces]
    np.testing.assert_allclose(corners, face.vertices[face.triangles] * unit, atol=1e-3 * unit)
    # Outward: the tip of the nose looks where the face looks.
    assert mesh.vertex_normals[mesh.vertices[:, 2].argmax(), 2] > 0.8


def test_obj_keeps_the_models_vertices_and_its_seams_closed(face, tmp_path):
    files = face.save(tmp_path, "obj", name="me")
    assert sorted(files) == ["me.mtl", "me.obj", "me_texture.png"]
    lines = open(files["me.obj"], encoding="utf-8").read().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    np.testing.assert_allclose(vertices, face.vertices, atol=1e-4)
    assert "mtllib me.mtl" in lines and "map_Kd me_texture.png" in open(files["me.mtl"], encoding="utf-8").read()
    mesh = trimesh.load(files["me.obj"], process=False)
    assert mesh.visual.uv.min() >= 0 and mesh.visual.material.image.size == (128, 128)


@pytest.mark.parametrize("kind", ["obj", "glb"])
def test_the_texture_lies_where_it_belongs(face, tmp_path, kind):
    files = face.save(tmp_path, kind)
    mesh = trimesh.load(files[f"face.{kind}"], process=False, force="mesh")
    material = mesh.visual.material
    image = np.asarray((material.image if kind == "obj" else material.baseColorTexture).convert("RGB"))
    rows = np.clip(((1 - mesh.visual.uv[:, 1]) * 128).astype(int), 0, 127)
    columns = np.clip((mesh.visual.uv[:, 0] * 128).astype(int), 0, 127)
    # What faces the camera looks like the photo at its place.
    camera = json.loads(open(face.save(tmp_path, "camera")["face_camera.json"], encoding="utf-8").read())
    vertices = mesh.vertices * (1.0 if kind == "obj" else 1000.0)
    place = np.c_[vertices, np.ones(len(vertices))] @ np.array(camera["image_from_mesh_mm"]).T
    seen = (mesh.vertex_normals[:, 2] > 0.8) & (vertices[:, 2] > 0)
    x, y = np.floor(place[seen, :2]).astype(int).T
    difference = np.abs(image[rows[seen], columns[seen]].astype(int) - face.image[y, x])
    assert seen.sum() > 300 and np.median(difference) < 4


def test_ply_colours_are_the_textures(face, tmp_path):
    path = face.save(tmp_path, "ply")["face.ply"]
    assert b"\ncomment tfface, millimetres, x right, y up, z towards the viewer\n" in Path(path).read_bytes()[:300]
    mesh = trimesh.load(path, process=False)
    assert len(mesh.vertices) == len(face.vertices)
    colors = np.asarray(mesh.visual.vertex_colors)[:, :3]
    np.testing.assert_array_equal(colors, face.texture.at(face.texture.atlas.uv[: len(face.vertices)]))


def test_frontal_heads(face, model, tmp_path):
    files = face.save(tmp_path, ("obj", "glb"), name="me", frontal="neutral")
    assert {"me.obj", "me_neutral.obj", "me.glb", "me_neutral.glb", "me.mtl", "me_texture.png"} == set(files)
    mesh = trimesh.load(files["me_neutral.glb"], process=False, force="mesh")
    np.testing.assert_allclose(mesh.vertices[: len(model.mean)] * 1000, model.mean, atol=1e-3)
    mesh = trimesh.load(files["me_neutral.obj"], process=False)
    assert mesh.visual.material.image.size == (128, 128)
    object.__setattr__(face, "expression", np.eye(84, dtype=np.float32)[0])
    smiling = face.frontal("expression")
    np.testing.assert_allclose(smiling - face.frontal(), model.expression_basis[..., 0], atol=1e-3)


def test_camera_lays_the_saved_mesh_over_the_photo(face, tmp_path):
    files = face.save(tmp_path, ("obj", "glb", "camera"))
    camera = json.loads(open(files["face_camera.json"], encoding="utf-8").read())
    width, height = camera["image_size"]
    for kind, unit in (("obj", "millimetres"), ("glb", "metres")):
        mesh = trimesh.load(files[f"face.{kind}"], process=False, force="mesh")
        view = camera[unit]
        # As any renderer: into the camera's frame, to −1…1, to pixels. Only numbers of the file.
        local = mesh.vertices - view["position"]
        x = (local[:, 0] - view["left"]) / (view["right"] - view["left"]) * width
        y = (view["top"] - local[:, 1]) / (view["top"] - view["bottom"]) * height
        assert (-local[:, 2] > view["near"]).all() and (-local[:, 2] < view["far"]).all()
        found = np.stack([x, y], axis=-1)[mesh.faces]
        np.testing.assert_allclose(found, face.vertices_image[face.triangles, :2], atol=0.01)
    turned = face.frontal() @ np.array(camera["posed_from_frontal"]).T
    np.testing.assert_allclose(turned, face.vertices, atol=1e-3)


def test_texture_png_is_the_texture(face, tmp_path):
    files = face.save(tmp_path, "obj")
    np.testing.assert_array_equal(np.asarray(Image.open(files["face_texture.png"])), face.texture.image)
