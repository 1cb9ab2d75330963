"""The exported graph says what the Keras networks say, for every kind of weights and crop size."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.export.small import SIZE, crops, networks
from tfface.cli import main
from tfface.errors import InputError
from tfface.export import ExportConfig, check_output, export
from tfface.export.graph import OUTPUTS, FaceGraph
from tfface.export.metadata import as_json, describe
from tfface.export.parity import compare, keras_answers


@pytest.mark.parametrize("residual", [False, True])
def test_graph_answers_as_the_networks_do(residual):
    faces = crops(3)
    outputs = tf.function(FaceGraph(networks(residual), SIZE), autograph=False)(tf.constant(faces))
    assert tuple(outputs) == OUTPUTS
    received = {name: value.numpy() for name, value in outputs.items()}
    expected = keras_answers(networks(residual), faces)
    for parity in compare(received, expected):
        assert parity.same, parity
    # Neither the mean face three times, nor a crop without one, nor detail that isn't there.
    assert np.abs(expected["r"][0] - expected["r"][1]).max() > 0.01
    assert 0.1 < received["mask"].mean() < 0.9
    assert np.abs(received["fine_depth"] - received["coarse_depth"]).max() > 0.01
    np.testing.assert_allclose(received["pose"], received["r"][:, 284:])
    assert received["landmarks"].shape == (3, 68, 3)
    assert np.all(received["fine_depth"][received["mask"] == 0] == 0)


def test_what_the_first_pass_is_shown_is_what_would_be_rendered():
    coarse = networks().coarse
    rendered = coarse.feedback(tf.zeros([2, 290])).numpy()
    np.testing.assert_array_equal(np.repeat(coarse.first_feedback, 2, axis=0), rendered)


def test_larger_crops_give_finer_depth_of_the_same_face():
    faces = crops(2, 96)
    received = {name: value.numpy() for name, value in FaceGraph(networks(), 96)(tf.constant(faces)).items()}
    assert received["fine_depth"].shape == (2, 96, 96)
    for parity in compare(received, keras_answers(networks(), faces)):
        assert parity.landmarks < 0.05 and parity.mask > 0.999


def test_half_weights_are_read_once_and_leave_the_networks_alone():
    net = networks()
    before = [np.asarray(variable).copy() for variable in net.coarse.network.variables]
    graph = FaceGraph(net, SIZE, half=True)
    assert {variable.dtype for variable in graph.stored} == {tf.float16}
    faces = crops(2)
    received = {name: value.numpy() for name, value in graph(tf.constant(faces)).items()}
    for parity in compare(received, keras_answers(net, faces)):
        assert parity.landmarks < 1.0 and parity.mask > 0.98
    for value, variable in zip(before, net.coarse.network.variables, strict=True):
        np.testing.assert_array_equal(value, variable)


def test_keras_files_load_back_for_training(tmp_path):
    for name, network in (("coarse", networks().coarse.network), ("fine", networks().fine)):
        network.save(tmp_path / f"{name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras")
        assert len(loaded.trainable_variables) == len(network.trainable_variables) > 0
        for value, variable in zip(loaded.variables, network.variables, strict=True):
            np.testing.assert_array_equal(value, variable)


def test_metadata_names_every_output_with_its_shape():
    description = describe(networks(), SIZE, "float32")
    assert tuple(description["output"]) == OUTPUTS
    outputs = FaceGraph(networks(), SIZE)(tf.constant(crops(2)))
    for name, entry in description["output"].items():
        assert [2, *entry["shape"][1:]] == list(outputs[name].shape), name
    assert len(description["triangles"]) == len(networks().face_model.triangles)
    assert '"side_w":1.592' in as_json(description)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "torch"}, "expected a format among savedmodel, tflite, onnx, received 'torch'"),
        ({"format": "onnx", "weights": "int8"}, "expected weights of onnx among float32, float16, received 'int8'"),
        ({"format": "onnx", "size": 10}, "expected a size from 64 to 1024 px, received 10"),
        ({"format": "onnx", "batch": 8}, "expected a batch of at least 1 for tflite and none for other formats"),
    ],
)
def test_wrong_options_are_named(options, sentence):
    with pytest.raises(InputError, match=sentence):
        ExportConfig(**options)


@pytest.mark.parametrize(
    ("format", "name", "sentence"),
    [
        ("tflite", "face.onnx", "expected a file named [*].tflite, received face.onnx"),
        ("onnx", "face", "expected a file named [*].onnx, received face"),
        ("onnx", "folder.onnx", "expected a file, received a folder"),
        ("savedmodel", "file", "expected a new folder"),
        ("tflite", "file/deep/face.tflite", "file isn't a folder that you may write to"),
        ("savedmodel", "file/1", "file isn't a folder that you may write to"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_before_the_work(tmp_path, format, name, sentence):
    (tmp_path / "file").touch()
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InputError, match=sentence):
        check_output(tmp_path / name, format)
    assert main(["export", "--format", format, "--output", str(tmp_path / name), "--model", str(tmp_path)]) == 2


def test_outputs_that_can_be_written(tmp_path):
    for format, name in (("onnx", "new/deep/face.onnx"), ("tflite", "face.tflite"), ("savedmodel", "tfface/1")):
        assert check_output(tmp_path / name, format) == tmp_path / name
    assert not any(tmp_path.iterdir())


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="expected a new folder"):
        export(networks(), tmp_path / "model", ExportConfig("savedmodel", SIZE))
    assert (tmp_path / "model" / "precious.txt").read_text() == "mine"
