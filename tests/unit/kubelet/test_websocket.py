"""The kubelet's WebSocket, frame by frame."""

from __future__ import annotations

import asyncio
import struct
from typing import cast

import pytest

from pinnace.kubelet.server.websocket import WebSocket, WebSocketError, accept_headers

KEY = b"\x01\x02\x03\x04"


class Written:
    """What was sent to the client."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None: ...


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True) -> bytes:
    length = len(payload)
    mark = 0x80 if masked else 0
    if length < 126:
        head = bytes((opcode | (0x80 if final else 0), mark | length))
    elif length < 65536:
        head = struct.pack("!BBH", opcode | (0x80 if final else 0), mark | 126, length)
    else:
        head = struct.pack("!BBQ", opcode | (0x80 if final else 0), mark | 127, length)
    mask = bytes(byte ^ KEY[at % 4] for at, byte in enumerate(payload))
    return head + (KEY + mask if masked else payload)


async def messages(*frames: bytes, cut: int = 0) -> tuple[list[bytes], bytes]:
    """The messages that the frames make, and what was sent back. ``cut``: come in pieces of that size."""
    reader, writer = asyncio.StreamReader(), Written()
    sent = b"".join(frames)
    for at in range(0, len(sent), cut or len(sent)):
        reader.feed_data(sent[at : at + (cut or len(sent))])
    reader.feed_eof()
    socket = WebSocket(reader, cast(asyncio.StreamWriter, writer))
    found: list[bytes] = []
    while (piece := await socket.read()) is not None:
        if piece.first:
            found.append(b"")
        found[-1] += piece.data
    return found, writer.data


@pytest.mark.parametrize("length", [1, 125, 126, 65535, 65536, 200_001])
async def test_lengths(length: int) -> None:
    payload = bytes(range(256)) * (length // 256 + 1)
    assert await messages(frame(2, payload[:length])) == ([payload[:length]], b"")


async def test_messages_in_parts_with_control_frames_between() -> None:
    parts = [frame(2, b"one ", final=False), frame(9, b"there?"), frame(0, b"two ", final=False), frame(0, b"three")]
    found, answered = await messages(*parts, frame(1, b"text"), frame(10, b"pong"), frame(2, b"last"))
    assert found == [b"one two three", b"text", b"last"]
    assert answered == b"\x8a\x06there?"


async def test_nothing_is_read_behind_a_close() -> None:
    assert await messages(frame(2, b"a"), frame(8, b"\x03\xe8"), frame(2, b"b")) == ([b"a"], b"")


@pytest.mark.parametrize(
    "bad",
    [
        frame(2, b"bare", masked=False),
        frame(0, b"continues nothing"),
        frame(2, b"a", final=False) + frame(2, b"b"),
        frame(9, b"x" * 126),
        frame(9, b"x", final=False),
        frame(3, b"unknown"),
        b"\xc2" + frame(2, b"compressed")[1:],
    ],
)
async def test_bad_frames(bad: bytes) -> None:
    with pytest.raises(WebSocketError):
        await messages(bad)


async def test_a_connection_that_breaks_off_ends_it() -> None:
    assert await messages(frame(2, b"whole"), frame(2, b"cut short")[:-3]) == ([b"whole", b"cut sh"], b"")
    assert await messages(frame(2, b"x" * 300)[:3]) == ([], b"")


def test_the_handshake() -> None:
    """RFC 6455's own example."""
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in accept_headers("dGhlIHNhbXBsZSBub25jZQ==", "p")
