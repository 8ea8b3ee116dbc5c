"""The server's side of a WebSocket (RFC 6455), for messages of any length: what comes in is handed on in pieces as it
comes, never gathered, so that a slow reader slows the sender down."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from typing import NamedTuple

from pinnace.core.cooperate import breathe

#: Appended to the client's key (RFC 6455, 1.3).
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR, INTERNAL_ERROR = 1000, 1002, 1011
PIECE = 64 * 1024


class WebSocketError(ConnectionError):
    """The client does not keep to the protocol."""


class Piece(NamedTuple):
    """Some bytes of a message; ``first`` if they are its first ones."""

    data: bytes
    first: bool


def accept_headers(key: str, protocol: str) -> list[str]:
    """What a 101 answer says to the client's ``Sec-WebSocket-Key``, having chosen that subprotocol."""
    accept = base64.b64encode(hashlib.sha1(key.encode("latin-1") + _MAGIC, usedforsecurity=False).digest()).decode()
    return [
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept}",
        f"Sec-WebSocket-Protocol: {protocol}",
    ]


class WebSocket:
    """Reads are for one task; ``send`` is for any."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._left = 0  # bytes of the present frame that have not been read
        self._key = b""
        self._offset = 0  # into the key
        self._first = True
        self._final = True
        self._closed = False  # we have said that we close

    async def read(self) -> Piece | None:
        """The next bytes; None once the client has closed or is gone; pings are answered. Raises WebSocketError."""
        try:
            while self._left == 0:
                if not await self._begin_frame():
                    return None
            data = await self._reader.read(min(self._left, PIECE))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            if isinstance(error, WebSocketError):
                raise
            return None
        if not data:
            return None
        self._left -= len(data)
        piece = Piece(_unmasked(data, self._key, self._offset), self._first)
        self._offset = (self._offset + len(data)) % 4
        self._first = False
        return piece

    async def _begin_frame(self) -> bool:
        """Read a frame's head; False at the end."""
        first, second = await self._reader.readexactly(2)
        opcode, length = first & 0x0F, second & 0x7F
        if first & 0x70 or not second & 0x80:
            raise WebSocketError("a frame without mask or with unknown flags")
        if length == 126:
            (length,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self._reader.readexactly(8))
        key = await self._reader.readexactly(4)
        if opcode >= _CLOSE:
            if length > 125 or not first & 0x80:
                raise WebSocketError("a control frame that is too long or in parts")
            payload = _unmasked(await self._reader.readexactly(length), key, 0)
            if opcode == _PING:
                await self._send_frame(_PONG, payload)
            return opcode != _CLOSE
        if opcode not in (_CONTINUATION, _TEXT, _BINARY) or (opcode == _CONTINUATION) == self._final:
            raise WebSocketError(f"a frame of kind {opcode} where it cannot be")
        if opcode != _CONTINUATION:
            self._first = True
        self._final = bool(first & 0x80)
        self._left, self._key, self._offset = length, key, 0
        return True

    async def send(self, data: bytes, prefix: bytes = b"") -> None:
        """One binary message; returns when the client has taken enough. Raises ConnectionError if it is gone."""
        await self._send_frame(_BINARY, data, prefix)

    async def send_last(self, data: bytes, prefix: bytes = b"") -> None:
        """One binary message and in the same breath the end: who has read the one need not wait for the other."""
        if not self._closed:
            self._write_frame(_BINARY, data, prefix)
            await self.close()

    async def _send_frame(self, opcode: int, data: bytes, prefix: bytes = b"") -> None:
        if self._closed:
            return
        self._write_frame(opcode, data, prefix)
        await self._writer.drain()
        await breathe()  # others' turn; and a client that is gone is noticed, however fast the data comes

    def _write_frame(self, opcode: int, data: bytes, prefix: bytes = b"") -> None:
        length = len(prefix) + len(data)
        if length < 126:
            head = bytes((0x80 | opcode, length))
        elif length < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 127, length)
        self._writer.write(head + prefix + data)

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say that nothing more comes, and why. Idempotent."""
        if not self._closed:
            await self._send_frame(_CLOSE, struct.pack("!H", code) + reason.encode()[:123])
            self._closed = True


def _unmasked(data: bytes, key: bytes, offset: int) -> bytes:
    """``data`` XOR the key over and over, beginning at its byte ``offset``."""
    length = len(data)
    turned = key[offset:] + key[:offset]
    mask = int.from_bytes((turned * (length // 4 + 1))[:length], "little")
    return (int.from_bytes(data, "little") ^ mask).to_bytes(length, "little")
