"""What an exported file says about itself: how to make its input and how to read its output."""

import dataclasses
import json

from tfface.detection import CROP_RULES
from tfface.morphable.representation import CROP_MM, EXPRESSION_SIZE, IDENTITY_SIZE
from tfface.version import __version__

KEY = "tfface"
"""Name of the entry in ONNX's metadata; FILE is the name everywhere else."""
FILE = "tfface.json"


def describe(networks, size: int, weights: str) -> dict:
    """The description as plain data.

    Args:
      networks: the exported `Pretrained`.
      size: width of the crops, px.
      weights: how the weights are kept: "float32", "float16" or "int8".
    """
    model = networks.face_model
    count = len(model.mean)
    plane = ["B", size, size]
    return {
        "name": "tfface",
        "version": __version__,
        "weights": weights,
        "face_model": {"name": model.name, "version": model.version, "license": model.license, "source": model.source},
        "input": {
            "name": "crops",
            "shape": ["B", size, size, 3],
            "dtype": "float32",
            "range": [0, 1],
            "colours": "RGB as displayed (sRGB values / 255); grey repeated in the three channels does as well",
        },
        "preprocessing": {
            "crop": "a square (cx, cy, side) in px of the photo, pixel (row i, column j) having its centre at "
            "(x, y) = (j + 0.5, i + 0.5); of a box x0, y0, x1, y1 with w = x1 - x0 and h = y1 - y0: "
            "cx = (x0 + x1) / 2, cy = y1 - up_w·w - up_h·h, side = side_w·w + side_h·h",
            "crop_rules": {name: dataclasses.asdict(rule) for name, rule in CROP_RULES.items()},
            "crop_rules_for": {
                "mtcnn": "MTCNN's boxes",
                "haar": "OpenCV's frontal face cascade",
                "given": "any box from brow or hairline to chin, jaw to jaw",
            },
            "resize": f"to {size}×{size} px, antialiased when shrinking, the photo's border repeated outside it",
        },
        "output": {
            "r": {
                "shape": ["B", 290],
                "unit": "standard deviations; pose as below",
                "of": "identity, expression, pose",
            },
            "pose": {
                "shape": ["B", 6],
                "of": "θx, θy, θz, u, v, s",
                "unit": "rad about x (right), y (up), z (to the viewer), R = Rz·Ry·Rx; the face's origin lies at "
                f"{size}/2·(1 + u, 1 + v) px; px per mm = {size}/{CROP_MM:g}·exp(s)",
            },
            "landmarks": {"shape": ["B", 68, 3], "unit": "px of the crop: x right, y down, z nearer", "order": "iBUG"},
            "vertices": {"shape": ["B", count, 3], "unit": "px of the crop: x right, y down, z nearer"},
            "coarse_depth": {"shape": plane, "unit": "px of the crop, larger is nearer, 0 off the face"},
            "fine_depth": {"shape": plane, "unit": "px of the crop, larger is nearer, 0 off the face"},
            "normals": {
                "shape": [*plane, 3],
                "unit": "unit vectors of the fine depth: x right, y down, z nearer; zeros off the face",
            },
            "mask": {"shape": plane, "unit": "1 on the face, 0 off it"},
        },
        "postprocessing": {
            "to_photo": f"step = side / {size}; x, y of the photo = (cx - side/2, cy - side/2) + step·(x, y) of the "
            "crop; depth and z in px of the photo = step·z",
            "to_mm": f"mm per px of the crop = {CROP_MM:g}/{size}·exp(-s)",
            "parts_of_r": {
                "identity": [0, IDENTITY_SIZE],
                "expression": [IDENTITY_SIZE, IDENTITY_SIZE + EXPRESSION_SIZE],
                "pose": [IDENTITY_SIZE + EXPRESSION_SIZE, 290],
            },
        },
        "triangles": model.triangles.tolist(),
    }


def as_json(description: dict) -> str:
    """The description as JSON text."""
    return json.dumps(description, ensure_ascii=False, separators=(",", ":"))
