"""tfface: a detailed 3D face from a single photograph, in TensorFlow and Keras.

import tfface

reconstructor = tfface.Reconstructor.from_pretrained()
for face in reconstructor(tfface.load_image("photo.jpg")):
    face.save("out/")
"""

from importlib import import_module

from tfface.version import __version__

# Loaded when first used: importing TensorFlow takes seconds, and `tfface --help` shouldn't.
_PUBLIC = {
    "Reconstructor": "tfface.reconstructor",
    "ReconstructorConfig": "tfface.reconstructor",
    "Face": "tfface.face",
    "MorphableModel": "tfface.morphable.model",
    "load_image": "tfface.images",
    "detect": "tfface.detection",
    "InputError": "tfface.errors",
    "OutputError": "tfface.errors",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'tfface' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
