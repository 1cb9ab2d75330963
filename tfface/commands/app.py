"""Opens a local page: drop a photo, orbit the head, move the light, download the files. Stop it with Ctrl-C."""

import argparse
import os
import tempfile
from pathlib import Path

from tfface.commands.reconstruct import ModelError, add_shared, load_reconstructor
from tfface.errors import InputError

HELP = "a page to try it in a browser"


def configure(parser: argparse.ArgumentParser):
    """Adds the verb's arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this computer)")
    parser.add_argument("--port", type=int, default=7860, help="port (default: 7860)")
    add_shared(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serves the page until it is interrupted; returns the exit code."""
    from tfface.commands.serve import check_port

    # Before Gradio is loaded: it would ask its makers for a newer version otherwise.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    check_port(arguments.host, arguments.port)
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"expected the page's packages, but {error}; `pip install 'tfface[app]'` brings them"
        ) from error
    try:
        reconstructor = load_reconstructor(arguments.model)
    except ModelError as error:
        raise InputError(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="tfface-app-") as folder:
        # Photos and results that Gradio keeps for its sessions go with it.
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "gradio")
        from tfface.app.blocks import Page, launch

        print(f"Open http://{arguments.host}:{arguments.port} (stop with Ctrl-C)", flush=True)
        launch(Page(reconstructor, Path(folder), arguments.detector), arguments.host, arguments.port)
    return 0
