"""One model from crop to loss: gradients reach CoarseNet through the depth layer, Keras fits it."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfface.geometry.depth import normals_from_depth
from tfface.losses import shading
from tfface.losses.lighting import shade
from tfface.morphable.model import MorphableModel
from tfface.morphable.representation import vertices_image
from tfface.networks.coarse_net import CoarseNetConfig, IterativeCoarseNet
from tfface.networks.end_to_end import EndToEnd, EndToEndConfig
from tfface.networks.fine_net import FineNet, FineNetConfig
from tfface.rendering.visibility import coverage, interpolate, rasterize

SIZE = 64
SMALL = FineNetConfig(width=0.0625, regressor=(8,), slopes=True)


@pytest.fixture(scope="module")
def face_model():
    return MorphableModel.default()


def _inputs(batch=2):
    """A face with horizontal furrows, lit from above."""
    rng = np.random.default_rng(0)
    r = rng.normal(0, 0.1, (batch, 290)).astype(np.float32)
    face_model = MorphableModel.default()
    vertices = vertices_image(face_model, tf.constant(r), SIZE)
    visibility = rasterize(vertices, face_model.triangles, SIZE, SIZE, cull=True)
    mask = coverage(visibility)
    rows = (np.arange(SIZE, dtype=np.float32) + 0.5)[None, :, None, None]
    depth = interpolate(visibility, face_model.triangles, vertices)[..., 2:] + 0.3 * np.sin(0.9 * rows)
    image = 0.6 * shade(normals_from_depth(depth * mask, mask), tf.constant([[0.3, 0.0, -0.5, 0.5]] * batch)) * mask
    return {"image": tf.clip_by_value(image, 0, 1).numpy(), "r": r, "valid": np.ones_like(image)}


def _model(face_model, **changes):
    criterion = dataclasses.replace(shading.release(), smoothness=1e-3, slope=1e-3, gamma=1.0)
    config = EndToEndConfig(criterion=criterion, **changes)
    network = FineNet(SMALL)
    network.build()
    return EndToEnd(face_model, network, config=config)


def test_it_starts_from_the_coarse_depth(face_model):
    result = _model(face_model)(_inputs())
    assert result["depth"].shape == (2, SIZE, SIZE, 1)
    np.testing.assert_array_equal(result["depth"], result["coarse_depth"])
    assert 0.2 < float(tf.reduce_mean(result["mask"])) < 1


def test_fit_lowers_the_loss(face_model):
    keras.utils.set_random_seed(0)
    model = _model(face_model, window=32)
    model.compile(keras.optimizers.Adam(1e-2))
    # A step that creates variables is traced twice.
    model.optimizer.build(model.trainable_variables)
    data = tf.data.Dataset.from_tensors(_inputs()).repeat()
    before = model.evaluate(data, steps=1, verbose=0, return_dict=True)
    # A window sees a quarter of the picture, and its steps pull in different directions: it takes more of them.
    model.fit(data, steps_per_epoch=80, verbose=0)
    after = model.evaluate(data, steps=1, verbose=0, return_dict=True)
    assert before["residual"] == pytest.approx(1.0, abs=1e-5)
    assert after["loss"] < 0.98 * before["loss"]
    assert after["residual"] < 0.99


def _coarse(face_model):
    config = CoarseNetConfig(size=SIZE, widths=(8, 8, 8, 8), blocks=(1, 1, 1, 1), stem=8, passes=2)
    return IterativeCoarseNet(face_model, config)


def test_gradients_reach_coarse_net_and_fidelity_holds_it(face_model):
    inputs = _inputs()
    coarse = _coarse(face_model)
    solution = coarse(inputs["image"])
    network = FineNet(SMALL)
    network.build()
    for weight, held in ((0.0, False), (1.0, True)):
        # At the original solution fidelity has no gradient: what arrives came through the depth layer.
        config = EndToEndConfig(criterion=shading.release(), coarse_fidelity=weight)
        model = EndToEnd(face_model, network, coarse, config=config)
        with tf.GradientTape() as tape:
            terms = model.criterion_terms(inputs | {"r": solution}, training=True)
        gradients = tape.gradient(terms["loss"], coarse.trainable_variables)
        assert all(g is not None and np.all(np.isfinite(g)) for g in gradients)
        assert max(float(tf.reduce_max(tf.abs(g))) for g in gradients) > 0
        away = model.criterion_terms(inputs | {"r": solution + 1.0}, training=True)
        assert float(away["coarse_fidelity"]) == pytest.approx(1.0, rel=1e-4)
        assert (float(away["loss"]) > float(terms["loss"]) + 0.5) == held


def test_landmarks_of_the_fit_pull_coarse_net(face_model):
    inputs, coarse = _inputs(), _coarse(face_model)
    network = FineNet(SMALL)
    network.build()
    solution = coarse(inputs["image"]).numpy()
    shifted = solution.copy()
    shifted[:, 287] += 0.05  # 5 px of 200
    losses = []
    for weight in (0.0, 0.1):
        config = EndToEndConfig(criterion=shading.release(), coarse_landmarks=weight)
        terms = EndToEnd(face_model, network, coarse, config=config).criterion_terms(inputs | {"r": shifted})
        assert float(terms["landmarks_px"]) == pytest.approx(np.sqrt(26) - 1, rel=1e-3)
        losses.append(float(terms["loss"]))
    assert losses[1] - losses[0] == pytest.approx(0.1 * (np.sqrt(26) - 1), rel=1e-3)


def test_features_of_the_fit_pull_coarse_net(face_model):
    inputs, coarse = _inputs(), _coarse(face_model)
    network = FineNet(SMALL)
    network.build()
    other = coarse(inputs["image"]).numpy()
    other[:, 200:284] += 0.5
    terms = [
        EndToEnd(
            face_model, network, coarse, config=EndToEndConfig(criterion=shading.release(), coarse_features=weight)
        ).criterion_terms(inputs | {"r": other})
        for weight in (0.0, 0.1)
    ]
    assert float(terms[0]["features_mm"]) > 0.3
    assert float(terms[1]["loss"] - terms[0]["loss"]) == pytest.approx(0.1 * float(terms[0]["features_mm"]), rel=1e-3)


def test_known_faces_pull_coarse_net_too(face_model):
    inputs, coarse = _inputs(), _coarse(face_model)
    network = FineNet(SMALL)
    network.build()
    config = EndToEndConfig(criterion=shading.release(), coarse_landmarks=0.1, coarse_features=0.2)
    model = EndToEnd(face_model, network, coarse, config=config)
    solution = coarse(inputs["image"]).numpy()
    inputs = inputs | {"r": solution}
    moved, alike = solution.copy(), solution.copy()
    moved[:, 287] += 0.05  # 5 px of 200
    found = {
        name: model.all_terms(inputs | {"faces": {"image": inputs["image"], "r": r}})
        for name, r in (("moved", moved), ("alike", alike))
    }
    assert float(found["alike"]["faces_px"]) == pytest.approx(0.0, abs=1e-3)
    assert float(found["moved"]["faces_px"]) == pytest.approx(np.sqrt(26) - 1, rel=1e-3)
    # Moving a face leaves its features alone.
    more = float(found["moved"]["loss"] - found["alike"]["loss"])
    assert more == pytest.approx(0.1 * (np.sqrt(26) - 1), rel=1e-2)


def test_a_frozen_copy_gives_the_original_solution(face_model):
    inputs = _inputs()
    coarse, original = _coarse(face_model), _coarse(face_model)
    coarse(inputs["image"]), original(inputs["image"])
    network = FineNet(SMALL)
    network.build()
    config = EndToEndConfig(criterion=shading.release())
    model = EndToEnd(face_model, network, coarse, original, config)
    del inputs["r"]
    expected = np.mean(np.square(coarse(inputs["image"]) - original(inputs["image"])))
    assert float(model.criterion_terms(inputs)["coarse_fidelity"]) == pytest.approx(float(expected), rel=1e-3, abs=1e-9)
    trained = {id(v) for v in model.trainable_variables}
    assert not trained & {id(v) for v in original.variables}


def test_what_is_not_skin_or_not_photo_does_not_count(face_model):
    model = _model(face_model)
    inputs = _inputs()
    _, surface = model.render(tf.constant(inputs["r"]), SIZE, SIZE)
    weight = model.explain(inputs["image"], surface, inputs["valid"]).weight
    assert 0.05 < float(tf.reduce_sum(weight) / tf.reduce_sum(surface.mask)) < 0.95
    found = model.explain(inputs["image"], surface, 0 * inputs["valid"])
    assert float(tf.reduce_sum(found.weight)) == 0 and np.all(np.isfinite(found.lighting))


def test_missing_geometry_is_named(face_model):
    inputs = _inputs()
    del inputs["r"]
    with pytest.raises(ValueError, match="expected 'r' in the inputs of a model without CoarseNet"):
        _model(face_model)(inputs)
    config = dataclasses.replace(EndToEndConfig())
    network = FineNet(SMALL)
    network.build()
    with pytest.raises(ValueError, match="expected the original CoarseNet solution"):
        EndToEnd(face_model, network, _coarse(face_model), config=config).criterion_terms(inputs)


def test_paint_on_known_heads_counts_for_more(face_model):
    inputs = _inputs()
    marks = np.zeros_like(inputs["image"])
    marks[:, SIZE // 2 : SIZE // 2 + 2] = 1.0  # a line
    surface = _model(face_model).render(tf.constant(inputs["r"]), SIZE, SIZE)[1]
    # The coarse depth is right but where there is paint: what counts for more is wrong.
    columns = np.arange(SIZE, dtype=np.float32)[None, None, :, None]
    truth = surface.depth + 0.5 * np.sin(1.5 * columns) * marks
    heads = {"image": inputs["image"], "depth": truth, "mask": surface.mask, "skin": surface.mask}
    heads |= {"albedo": tf.constant(np.float32(1.0 - 0.5 * marks)), "coarse_r": inputs["r"]}
    plain, more = (_model(face_model, marks=weight).supervised_terms(heads) for weight in (0.0, 4.0))
    assert float(more["supervised"]) > 1.5 * float(plain["supervised"])
