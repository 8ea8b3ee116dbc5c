"""Bytes on the wire: response heads, chunks, and when to compress."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
#: Bodies above this are compressed for clients that accept it (as upstream does).
COMPRESS_ABOVE = 128 * 1024


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


@lru_cache(maxsize=256)
def _opening(status: int, content_type: str) -> bytes:
    line = f"HTTP/1.1 {status} {_phrase(status)}\r\nCache-Control: no-cache, private\r\n"
    return (line + (f"Content-Type: {content_type}\r\n" if content_type else "")).encode("latin-1")


def head(
    status: int,
    content_type: str,
    headers: Sequence[tuple[str, str]],
    *,
    date: bytes,
    length: int | None,
    close: bool = False,
) -> bytes:
    """A response head up to the empty line. ``length`` None means chunked (or, with ``close``, until the end)."""
    if not headers and length is not None and not close:
        return b"%b%bContent-Length: %d\r\n\r\n" % (_opening(status, content_type), date, length)
    parts = [_opening(status, content_type), date]
    for name, value in headers:
        clean = value.replace("\r", " ").replace("\n", " ")
        parts.append(f"{name}: {clean}\r\n".encode("utf-8", "replace"))
    if length is not None:
        parts.append(b"Content-Length: %d\r\n" % length)
    elif not close:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    parts.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
    return b"".join(parts)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def gzip(parts: Sequence[bytes]) -> bytes:
    """Compress; slow: for a thread."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join([*(compressor.compress(part) for part in parts), compressor.flush()])
