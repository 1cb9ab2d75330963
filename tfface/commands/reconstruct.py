"""Reconstructs the faces in photos.

Each photo's results go to OUT/NAME/face0…, face1…, largest face first. A photo that fails is reported in one sentence
on stderr, and the others are still done.
"""

import argparse
import json
import os
import sys
import traceback

from tfface.commands.photos import Photo, collect
from tfface.errors import InputError, OutputError
from tfface.version import __version__

HELP = "reconstruct the faces in photos"
MESH_FORMATS = ("obj", "ply", "glb")
FORMATS = (*MESH_FORMATS, "glb-arkit", "detail", "depth", "normals", "preview", "turntable", "html", "camera", "json")
FRONTAL = ("neutral", "expression")
DEFAULT_FORMATS = ("obj", "depth", "preview", "json")
DETECTORS = ("mtcnn", "haar")


def configure(parser: argparse.ArgumentParser):
    """Adds the verb's arguments."""
    parser.add_argument("photos", nargs="*", metavar="PHOTO", help="pictures, and folders of pictures")
    parser.add_argument("--out", default="out", metavar="DIR", help="folder for the results (default: out)")
    parser.add_argument(
        "--formats",
        nargs="+",
        default=list(DEFAULT_FORMATS),
        metavar="FORMAT",
        help=f"any of {', '.join(FORMATS)}, or all (default: {' '.join(DEFAULT_FORMATS)})",
    )
    parser.add_argument(
        "--frontal",
        nargs="?",
        const="neutral",
        metavar="|".join(FRONTAL),
        help="also write the un-posed head in each mesh format asked for: its neutral face (the default), or with its "
        "expression",
    )
    add_shared(parser)
    parser.add_argument(
        "--box",
        action="append",
        type=parse_box,
        metavar="x0,y0,x1,y1",
        help="a face's box in pixels, brow to chin, instead of detection; may be repeated, holds for every photo "
        "(write --box=-5,… for a negative number)",
    )
    parser.add_argument("--max-faces", type=positive, metavar="N", help="only the N largest faces of a photo")
    parser.add_argument(
        "--detail",
        type=strength,
        default=1.0,
        metavar="X",
        help="how strong wrinkles are: 1 as found (the default), 0 none, 2 twice as deep",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")
    parser.add_argument("--traceback", action="store_true", help="show where unexpected errors come from")


def add_shared(parser: argparse.ArgumentParser):
    """Arguments that every verb which reconstructs has."""
    parser.add_argument("--detector", choices=DETECTORS, default="mtcnn", help="how faces are found (default: mtcnn)")
    parser.add_argument("--model", metavar="PATH", help="a folder with a trained model (default: the shipped one)")


def parse_box(text: str) -> tuple[float, float, float, float]:
    """`x0,y0,x1,y1` as numbers."""
    try:
        x0, y0, x1, y1 = (float(value) for value in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected four numbers x0,y0,x1,y1, received {text!r}") from None
    if not (x1 > x0 and y1 > y0):
        raise argparse.ArgumentTypeError(f"expected x1 > x0 and y1 > y0, received {text!r}")
    return x0, y0, x1, y1


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, received {text!r}")
    return int(text)


def strength(text: str) -> float:
    """A number from 0 to 10."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.0 <= value <= 10.0:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 10, received {text!r}")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Does the work; returns the exit code."""
    formats, names = _formats_and_photos(arguments)
    prepare_out(arguments.out)
    photos, problems = collect(names, arguments.out)
    with _Reporter(quiet=arguments.json, total=len(photos)) as reporter:
        for _, sentence in problems:
            reporter.problem(sentence)
        records = [_record(name, "error", error=sentence) for name, sentence in problems]
        reconstructor = None
        for photo in photos:
            reporter.start(photo)
            try:
                image = _load(photo)
                # Loaded by the first photo that needs it: a mistyped path shouldn't take ten seconds to tell.
                reconstructor = reconstructor or load_reconstructor(arguments.model, detail=arguments.detail)
                records.append(_do(photo, image, reconstructor, arguments, formats))
            except ModelError as error:
                raise InputError(str(error)) from error
            except (InputError, OutputError) as error:
                records.append(_record(photo.path, "error", error=_with_name(photo, str(error))))
            except MemoryError:
                sentence = f"{photo.path}: not enough memory for this picture; make it smaller first"
                records.append(_record(photo.path, "error", error=sentence))
            except Exception as error:  # noqa: BLE001 - one photo must not stop the others
                if arguments.traceback:
                    traceback.print_exc()
                sentence = f"{photo.path}: failed unexpectedly ({type(error).__name__}: {error}); see --traceback"
                records.append(_record(photo.path, "error", error=" ".join(sentence.split())))
            reporter.done(photo, records[-1])
    failed = sum(record["status"] != "ok" for record in records)
    if arguments.json:
        document = {"tfface": __version__, "photos": records, "failed": failed}
        json.dump(document, sys.stdout, indent=1, allow_nan=False)
        sys.stdout.write("\n")
    return 1 if failed else 0


def prepare_out(folder):
    """Makes the folder of `--out`, or says that it can't be used before any work is done."""
    from tfface.output import make_folder

    try:
        make_folder(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: expected a writable folder; choose another or change its permissions")
    except OutputError as error:
        raise InputError(f"--out {error}") from error


class ModelError(Exception):
    """The model can't be loaded: no photo can be done."""


def load_reconstructor(path, **settings):
    """The reconstructor of a model folder, with TensorFlow's start-up chatter held back.

    Args:
      path: the folder; None for the shipped model.
      settings: of its `ReconstructorConfig`.
    """
    from tfface.commands.quiet import import_tensorflow

    import_tensorflow()
    from tfface.reconstructor import Reconstructor, ReconstructorConfig

    try:
        return Reconstructor.from_pretrained(path, ReconstructorConfig(**settings))
    except InputError as error:
        raise ModelError(f"--model {error}" if path else str(error)) from error


def _formats_and_photos(arguments) -> tuple[tuple[str, ...], list[str]]:
    """Formats, apart by blanks or commas, and photos, which may also stand after the formats or --frontal."""
    formats, photos = [], list(arguments.photos)
    for word in arguments.formats:
        parts = [part for part in word.lower().split(",") if part]
        if all(part in (*FORMATS, "all") for part in parts):
            formats += all_formats() if "all" in parts else parts
        elif os.path.exists(word):
            photos.append(word)
        else:
            arguments.verb_parser.error(f"expected --formats from {', '.join(FORMATS)} or all, received {word!r}")
    if not formats:
        formats = list(DEFAULT_FORMATS)
    frontal = arguments.frontal
    if frontal is not None and frontal not in FRONTAL:
        if not os.path.exists(frontal):
            arguments.verb_parser.error(f"expected --frontal {' or '.join(FRONTAL)}, received {frontal!r}")
        photos.append(frontal)
        arguments.frontal = FRONTAL[0]
    if frontal and not set(formats) & set(MESH_FORMATS):
        meshes = ", ".join(MESH_FORMATS)
        arguments.verb_parser.error(f"expected a mesh format ({meshes}) in --formats with --frontal, received none")
    if not photos:
        arguments.verb_parser.error("expected at least one PHOTO or folder of photos, received none")
    return tuple(dict.fromkeys(formats)), photos


def all_formats() -> tuple[str, ...]:
    """All of `FORMATS`; a web page only where the package that draws it is installed."""
    from importlib.util import find_spec

    return FORMATS if find_spec("k3d") else tuple(name for name in FORMATS if name != "html")


def _load(photo: Photo):
    from tfface.images import load_image

    return load_image(photo.path)


def _do(photo: Photo, image, reconstructor, arguments, formats) -> dict:
    faces = reconstructor(image, boxes=arguments.box, detector=arguments.detector, max_faces=arguments.max_faces)
    if not faces:
        hint = f"try --detector {_other(arguments.detector)}, or give --box x0,y0,x1,y1"
        return _record(photo.path, "no_face", error=f"{photo.path}: no face found; {hint}")
    entries = [
        face.pose() | {"files": face.save(photo.folder, formats, f"face{index}", arguments.frontal)}
        for index, face in enumerate(faces)
    ]
    return _record(photo.path, "ok", faces=entries, folder=str(photo.folder))


def _other(detector: str) -> str:
    return next(name for name in DETECTORS if name != detector)


def _record(path, status: str, faces=(), folder=None, error=None) -> dict:
    return {"photo": str(path), "status": status, "error": error, "folder": folder, "faces": list(faces)}


def _with_name(photo: Photo, sentence: str) -> str:
    return sentence if str(photo.path) in sentence else f"{photo.path}: {sentence}"


class _Reporter:
    """Tells people how it goes: results on stdout, problems and a progress bar on stderr."""

    def __init__(self, quiet: bool, total: int):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False)
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            redirect_stdout=False,
            disable=total < 2 or not self.console.is_terminal,
        )
        self.task = self.progress.add_task("reconstructing", total=total)

    def __enter__(self):
        self.progress.start()
        return self

    def __exit__(self, *_):
        self.progress.stop()

    def start(self, photo: Photo):
        self.progress.update(self.task, description=photo.path.name[-40:])

    def problem(self, sentence: str):
        self.console.print(sentence, markup=False, soft_wrap=True)

    def done(self, photo: Photo, record: dict):
        if record["error"]:
            self.problem(record["error"])
        elif not self.quiet:
            count = len(record["faces"])
            line = f"{photo.path}: {count} {'face' if count == 1 else 'faces'} in {record['folder']}"
            # The bar's console writes around the bar, but to stderr: that would leave `tfface … > done.txt` empty.
            if self.progress.disable or not sys.stdout.isatty():
                print(line, flush=True)
            else:
                self.console.print(line, markup=False, soft_wrap=True)
        self.progress.advance(self.task)
