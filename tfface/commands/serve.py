"""Offers an exported SavedModel over HTTP, as TF Serving and Triton offer theirs (docs/serving.md)."""

import argparse
import dataclasses
import math
import re

from tfface.commands.reconstruct import DETECTORS, positive
from tfface.errors import InputError
from tfface.serving.config import ServingConfig

HELP = "offer the model over HTTP"
_OPTIONS = {
    "batch": (positive, "N", "most faces per run of the model"),
    "wait_ms": (float, "MS", "how long a face waits for others to share its run"),
    "queue": (positive, "N", "most faces that wait"),
    "timeout_s": (float, "S", "longest time to an answer"),
    "max_body_mb": (float, "MB", "largest request"),
    "max_instances": (positive, "N", "most faces in a request"),
    "max_megapixels": (float, "MP", "largest picture"),
}


def configure(parser: argparse.ArgumentParser):
    """Adds the verb's arguments."""
    parser.add_argument(
        "saved_model",
        nargs="?",
        metavar="DIR",
        help="from `tfface export --format savedmodel`, or a folder of numbered versions (default: the shipped model)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8501, help="port (default: 8501, TF Serving's)")
    defaults = ServingConfig()
    parser.add_argument("--name", default=defaults.name, help=f"of the model, in its URL (default: {defaults.name})")
    for name, (kind, metavar, text) in _OPTIONS.items():
        default = getattr(defaults, name)
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=kind, default=default, metavar=metavar, help=f"{text} (default: {default:g})")
    parser.add_argument(
        "--detector", choices=DETECTORS, default=defaults.detector, help="for pictures without a box (default: mtcnn)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serves until it is interrupted; returns the exit code."""
    try:
        import orjson  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise InputError(
            f"expected the server's packages, but {error}; install them with `pip install 'tfface[serve]'`"
        ) from error
    names = [field.name for field in dataclasses.fields(ServingConfig)]
    config = ServingConfig(**{name: getattr(arguments, name) for name in names})
    for name in ("timeout_s", "max_body_mb", "max_megapixels"):
        if not 0 < getattr(config, name) < math.inf:
            raise InputError(
                f"expected --{name.replace('_', '-')} above 0 and finite, received {getattr(config, name):g}"
            )
    if not 0 <= config.wait_ms < math.inf:
        raise InputError(f"expected --wait-ms of at least 0 and finite, received {config.wait_ms:g}")
    if not re.fullmatch(r"[\w.-]+", config.name):
        raise InputError(f"expected --name of letters, digits and ._- as part of a URL, received {config.name!r}")
    # Before the model is loaded: a port that is taken shouldn't take ten seconds to tell.
    listening = _listen(arguments.host, arguments.port)
    with listening:
        from tfface.commands.quiet import import_tensorflow

        import_tensorflow()
        from tfface.serving.app import build_app
        from tfface.serving.protocol import impatient

        model = load_model(arguments.saved_model)
        model.warm_up()
        app = build_app(model, config)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{port}"
        print(
            f"Serving {address}/v1/models/{config.name} (TensorFlow Serving's REST) and "
            f"{address}/v2/models/{config.name} (KServe V2); stop with Ctrl-C",
            flush=True,
        )
        settings = uvicorn.Config(
            app,
            http=impatient(config.timeout_s),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        uvicorn.Server(settings).run(sockets=[listening])
    return 0


def load_model(path):
    """The `ServedModel` at `path`; None exports the shipped one first."""
    import tempfile
    from pathlib import Path

    from tfface.commands.quiet import hidden_stderr
    from tfface.serving.model import ServedModel

    if path:
        return ServedModel(path)
    from tfface.commands.export import tidy_when_terminated
    from tfface.export import ExportConfig, export
    from tfface.networks.pretrained import load_pretrained

    with tidy_when_terminated(), tempfile.TemporaryDirectory() as folder:
        with hidden_stderr():
            saved = export(load_pretrained(), Path(folder) / "1", ExportConfig("savedmodel"))
        return ServedModel(saved)


def check_port(host: str, port: int):
    """Says at once when a port can't be listened on."""
    _listen(host, port).close()


def _listen(host: str, port: int):
    import socket

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise InputError(f"can't listen on {host}, port {port}: {error}; choose another --port or --host") from error
