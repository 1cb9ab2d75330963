"""The VGG-Face lists: `files/NAME.txt` with one box per line, over local images `images/NAME/ID.jpg`.

Lines are `id url left top right bottom pose detection_score curation` (Parkhi et al. 2015). The lists name
images on the web, most of which are gone; only those that a user holds are read, nothing is fetched.
"""

from pathlib import Path

import numpy as np

from tfface.pipelines.photos import CropList


def read_list(path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """One person's list.

    Args:
        path: `files/NAME.txt`.

    Returns:
        ids [N], boxes [N, 4] (x0, y0, x1, y1) float32, and curated [N] bool.

    Raises:
        ValueError: a line has another form; the message names it.
    """
    ids, boxes, curated = [], [], []
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            # The URL may hold spaces, so that the numbers are counted from the end.
            box = [float(x) for x in fields[-7:-3]]
            if len(fields) < 9 or len(box) != 4 or not np.isfinite(box).all():
                raise ValueError
            keep = int(float(fields[-1])) == 1
        except ValueError:
            raise ValueError(
                f"expected 'id url left top right bottom pose score curation' in line {number} of {path}, "
                f"received {line[:80]!r}"
            ) from None
        ids.append(fields[0])
        boxes.append(box)
        curated.append(keep)
    return ids, np.array(boxes, np.float32).reshape(-1, 4), np.array(curated, bool)


def read_lists(folder, square_of_box, curated_only=True) -> CropList:
    """All crops of a VGG-Face folder whose images are there.

    Args:
        folder: holds `files/*.txt` and `images/NAME/ID.jpg`.
        square_of_box: [N, 4] boxes → [N, 3] squares, as `tfface.detection` turns a detector's box into a
            crop.
        curated_only: leave out boxes that the authors' last, manual stage did not keep.

    Returns:
        A `CropList`; `skipped` counts listed boxes without an image.

    Raises:
        FileNotFoundError: there are no lists.
        ValueError: a list has another form, or not one listed image is there.
    """
    folder = Path(folder)
    lists = sorted((folder / "files").glob("*.txt"))
    if not lists:
        raise FileNotFoundError(f"expected VGG-Face lists files/NAME.txt in {folder}, found none")
    paths, boxes, skipped = [], [], 0
    for path in lists:
        ids, found, curated = read_list(path)
        for name, box, keep in zip(ids, found, curated, strict=True):
            if curated_only and not keep:
                continue
            image = folder / "images" / path.stem / f"{name}.jpg"
            if not image.is_file():
                skipped += 1
                continue
            paths.append(str(image))
            boxes.append(box)
    if not paths:
        raise ValueError(f"expected images/NAME/ID.jpg in {folder} for the lists, found none of {skipped}")
    return CropList(paths, np.asarray(square_of_box(np.array(boxes)), np.float32).reshape(-1, 3), skipped)
