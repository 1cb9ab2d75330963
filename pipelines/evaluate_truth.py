"""Folders of photographs with measured shape, and the reconstructed face that each of them shows.

    NAME.jpg or NAME.png      the photograph
    NAME_depth.npy or .png    its shape (or NAME_normals.…), pixel by pixel
    NAME_mask.png             above half white where the shape is valid and shows face

All files of one NAME have the same width and height.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

CROPS = {
    "mtcnn": "MTCNN's face that overlaps the mask most; where it finds none, the mask's bounding box",
    "mask": "the mask's bounding box, as a box drawn brow to chin",
}
_PHOTOS = (".jpg", ".jpeg", ".png")
_TRUTHS = (".npy", ".png")


@dataclass(frozen=True)
class Measured:
    """One photograph with measured shape.

    Attributes:
        name: without suffix.
        photo, truth, mask: the files.
    """

    name: str
    photo: Path
    truth: Path
    mask: Path


def list_folder(folder, what: str, limit: int = 0) -> list[Measured]:
    """The photographs of a folder, sorted by name.

    Args:
        folder: see the module.
        what: "depth" or "normals", the truth's suffix.
        limit: only so many, spread over the folder; 0 for all.

    Raises:
        FileNotFoundError: the folder, a photograph or a mask is missing.
        ValueError: the folder has no truth.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a folder of photographs with {what}, received {str(folder)!r}; none there")
    truths = sorted(path for ending in _TRUTHS for path in folder.glob(f"*_{what}{ending}"))
    if not truths:
        raise ValueError(
            f"expected NAME.jpg, NAME_{what}.npy or .png and NAME_mask.png in {folder}, received no NAME_{what} file"
        )
    found = []
    for truth in truths:
        name = truth.name[: -len(f"_{what}{truth.suffix}")]
        photos = [folder / f"{name}{ending}" for ending in _PHOTOS if (folder / f"{name}{ending}").is_file()]
        mask = folder / f"{name}_mask.png"
        if not photos:
            raise FileNotFoundError(f"expected {name}.jpg or {name}.png beside {truth}, found none; add the photograph")
        if not mask.is_file():
            raise FileNotFoundError(f"expected {mask} beside {truth.name}, found none; add it, white on the face")
        found.append(Measured(name, photos[0], truth, mask))
    if limit and limit < len(found):
        found = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, limit).astype(int))]
    return found


def read_array(path: Path) -> np.ndarray:
    """The numbers of a `.npy` or a PNG of 8 or 16 bits (colours as RGB), as they are.

    Raises:
        ValueError: the file is neither, or damaged.
    """
    if path.suffix == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{path}: expected an array saved by numpy, received something else ({error})") from error
        if values.dtype.kind not in "fiu":
            raise ValueError(f"{path}: expected numbers, received {values.dtype}")
        return values
    import cv2

    data = np.frombuffer(path.read_bytes(), np.uint8)
    values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if values is None:
        raise ValueError(f"{path}: expected a PNG, received something else or a damaged file; save it again")
    return values[..., 2::-1] if values.ndim == 3 else values


def read_mask(measured: Measured, shape: tuple[int, int]) -> np.ndarray:
    """`[H, W]` bool.

    Raises:
        ValueError: it has another size than the photograph, or is empty.
    """
    values = read_array(measured.mask)
    values = values.max(-1) if values.ndim == 3 else values
    check_size(measured.mask, values.shape, shape)
    mask = values > np.iinfo(values.dtype).max // 2
    if not mask.any():
        raise ValueError(f"{measured.mask}: expected some white pixels where the face is, received none")
    return mask


def check_size(path: Path, received: tuple, expected: tuple[int, int]) -> None:
    """Raises ValueError unless the first two dimensions are the photograph's."""
    if tuple(received[:2]) != tuple(expected):
        raise ValueError(
            f"{path}: expected {expected[1]}×{expected[0]} px as its photograph has, received "
            f"{received[1]}×{received[0]}; resample it onto the photograph's grid"
        )


def reconstruct(reconstructor, rgb: np.ndarray, mask: np.ndarray, crop: str = "mtcnn"):
    """The `Face` that the mask shows.

    Args:
        reconstructor: a `Reconstructor`.
        rgb: `[H, W, 3]` uint8.
        mask: `[H, W]` bool.
        crop: a key of `CROPS`.

    Raises:
        ValueError: an unknown crop.
    """
    if crop not in CROPS:
        raise ValueError(f"expected crop to be one of {', '.join(CROPS)}, received {crop!r}")
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    if crop == "mtcnn":
        best = max(reconstructor(rgb), key=lambda face: _overlap(face.box, box), default=None)
        if best is not None and _overlap(best.box, box) > 0.0:
            return best
    return reconstructor(rgb, boxes=[box])[0]


def _overlap(a, b) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union


def report(measured: list[Measured], errors: list[np.ndarray], rows: list[dict], protocol: str, **words) -> dict:
    """What a protocol returns: its wording, the rows, and the worst photographs.

    Args:
        measured: the photographs.
        errors: of each photograph's pixels, fine; empty where truth and reconstruction share none.
        rows: of the table.
        protocol: the wording, with the fields `faces`, `missing` and those of `words`.
    """
    missed = [one.name for one, values in zip(measured, errors, strict=True) if not values.size]
    missing = f"Without a common pixel, and so not counted: {', '.join(missed)}." if missed else ""
    order = sorted(range(len(measured)), key=lambda i: -errors[i].mean() if errors[i].size else 0.0)
    return {
        "protocol": protocol.format(faces=len(measured), missing=missing, **words).strip(),
        "faces": len(measured),
        "rows": rows,
        "worst": [measured[i].name for i in order[:10]],
    }
