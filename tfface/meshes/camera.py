"""The camera of a face in numbers that other programs take, so that its mesh overlays the photo."""

import numpy as np

_DISTANCE_MM = 1000.0
"""How far in front of the mesh's origin the camera stands: outside every head; an orthographic picture is the same."""


def camera_parameters(face) -> dict:
    """An orthographic camera that sees the saved mesh as the photo shows it, ready for `json.dump`.

    Args:
      face: has `image`, `translation`, `mm_per_px` and `rotation` as `Face` documents them.
    """
    height, width = (int(size) for size in face.image.shape[:2])
    mm_per_px, (tx, ty) = float(face.mm_per_px), (float(value) for value in face.translation)
    scale = 1.0 / mm_per_px

    def frustum(unit):
        half_width, half_height = 0.5 * width * mm_per_px * unit, 0.5 * height * mm_per_px * unit
        centre = [(0.5 * width - tx) * mm_per_px * unit, (ty - 0.5 * height) * mm_per_px * unit, _DISTANCE_MM * unit]
        return {
            "position": centre,
            "left": -half_width,
            "right": half_width,
            "bottom": -half_height,
            "top": half_height,
            "near": 0.1 * _DISTANCE_MM * unit,
            "far": 2.0 * _DISTANCE_MM * unit,
        }

    return {
        "type": "orthographic",
        "image_size": [width, height],
        "frame": "x right, y up, z towards the camera, which looks along -z with y up",
        "pixels": "x right, y down; the image covers [0, width] x [0, height], the first pixel's centre is (0.5, 0.5)",
        "millimetres": frustum(1.0),
        "metres": frustum(1e-3),
        "image_from_mesh_mm": [[scale, 0.0, 0.0, tx], [0.0, -scale, 0.0, ty], [0.0, 0.0, scale, 0.0]],
        "posed_from_frontal": np.asarray(face.rotation, np.float64).tolist(),
    }
