"""The server over loopback, by a real client: answers, limits, and clients that misbehave."""

import base64
import contextlib
import io
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.fakes import photo
from tests.serving.client import BOX, PICTURE, instance, predict, refused, serving
from tests.serving.fake_model import FakeModel
from tfface.detection import Detection, crop_square
from tfface.encoding import png_bytes
from tfface.serving import instances as room


def lying() -> bytes:
    """A JPEG whose EXIF data says that it is to be turned by a quarter."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(photo()).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def client():
    with serving(FakeModel(), max_instances=4, max_body_mb=1.0, max_megapixels=0.1) as client:
        yield client


def test_answers_have_the_shape_of_tf_serving(client):
    size = len(base64.b64decode(PICTURE))
    response = predict(client, instance(), instance([70, 50, 150, 160]))
    assert response.status_code == 200 and response.headers["content-type"] == "application/json"
    assert response.json() == {
        "predictions": [{"box": BOX, "size": size}, {"box": [70, 50, 150, 160], "size": size}],
    }
    # One input and one output: the values themselves.
    black, grey = np.zeros((2, 2, 3), int).tolist(), np.full((2, 2, 3), 90).tolist()
    response = predict(client, black, {"crops": grey}, signature_name="serve_uint8")
    assert response.json() == {"predictions": [0, 90]}
    assert client.post("/v1/models/tfface/versions/7:predict", json={"instances": [instance()]}).status_code == 200


def test_status(client):
    state = {"version": "7", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("/v1/models/tfface", "/v1/models/tfface/versions/7"):
        assert client.get(path).json() == {"model_version_status": [state]}


def test_other_models_and_paths_are_not_found(client):
    refused(client.get("/v1/models/other"), 404, "expected model tfface (version 7), received other")
    refused(client.get("/v1/models/tfface/versions/8"), 404, "received tfface (8)")
    refused(client.get("/"), 404, "Not Found: GET /")
    refused(client.post("/v1/models/tfface"), 405, "Method Not Allowed")
    response = client.get("/v1/models/tfface:predict")
    refused(response, 405, "Method Not Allowed: GET /v1/models/tfface:predict")
    assert response.headers["allow"] == "POST"
    refused(client.post("/v1/models/tfface:classify"), 404, "Not Found: POST /v1/models/tfface:classify")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "expected a JSON body"),
        (b"\x00\xff garbage", "expected a JSON body"),
        (b"[" * 100_000, "expected a JSON body"),
        (b"[]", 'expected {"instances"'),
        (b'{"inputs": {}}', 'the column format, "inputs", isn\'t offered'),
        (b'{"instances": [1], "inputs": {}}', 'the column format, "inputs", isn\'t offered'),
        (b'{"instances": []}', "expected 1 to 4 instances, received 0"),
        (b'{"instances": [1, 2, 3, 4, 5]}', "expected 1 to 4 instances, received 5"),
        (b'{"instances": [1]}', "instance 0: expected the inputs box, image_bytes, received int"),
        (b'{"instances": [{"image": 1}]}', "received image"),
        (b'{"instances": [{"image_bytes": "abc"}]}', 'expected image_bytes as {"b64": "'),
        (b'{"instances": [{"image_bytes": {"b64": "a?b"}}]}', "expected base64 in image_bytes"),
        (b'{"instances": [{"image_bytes": {"b64": "YWJj"}}]}', "expected a JPEG or PNG picture"),
    ],
)
def test_garbage_is_refused_in_a_sentence(client, body, words):
    refused(client.post("/v1/models/tfface:predict", content=body), 400, words)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([1, 2, 3], "expected box of shape [4], received [3]"),
        ("here", "expected box as numbers"),
        ([[1], [2, 3]], "expected box as numbers"),
        ([True, False, True, True], "not all numbers"),
        ([1e39, 0, 0, 0], "expected finite numbers in box"),
        ([140, 50, 60, 160], "x1 > x0"),
        ([900, 900, 990, 990], "overlaps the 220×260 image"),
    ],
)
def test_wrong_boxes_are_refused(client, box, words):
    refused(predict(client, instance(), instance(box)), 400, words)


def test_wrong_crops_are_refused(client):
    bright = np.full((2, 2, 3), 300).tolist()
    refused(predict(client, bright, signature_name="serve_uint8"), 400, "numbers outside 0…255")
    refused(predict(client, [[1]], signature_name="serve_uint8"), 400, "expected crops of shape [2, 2, 3]")
    halves = np.full((2, 2, 3), 0.5).tolist()
    refused(predict(client, halves, signature_name="serve_uint8"), 400, "fractions where whole numbers are wanted")
    refused(predict(client, instance(), signature_name="none"), 404, "expected a signature_name among")


def test_oversize_pictures_and_bodies_are_refused(client):
    large = base64.b64encode(png_bytes(np.zeros((500, 400, 3), np.uint8))).decode()
    refused(predict(client, instance(picture=large)), 413, "expected at most 0.1 megapixels, received 400×500")
    refused(client.post("/v1/models/tfface:predict", content=b" " * 1_100_000), 413, "at most 1 MB")
    # Chunked, so without a length: refused while it comes in.
    refused(client.post("/v1/models/tfface:predict", content=(b" " * 50_000 for _ in range(40))), 413, "at most 1 MB")
    assert predict(client, instance()).status_code == 200


def test_concurrent_requests_share_runs_and_keep_their_answers_apart():
    model = FakeModel()
    model.free.clear()
    with serving(model, batch=8, wait_ms=50) as client, ThreadPoolExecutor(16) as pool:
        boxes = [[x, 50, 140, 160] for x in range(40, 56)]
        waiting = [pool.submit(predict, client, instance(box)) for box in boxes]
        time.sleep(0.5)
        model.free.set()
        answers = [future.result().json() for future in waiting]
    assert [answer["predictions"][0]["box"] for answer in answers] == boxes
    assert sum(model.batches) == 16 and max(model.batches) <= 8 and len(model.batches) <= 6


def test_one_bad_face_fails_alone():
    model = FakeModel()
    model.free.clear()
    with serving(model, wait_ms=50) as client, ThreadPoolExecutor(4) as pool:
        boxes = [BOX, [13, 50, 140, 160], [14, 50, 140, 160], BOX]
        waiting = [pool.submit(predict, client, instance(box)) for box in boxes]
        time.sleep(0.3)
        model.free.set()
        answers = [future.result() for future in waiting]
    assert [answer.status_code for answer in answers] == [200, 400, 500, 200]
    refused(answers[1], 400, "instance 0: the model can't use this input: thirteen")
    refused(answers[2], 500, "the server's log says why")


def test_a_slow_model_times_out_and_recovers():
    model = FakeModel()
    model.free.clear()
    with serving(model, timeout_s=0.4) as client:
        refused(predict(client, instance()), 504, "no answer within 0.4 s")
        model.free.set()
        assert predict(client, instance()).status_code == 200


def test_a_full_queue_turns_requests_away():
    model = FakeModel()
    model.free.clear()
    with serving(model, batch=1, queue=2, wait_ms=0) as client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(predict, client, instance())
        time.sleep(0.2)
        others = [pool.submit(predict, client, instance()) for _ in range(3)]
        time.sleep(0.3)
        model.free.set()
        codes = sorted(future.result().status_code for future in [first, *others])
    assert codes == [200, 200, 200, 503]


def test_more_faces_than_the_queue_holds_are_not_told_to_try_again():
    with serving(FakeModel(), queue=2) as client:
        refused(predict(client, *[instance()] * 3), 400, "expected 1 to 2 instances, received 3")


def test_the_face_that_the_model_refuses_is_named():
    with serving(FakeModel()) as client:
        refused(predict(client, instance(), instance([13, 50, 140, 160])), 400, "instance 1: the model can't use")


def test_a_slow_upload_is_cut_off():
    with serving(FakeModel(), timeout_s=0.3) as client:

        def dripping():
            yield b'{"instances"'
            time.sleep(0.8)
            yield b": []}"

        with contextlib.suppress(httpx.TransportError):
            refused(client.post("/v1/models/tfface:predict", content=dripping()), 408, "the whole body within")
        assert client.get("/v1/models/tfface").status_code == 200


@pytest.mark.parametrize("answers", [0, 1])
def test_clients_that_never_finish_their_headers_are_hung_up_on(answers):
    with serving(FakeModel(), timeout_s=0.5) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
            for _ in range(answers):
                raw.sendall(b"GET /v1/models/tfface HTTP/1.1\r\nhost: x\r\n\r\n")
                assert raw.recv(65536).startswith(b"HTTP/1.1 200")
            raw.settimeout(0.1)
            raw.sendall(b"GET /v1/models/tfface HTTP/1.1\r\nx: ")
            started, ended = time.monotonic(), False
            while not ended and time.monotonic() < started + 5:
                try:
                    raw.sendall(b"y")
                    ended = not raw.recv(1)
                except TimeoutError:
                    pass
                except ConnectionError:
                    ended = True
        assert ended and 0.3 < time.monotonic() - started < 4


def test_a_slow_answer_is_not_a_slow_request():
    body = json.dumps({"instances": [instance()]}).encode()
    head = f"POST /v1/models/tfface:predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with serving(FakeModel(delay=0.7), timeout_s=1.0) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=5) as raw:
            # When the time for headers is over, the request is there and its answer isn't.
            time.sleep(0.6)
            raw.sendall(head + body)
            assert raw.recv(65536).startswith(b"HTTP/1.1 200")


def test_clients_that_hang_up_leave_nothing_behind():
    model = FakeModel()
    model.free.clear()
    with serving(model, batch=1, wait_ms=0) as client:
        address = client.base_url.host, client.base_url.port
        body = json.dumps({"instances": [instance()]}).encode()
        head = f"POST /v1/models/tfface:predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        for sent in (head + body, head + body, head + body[:100], b"POST /v1"):
            raw = socket.create_connection(address)
            raw.sendall(sent)
            time.sleep(0.15)
            raw.close()
        time.sleep(0.3)
        model.free.set()
        assert predict(client, instance()).status_code == 200
    # The first was running already; the second left the queue when its client did.
    assert model.batches == [1, 1]


def test_without_a_box_the_largest_face_is_found(client, monkeypatch):
    found = [Detection((50, 40, 130, 150), 0.99, "mtcnn")]
    monkeypatch.setattr(room, "detect", lambda image, detector: found if image.shape == (260, 220, 3) else [])
    response = predict(client, {"image_bytes": {"b64": PICTURE}})
    box = response.json()["predictions"][0]["box"]
    np.testing.assert_allclose(crop_square(box), crop_square(found[0].box, "mtcnn"), rtol=1e-5)
    found.clear()
    refused(predict(client, {"image_bytes": {"b64": PICTURE}}), 400, "no face found by mtcnn; send its box")
    turned = base64.b64encode(lying()).decode()
    refused(predict(client, {"image_bytes": {"b64": turned}}), 400, "without its EXIF rotation (send it upright)")
    whole = predict(client, instance([0, 0, 0, 0]))
    assert whole.json()["predictions"][0]["box"] == [0, 0, 0, 0]
