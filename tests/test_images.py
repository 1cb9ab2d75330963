"""Pictures of every kind come in as uint8 RGB, or are refused in a sentence."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tfface.errors import InputError
from tfface.images import as_image, grey, load_image

SIZE = (48, 40)  # width, height


def gradient(mode: str = "RGB") -> Image.Image:
    x = np.linspace(0, 255, SIZE[0], dtype=np.uint8)[None].repeat(SIZE[1], 0)
    y = np.linspace(0, 255, SIZE[1], dtype=np.uint8)[:, None].repeat(SIZE[0], 1)
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1)).convert(mode)


def saved(tmp_path, picture: Image.Image, name: str = "photo.png", **options):
    path = tmp_path / name
    picture.save(path, **options)
    return path


def test_rgb_comes_in_unchanged(tmp_path):
    picture = gradient()
    np.testing.assert_array_equal(load_image(saved(tmp_path, picture)), np.asarray(picture))


@pytest.mark.parametrize(
    "mode, name",
    [
        ("L", "a.png"),
        ("P", "a.png"),
        ("P", "a.gif"),
        ("1", "a.png"),
        ("CMYK", "a.jpg"),
        ("CMYK", "a.tif"),
        ("YCbCr", "a.jpg"),
        ("RGB", "a.webp"),
        ("RGB", "a.bmp"),
        ("RGB", "without_ending"),
    ],
)
def test_modes_and_formats(tmp_path, mode, name):
    picture = gradient(mode)
    path = tmp_path / name
    picture.save(path, format="PNG" if "." not in name else None)
    image = load_image(path)
    assert image.shape == (SIZE[1], SIZE[0], 3) and image.dtype == np.uint8
    tolerance = 40 if mode == "P" or name.endswith(("webp", "jpg")) else 2
    expected = np.asarray(picture.convert("RGB"), int)
    assert np.abs(image - expected).mean() < tolerance / 4


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_turn_white(tmp_path, mode):
    picture = gradient("RGBA")
    picture.putalpha(Image.fromarray(np.uint8(np.arange(SIZE[0]) >= 24)[None].repeat(SIZE[1], 0) * 255))
    image = load_image(saved(tmp_path, picture.convert(mode)))
    assert (image[:, :20] == 255).all()
    assert (image[:, 28:] < 255).any()


def test_half_transparent_is_mixed_with_white(tmp_path):
    image = load_image(saved(tmp_path, Image.new("RGBA", SIZE, (0, 100, 200, 128))))
    np.testing.assert_allclose(image[0, 0], [127, 177, 227], atol=1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bits_are_scaled_not_clipped(tmp_path, name):
    values = np.linspace(0, 65535, 40 * 48).reshape(40, 48).astype(np.uint16)
    image = load_image(saved(tmp_path, Image.fromarray(values), name))
    np.testing.assert_allclose(image[..., 1], values / 257.0, atol=0.51)


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_float_tiff(tmp_path, white):
    values = np.linspace(0, white, 40 * 48, dtype=np.float32).reshape(40, 48)
    image = load_image(saved(tmp_path, Image.fromarray(values), "a.tif"))
    np.testing.assert_allclose(image[..., 0], values / white * 255, atol=0.51)


def test_exif_rotation_is_applied(tmp_path):
    picture = gradient()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90° clockwise
    image = load_image(saved(tmp_path, picture, "a.png", exif=exif))
    np.testing.assert_array_equal(image, np.rot90(np.asarray(picture), -1))


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", SIZE, color) for color in ("red", "green", "blue")]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert (load_image(path) == [255, 0, 0]).all()


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [12000, 100000, 2**31 - 1])
def test_absurd_claims_are_refused_by_the_header(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(InputError, match="megapixels"):
        load_image(path)


def test_refusals_say_which_file_and_why(tmp_path):
    good = saved(tmp_path, gradient(), "good.jpg").read_bytes()
    cases = {
        "truncated.jpg": (good[: len(good) // 2], "damaged"),
        "text.jpg": (b"not a picture at all " * 20, "something else"),
        "empty.png": (b"", "empty"),
        "header_only.png": (png_header(64, 64), "damaged"),
        "postscript.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "something else"),
    }
    for name, (data, word) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(InputError) as caught:
            load_image(path)
        assert name in str(caught.value) and word in str(caught.value), name
    for path, word in ((tmp_path / "missing.jpg", "No such file"), (tmp_path, "folder"), ("a\0b", "refuses")):
        with pytest.raises(InputError, match=word):
            load_image(path)


def test_tiny_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least 32 px"):
        load_image(saved(tmp_path, Image.new("RGB", (31, 300))))


def test_as_image_takes_the_usual_shapes():
    rgb = np.asarray(gradient())
    assert as_image(rgb) is rgb
    for array in (rgb[..., 0], rgb[..., :1]):
        np.testing.assert_array_equal(as_image(array), rgb[..., :1].repeat(3, -1))
    rgba = np.dstack([rgb, np.zeros(rgb.shape[:2], np.uint8)])
    assert (as_image(rgba) == 255).all()


@pytest.mark.parametrize(
    "array, word",
    [
        (np.zeros((64, 64, 3), np.float32), "255"),
        (np.zeros((64, 64, 3), np.uint16), "uint16"),
        (np.zeros((64, 64, 2), np.uint8), "shape"),
        (np.zeros((2, 64, 64, 3), np.uint8), "one image"),
        (np.zeros((3, 64, 64), np.uint8), "channels last"),
        (np.zeros((0, 64, 3), np.uint8), "32 px"),
        ("photo.jpg", "load_image"),
        (None, "uint8"),
    ],
)
def test_as_image_refuses_the_rest(array, word):
    with pytest.raises(InputError, match=word):
        as_image(array)


def test_grey_is_luma():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:10] = (255, 0, 0)
    image[10:20] = (0, 255, 0)
    image[20:] = 255
    luma = grey(image)
    assert luma.dtype == np.float32 and luma.shape == (32, 32)
    np.testing.assert_allclose(luma[[0, 15, 31], 0], [0.299, 0.587, 1.0], atol=1e-6)
