"""Frames in, from a file or a camera, and pictures of followed faces out."""

import contextlib
import os
import subprocess
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from tfface.errors import InputError, OutputError
from tfface.meshes.drawing import draw, smooth_normals
from tfface.preview import shade
from tfface.tracking.tracker import TrackedFace

_COLOURS = ((186, 204, 232), (226, 196, 160), (176, 214, 176), (222, 178, 206), (206, 206, 160), (170, 210, 214))


class Frames:
    """The frames of a video, one after the other: iterate over (uint8 RGB `[H, W, 3]`, seconds).

    Args:
      source: path of a video file, or number of a camera.

    Raises:
      InputError: it can't be opened, or holds no frame.
    """

    def __init__(self, source: str | int):
        self.camera = isinstance(source, int)
        if not self.camera and not os.path.isfile(source):
            raise InputError(f"{source}: expected a video file or the number of a camera, found no such file")
        self._capture = cv2.VideoCapture(source if self.camera else str(source))
        good, self._first = self._capture.read() if self._capture.isOpened() else (False, None)
        if not good:
            self._capture.release()
            what = f"camera {source}" if self.camera else str(source)
            raise InputError(f"{what}: expected a video that OpenCV can read, received none of its frames")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = float(rate) if np.isfinite(rate) and 1.0 <= rate <= 480.0 else 30.0
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count = int(count) if not self.camera and 0 < count < 1e9 else None
        self.height, self.width = self._first.shape[:2]

    def __iter__(self):
        frame, started, number = self._first, time.monotonic(), 0
        while frame is not None:
            # A camera's frames come when they come; a file's are as far apart as its rate says.
            seconds = time.monotonic() - started if self.camera else number / self.rate
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), seconds
            good, frame = self._capture.read()
            frame, number = (frame if good else None), number + 1

    def close(self):
        """Lets go of the file or camera."""
        self._capture.release()


class VideoFile(contextlib.AbstractContextManager):
    """An MP4 under way, H.264 in yuv420p, which browsers and telephones play.

    It takes its name when it is complete, and leaves nothing behind when an error ends it. The format needs even sides:
    an odd one grows by a copy of its last row or column.

    Args:
      path: where it will be.
      rate: frames per second.
      height, width: of its frames, px.

    Raises:
      OutputError: it can't be written; also from `add` and at the end.
    """

    def __init__(self, path: Path, rate: float, height: int, width: int):
        self.path, self._part = path, path.with_name(f".{path.stem}.part.mp4")
        self._shape = (height, width, 3)
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - closed on the way out
        self._encoder = subprocess.Popen(
            [*_encoding(rate, height + height % 2, width + width % 2), f"file:{self._part}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._told,
            # Ctrl-C reaches all that a terminal runs, and the encoder is still needed to complete the file.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )

    def add(self, picture: np.ndarray):
        """One more frame, uint8 RGB `[height, width, 3]`.

        Raises:
          ValueError: it has another shape.
          OutputError: the encoder has given up.
        """
        if picture.shape != self._shape:
            raise ValueError(f"expected a frame of shape {self._shape}, received {picture.shape}")
        even = np.pad(picture, [(0, side % 2) for side in self._shape[:2]] + [(0, 0)], mode="edge")
        try:
            self._encoder.stdin.write(even.tobytes())
        except OSError as error:
            raise self._failure() from error

    def __exit__(self, kind, *_):
        # What a person interrupts is complete up to there, and wanted.
        wanted = kind is None or issubclass(kind, KeyboardInterrupt)
        try:
            with contextlib.suppress(OSError):  # of an encoder that is gone; its exit code tells
                self._encoder.stdin.close()
            if wanted:
                if self._encoder.wait():
                    raise self._failure()
                self._part.replace(self.path)
        finally:
            self._encoder.kill()
            self._encoder.wait()
            self._told.close()
            self._part.unlink(missing_ok=True)

    def _failure(self) -> OutputError:
        self._encoder.wait()
        self._told.seek(0)
        lines = self._told.read().decode(errors="replace").split("\n")
        reason = next((line.strip() for line in lines if line.strip()), f"exit code {self._encoder.returncode}")
        return OutputError(
            f"{self.path}: expected to write a video, but ffmpeg says: {reason}; make room for it, or leave it out "
            "(--no-overlay)"
        )


def _encoding(rate: float, height: int, width: int) -> list[str]:
    """The encoder's command line but for the file: raw RGB frames on stdin become H.264."""
    import imageio_ffmpeg

    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise OutputError(
            "expected ffmpeg for the video, found none; install it, or leave the video out (--no-overlay)"
        ) from error
    # 29.97… is 30000/1001.
    given = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {Fraction(rate).limit_denominator(1001)} -i -"
    codec = "-an -c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p -movflags +faststart"
    # Untagged colours are guessed from the size, by each player in its way.
    colours = "-vf scale=out_color_matrix=bt709 -colorspace bt709 -color_primaries bt709 -color_trc bt709"
    return [program, "-v", "error", "-y", *given.split(), *codec.split(), *colours.split()]


class Overlay:
    """Draws followed faces over their frames.

    Args:
      triangles: `[T, 3]` of the face model.
      strength: 0…1, how little of the photograph is left.
    """

    def __init__(self, triangles: np.ndarray, strength: float = 0.65):
        self.triangles, self.strength = np.asarray(triangles), strength

    def __call__(self, image: np.ndarray, faces: list[TrackedFace]) -> np.ndarray:
        """The frame, uint8 RGB, with every face's mesh shaded over it."""
        picture = image.astype(np.float32)
        for face in faces:
            self._add(picture, face)
        return np.uint8(np.clip(np.rint(picture), 0, 255))

    def _add(self, picture: np.ndarray, face: TrackedFace):
        height, width = picture.shape[:2]
        points = face.vertices_image
        low = np.clip(np.floor(points[:, :2].min(axis=0)), 0, (width, height)).astype(int)
        high = np.clip(np.ceil(points[:, :2].max(axis=0)), 0, (width, height)).astype(int)
        columns, rows = high - low
        if min(columns, rows) < 2:
            return
        up = points * [1.0, -1.0, 1.0]
        normals = smooth_normals(up, self.triangles) * [1.0, -1.0, 1.0]
        values, mask = draw(points - [*low, 0.0], self.triangles, normals, int(rows), int(columns))
        part = picture[low[1] : high[1], low[0] : high[0]]
        shaded = shade(values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-6), _COLOURS[face.id % 6])
        part += self.strength * mask[..., None] * (shaded - part)
