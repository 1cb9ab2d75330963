"""Pictures in: files and arrays of every common kind become uint8 RGB, or a sentence that says why not."""

import io
import os
import stat
import warnings
from pathlib import Path

import numpy as np

from tfface.errors import InputError

MAX_MEGAPIXELS = 100.0
"""Larger pictures are refused by their header, before anything is decoded."""
MIN_SIDE = 32
"""Pixels; a face in less holds nothing to reconstruct."""
MAX_BYTES = 1 << 30
"""Larger files are not read at all."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""What red, green and blue count in grey: ITU-R BT.601."""

PHOTO_SUFFIXES = frozenset(
    f".{ending}"
    for ending in "jpg jpeg jpe jfif png apng bmp dib gif tif tiff webp avif jp2 j2k ppm pgm pbm pnm tga mpo".split()
)
"""File name endings taken from a folder; files named one by one may have any."""

# Named, because Pillow would hand some other kinds (EPS) to outside programs.
_FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "TIFF",
    "WEBP",
    "AVIF",
    "GIF",
    "BMP",
    "DIB",
    "PPM",
    "JPEG2000",
    "TGA",
    "ICO",
    "PSD",
)
_SUPPORTED = "JPEG, PNG, TIFF, WebP, GIF or BMP"


def load_image(path) -> np.ndarray:
    """Reads a photo the way it is meant to be seen.

    EXIF rotation is applied; transparent parts are laid over white; of an animation the first frame is taken; 16-bit
    values are scaled to 8 bits; grey, 1-bit, palette and CMYK pictures are converted.

    Args:
      path: a file that Pillow can read.

    Returns:
      `[H, W, 3]` uint8 sRGB.

    Raises:
      InputError: the file can't be read, isn't a picture, is damaged, claims more than `MAX_MEGAPIXELS`, or is smaller
        than `MIN_SIDE` on a side. The message is a whole sentence.
    """
    name = os.fspath(path)
    data = _read_bytes(Path(path), name)
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        # Pillow warns from 89 megapixels on; our own limit is the one that is documented.
        warnings.simplefilter("ignore")
        try:
            Image.init()
            picture = Image.open(io.BytesIO(data), formats=[f for f in _FORMATS if f in Image.OPEN])
        except Image.DecompressionBombError as error:
            raise InputError(f"{name}: expected at most {_limit()}, received more: {error}") from error
        except Exception as error:  # noqa: BLE001 - decoders raise anything on damaged headers
            raise InputError(
                f"{name}: expected a picture ({_SUPPORTED}), received something else or a damaged header; "
                "if other programs open it, save it as JPEG or PNG"
            ) from error
        with picture:
            _check_size(picture.width, picture.height, name)
            try:
                picture.seek(0)
                picture.load()
                return to_rgb(ImageOps.exif_transpose(picture))
            except Exception as error:  # noqa: BLE001 - the same for damaged bodies
                raise InputError(
                    f"{name}: expected a whole {picture.format} picture, received a damaged one ({error}); "
                    "open it in a viewer and save it again"
                ) from error


def to_rgb(picture) -> np.ndarray:
    """A Pillow image of any mode → `[H, W, 3]` uint8; transparency is laid over white."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        return np.repeat(_to_8_bits(np.asarray(picture))[..., None], 3, axis=-1)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))


def as_image(array) -> np.ndarray:
    """Checks an image given as an array.

    Args:
      array: uint8 `[H, W, 3]` RGB, `[H, W]` or `[H, W, 1]` grey, or `[H, W, 4]` RGBA (laid over white).

    Returns:
      `[H, W, 3]` uint8.

    Raises:
      InputError: another type, shape or size.
    """
    if isinstance(array, (str, bytes, os.PathLike)):
        raise InputError(
            f"expected an image array, received {type(array).__name__}; read the file with tfface.load_image first"
        )
    image = np.asarray(array)
    if image.dtype != np.uint8:
        hint = "multiply by 255 and convert" if image.dtype.kind == "f" else "convert it"
        raise InputError(f"expected a uint8 image (0…255), received {image.dtype}; {hint} with .astype('uint8')")
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[-1] in (3, 4)):
        raise InputError(
            "expected an image of shape [H, W, 3] (RGB) or [H, W] (grey), received "
            f"{list(image.shape)}; pass one image at a time, channels last"
        )
    _check_size(image.shape[1], image.shape[0], "image")
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=-1)
    if image.shape[-1] == 4:
        alpha = image[..., 3:].astype(np.float32) / 255.0
        return np.uint8(np.rint(image[..., :3] * alpha + 255.0 * (1.0 - alpha)))
    return image


def grey(image: np.ndarray) -> np.ndarray:
    """Grey network input: ITU-R 601 luma of RGB `[H, W, 3]` in 0…255 → float32 `[H, W]` in 0…1."""
    return np.asarray(image, np.float32) @ (LUMA / np.float32(255.0))


def _limit() -> str:
    return f"{MAX_MEGAPIXELS:.0f} megapixels"


def _check_size(width: int, height: int, name: str):
    if width * height > MAX_MEGAPIXELS * 1e6:
        raise InputError(
            f"{name}: expected at most {_limit()}, received {width}×{height}; make the picture smaller first"
        )
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{name}: expected at least {MIN_SIDE} px on each side, received {width}×{height}; use a larger picture"
        )


def _read_bytes(path: Path, name: str) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{name}: expected a picture, received a folder; name the pictures inside it")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name}: expected a regular file, received a device or pipe; copy it to a file first")
        if status.st_size > MAX_BYTES:
            raise InputError(
                f"{name}: expected a file below 1 GiB, received {status.st_size} bytes; convert it to JPEG"
            )
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{name}: expected a readable picture, received: {reason}; check the path") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name!r}: expected a path, received one the system refuses ({error})") from error
    if not data:
        raise InputError(f"{name}: expected a picture, received an empty file; copy or download it again")
    return data


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """16- and 32-bit integers and floats → uint8, white being what their type and values imply."""
    if values.dtype == np.uint16:
        white = 65535.0
    else:
        is_float = values.dtype.kind == "f"
        values = np.nan_to_num(np.asarray(values, np.float64))
        top = values.max(initial=0.0)
        # 32-bit integers mostly carry 16 bits; floats carry 0…1, or the range of the integers they came from.
        usual = (1.0, 255.0, 65535.0) if is_float else (65535.0,)
        white = next((limit for limit in usual if top <= limit), top)
    return np.uint8(np.rint(np.clip(values / white, 0.0, 1.0) * 255.0))
