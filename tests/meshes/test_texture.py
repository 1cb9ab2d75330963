"""The texture shows the photo where it is seen, and something that fits where it isn't."""

import dataclasses

import numpy as np
import pytest

from tests.meshes.fixtures import painted_face, place_colors
from tfface.meshes.appearance import fit_appearance, to_linear, to_srgb
from tfface.meshes.texture import face_texture

SIZE = 256


def at_vertices(texture, model):
    return texture.at(texture.atlas.uv[: len(model.mean)]).astype(float)


@pytest.fixture(scope="module")
def frontal(model):
    return face_texture(painted_face(model), model, SIZE)


@pytest.fixture(scope="module")
def turned(model):
    # The face looks 40° to the image's left: its own right side is hidden.
    return face_texture(painted_face(model, yaw=-0.7), model, SIZE)


def seen_at_vertices(texture, model):
    uv = texture.atlas.uv[: len(model.mean)]
    index = np.clip((uv * SIZE).astype(int), 0, SIZE - 1)
    return np.nan_to_num(texture.seen[SIZE - 1 - index[:, 1], index[:, 0]])


def test_seen_parts_come_from_the_photo(frontal, model):
    seen = (seen_at_vertices(frontal, model) > 0.99) & model.region_mask("skin")
    assert seen.sum() > 500
    error = np.abs(at_vertices(frontal, model) - place_colors(model))[seen]
    assert np.median(error) < 1.5 and np.percentile(error, 95) < 5


def test_the_hidden_side_is_the_mirrored_one(turned, model):
    skin = model.region_mask("skin")
    seen = seen_at_vertices(turned, model)
    filled = skin & (seen < 0.01) & (seen[model.mirror] > 0.9)
    assert filled.sum() > 50
    # Colours are symmetric, so the mirrored side is right up to the tone that light is given.
    error = np.abs(at_vertices(turned, model) - place_colors(model))[filled]
    assert np.median(error) < 8


def test_what_nothing_shows_has_the_tone_of_the_skin(frontal, model):
    colors = at_vertices(frontal, model)
    seen = (seen_at_vertices(frontal, model) > 0.99) & model.region_mask("skin")
    hidden = (seen_at_vertices(frontal, model) == 0) & model.region_mask("neck", "ears")
    tone, guess = colors[seen].mean(axis=0), colors[hidden].mean(axis=0)
    assert (np.abs(np.log(guess / tone)) < 0.5).all()
    inside = model.region_mask("mouth", "eyes")
    assert inside.any() and (colors[inside].max(axis=1) > 10).all()


def test_no_hard_border_between_seen_and_filled(turned, model):
    colors, seen = at_vertices(turned, model), seen_at_vertices(turned, model)
    skin = model.region_mask("skin")
    a, b = np.concatenate([model.triangles[:, [0, 1]], model.triangles[:, [1, 2]]]).T
    edge = skin[a] & skin[b]
    jump = np.abs(colors[a] - colors[b]).max(axis=1)
    truth = np.abs(place_colors(model)[a] - place_colors(model)[b]).max(axis=1)
    border = edge & (np.minimum(seen[a], seen[b]) < 0.5) & (np.maximum(seen[a], seen[b]) > 0.5)
    assert border.sum() > 20
    assert np.percentile(np.maximum(jump - truth, 0)[border], 90) < 15


def test_an_open_mouth_shows_what_the_photo_shows_between_the_lips(model):
    smile = sum(model.actions[model.action_names.index(name)] for name in ("jawOpen", "mouthUpperUpLeft"))
    teeth = place_colors(model)
    teeth[model.region_mask("mouth")] = 250.0
    face = painted_face(model, colors=teeth, moved=0.5 * model.expression_basis @ smile)
    texture = face_texture(face, model, SIZE)
    seen = seen_at_vertices(texture, model) > 0.99
    seen &= model.region_mask("mouth")
    assert seen.sum() > 150
    assert np.percentile(at_vertices(texture, model)[seen].min(axis=1), 10) > 235


def test_background_is_no_skin(model):
    # Grey skin before a bright red background: none of it may come along at the rim.
    face = painted_face(model, colors=np.full((len(model.mean), 3), 140.0), background=(255, 0, 0))
    found = at_vertices(face_texture(face, model, SIZE), model)[model.region_mask("skin", "ears")]
    assert np.percentile(found[:, 0] - found[:, 2], 99) < 60


def test_clothes_do_not_colour_the_nape(model):
    # A red collar on the lower half of the neck, and what the photograph doesn't show of the neck behind it.
    colors, neck = np.full((len(model.mean), 3), 140.0), model.region_mask("neck")
    collar = neck & (model.mean[:, 1] < np.median(model.mean[neck, 1]))
    colors[collar] = 200.0, 20.0, 20.0
    texture = face_texture(painted_face(model, colors=colors), model, SIZE)
    nape = neck & (seen_at_vertices(texture, model) == 0) & (model.mean[:, 2] < model.mean[neck, 2].mean())
    found = at_vertices(texture, model)[nape]
    assert nape.sum() > 20 and np.median(found[:, 0] / found[:, 1]) < 1.5


def test_a_fit_that_is_off_brings_no_background_along(model):
    # The mesh lies 5 mm beside the head in the photo: green leaves where it has a cheek and an ear.
    face = painted_face(model, background=(60, 160, 20))
    beside = face.vertices_image + np.float32([5.0 / face.mm_per_px, 0, 0])
    texture = face_texture(dataclasses.replace(face, vertices_image=beside), model, SIZE)
    found = at_vertices(texture, model)[model.region_mask("skin", "ears", "neck")]
    assert np.percentile(found[:, 1] - found[:, 0], 99) < 0


@pytest.mark.parametrize("covered", [["left"], ["left", "right"]], ids=["one", "both"])
def test_hair_over_ears_is_no_ear(model, covered):
    colors, left = place_colors(model), model.mean[:, 0] < 0
    for side in covered:
        colors[model.region_mask("ears") & (left if side == "left" else ~left)] = 15.0
    found = at_vertices(face_texture(painted_face(model, colors=colors), model, SIZE), model)
    ears, truth = found[model.region_mask("ears")], place_colors(model)[model.region_mask("ears")]
    assert np.percentile(ears.max(axis=1), 2) > 60
    assert np.median(np.abs(np.log(ears / truth))) < 0.4


def test_a_collar_is_no_neck(model):
    colors, neck = place_colors(model), model.region_mask("neck")
    colors[neck & (model.mean[:, 1] < np.median(model.mean[neck, 1]))] = 30.0, 40.0, 110.0
    found = at_vertices(face_texture(painted_face(model, colors=colors), model, SIZE), model)[neck]
    assert np.percentile(found[:, 2] - found[:, 0], 95) < 0


def test_a_beard_and_brows_stay(model):
    colors, (_, y, z) = place_colors(model), model.mean.T
    beard = model.region_mask("skin") & (y < model.mean[model.landmarks[57], 1] - 6) & (z > -30)
    brows = model.region_mask("brows")
    colors[beard | brows] = 70.0, 50.0, 40.0
    found = at_vertices(face_texture(painted_face(model, colors=colors), model, SIZE), model)
    assert np.median(found[beard].max(axis=1)) < 85 and np.median(found[brows].max(axis=1)) < 100


@pytest.mark.parametrize("tone", [(150, 120, 70), (130, 130, 130)], ids=["fair", "grey"])
def test_the_back_of_the_head_has_the_colour_of_the_hair_that_is_seen(model, tone):
    colors, scalp = place_colors(model), model.region_mask("scalp")
    colors[scalp] = tone
    texture = face_texture(painted_face(model, colors=colors, background=(30, 50, 90)), model, SIZE)
    found = at_vertices(texture, model)[scalp & (model.mean[:, 2] < -60) & (seen_at_vertices(texture, model) < 0.01)]
    assert len(found) > 100
    hue = found / found.mean(axis=1, keepdims=True) - np.array(tone) / np.mean(tone)
    # Light has a colour, too, which is guessed from the skin.
    assert np.abs(np.median(hue, axis=0)).max() < 0.12


def with_a_larger_mesh(face, model, by=1.12):
    """The same photo with a mesh whose scalp stands off the head by some 12 mm, as above the brows little fixes it."""
    points = np.array(face.vertices_image)
    centre, brows = points[:, :2].mean(axis=0), model.mean[model.landmarks[17:27], 1].max()
    share = np.clip((model.mean[:, 1] - brows) / 40, 0, 1)[:, None]
    points[:, :2] += share * (by - 1.0) * (points[:, :2] - centre)
    return dataclasses.replace(face, vertices_image=points)


@pytest.mark.parametrize("hair", [(28, 22, 18), (150, 120, 70)], ids=["black", "fair"])
@pytest.mark.parametrize("wall", [(250, 250, 250), (40, 90, 220)], ids=["white", "blue"])
def test_the_scalp_of_a_mesh_larger_than_the_head_is_no_wall(model, wall, hair):
    colors, scalp = place_colors(model), model.region_mask("scalp")
    colors[scalp | (model.region_mask("skin") & (model.mean[:, 1] > model.mean[model.landmarks[19], 1] + 30))] = hair
    face = with_a_larger_mesh(painted_face(model, colors=colors, background=wall), model)
    found = at_vertices(face_texture(face, model, SIZE), model)
    far = np.abs(found - wall).max(axis=1)[scalp]
    assert np.percentile(far, 1) > 60
    back = np.median(found[scalp & (model.mean[:, 2] < -60)], axis=0)
    assert np.abs(back - hair).max() < 30


def test_a_bald_head_before_a_wall_stays_bald(model):
    face = with_a_larger_mesh(painted_face(model, background=(20, 60, 150)), model)
    found, scalp = at_vertices(face_texture(face, model, SIZE), model), model.region_mask("scalp")
    assert np.percentile((found[:, 0] - found[:, 2])[scalp], 2) > 0
    back = np.median(found[scalp & (model.mean[:, 2] < -60)], axis=0)
    assert (np.abs(np.log(back / np.median(found[model.region_mask("skin")], axis=0))) < 0.3).all()


def test_hair_beside_a_bald_forehead_is_hair_behind(model):
    # A black-and-white photo: the forehead shines, and only the temples have hair.
    colors, (x, y, _) = np.full((len(model.mean), 3), 140.0), model.mean.T
    upper = model.region_mask("skin", "scalp") & (y > model.mean[model.landmarks[19], 1] + 10)
    colors[upper] = 200.0
    colors[upper & (np.abs(x) > 42)] = 30.0
    found = at_vertices(face_texture(painted_face(model, colors=colors), model, SIZE), model)
    assert np.median(found[model.region_mask("scalp") & (model.mean[:, 2] < -60)].max(axis=1)) < 90


def test_light_that_cannot_be_seen_is_not_made_up(model):
    from tfface.meshes.drawing import smooth_normals

    # Light from aside and behind, so that the cheek which the photo sees is dark and the other one isn't known.
    sine, cosine = np.sin(-0.7), np.cos(-0.7)
    turned = model.mean @ np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]]).T
    light = np.clip(0.5 - 0.6 * smooth_normals(turned, model.triangles)[:, 0], 0.08, None)[:, None]
    colors = to_srgb(to_linear(place_colors(model)) * light).astype(float)
    texture = face_texture(painted_face(model, yaw=-0.7, colors=colors), model, SIZE)
    found, seen = to_linear(at_vertices(texture, model)), seen_at_vertices(texture, model)
    hidden = model.region_mask("skin") & (seen < 0.01) & (seen[model.mirror] > 0.9)
    ratio = (found / found[model.mirror])[hidden]
    assert np.percentile(ratio, 95) < 2.0


def cut_above(face, model):
    """The same face in a photo that ends where its scalp begins."""
    end = int(face.vertices_image[model.region_mask("skin"), 1].min()) + 2
    moved = {name: getattr(face, name) - [0, end, 0] for name in ("vertices_image", "landmarks")}
    return dataclasses.replace(face, image=face.image[end:], **moved)


def test_hair_of_a_face_half_in_shadow_is_no_skin(model):
    # The shadow is as dark as the hair in the light.
    colors, (x, y, _) = place_colors(model), model.mean.T
    hair = model.region_mask("scalp") | (model.region_mask("skin") & (y > model.mean[model.landmarks[19], 1] + 25))
    colors[hair] = 90.0, 65.0, 50.0
    colors *= np.where(x < 0, 0.45, 1.0)[:, None]
    face = cut_above(painted_face(model, colors=colors), model)
    found = at_vertices(face_texture(face, model, SIZE), model)
    back = found[model.region_mask("scalp") & (model.mean[:, 2] < -60)]
    assert np.median(back.max(axis=1)) < 65


def test_hair_above_the_forehead_tells_its_colour_where_the_photo_ends_there(model):
    # The scalp begins where the photo ends; black hair lies over the upper forehead.
    colors, scalp = place_colors(model), model.region_mask("scalp")
    hair = scalp | (model.region_mask("skin") & (model.mean[:, 1] > model.mean[model.landmarks[19], 1] + 25))
    colors[hair] = 25.0, 20.0, 18.0
    texture = face_texture(cut_above(painted_face(model, colors=colors), model), model, SIZE)
    back = scalp & (model.mean[:, 2] < -60)
    assert np.median(at_vertices(texture, model)[back].max(axis=1)) < 50


def test_what_a_blink_unfolds_is_lid_and_not_lashes(model):
    blink = sum(model.actions[model.action_names.index(name)] for name in ("eyeBlinkLeft", "eyeBlinkRight"))
    areas = []
    for shape in (model.mean, model.mean + model.expression_basis @ blink):
        a, b, c = (shape[model.triangles[:, corner]] for corner in range(3))
        areas.append(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    lid = np.unique(model.triangles[areas[1] > 2.5 * areas[0]])
    colors = place_colors(model)
    colors[lid] = 10.0
    found = at_vertices(face_texture(painted_face(model, colors=colors, size=480), model, 512), model)[lid]
    assert len(lid) > 30
    assert np.median(found.max(axis=1)) > 0.7 * np.median(place_colors(model)[lid].max(axis=1))


def test_islands_are_padded(frontal):
    outside = np.isnan(frontal.seen)
    assert outside.any() and frontal.image[outside].min() > 10


def test_a_face_outside_the_photo_still_has_a_texture(model):
    face = painted_face(model, shift=(-900, 0))
    texture = face_texture(face, model, 64)
    assert np.nanmax(texture.seen) == 0 and texture.image.shape == (64, 64, 3)


def test_sizes(model):
    with pytest.raises(ValueError, match="at least 16 texels"):
        face_texture(painted_face(model), model, 4)


def test_light_and_albedo_are_told_apart(model):
    from tfface.meshes.drawing import smooth_normals

    normals = smooth_normals(model.mean, model.triangles)
    lighting = np.array([[0.7, 0.2, 0.1, 0.4], [0.6, 0.1, 0.1, 0.4], [0.5, 0.0, 0.1, 0.4]])
    light = lighting[:, 0] + normals @ lighting[:, 1:].T
    weight = (normals[:, 2] > 0.3) & model.region_mask("skin", "brows", "lips")
    found = fit_appearance(model, model.albedo_mean * light, normals, weight.astype(float))
    np.testing.assert_allclose(found.shade(normals)[weight], light[weight], rtol=0.08)
    np.testing.assert_allclose(found.albedo[weight], model.albedo_mean[weight], atol=0.03)


def test_srgb_and_back():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_srgb(to_linear(values)), values)
