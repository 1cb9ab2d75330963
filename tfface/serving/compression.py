"""HTTP's content codings gzip and deflate (RFC 9110, 8.4.1), as Triton takes and gives them."""

import re
import zlib

from tfface.serving.errors import RequestError

_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""zlib's name for a header of each kind: "deflate" means the zlib format, not bare deflate."""
_LEVEL = 1
"""Answers are floats; higher levels take up to six times as long for a tenth fewer bytes."""


def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """What a body holds.

    Args:
      body: as it came.
      coding: the header `Content-Encoding`, or "".
      limit: most bytes that may come out.

    Raises:
      RequestError: 415 another coding, 413 more bytes than `limit`, 400 damaged data.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in _WINDOW:
        raise RequestError(415, f"expected Content-Encoding gzip, deflate or none, received {coding}")
    stream = zlib.decompressobj(_WINDOW[coding])
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(400, f"expected a body in {coding}, received something else: {error}") from error
    if len(content) > limit:
        raise RequestError(413, f"expected at most {limit / 1e6:g} MB after decompression; send fewer faces")
    if not stream.eof or stream.unused_data:
        raise RequestError(400, f"expected one whole {coding} stream, received a part of one, or more behind it")
    return content


def compress(content: bytes, accepted: str) -> tuple[bytes, dict[str, str]]:
    """A content in a coding that its reader accepts, as bytes and headers.

    Args:
      content: to be compressed, or not.
      accepted: the header `Accept-Encoding`, or "".
    """
    coding = _choose(accepted)
    if not coding:
        return content, {}
    stream = zlib.compressobj(_LEVEL, wbits=_WINDOW[coding])
    return stream.compress(content) + stream.flush(), {"content-encoding": coding}


def _choose(accepted: str) -> str:
    """The coding with the largest weight, gzip where both have the same; "" for none."""
    found = re.findall(r"(?:^|,)\s*(gzip|deflate)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?(?=,|$)", accepted.lower())
    weights = {coding: float(weight or 1) for coding, weight in found}
    return max((coding for coding in _WINDOW if weights.get(coding, 0) > 0), key=weights.get, default="")
