"""A real SavedModel behind the server, and what the command says when it can't start."""

import base64
import functools
import signal
import socket
import subprocess
import sys
import threading

import httpx
import numpy as np
import pytest
import tensorflow as tf

from tests.export.small import SIZE, networks
from tests.fakes import photo
from tests.serving.client import BOX, PICTURE, instance, predict, refused, serving
from tfface.cli import main
from tfface.encoding import png_bytes
from tfface.errors import InputError
from tfface.export import ExportConfig, export
from tfface.serving.model import ServedModel, newest_version


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of versions, as TF Serving has them."""
    path = tmp_path_factory.mktemp("served") / "tfface"
    export(networks(), path / "3", ExportConfig("savedmodel", SIZE))
    return path


@pytest.fixture(scope="module")
def model(folder):
    served = ServedModel(folder)
    served.warm_up()
    return served


def test_photos_go_in_and_faces_come_out(model):
    with serving(model, timeout_s=200) as client:
        assert client.get("/v1/models/tfface").json()["model_version_status"][0]["version"] == "3"
        answered = predict(client, instance(), instance([70, 50, 150, 160]))
        # A JPEG or PNG with a good header and no body reaches the model, and the model's refusal the client.
        cut_short = base64.b64encode(png_bytes(photo())[:200]).decode()
        response = predict(client, instance(), instance(picture=cut_short))
        refused(response, 400, "instance 1: the model can't use this input: ")
        assert response.json()["error"].endswith(("Invalid PNG data, size 200", "Failed to decode PNG image"))
    faces = answered.json()["predictions"]
    direct = model.run(
        "serve_encoded",
        {"image_bytes": np.array([base64.b64decode(PICTURE)], object), "box": np.array([BOX], np.float32)},
    )
    assert faces[0].keys() == direct.keys()
    for name, value in direct.items():
        np.testing.assert_allclose(faces[0][name], value[0], atol=2e-3, err_msg=name)
    assert np.abs(np.subtract(faces[0]["r"], faces[1]["r"])).max() > 1e-4


def test_crops_as_numbers(model):
    crop = np.uint8(255 * np.random.default_rng(0).random((SIZE, SIZE, 3)))
    crops = crop[None].astype(np.float32) / 255
    with serving(model, timeout_s=200) as client:
        response = predict(client, {"crops": crop.tolist()}, signature_name="serve_uint8")
        about = client.get("/v2/models/tfface").json()
        item = {"name": "crops", "shape": crops.shape, "datatype": "FP32", "data": crops.ravel().tolist()}
        tensors = client.post("/v2/models/tfface/infer", json={"inputs": [item]}).json()["outputs"]
    expected = model.run("serve", {"crops": crops})
    np.testing.assert_allclose(response.json()["predictions"][0]["r"], expected["r"][0], atol=1e-4)
    assert [(tensor["name"], [-1, *tensor["shape"][1:]]) for tensor in tensors] == [
        (output["name"], output["shape"]) for output in about["outputs"]
    ]
    for tensor in tensors:
        value = np.reshape(tensor["data"], tensor["shape"])
        np.testing.assert_allclose(value, expected[tensor["name"]], atol=2e-3, err_msg=tensor["name"])
    assert len(tensors) == len(expected) == 8


def test_the_command_serves_until_it_is_interrupted(folder):
    command = [sys.executable, "-m", "tfface", "serve", str(folder), "--port", "0"]
    # Where the tests run in a shell's background, Ctrl-C is ignored, and children inherit that.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heed)
    watchdog = threading.Timer(500, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
        assert (
            line.startswith("Serving http://127.0.0.1:") and "/v1/models/tfface" in line and "/v2/models/tfface" in line
        )
        status = httpx.get(line.split()[1], timeout=120, trust_env=False)
        assert status.json()["model_version_status"][0]["state"] == "AVAILABLE"
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_newest_version_is_served(tmp_path):
    for name in ("9", "10", "latest"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert newest_version(tmp_path).name == "10"
    assert newest_version(tmp_path / "9").name == "9"
    with pytest.raises(InputError, match="expected a SavedModel's folder, received none"):
        newest_version(tmp_path / "none")


def test_the_command_says_what_keeps_it_from_starting(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(tmp_path), "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another --port" in capsys.readouterr().err
    assert main(["serve", str(tmp_path), "--port", "0"]) == 2
    assert "expected a SavedModel's folder" in capsys.readouterr().err
    (tmp_path / "saved_model.pb").write_bytes(b"broken")
    assert main(["serve", str(tmp_path), "--port", "0"]) == 2
    assert "can't be loaded" in capsys.readouterr().err
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    assert main(["serve", str(tmp_path / "empty"), "--port", "0"]) == 2
    assert "one without the signatures serve, serving_default" in capsys.readouterr().err
    scale = tf.function(lambda x: {"y": 2 * x}).get_concrete_function(tf.TensorSpec(None, tf.float32, name="x"))
    tf.saved_model.save(tf.Module(), str(tmp_path / "any"), {"serving_default": scale, "serve": scale})
    assert main(["serve", str(tmp_path / "any"), "--port", "0"]) == 2
    assert "one with arrays of any shape" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--timeout-s", "0", "expected --timeout-s above 0 and finite, received 0"),
        ("--max-body-mb", "inf", "expected --max-body-mb above 0 and finite, received inf"),
        ("--wait-ms", "inf", "expected --wait-ms of at least 0 and finite, received inf"),
        ("--wait-ms", "nan", "expected --wait-ms of at least 0 and finite, received nan"),
        ("--name", "a/b", "expected --name of letters, digits and ._- as part of a URL, received 'a/b'"),
        ("--name", "", "received ''"),
    ],
)
def test_settings_that_no_request_would_survive_are_refused(tmp_path, capsys, option, value, sentence):
    assert main(["serve", str(tmp_path), "--port", "0", option, value]) == 2
    assert sentence in capsys.readouterr().err
