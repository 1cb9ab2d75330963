"""Folders in the format of AFLW2000-3D (Zhu et al., CVPR 2016): `NAME.jpg` beside `NAME.mat`.

Of a `.mat` these are read:

    pt3d_68     [3, 68]  x right, y down and z in px; Matlab's pixels: the centre of the first one is 1
    Pose_Para   [1, 7]   pitch, yaw, roll in radians, then tx, ty, tz and f

`roi`, where the face was cut from in its original photograph, isn't needed and may be missing. The angles are those of
the data set's own `RotationMatrix.m`, R = R_x(pitch)·R_y(yaw)·R_z(roll) with left-handed turns in a frame of x right, y
up and z towards the viewer. So positive yaw faces the image's *left*, which is the opposite of docs/conventions.md;
pitch looks up and roll is clockwise, as there; and the order of the turns is another one, so that angles must be read
from the rotation, not copied.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

USUAL_LIMIT = 99.0
"""Degrees; faces with an angle beyond are usually left out of the head-pose error, because there the labels fail."""


@dataclass(frozen=True)
class Aflw2000:
    """The faces of a folder, one row each.

    Attributes:
        folder: where the files are.
        number: `[N]` str, names without suffix.
        points68: `[N, 68, 2]` float32 px in the coordinates of docs/conventions.md, iBUG order, jaw in 3D.
        euler: `[N, 3]` float32, the data set's yaw, pitch, roll in degrees, signs and order as it has them.
        source: `[N]` str.
    """

    folder: Path
    number: np.ndarray
    points68: np.ndarray
    euler: np.ndarray
    source: np.ndarray

    def take(self, rows) -> "Aflw2000":
        """Only the given rows (a mask or positions)."""
        rest = {name: getattr(self, name)[rows] for name in ("number", "points68", "euler", "source")}
        return Aflw2000(folder=self.folder, **rest)

    def path(self, row: int) -> Path:
        """The image file of a row."""
        return self.folder / f"{self.number[row]}.jpg"


def is_folder(folder) -> bool:
    """Whether a folder holds `.mat` files and so may be in this format."""
    return Path(folder).is_dir() and any(Path(folder).glob("*.mat"))


def rotation(euler: np.ndarray) -> np.ndarray:
    """R `[N, 3, 3]` of the data set's yaw, pitch, roll `[N, 3]` in degrees: `RotationMatrix.m`."""
    yaw, pitch, roll = np.radians(np.asarray(euler, np.float64)).T
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)

    def matrix(*rows):
        return np.stack([np.stack(row, -1) for row in rows], axis=-2)

    c, s = np.cos(pitch), np.sin(pitch)
    r_x = matrix((one, zero, zero), (zero, c, s), (zero, -s, c))
    c, s = np.cos(yaw), np.sin(yaw)
    r_y = matrix((c, zero, -s), (zero, one, zero), (s, zero, c))
    c, s = np.cos(roll), np.sin(roll)
    r_z = matrix((c, s, zero), (-s, c, zero), (zero, zero, one))
    return r_x @ r_y @ r_z


def angles(rotation: np.ndarray) -> np.ndarray:
    """The data set's yaw, pitch, roll `[N, 3]` in degrees of R `[N, 3, 3]`; yaw within ±90."""
    yaw = np.arcsin(np.clip(-rotation[:, 0, 2], -1.0, 1.0))
    pitch = np.arctan2(rotation[:, 1, 2], rotation[:, 2, 2])
    roll = np.arctan2(rotation[:, 0, 1], rotation[:, 0, 0])
    return np.degrees(np.stack([yaw, pitch, roll], axis=-1))


def load(folder) -> Aflw2000:
    """Reads the labels of a folder.

    Raises:
        FileNotFoundError: the folder or a face's `.jpg` is missing.
        ValueError: there is no `.mat`, or one isn't what it should be.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder in AFLW2000-3D's format, received {str(folder)!r}; no such folder")
    files = sorted(folder.glob("*.mat"))
    if not files:
        raise ValueError(f"expected NAME.jpg and NAME.mat in {folder}, received a folder without .mat files")
    points, euler = zip(*(_read(path) for path in files), strict=True)
    return Aflw2000(
        folder,
        np.array([path.stem for path in files]),
        np.stack(points).astype(np.float32),
        np.stack(euler).astype(np.float32),
        np.full(len(files), "AFLW2000-3D"),
    )


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points `[68, 2]` in our px and (yaw, pitch, roll) in degrees of one `.mat`."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.with_suffix(".jpg").is_file():
        raise FileNotFoundError(f"expected {path.with_suffix('.jpg')} beside {path.name}, found none; add the picture")
    try:
        data = loadmat(str(path))
    except (MatReadError, ValueError, NotImplementedError, OSError, EOFError, TypeError) as error:
        raise ValueError(f"{path}: expected a Matlab 5 file, received something else ({error})") from error
    found = {}
    for name, shape in (("pt3d_68", (3, 68)), ("Pose_Para", (1, 7))):
        value = data.get(name)
        if value is None:
            has = ", ".join(key for key in data if not key.startswith("__")) or "nothing"
            raise ValueError(f"{path}: expected {name} {list(shape)}, received only {has}")
        if np.shape(value) != shape or not np.isfinite(np.asarray(value, np.float64)).all():
            raise ValueError(f"{path}: expected {name} of {list(shape)} finite numbers, received {list(value.shape)}")
        found[name] = np.asarray(value, np.float64)
    pitch, yaw, roll = np.degrees(found["Pose_Para"][0, :3])
    # Matlab's first pixel has its centre at 1, ours at 0.5.
    return found["pt3d_68"][:2].T - 0.5, np.array([yaw, pitch, roll])
