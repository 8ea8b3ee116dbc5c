"""exec in the WebSocket protocol v5, and tunnelled port-forward, before a runtime that speaks nothing but SPDY."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from pinnace.core.clock import RealClock
from pinnace.kubelet.server.http import HttpServer
from pinnace.kubelet.server.relay import TUNNEL, V5, relay

EXEC = "/exec/default/p/main?input=1&output=1&error=1&command=cat"
SUCCESS = b'{"metadata":{},"status":"Success"}'


class Runtime:
    """One SPDY connection of a container runtime: the streams that the client has opened, by name."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._inflate = zlib.decompressobj()
        self.streams: dict[str, int] = {}

    async def frame(self) -> tuple[int, int, bytes]:
        """Word, flags and payload of the next frame."""
        word, rest = struct.unpack("!II", await self._reader.readexactly(8))
        return word, rest >> 24, await self._reader.readexactly(rest & 0xFFFFFF)

    async def accept(self, count: int) -> None:
        """Take so many streams; what comes for one before its reply is lost, as with Go's server."""
        for _ in range(count):
            word, _, payload = await self.frame()
            assert word == 0x80030001
            (stream,) = struct.unpack_from("!I", payload)
            block = self._inflate.decompress(payload[10:])
            assert struct.unpack_from("!II", block) == (1, 10) and block[8:18] == b"streamtype"
            self.streams[block[22:].decode()] = stream
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                while True:
                    await self.frame()
        for stream in self.streams.values():
            self.writer.write(struct.pack("!III", 0x80030002, 4, stream))

    async def read(self, name: str) -> bytes:
        """Everything sent to a stream until its end."""
        data = b""
        while True:
            word, flags, payload = await self.frame()
            assert word == self.streams[name]
            data += payload
            if flags & 1:
                return data

    def send(self, name: str, data: bytes, *, end: bool = False) -> None:
        self.writer.write(struct.pack("!II", self.streams[name], (1 if end else 0) << 24 | len(data)) + data)

    def reset(self, name: str) -> None:
        self.writer.write(struct.pack("!IIII", 0x80030003, 8, self.streams[name], 5))


class Client:
    """A WebSocket's client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, path: str, protocol: str) -> str:
        upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        key = ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Sec-WebSocket-Protocol: v9.other, {protocol}"]
        self.writer.write("\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *upgrade, *key, "", ""]).encode())
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    def send(self, data: bytes, opcode: int = 2) -> None:
        assert len(data) < 126
        self.writer.write(bytes((0x80 | opcode, 0x80 | len(data))) + b"\0\0\0\0" + data)

    async def receive(self) -> tuple[int, bytes]:
        first, length = await self.reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        return first & 15, await self.reader.readexactly(length)


@asynccontextmanager
async def served(runtime: Callable[[Runtime], Awaitable[None]]) -> AsyncIterator[tuple[Client, list[str]]]:
    """A client of a kubelet whose container runtime is ``runtime``; the heads of the requests that came to that."""
    heads: list[str] = []
    ended = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
            await runtime(Runtime(reader, writer))
        finally:
            writer.close()
            ended.set()

    backend = await asyncio.start_server(accept, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{backend.sockets[0].getsockname()[1]}/exec/token"
    kubelet = HttpServer(lambda request: relay(request, url), RealClock(), None)
    reader, writer = await asyncio.open_connection("127.0.0.1", await kubelet.listen("127.0.0.1", 0))
    try:
        async with asyncio.timeout(10):
            yield Client(reader, writer), heads
            await ended.wait()
    finally:
        writer.close()
        await kubelet.stop()
        backend.close()
        await backend.wait_closed()


async def test_a_command_from_its_input_to_its_end() -> None:
    async def runtime(at: Runtime) -> None:
        await at.accept(4)
        assert await at.read("stdin") == b"one two"
        at.send("stdout", b"ONE ")
        at.send("stderr", b"hm", end=True)
        at.send("stdout", b"TWO", end=True)
        at.send("error", SUCCESS, end=True)

    async with served(runtime) as (client, heads):
        head = await client.ask(EXEC, V5)
        assert head.startswith("HTTP/1.1 101 ") and f"Sec-WebSocket-Protocol: {V5}\r\n" in head
        client.send(b"\x00one ")
        client.send(b"\x00two")
        client.send(b"\xff\x00")
        client.send(b"\x00too late")
        frames = [await client.receive() for _ in range(5)]
        assert frames == [
            (2, b"\x01ONE "), (2, b"\x02hm"), (2, b"\x01TWO"), (2, b"\x03" + SUCCESS), (8, b"\x03\xe8"),
        ]  # fmt: skip
        assert heads[0].startswith("POST /exec/token HTTP/1.1\r\n")
        assert "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n" in heads[0]


async def test_how_a_command_ended_is_the_last_and_the_end_comes_with_it() -> None:
    """Client libraries hang up at that word: what came after it would be lost, or in the way of what they do next."""
    told, ends = asyncio.Event(), asyncio.Event()

    async def runtime(at: Runtime) -> None:
        await at.accept(4)
        at.send("error", SUCCESS, end=True)
        at.send("stdout", b"through", end=True)
        told.set()
        await ends.wait()

    async with served(runtime) as (client, _):
        await client.ask(EXEC, V5)
        assert await client.receive() == (2, b"\x01through")
        assert told.is_set()
        ends.set()
        rest = bytes((0x82, len(SUCCESS) + 1)) + b"\x03" + SUCCESS + b"\x88\x02\x03\xe8"
        assert await client.reader.read(4096) == rest


async def test_a_terminal_has_sizes_and_no_stderr() -> None:
    size = json.dumps({"Width": 80, "Height": 25}).encode()

    async def runtime(at: Runtime) -> None:
        await at.accept(4)
        assert set(at.streams) == {"error", "stdin", "stdout", "resize"}
        word, _, payload = await at.frame()
        assert (word, payload) == (at.streams["resize"], size)
        for name in ("stdout", "error"):
            at.reset(name)

    async with served(runtime) as (client, _):
        await client.ask(EXEC + "&tty=1", V5)
        client.send(b"\x04" + size)
        assert await client.receive() == (8, b"\x03\xe8")


async def test_a_client_that_is_gone_ends_the_runtimes_connection() -> None:
    gone = asyncio.Event()

    async def runtime(at: Runtime) -> None:
        await at.accept(4)
        with pytest.raises(asyncio.IncompleteReadError):
            await at.frame()
        gone.set()

    async with served(runtime) as (client, _):
        await client.ask(EXEC, V5)
        client.writer.close()
        await gone.wait()


@pytest.mark.parametrize("side", ["client", "runtime"])
async def test_who_does_not_keep_to_the_protocol_is_told(side: str) -> None:
    async def runtime(at: Runtime) -> None:
        await at.accept(4)
        if side == "runtime":
            at.writer.write(b"\x80\x02 this is SPDY/2")
        with pytest.raises(asyncio.IncompleteReadError):
            await at.frame()

    async with served(runtime) as (client, _):
        await client.ask(EXEC, V5)
        if side == "client":
            client.send(b"reserved", opcode=3)
        opcode, payload = await client.receive()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (8, 1002 if side == "client" else 1011)


async def test_a_port_is_a_tunnel() -> None:
    async def runtime(at: Runtime) -> None:
        at.writer.write(b"from the runtime")
        assert await at.frame() == (1, 0, b"raw")

    async with served(runtime) as (client, heads):
        assert f"Sec-WebSocket-Protocol: {TUNNEL}\r\n" in await client.ask("/portForward/default/p?port=80", TUNNEL)
        assert await client.receive() == (2, b"from the runtime")
        client.send(struct.pack("!I", 1))
        client.send(struct.pack("!I", 3) + b"raw")
        assert await client.receive() == (8, b"\x03\xe8")
        assert "X-Stream-Protocol-Version: portforward.k8s.io\r\n" in heads[0]
