"""A server in a thread of the test's process, and what a client does with it."""

import base64
import contextlib
import socket
import threading

import httpx
import uvicorn

from tests.fakes import photo
from tfface.encoding import png_bytes
from tfface.serving.app import build_app
from tfface.serving.config import ServingConfig
from tfface.serving.protocol import impatient

PICTURE = base64.b64encode(png_bytes(photo())).decode()
BOX = [60, 50, 140, 160]


@contextlib.contextmanager
def serving(model, **options):
    """A client of a server in a thread of this process."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = ServingConfig(**options)
    settings = uvicorn.Config(
        build_app(model, config), http=impatient(config.timeout_s), log_level="error", lifespan="on"
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        port = listening.getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def instance(box=BOX, picture=PICTURE):
    return {"image_bytes": {"b64": picture}, "box": box}


def predict(client, *instances, **more):
    return client.post("/v1/models/tfface:predict", json={"instances": list(instances), **more})


def refused(response, status, words):
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["error"] and words in body["error"], body
