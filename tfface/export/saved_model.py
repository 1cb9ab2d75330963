"""A SavedModel: any batch, photos as bytes, FineNet alone; loads without tfface."""

import contextlib
import os
import secrets
import shutil
from pathlib import Path

import tensorflow as tf

from tfface.errors import OutputError
from tfface.export.cutting import decode_and_cut
from tfface.export.graph import FaceGraph
from tfface.export.metadata import FILE, as_json
from tfface.output import make_folder

EXTRA = "assets.extra"
"""Where SavedModel keeps what isn't part of the graph."""


def build_module(graph: FaceGraph) -> tuple[tf.Module, dict]:
    """The module to save and its signatures.

    Args:
      graph: what to save.

    Returns:
      A module with `serve` (crops float32 in 0…1 or uint8, `[B, S, S, 3]`), `serve_encoded` (`image_bytes` `[B]`, `box`
      `[B, 4]`; see `decode_and_cut`) and `fine` (`image`, `depth`, `mask` `[B, H, W, 1]`), and the same as signatures,
      with `serve_uint8` beside `serve`, and `serve_encoded` as the default.
    """
    crops = [None, graph.size, graph.size, 3]
    # Traced here and called by all: every signature with a body of its own would triple the file, and saving traces
    # functions anew, with all that they call but what is traced already.
    faces = tf.function(graph, autograph=False).get_concrete_function(tf.TensorSpec(crops, tf.float32, name="crops"))

    @tf.function(autograph=False)
    def serve(crops):
        return faces(tf.cast(crops, tf.float32) / 255.0 if crops.dtype == tf.uint8 else crops)

    encoded = [
        tf.TensorSpec([None], tf.string, name="image_bytes"),
        tf.TensorSpec([None, 4], tf.float32, name="box"),
    ]

    @tf.function(autograph=False, input_signature=encoded)
    def serve_encoded(image_bytes, box):
        crops, placed = decode_and_cut(image_bytes, box, graph.size)
        return faces(crops) | {"crop": placed}

    plane = [tf.TensorSpec([None, None, None, 1], tf.float32, name=name) for name in ("image", "depth", "mask")]
    module = tf.Module(name="tfface")
    module.weights = graph.stored
    module.serve = serve
    module.serve_encoded = serve_encoded
    module.fine = tf.function(graph.refine, input_signature=plane, autograph=False)
    return module, {
        "serving_default": serve_encoded.get_concrete_function(),
        "serve": serve.get_concrete_function(tf.TensorSpec(crops, tf.float32, name="crops")),
        "serve_uint8": serve.get_concrete_function(tf.TensorSpec(crops, tf.uint8, name="crops")),
        "serve_encoded": serve_encoded.get_concrete_function(),
        "fine": module.fine.get_concrete_function(),
    }


def save(graph: FaceGraph, path, description: dict) -> Path:
    """Writes the folder, whole or not at all.

    Args:
      graph: what to save.
      path: a folder that is new or empty.
      description: from `describe`; becomes `assets.extra/tfface.json`.

    Raises:
      OutputError: it can't be written, or there is something at `path` already.
    """
    path = Path(path)
    module, signatures = build_module(graph)
    parent = make_folder(path.parent)
    staged = parent / f".tfface-{secrets.token_hex(8)}.tmp"
    try:
        tf.saved_model.save(module, os.fspath(staged), signatures)
        (staged / EXTRA).mkdir()
        (staged / EXTRA / FILE).write_text(as_json(description), encoding="utf-8")
        # Takes the place of an empty folder, and fails on anything else.
        os.replace(staged, path)
    except (OSError, tf.errors.OpError) as error:
        raise OutputError(f"{path}: can't be written ({error}); free some space or choose another folder") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(staged)
    return path
