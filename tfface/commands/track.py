"""Follows the faces of a video, or of a camera until Ctrl-C.

OUT gets overlay.mp4 (every face's mesh over the frames), frames.jsonl (one JSON document per frame: pose, landmarks,
ARKit weights of each face) and blendshapes.csv (one row per face and frame). A frame without a face is written as such.
"""

import argparse
import contextlib
import csv
import json
import os
import signal
import sys
import threading
from pathlib import Path

from tfface.commands.quiet import import_tensorflow
from tfface.commands.reconstruct import ModelError, add_shared, load_reconstructor, positive, prepare_out
from tfface.errors import InputError, OutputError

HELP = "follow the faces of a video"
FILES = ("overlay.mp4", "frames.jsonl", "blendshapes.csv")


def configure(parser: argparse.ArgumentParser):
    """Adds the verb's arguments."""
    parser.add_argument("video", metavar="VIDEO|CAMERA", help="a video file, or the number of a camera")
    parser.add_argument("--out", default="out", metavar="DIR", help="folder for the results (default: out)")
    add_shared(parser)
    parser.add_argument("--max-faces", type=positive, metavar="N", help="follow only the N largest faces")
    parser.add_argument("--max-frames", type=positive, metavar="N", help="stop after N frames")
    parser.add_argument("--no-overlay", action="store_true", help="leave out overlay.mp4")


def run(arguments: argparse.Namespace) -> int:
    """Tracks; returns the exit code: 1 if no frame had a face."""
    prepare_out(arguments.out)
    source = arguments.video
    if source.isascii() and source.isdigit() and len(source) < 4 and not os.path.exists(source):
        source = int(source)
    import_tensorflow()
    from tfface.tracking.video import Frames

    frames = Frames(source)
    try:
        reconstructor = load_reconstructor(arguments.model)
    except ModelError as error:
        raise InputError(str(error)) from error
    try:
        counts = _track(frames, reconstructor, arguments)
    finally:
        frames.close()
    total, seen = counts
    print(f"{arguments.video}: {seen} of {total} frames with a face, in {arguments.out}")
    if not seen:
        print(f"tfface: {arguments.video}: no face found in any frame", file=sys.stderr)
    return 0 if seen else 1


def _track(frames, reconstructor, arguments) -> tuple[int, int]:
    """Frames in all, and frames with a face."""
    from tfface.progress import tracked
    from tfface.tracking import FaceTracker, TrackerConfig
    from tfface.tracking.video import Overlay, VideoFile

    out = Path(arguments.out)
    tracker = FaceTracker(reconstructor, TrackerConfig(detector=arguments.detector, max_faces=arguments.max_faces or 0))
    overlay = Overlay(reconstructor.face_model.triangles)
    steps = tracked(frames, "tracking", total=frames.count)
    total = seen = 0
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(_Growing(out / "frames.jsonl"))
        table = stack.enter_context(_Growing(out / "blendshapes.csv"))
        video = None
        if not arguments.no_overlay:
            video = stack.enter_context(VideoFile(out / "overlay.mp4", frames.rate, frames.height, frames.width))
        rows = csv.writer(table, lineterminator="\n")
        names = list(reconstructor.face_model.action_names)
        rows.writerow(["frame", "seconds", "face", *names])
        with contextlib.suppress(KeyboardInterrupt):
            for number, (image, seconds) in enumerate(steps):
                faces = tracker(image, seconds)
                with _uninterrupted():
                    lines.write(json.dumps(_record(number, seconds, faces), allow_nan=False) + "\n")
                    for face in faces:
                        weights = [f"{face.blendshapes[name]:.4f}" for name in names]
                        rows.writerow([number, f"{seconds:.4f}", face.id, *weights])
                    if video:
                        video.add(overlay(image, faces))
                    total, seen = number + 1, seen + bool(faces)
                if total == arguments.max_frames:
                    break
        # Whoever presses Ctrl-C once more wants it to end, not to lose what there is.
        with contextlib.suppress(KeyboardInterrupt), _uninterrupted():
            stack.close()
    return total, seen


@contextlib.contextmanager
def _uninterrupted():
    """Holds Ctrl-C back until the block is done: all files end with the same frame."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where Ctrl-C never arrives
        return
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def _record(number: int, seconds: float, faces) -> dict:
    def rounded(values):
        return [round(float(value), 3) for value in values]

    return {
        "frame": number,
        "seconds": round(seconds, 4),
        "faces": [
            {
                "id": face.id,
                "box": rounded(face.box),
                "yaw_pitch_roll_degrees": rounded(face.euler_degrees),
                "translation_px": rounded(face.translation),
                "mm_per_px": round(face.mm_per_px, 6),
                "landmarks_px": [rounded(point) for point in face.landmarks],
                "blendshapes": {name: round(weight, 4) for name, weight in face.blendshapes.items()},
            }
            for face in faces
        ],
    }


class _Growing:
    """A text file that takes its name when it is complete or a person interrupts, and vanishes when an error ends it.

    Raises:
      OutputError: it can't be written; also from `write` and at the end.
    """

    def __init__(self, path: Path):
        self.path, self._part = path, path.with_name(f".{path.name}.part")

    def __enter__(self):
        with self._named():
            self._file = open(self._part, "w", encoding="utf-8")  # noqa: SIM115 - closed on the way out
        return self

    def write(self, text: str):
        with self._named():
            self._file.write(text)

    def __exit__(self, kind, *_):
        try:
            if kind is None or issubclass(kind, KeyboardInterrupt):
                with self._named():
                    self._file.close()
                    self._part.replace(self.path)
        finally:
            with contextlib.suppress(OSError):  # what is still to be written goes nowhere
                self._file.close()
            self._part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _named(self):
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.path}: can't be written ({error.strerror or error}); free some space or choose another folder"
            ) from error
