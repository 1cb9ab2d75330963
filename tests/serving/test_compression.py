"""Content codings, and what a body that isn't what it says does."""

import gzip
import zlib

import pytest

from tfface.serving.compression import compress, decompress
from tfface.serving.errors import RequestError

CONTENT = b"face " * 100
# Without the time, so that tests have the same names in every process.
GZIP = gzip.compress(CONTENT, mtime=0)


def test_bodies_are_decompressed():
    assert decompress(CONTENT, "", 10) is CONTENT
    assert decompress(CONTENT, "identity", 10) is CONTENT
    assert decompress(GZIP, "GZip", 500) == CONTENT
    assert decompress(zlib.compress(CONTENT), " deflate ", 500) == CONTENT


@pytest.mark.parametrize(
    ("body", "coding", "status", "words"),
    [
        (CONTENT, "br", 415, "expected Content-Encoding gzip, deflate or none, received br"),
        (CONTENT, "gzip, gzip", 415, "received gzip, gzip"),
        (CONTENT, "gzip", 400, "expected a body in gzip, received something else"),
        (b"", "gzip", 400, "a part of one"),
        (zlib.compress(CONTENT)[2:-4], "deflate", 400, "expected a body in deflate, received something else"),
        (GZIP[:-3], "gzip", 400, "expected one whole gzip stream, received a part of one"),
        (GZIP + b"x", "gzip", 400, "or more behind it"),
        (gzip.compress(CONTENT + b"!", mtime=0), "gzip", 413, "expected at most 0.0005 MB after decompression"),
        (zlib.compress(bytes(10**8)), "deflate", 413, "after decompression"),
    ],
)
def test_other_bodies_are_refused(body, coding, status, words):
    with pytest.raises(RequestError, match=words) as refusal:
        decompress(body, coding, 500)
    assert refusal.value.status == status


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("br, identity, *", None),
        ("gzip;q=0", None),
        ("x-gzip, gzipped, gzip;q=high", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, GZIP, br", "gzip"),
        ("br;q=1.0,deflate; q=0.8 , gzip ;q=0.25", "deflate"),
    ],
)
def test_answers_are_compressed_as_their_reader_wishes(accepted, coding):
    content, headers = compress(CONTENT, accepted)
    assert headers.get("content-encoding") == coding
    unpack = {None: bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}[coding]
    assert unpack(content) == CONTENT and (coding is None) == (content is CONTENT)
