"""FineNet: the paper's widths, identity at the start, any size, saving, precision."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfface.geometry.depth import normals_from_depth
from tfface.losses.lighting import estimate_lighting, shade
from tfface.networks import fine_net
from tfface.networks.fine_net import FineNet, FineNetConfig

SMALL = FineNetConfig(width=0.125, regressor=(8,), slopes=True, smooth_upsampling=True)


def _inputs(height, width, batch=1, seed=0):
    rng = np.random.default_rng(seed)
    image, depth, mask = rng.random((3, batch, height, width, 1)).astype(np.float32)
    return {"image": image, "depth": 40 * depth, "mask": (mask > 0.3).astype(np.float32)}


def test_the_paper_preset_has_the_papers_hypercolumn():
    network = FineNet(fine_net.paper())
    network.build()
    assert network.hypercolumn_width == 450
    assert [tuple(c.kernel.shape) for c in network.convolutions] == [
        (3, 3, 3, 64),
        (3, 3, 64, 64),
        (3, 3, 64, 128),
        (3, 3, 128, 128),
        (3, 3, 128, 256),
        (3, 3, 256, 256),
        (3, 3, 256, 256),
    ]
    ups = {layer.name: layer.strides for layer in network.layers if layer.name.startswith("up")}
    assert ups == {"up2_1": (2, 2), "up3_1": (2, 2), "up3_2": (2, 2)}


@pytest.mark.parametrize("size", [(16, 16), (17, 22), (5, 9), (3, 2)])
@pytest.mark.parametrize(
    "config",
    [SMALL, FineNetConfig(width=0.125, regressor=(8, 4)), dataclasses.replace(SMALL, further=(6, 5), mixing=True)],
)
def test_it_starts_as_the_identity_at_any_size(size, config):
    inputs = _inputs(*size)
    refined = FineNet(config)(inputs)
    np.testing.assert_array_equal(refined, inputs["depth"] * inputs["mask"])


def _disturbed(config=SMALL):
    network = FineNet(config)
    network.build()
    rng = np.random.default_rng(0)
    kernel = network.detail_layer.kernel
    kernel.assign(rng.normal(size=kernel.shape))
    return network


def test_detail_stays_on_the_mask():
    inputs = _inputs(16, 20)
    refined = _disturbed()(inputs).numpy()
    assert np.all(refined[inputs["mask"] == 0] == 0)
    assert np.abs(refined - inputs["depth"])[inputs["mask"] > 0].mean() > 1e-3


def test_padding_to_a_multiple_of_four_changes_nothing_far_from_the_border():
    inputs = _inputs(64, 64)
    network = _disturbed()
    prepared = network.prepare(**inputs)
    whole = network.detail(prepared, inputs["mask"])
    part = network.detail(prepared[:, :59, :61], inputs["mask"][:, :59, :61])
    np.testing.assert_allclose(whole[:, :32, :32], part[:, :32, :32], atol=1e-5)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize(
    "regressor, further, mixing", [((8, 4), (), False), ((), (), True), ((8, 4), (6, 5), False), ((8, 4), (6, 5), True)]
)
def test_the_hypercolumn_is_read_as_if_it_were_put_together(smooth, regressor, further, mixing):
    keras.utils.set_random_seed(0)  # now and then initial weights make hardly any detail
    changes = {"further": further, "mixing": mixing, "regressor": regressor, "smooth_upsampling": smooth}
    network = _disturbed(dataclasses.replace(SMALL, **changes))
    rng = np.random.default_rng(1)
    for variable in network.variables:
        if len(variable.shape) == 1:
            variable.assign(rng.normal(0.0, 0.1, variable.shape))
    inputs = _inputs(16, 20, batch=2)
    prepared = network.prepare(**inputs)
    x, columns = prepared[..., :-2], []
    named = {layer.name: layer for layer in network.layers}
    for block in range(4, 4 + len(further)):
        for name in (f"up{block}_1", *([f"mix{block}_2"] if mixing else [])):
            kernel = named[name].kernel
            kernel.assign(rng.normal(0.0, 0.3, kernel.shape))

    def mixed(x, block):
        if not mixing:
            return x
        change = named[f"mix{block}_2"](named[f"mix{block}_1"](x))
        assert np.abs(change).max() > 0.1 * np.abs(x).max()
        return x + change

    def raised(x, name):
        x = named[name](x)
        return fine_net._binomial(x) if smooth else x

    def seen(x, block, layers):
        x = tf.nn.max_pool2d(x, 2, 2, "SAME") if block > 1 else x
        for layer in range(layers):
            x = named[f"conv{block}_{layer + 1}"](x)
        return x

    for block, layers in ((1, 2), (2, 2), (3, 3)):
        x = seen(x, block, layers)
        full = x
        if block == 3 and further:
            fourth = seen(x, 4, 2)
            fifth = raised(seen(fourth, 5, 2), "up5_1")
            below = raised(mixed(fourth + fifth[:, :2, :3], 5), "up4_1")
            assert np.abs(below).max() > 0.1 * np.abs(x).max()
            full = mixed(x + below[:, :4, :5], 4)
        for up in range(block - 1):
            full = raised(full, f"up{block}_{up + 1}")
        columns.append(full)
    x = tf.concat([*columns, prepared[..., -2:]], -1)
    assert x.shape[-1] == network.hypercolumn_width
    for layer in range(len(regressor)):
        x = named[f"regressor_{layer + 1}"](x)
    expected = network.detail_layer(x) * inputs["mask"]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(network.detail(prepared, inputs["mask"]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("further, px", [((), 40), ((4,), 76), ((4, 4), 148), ((4, 4, 4), 292)])
def test_further_blocks_see_further(further, px):
    network = _disturbed(dataclasses.replace(SMALL, further=further, smooth_upsampling=False))
    rng = np.random.default_rng(3)
    for layer in network.layers:
        # Positive, so that no unit is silent.
        layer.set_weights([rng.uniform(0.1, 1.0, weight.shape) for weight in layer.get_weights()])
    prepared = tf.constant(rng.random((1, 320, 320, 5)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(prepared)
        detail = network.detail(prepared, tf.ones((1, 320, 320, 1)))[0, 160, 160, 0]
    seen = np.flatnonzero(np.abs(tape.gradient(detail, prepared)[0]).sum((0, 2)))
    assert 0.9 * px < seen.max() - seen.min() + 1 <= px


@pytest.mark.parametrize("slopes, light", [(True, 3.0), (True, 0.0), (False, 3.0), (False, 0.0)])
def test_mirrored_detail_is_the_mean_of_both_faces(slopes, light):
    config = dataclasses.replace(SMALL, slopes=slopes, light=light)
    plain = _disturbed(config)
    both = FineNet(dataclasses.replace(config, mirrored=True))
    both.build()
    both.set_weights(plain.get_weights())
    face = _inputs(16, 23)
    mirror = {name: values[:, :, ::-1] for name, values in face.items()}
    one, other = plain(face).numpy(), plain(mirror).numpy()[:, :, ::-1]
    assert np.abs(one - other).max() > 0.1
    np.testing.assert_allclose(both(face), (one + other) / 2, atol=1e-4)
    np.testing.assert_allclose(both(face, training=True), one, atol=1e-4)


def test_what_light_leaves_unexplained_is_as_the_losses_have_it():
    y, x = np.mgrid[-1:1:24j, -1:1:28j]
    mask = (x**2 + y**2 < 0.8).astype(np.float32)[None, ..., None]
    depth = (9 * np.sqrt(np.maximum(1 - x**2 - y**2, 0))).astype(np.float32)[None, ..., None]
    image = np.random.default_rng(0).uniform(0.2, 0.8, depth.shape).astype(np.float32)
    network = FineNet(dataclasses.replace(SMALL, light=3.0))
    difference, along_x, along_y = tf.unstack(network.prepare(image, depth, mask)[0, ..., 3:6], axis=-1)
    normals, intensity = normals_from_depth(depth, mask), image**2.2
    light = estimate_lighting(intensity, np.ones_like(mask), normals, mask, ridge=1e-5)
    shading = shade(normals, light).numpy() * mask
    rows, columns = np.mgrid[:24, :28]
    inside = mask[0, ..., 0] > 0
    for r, c in ((12, 14), (5, 12), (18, 8)):
        near = np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 18) * inside
        seen, expected = ((near * v[0, ..., 0]).sum() / near.sum() for v in (intensity, shading))
        wanted = (intensity[0, r, c, 0] - shading[0, r, c, 0] * seen / expected) / seen
        np.testing.assert_allclose(difference[r, c], 4 * np.clip(wanted, -1, 1), atol=2e-3)
        # The shading's change with either slope, by small differences.
        p, q = -normals[0, r, c, :2].numpy() / normals[0, r, c, 2].numpy()
        for found, step in ((along_x, (1e-3, 0)), (along_y, (0, 1e-3))):
            tilted = np.array([-p - step[0], -q - step[1], 1.0])
            change = light[0].numpy() @ np.r_[1, tilted / np.linalg.norm(tilted)] - shading[0, r, c, 0]
            np.testing.assert_allclose(found[r, c], change / 1e-3 / max(shading[0, r, c, 0], 0.05), atol=0.02)


def test_standardised_grey_ignores_exposure():
    network = FineNet(dataclasses.replace(SMALL, standardise=True))
    inputs = _inputs(16, 16)
    a = network.prepare(**inputs)
    b = network.prepare(**(inputs | {"image": 0.5 * inputs["image"] + 0.2}))
    np.testing.assert_allclose(a[..., :3], b[..., :3], atol=5e-3)


@pytest.mark.parametrize("on_face", [True, False])
def test_what_is_off_the_face_changes_neither_light_nor_grey_on_it(on_face):
    network = FineNet(dataclasses.replace(SMALL, slopes=True, standardise=True, light=1.0, on_face=on_face))
    inputs = _inputs(32, 32)
    inputs["mask"] = np.ones_like(inputs["mask"])
    inputs["detailed"] = np.zeros_like(inputs["mask"])
    inputs["detailed"][:, :, :16] = 1.0
    other = inputs | {"image": np.where(inputs["detailed"] > 0, inputs["image"], 0.1 * inputs["image"])}
    # Grey, and how shading changes with slopes; the channels between look at what is near.
    a, b = (network.prepare(**given).numpy()[:, :, :8][..., [0, 4, 5]] for given in (inputs, other))
    assert a.std((0, 1, 2)).min() > 0.01
    assert np.allclose(a, b, atol=1e-5) == on_face
    without = {name: value for name, value in inputs.items() if name != "detailed"}
    whole = network.prepare(**(without | {"detailed": inputs["mask"]}))
    np.testing.assert_array_equal(network.prepare(**without), whole)


def test_up_convolutions_start_as_bilinear_interpolation():
    rng = np.random.default_rng(1)
    values = rng.random((1, 6, 6, 4)).astype(np.float32)
    layer = keras.layers.Conv2DTranspose(4, 2, strides=2, kernel_initializer=fine_net.NearestUpsampling())
    nearest = layer(values).numpy()
    np.testing.assert_array_equal(nearest, values.repeat(2, 1).repeat(2, 2))
    bilinear = keras.ops.image.resize(values, (12, 12), interpolation="bilinear", antialias=False)
    np.testing.assert_allclose(fine_net._binomial(nearest), bilinear, atol=1e-6)


def test_it_is_trained_by_fit_and_saved(tmp_path):
    inputs = _inputs(16, 16, batch=2)
    network = FineNet(SMALL)
    network.compile("adam", "mse")
    target = (inputs["depth"] + 1.0) * inputs["mask"]
    history = network.fit(inputs, target, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    network.save(tmp_path / "fine.keras")
    loaded = keras.models.load_model(tmp_path / "fine.keras")
    assert loaded.config == network.config
    np.testing.assert_array_equal(loaded(inputs), network(inputs))


def test_config_round_trip():
    network = FineNet.from_config(FineNet(SMALL).get_config())
    assert network.config == SMALL


def test_mixed_precision_keeps_depth_in_float32():
    inputs = _inputs(16, 16)
    network = FineNet(SMALL, dtype="mixed_bfloat16")
    refined = network(inputs)
    assert refined.dtype == "float32"
    assert network.convolutions[0].compute_dtype == "bfloat16"
    np.testing.assert_array_equal(refined, inputs["depth"] * inputs["mask"])


def test_a_nonsense_width_is_refused():
    with pytest.raises(ValueError, match="expected width > 0, received 0"):
        FineNetConfig(width=0)


def _gated(size=40, bias=None):
    network = _disturbed(dataclasses.replace(SMALL, skin=(4, 6)))
    if bias is not None:
        network.skin_net.get_layer("skin_answer").bias.assign([bias])
    return network, _inputs(size, size)


def test_detail_is_added_to_skin_alone():
    network, inputs = _gated()
    plain = FineNet(SMALL)
    plain.build()
    for one, other in zip(plain.layers, network.layers, strict=False):
        one.set_weights(other.get_weights())
    added = plain(inputs) - inputs["depth"] * inputs["mask"]
    assert np.abs(added).max() > 1e-3
    # All of it but its mean, since depth has no zero.
    added -= inputs["mask"] * (np.sum(added) / inputs["mask"].sum())
    for bias, share in ((20.0, 1.0), (-20.0, 0.0)):
        network.skin_net.get_layer("skin_answer").bias.assign([bias])
        found = network(inputs) - inputs["depth"] * inputs["mask"]
        np.testing.assert_allclose(found, share * added, atol=1e-4)


def test_what_is_broad_goes_on_beyond_skin_and_what_is_fine_ends_there(monkeypatch):
    size = 128
    network, inputs = _gated(size)
    inputs["mask"][:] = 1.0
    columns = np.arange(size, dtype=np.float32)
    ramp, ripples = 0.01 * columns + 7.0, 0.1 * np.sin(np.pi / 2 * columns)
    skin = np.broadcast_to((columns >= 64)[None, None, :, None], [1, size, size, 1]).astype(np.float32)
    monkeypatch.setattr(network, "skin", lambda *face, training=None: tf.constant(skin))

    def added(detail):
        rows = tf.constant(np.broadcast_to(detail[None, None, :, None], [1, size, size, 1]).astype(np.float32))
        monkeypatch.setattr(network, "detail", lambda *face, training=None: rows)
        found = network.added(**inputs).numpy()[0, ..., 0]
        return found[size // 2]

    np.testing.assert_allclose(added(np.full(size, 3.0)), 0.0, atol=1e-4)
    broad = added(ramp)
    np.testing.assert_allclose(np.diff(broad)[72:112], 0.01, atol=1e-3)
    assert np.abs(np.diff(broad)).max() < 0.06 and np.abs(broad[:40]).max() < 0.1 * np.abs(broad[64])
    fine = added(ripples)
    assert np.abs(fine[:60]).max() < 0.025 and np.abs(fine[72:112]).max() > 0.09


@pytest.mark.parametrize("size", [128, 200])
def test_detail_that_is_no_stronger_than_noise_fades(size):
    # Ripples of 8 px; on the left a tenth of what they are on the right.
    columns, mask = np.arange(size), np.ones((1, size, size, 1), np.float32)
    strength = np.where(columns < size // 2, 0.02, 0.2)
    detail = np.float32(np.tile(strength * np.sin(np.pi / 4 * columns), (size, 1)))[None, ..., None]
    gain = fine_net.wiener_gain(detail, mask, 0.05).numpy()[0, ..., 0]
    slope = np.gradient(detail[0, ..., 0], axis=1)
    for columns in (slice(8, size // 4), slice(3 * size // 4, size - 8)):
        energy = (slope[:, columns] ** 2).mean()
        np.testing.assert_allclose(gain[:, columns], energy / (energy + 0.05**2), rtol=0.15)
    assert gain[:, : size // 4].max() < 0.2 and gain[:, 3 * size // 4 :].min() > 0.75


def test_what_fades_is_the_fine_part_of_detail():
    keras.utils.set_random_seed(1)  # some initial weights fade all of it alike
    noisy = _disturbed(dataclasses.replace(SMALL, detail_noise=0.1))
    plain, inputs = FineNet(SMALL), _inputs(40, 40)
    plain.build()
    plain.set_weights(noisy.get_weights())
    coarse = inputs["depth"] * inputs["mask"]
    mask, added = inputs["mask"], plain(inputs) - coarse
    added -= mask * (np.sum(added) / mask.sum())
    broad = fine_net.broad_part(added, mask)
    fine = (added - broad) * mask
    gain = fine_net.wiener_gain(fine, mask, 0.1)
    np.testing.assert_allclose(noisy(inputs) - coarse, (broad + gain * fine) * mask, atol=1e-4)
    assert np.ptp(gain) > 0.01


def test_skin_is_told_alike_at_any_resolution():
    network, inputs = _gated(64)
    kernel = network.skin_net.get_layer("skin_answer").kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape) * 0.5)
    large = {name: value.repeat(2, 1).repeat(2, 2) for name, value in inputs.items()}
    large["depth"] *= 2
    small, large = (
        network.skin_logits(*fine_net.in_cells(**given, cells=fine_net.SKIN_CELLS)) for given in (inputs, large)
    )
    assert np.std(small) > 0.01
    np.testing.assert_allclose(large, small, atol=1e-3)


def test_detail_ends_a_cell_before_what_is_no_skin(monkeypatch):
    network, inputs = _gated(fine_net.SKIN_CELLS)
    logits = np.full((1, fine_net.SKIN_CELLS, fine_net.SKIN_CELLS, 1), 9.0, np.float32)
    logits[:, :, :40] = -9.0
    monkeypatch.setattr(network, "skin_logits", lambda *face, training=None: tf.constant(logits))
    found = network.skin(**inputs).numpy()[0, 64, :, 0]
    # The spline reaches a cell further than its control points.
    assert np.all(found[:39] == 0) and found[40] < 0.2 and np.all(found[43:] > 0.99)
