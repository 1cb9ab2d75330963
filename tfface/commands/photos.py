"""Which photos a command line names, and where each one's results go."""

import dataclasses
import os
import re
from pathlib import Path, PurePath

from tfface.images import PHOTO_SUFFIXES

_OWN_RESULT = re.compile(r"face\d+_((preview|depth|normals|texture)\.png|turntable\.gif)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Photo:
    """One photo to do."""

    path: Path
    folder: Path
    """Where its results go; no two photos of a run share one."""


def collect(names, out) -> tuple[list[Photo], list[tuple[str, str]]]:
    """Spreads files and folders into photos.

    A file `a/b.jpg` gets the folder `OUT/b`; a file found inside a folder keeps its path relative to that folder. Where
    two would share a folder, the later one gets `_2`, `_3` … Folders are searched with their subfolders, but not OUT,
    hidden ones, or results of an earlier run.

    Args:
      names: files and folders.
      out: the folder of all results.

    Returns:
      The photos in order, and (name, sentence) for each folder that can't be read or holds none.
    """
    out = Path(out)
    found, problems, seen = [], [], set()
    for name in names:
        path = Path(name)
        # Path.is_dir raises where one may not look, and loading the photo says so in a sentence.
        if not os.path.isdir(path):
            candidates = [(path, PurePath(path.stem))]
        else:
            paths, errors = _search(path, out)
            problems += errors
            if not paths and not errors:
                problems.append((str(name), f"{name}: expected a folder with pictures, received one without any"))
            candidates = [(inner, inner.relative_to(path).with_suffix("")) for inner in paths]
        for inner, place in candidates:
            # Named twice (a file and its folder, say), done once.
            if (key := os.path.realpath(inner)) not in seen:
                seen.add(key)
                found.append((inner, place))
    parents = {os.path.realpath(path.parent) for path, _ in found}
    taken, photos = set(), []
    for path, place in found:
        folder, count = out / place, 1
        # A folder that photos come from is never one that results go to: no photo can be overwritten.
        while str(folder).casefold() in taken or os.path.realpath(folder) in parents:
            count += 1
            folder = out / place.with_name(f"{place.name}_{count}")
        taken.add(str(folder).casefold())
        photos.append(Photo(path, folder))
    return photos, problems


def _search(root: Path, out: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    problems = []

    def unreadable(error: OSError):
        name = error.filename or str(root)
        problems.append((name, f"{name}: the folder can't be read ({error.strerror}); check its permissions"))

    paths = []
    skipped = os.path.realpath(out)
    for folder, subfolders, files in os.walk(root, onerror=unreadable):
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".") and os.path.realpath(os.path.join(folder, name)) != skipped
        )
        paths += [
            Path(folder, name)
            for name in sorted(files)
            if not name.startswith(".")
            and os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES
            and not _OWN_RESULT.fullmatch(name)
        ]
    return paths, problems
