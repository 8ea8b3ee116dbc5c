"""The client's side of SPDY/3.1, as far as container runtimes speak it.

Their server (Go's spdystream) neither keeps nor expects flow-control windows: TCP alone slows a sender down. It drops
data for a stream that it has not replied to, hence ``opened``. Its inflate takes header blocks that were made without
SPDY's dictionary; what its own headers say is of no use here and is not read.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_CONTROL = 0x80030000  # the control bit, and version 3
_FIN = 1
_PIECE = 64 * 1024
#: Bytes of a control frame.
_CONTROL_BYTES = 64 * 1024


class SpdyError(ConnectionError):
    """The runtime does not keep to the protocol."""


class Chunk(NamedTuple):
    """Bytes of a stream; ``end`` if it has no more."""

    stream: int
    data: bytes
    end: bool


class SpdyClient:
    """``rest`` is what was read behind the answer that upgraded the connection. ``chunks`` is for one task."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rest: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = rest
        self._deflate = zlib.compressobj()
        self._next = 1
        self._unanswered: set[int] = set()
        #: Set once every stream that was opened is ready for data.
        self.opened = asyncio.Event()

    def open(self, headers: Mapping[str, str]) -> int:
        """A new stream's number."""
        stream, self._next = self._next, self._next + 2
        self._unanswered.add(stream)
        self.opened.clear()
        block = [struct.pack("!I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += (struct.pack("!I", len(text)), text)
        packed = self._deflate.compress(b"".join(block)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self._control(_SYN_STREAM, struct.pack("!IIH", stream, 0, 0) + packed)
        return stream

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Returns when the runtime has taken enough. Raises ConnectionError if it is gone."""
        self._writer.write(struct.pack("!II", stream, (_FIN if end else 0) << 24 | len(data)) + data)
        await self._writer.drain()

    def _control(self, kind: int, payload: bytes) -> None:
        self._writer.write(struct.pack("!II", _CONTROL | kind, len(payload)) + payload)

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """What the streams bring, in the order it came, until the connection ends. Raises SpdyError."""
        while True:
            head = await self._read(8)
            if len(head) < 8:
                return
            word, rest = struct.unpack("!II", head)
            flags, length = rest >> 24, rest & 0xFFFFFF
            if word & 0x80000000:
                if (chunk := await self._on_control(word, flags, length)) is not None:
                    yield chunk
                continue
            left = length
            while left > 0:
                data = await self._read(min(left, _PIECE), whole=False)
                if not data:
                    return
                left -= len(data)
                yield Chunk(word, data, end=left == 0 and bool(flags & _FIN))
            if length == 0 and flags & _FIN:
                yield Chunk(word, b"", end=True)

    async def _on_control(self, word: int, flags: int, length: int) -> Chunk | None:
        if word & 0xFFFF0000 != _CONTROL or length > _CONTROL_BYTES:
            raise SpdyError("not SPDY/3.1")
        payload = await self._read(length)
        kind = word & 0xFFFF
        if kind == _PING:
            self._control(_PING, payload)
        if kind not in (_SYN_REPLY, _RST_STREAM) or len(payload) < 4:
            return None
        (stream,) = struct.unpack_from("!I", payload)
        self._unanswered.discard(stream)
        if not self._unanswered:
            self.opened.set()
        return Chunk(stream, b"", end=True) if kind == _RST_STREAM or flags & _FIN else None

    async def _read(self, size: int, *, whole: bool = True) -> bytes:
        """``size`` bytes, or what there is of them if not ``whole``; fewer at the end of the connection."""
        if self._rest:
            data, self._rest = self._rest[:size], self._rest[size:]
            return data + await self._read(size - len(data)) if whole and len(data) < size else data
        if not whole:
            return await self._reader.read(size)
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            return error.partial
