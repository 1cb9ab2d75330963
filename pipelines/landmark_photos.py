"""A folder of face crops with dense MediaPipe landmarks, and which of them may be trained on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIZE = 256
"""Width of the folder's square crops in px."""


@dataclass(frozen=True)
class LandmarkPhotos:
    """Crops with landmarks, one row each.

    Attributes:
        folder: where `images/NNNNN.jpg` are.
        number: `[N]` int64, the image numbers.
        points: `[N, 478, 2]` float32, MediaPipe's face mesh in crop px, x right, y down.
        landmarks: `[68]` int64, the iBUG points among the 478.
        euler: `[N, 3]` float32, rough yaw, pitch, roll in degrees.
        valid: `[N, 4]` float32, x0, y0, x1, y1 of the real pixels.
        face_px: `[N]` float32, size of the face in the photo that the crop was cut from.
        source: `[N]` str.
        train: `[N]` bool, whether the crop may be trained on.
    """

    folder: Path
    number: np.ndarray
    points: np.ndarray
    landmarks: np.ndarray
    euler: np.ndarray
    valid: np.ndarray
    face_px: np.ndarray
    source: np.ndarray
    train: np.ndarray

    @property
    def points68(self) -> np.ndarray:
        """`[N, 68, 2]` px, iBUG order; the jaw row follows the visible outline."""
        return self.points[:, self.landmarks]

    def take(self, rows) -> "LandmarkPhotos":
        """Only the given rows (a mask or positions)."""
        rest = {name: getattr(self, name)[rows] for name in _PER_ROW}
        return LandmarkPhotos(folder=self.folder, landmarks=self.landmarks, **rest)

    def path(self, row: int) -> Path:
        """The image file of a row."""
        return self.folder / "images" / f"{self.number[row]:05d}.jpg"


def _numbers(path: Path) -> np.ndarray:
    """The whole numbers in a text file, `[N]` int64."""
    return np.array(path.read_text(encoding="utf-8").split(), np.int64)


_PER_ROW = ("number", "points", "euler", "valid", "face_px", "source", "train")


def load(folder) -> LandmarkPhotos:
    """Reads the landmarks of a folder, train and validation.

    Raises:
        FileNotFoundError: the folder or one of its tables is missing.
    """
    folder = Path(folder)
    for name in ("landmarks.npz", "landmarks68.txt", "train.txt", "val.txt"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"expected a folder of photographs with landmarks.npz, landmarks68.txt, train.txt and val.txt, "
                f"received {str(folder)!r} without {name}. Name another one with --photos."
            )
    train, val = (_numbers(folder / name) for name in ("train.txt", "val.txt"))
    number = np.sort(np.concatenate([train, val]))
    with np.load(folder / "landmarks.npz", allow_pickle=False) as data:
        rows = {name: data[name][number] for name in ("points", "euler", "valid", "face_px", "source")}
    return LandmarkPhotos(
        folder=folder,
        number=number,
        points=rows["points"].astype(np.float32),
        landmarks=_numbers(folder / "landmarks68.txt"),
        euler=rows["euler"].astype(np.float32),
        valid=rows["valid"].astype(np.float32),
        face_px=rows["face_px"].astype(np.float32),
        source=rows["source"],
        train=np.isin(number, train),
    )
