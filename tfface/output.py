"""Files out, written whole or not at all."""

import contextlib
import io
import os
import secrets
from pathlib import Path

import numpy as np

from tfface.errors import OutputError


def make_folder(folder) -> Path:
    """Creates a folder and its parents where they are missing.

    Raises:
      OutputError: it can't be created, or something else has its name.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"{path}: expected a folder for the results, received a file; choose another") from error
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: the folder can't be created ({_reason(error)}); choose another") from error
    return path


def write_files(folder, contents: dict[str, bytes]) -> dict[str, Path]:
    """Writes several files into one folder: all of them, each whole, or none.

    Every file is first written under a temporary name beside its place; only when all are on the disk do they take
    their names. A file of the same name is replaced.

    Args:
      folder: made when missing.
      contents: bytes by file name.

    Returns:
      The written paths by file name.

    Raises:
      OutputError: the folder or a file can't be written, e.g. the disk is full; nothing is left behind.
    """
    folder = make_folder(folder)
    staged = []
    try:
        for name, data in contents.items():
            target = folder / name
            # Opened exclusively with the usual permissions, which a mkstemp file wouldn't have.
            handle, temporary = _open_temporary(folder)
            staged.append((temporary, target))
            with os.fdopen(handle, "wb") as file:
                file.write(data)
        for temporary, target in staged:
            os.replace(temporary, target)
    except OSError as error:
        where = staged[-1][1] if staged else folder
        raise OutputError(
            f"{where}: can't be written ({_reason(error)}); free some space or choose another folder"
        ) from error
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    return {name: folder / name for name in contents}


def write_arrays(path, arrays: dict[str, np.ndarray], compressed: bool = True) -> None:
    """Writes arrays by name into one .npz, whole or not at all; its folder is made when missing.

    Raises:
      OutputError: as `write_files` has it.
    """
    path, buffer = Path(path), io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    write_files(path.parent, {path.name: buffer.getvalue()})


def _open_temporary(folder: Path) -> tuple[int, Path]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    path = folder / f".tfface-{secrets.token_hex(8)}.tmp"
    return os.open(path, flags, 0o666), path


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
