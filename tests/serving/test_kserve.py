"""The Open Inference Protocol over loopback, by Triton's own client, and by one that lies."""

import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tests.serving.client import instance, predict, refused, serving
from tests.serving.fake_model import FakeModel
from tfface.version import __version__

CROPS = np.random.default_rng(0).random((3, 2, 2, 3)).astype(np.float32)
TAIL = CROPS.tobytes()
INFER = "/v2/models/tfface/infer"


@pytest.fixture(scope="module")
def client():
    """A plain client; the limits are small."""
    with serving(FakeModel(), max_instances=4, max_body_mb=0.1) as client:
        yield client


@pytest.fixture(scope="module")
def triton(client):
    """NVIDIA's client."""
    with InferenceServerClient(address(client)) as triton:
        yield triton


def address(client) -> str:
    return f"{client.base_url.host}:{client.base_url.port}"


def tensor(crops, binary=True):
    return InferInput("crops", list(crops.shape), "FP32").set_data_from_numpy(crops, binary)


def request(crops=CROPS, **changes) -> dict:
    """A request whose tensor's bytes follow it."""
    item = {"name": "crops", "shape": list(crops.shape), "datatype": "FP32"}
    item["parameters"] = {"binary_data_size": crops.nbytes}
    return {"inputs": [{**item, **changes}]}


def send(client, document, tail=TAIL, length=None, **headers):
    """A request of a client that doesn't check what it sends."""
    head = json.dumps(document).encode()
    headers["inference-header-content-length"] = str(len(head) if length is None else length)
    return client.post(INFER, content=head + tail, headers=headers)


def test_health_and_metadata(client, triton):
    assert triton.is_server_live() and triton.is_server_ready()
    assert triton.is_model_ready("tfface") and triton.is_model_ready("tfface", "7")
    assert not triton.is_model_ready("other") and not triton.is_model_ready("tfface", "8")
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tfface/ready"):
        assert client.get(path).status_code == 200 and client.get(path).content == b""
    about = {"name": "tfface", "version": __version__, "extensions": ["binary_tensor_data"]}
    assert triton.get_server_metadata() == about
    model = {
        "name": "tfface",
        "versions": ["7"],
        "platform": "tensorflow_savedmodel",
        "inputs": [{"name": "crops", "datatype": "FP32", "shape": [-1, 2, 2, 3]}],
        "outputs": [
            {"name": "grey", "datatype": "FP32", "shape": [-1, 2, -1]},
            {"name": "mean", "datatype": "FP32", "shape": [-1]},
        ],
    }
    assert triton.get_model_metadata("tfface") == model
    assert triton.get_model_metadata("tfface", "7") == model


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("back", [True, False])
def test_several_faces_as_bytes_and_as_numbers(triton, there, back):
    outputs = [InferRequestedOutput(name, binary_data=back) for name in ("mean", "grey")]
    result = triton.infer("tfface", [tensor(CROPS, there)], outputs=outputs, request_id="a1")
    np.testing.assert_allclose(result.as_numpy("grey"), CROPS.mean(axis=3), rtol=1e-6)
    np.testing.assert_allclose(result.as_numpy("mean"), CROPS.mean(axis=(1, 2, 3)), rtol=1e-6)
    answer = result.get_response()
    assert {key: answer[key] for key in ("id", "model_name", "model_version")} == {
        "id": "a1",
        "model_name": "tfface",
        "model_version": "7",
    }
    assert [("data" in output, "parameters" in output) for output in answer["outputs"]] == [(not back, back)] * 2


def test_chosen_outputs_and_versions(triton):
    result = triton.infer("tfface", [tensor(CROPS)], "7", outputs=[InferRequestedOutput("mean")])
    assert [output["name"] for output in result.get_response()["outputs"]] == ["mean"]
    everything = triton.infer("tfface", [tensor(CROPS)]).get_response()
    assert "id" not in everything
    # Without a choice the client asks for `binary_data_output`.
    assert [(output["name"], output["parameters"]) for output in everything["outputs"]] == [
        ("grey", {"binary_data_size": 48}),
        ("mean", {"binary_data_size": 12}),
    ]


def test_the_bytes_behind_the_answer(client):
    outputs = [{"name": "mean", "parameters": {"binary_data": False}}, {"name": "grey"}]
    response = send(client, request() | {"outputs": outputs, "parameters": {"binary_data_output": True}})
    length = int(response.headers["inference-header-content-length"])
    assert response.headers["content-type"] == "application/octet-stream"
    answer = json.loads(response.content[:length])
    np.testing.assert_allclose(answer["outputs"][1]["data"], CROPS.mean(axis=(1, 2, 3)), rtol=1e-6)
    assert response.content[length:] == CROPS.mean(axis=3).astype("<f4").tobytes()
    plain = client.post(INFER, json={"inputs": [tensor(CROPS, False)._get_tensor()]})
    assert plain.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in plain.headers
    nested = request(data=CROPS.tolist(), parameters={})
    assert client.post(INFER, json=nested).json() == plain.json()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_requests_and_answers(triton, coding):
    result = triton.infer(
        "tfface", [tensor(CROPS)], request_compression_algorithm=coding, response_compression_algorithm=coding
    )
    np.testing.assert_allclose(result.as_numpy("grey"), CROPS.mean(axis=3), rtol=1e-6)


def test_answers_are_compressed_on_request_only(client):
    for coding in ("gzip", "deflate"):
        packed = send(client, request(), **{"accept-encoding": coding})
        assert packed.headers["content-encoding"] == coding and packed.json()["outputs"][0]["name"] == "grey"
    assert "content-encoding" not in send(client, request(), **{"accept-encoding": "identity"}).headers


def test_both_protocols_give_the_same_numbers_and_share_runs():
    model = FakeModel()
    # A full batch doesn't wait.
    with serving(model, batch=6, wait_ms=5000) as client, ThreadPoolExecutor(2) as pool:
        one = pool.submit(predict, client, *CROPS.tolist(), signature_name="serve")
        other = pool.submit(send, client, request())
        rows, outputs = one.result().json()["predictions"], other.result().json()["outputs"]
    assert model.batches == [6]
    for output in outputs:
        values = np.reshape(np.float32(output["data"]), output["shape"])
        assert np.array_equal(values, np.float32([row[output["name"]] for row in rows]))


def test_other_models_and_versions_are_not_found(client, triton):
    for name, version, words in (("other", "", "received other"), ("tfface", "8", r"received tfface \(8\)")):
        with pytest.raises(InferenceServerException, match=words) as refusal:
            triton.infer(name, [tensor(CROPS)], version)
        assert refusal.value.status() == "404"
        with pytest.raises(InferenceServerException, match=words):
            triton.get_model_metadata(name, version)
    refused(client.get("/v2/models/tfface/config"), 404, "Not Found: GET /v2/models/tfface/config")
    refused(client.get(INFER), 405, "Method Not Allowed")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "expected JSON in the first 0 of 0 bytes"),
        (b"\x00\xff garbage", "expected JSON in the first 10 of 10 bytes"),
        (b"[" * 50_000, "expected JSON"),
        (b"[]", 'expected {"inputs": ['),
        (b"{}", "expected inputs of type list, received none"),
        (b'{"inputs": {}}', "expected inputs of type list, received dict"),
        (b'{"inputs": []}', "expected the input crops, received none"),
        (b'{"inputs": [1]}', 'expected inputs as [{"name": '),
        (b'{"inputs": [{}]}', "expected name of type str, received none"),
        (b'{"inputs": [{"name": "crops"}, {"name": "more"}]}', "expected the input crops, received crops, more"),
    ],
)
def test_garbage_is_refused_in_a_sentence(client, body, words):
    refused(client.post(INFER, content=body), 400, words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "crop"}, "expected the input crops, received crop"),
        ({"datatype": "FP64"}, "expected crops as FP32, received FP64"),
        ({"datatype": None}, "expected datatype of type str, received NoneType"),
        ({"shape": [3, 2, 6]}, "expected each of crops of shape [2, 2, 3], received [2, 6]"),
        ({"shape": [3, 2, 3, 2]}, "expected each of crops of shape [2, 2, 3], received [2, 3, 2]"),
        ({"shape": [-3, 2, 2, 3]}, "expected shape of crops as ['faces', 2, 2, 3], whole numbers"),
        ({"shape": [3.0, 2, 2, 3]}, "whole numbers"),
        ({"shape": [True, 2, 2, 3]}, "whole numbers"),
        ({"shape": []}, "whole numbers"),
        ({"shape": "3"}, "expected shape of type list, received str"),
        ({"shape": [0, 2, 2, 3]}, "expected 1 to 4 faces, received 0"),
        ({"shape": [5, 2, 2, 3]}, "expected 1 to 4 faces, received 5; send several requests"),
        ({"shape": [2**62, 2, 2, 3]}, "expected 1 to 4 faces"),
        ({"shape": [2, 2, 2, 3]}, "expected 96 bytes of crops of shape [2, 2, 2, 3] behind the JSON, received 144"),
        ({"parameters": {"binary_data_size": 140}}, "received 144 bytes and binary_data_size 140"),
        ({"parameters": {"binary_data_size": 148}}, "received 144 bytes and binary_data_size 148"),
        ({"parameters": {"binary_data_size": -144}}, "binary_data_size -144"),
        ({"parameters": {"binary_data_size": "144"}}, "expected binary_data_size of type int, received str"),
        ({"parameters": {}}, "expected data or parameters.binary_data_size in crops, received neither"),
        ({"data": [0.5]}, "expected data or parameters.binary_data_size in crops, received both"),
        ({"parameters": [1]}, "expected parameters of type dict, received list"),
        ({"parameters": {"shared_memory_region": "a"}}, "expected no parameters of crops but binary_data_size"),
    ],
)
def test_wrong_inputs_are_refused(client, changes, words):
    refused(send(client, request(**changes)), 400, words)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"id": 5}, "expected id of type str, received int"),
        ({"outputs": "mean"}, "expected outputs of type list, received str"),
        ({"outputs": [{"name": "nose"}]}, "expected outputs among grey, mean, received nose"),
        ({"outputs": [{"name": "mean", "parameters": {"binary_data": 1}}]}, "expected binary_data of type bool"),
        ({"outputs": [{"name": "mean", "parameters": {"classification": 1}}]}, "received classification; leave them"),
        ({"outputs": [{"name": "mean", "parameters": {"shared_memory_region": "a"}}]}, "no parameters of mean but"),
        ({"parameters": {"binary_data_output": "yes"}}, "expected binary_data_output of type bool, received str"),
        ({"parameters": {"sequence_id": 1, "priority": 2}}, "received priority, sequence_id; leave them out"),
    ],
)
def test_what_is_not_offered_is_refused(client, more, words):
    refused(send(client, request() | more), 400, words)


@pytest.mark.parametrize("length", [0, -5, 10**6, 10**20, "12x", "٣", ""])
def test_lying_lengths_of_the_json_are_refused(client, length):
    # Headers are bytes; httpx would refuse to send other digits than ASCII's.
    length = str(length).encode()
    response = client.post(INFER, content=b"{}", headers=[(b"Inference-Header-Content-Length", length)])
    refused(response, 400, "expected Inference-Header-Content-Length as the bytes of JSON, 1 to 2")


def test_bytes_where_they_should_not_be_are_refused(client):
    refused(send(client, request(), TAIL + b"1234"), 400, "received 148 bytes and binary_data_size 144")
    refused(send(client, request(), TAIL[:-4]), 400, "received 140 bytes and binary_data_size 144")
    refused(send(client, request(), length=10), 400, "expected JSON in the first 10 of")
    as_numbers = request(data=CROPS.ravel().tolist(), parameters={})
    refused(send(client, as_numbers), 400, "expected 0 bytes of crops")
    refused(client.post(INFER, content=json.dumps(request()).encode() + TAIL), 400, "has to tell its length")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([0.5] * 11, "expected 12 numbers of crops of shape [1, 2, 2, 3], received 11"),
        ([0.5] * 13, "received 13"),
        ([], "received 0"),
        (["a"] * 12, "not all numbers"),
        ([True] * 12, "not all numbers"),
        ([[0.5], [0.5, 0.5]], "expected crops as numbers"),
        (None, "expected crops as numbers"),
        ([1e39] * 12, "expected finite numbers in crops"),
    ],
)
def test_wrong_numbers_are_refused(client, data, words):
    refused(client.post(INFER, json=request(CROPS[:1], data=data, parameters={})), 400, words)


def test_bytes_that_are_no_numbers_are_refused(triton):
    for value in (np.nan, np.inf):
        with pytest.raises(InferenceServerException, match="expected finite numbers in crops"):
            triton.infer("tfface", [tensor(np.full_like(CROPS, value))])


def test_the_face_that_the_model_refuses_is_named(triton):
    crops = CROPS.copy()
    crops[1, 0, 0, 0] = 13
    with pytest.raises(InferenceServerException, match="instance 1: the model can't use this input: thirteen"):
        triton.infer("tfface", [tensor(crops)])


def test_oversize_bodies_are_refused(client):
    refused(client.post(INFER, content=b" " * 110_000), 413, "at most 0.1 MB")
    bomb = gzip.compress(b" " * 110_000)
    refused(client.post(INFER, content=bomb, headers={"content-encoding": "gzip"}), 413, "after decompression")
    refused(client.post(INFER, content=b"", headers={"content-encoding": "br"}), 415, "received br")


def test_a_busy_server_turns_requests_away():
    model = FakeModel()
    model.free.clear()
    with serving(model, batch=1, queue=3, wait_ms=0, timeout_s=1.0) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(predict, client, instance())
        time.sleep(0.2)
        second = pool.submit(send, client, request())
        time.sleep(0.2)
        full = send(client, request())
        refused(full, 503, "too many faces are waiting")
        assert full.headers["retry-after"] == "1"
        refused(second.result(), 504, "no answer within 1 s")
        first.result()
        model.free.set()
        assert send(client, request()).status_code == 200
