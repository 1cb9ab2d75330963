"""A stand-in for `ServedModel` that answers at once, or as slowly as told, and remembers its batches."""

import threading
import time

import numpy as np

from tfface.serving.errors import RequestError
from tfface.serving.model import ArraySpec


class FakeModel:
    """`serving_default` answers the box and the number of bytes, `serve` the crops' brightness; thirteen is refused."""

    version = "7"
    signatures = {
        "serving_default": {"image_bytes": ArraySpec((), object), "box": ArraySpec((4,), np.float32)},
        "serve": {"crops": ArraySpec((2, 2, 3), np.float32)},
        "serve_uint8": {"crops": ArraySpec((2, 2, 3), np.uint8)},
    }
    outputs = {"serve": {"grey": ArraySpec((2, None), np.float32), "mean": ArraySpec((), np.float32)}}

    def __init__(self, delay: float = 0.0):
        self.delay = delay
        self.batches = []
        self.free = threading.Event()
        self.free.set()

    def run(self, signature, inputs):
        """Answers a batch."""
        self.free.wait(10)
        time.sleep(self.delay)
        if signature == "serve_uint8":
            self.batches.append(len(inputs["crops"]))
            return {"mean": inputs["crops"].mean(axis=(1, 2, 3)).astype(np.float32)}
        if signature == "serve":
            crops = inputs["crops"]
            self.batches.append(len(crops))
            if (crops[:, 0, 0, 0] == 13).any():
                raise RequestError(400, "the model can't use this input: thirteen")
            return {"mean": crops.mean(axis=(1, 2, 3)), "grey": crops.mean(axis=3)}
        self.batches.append(len(inputs["box"]))
        if (inputs["box"][:, 0] == 13).any():
            raise RequestError(400, "the model can't use this input: thirteen")
        if (inputs["box"][:, 0] == 14).any():
            raise RuntimeError("a bug")
        sizes = np.array([len(data) for data in inputs["image_bytes"]], np.int64)
        return {"box": inputs["box"], "size": sizes}
