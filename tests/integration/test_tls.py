"""The TLS transport itself, against OpenSSL's client: what is written arrives whole and in order, slow readers cost
nothing but room, and every way of leaving ends the connection once."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pinnace.cluster.health import self_signed
from pinnace.core import listener
from pinnace.core.clock import RealClock
from pinnace.core.listener import Listener
from pinnace.core.tls import TlsTransport

MB = 1024 * 1024


class Server(asyncio.Protocol):
    """The one connection's protocol: what was read, and what was told."""

    def __init__(self) -> None:
        self.transport: TlsTransport
        self.read = b""
        self.told: list[str] = []
        self.gone: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.made: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsTransport)
        self.transport = transport
        self.made.set_result(None)

    def data_received(self, data: bytes) -> None:
        self.read += data

    def eof_received(self) -> None:
        self.told.append("eof")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.gone.set_result(exc)

    async def heard(self, text: bytes) -> None:
        async with asyncio.timeout(10):
            while text not in self.read:
                await asyncio.sleep(0.005)


def client_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@asynccontextmanager
async def connected(limit: int = 64 * 1024) -> AsyncIterator[tuple[Server, asyncio.StreamReader, asyncio.StreamWriter]]:
    clock = RealClock()
    server = Server()
    (sock,) = await listener.bind("127.0.0.1", 0)
    listening = Listener(sock, self_signed(clock, "localhost"), clock, lambda: server, lambda: 1)
    reader, writer = await asyncio.open_connection(*listening.address, ssl=client_tls(), limit=limit)
    try:
        await asyncio.wait_for(server.made, 10)
        yield server, reader, writer
    finally:
        writer.transport.abort()
        server.transport.abort()
        await asyncio.wait_for(server.gone, 10)
        await listening.close()
        await asyncio.sleep(0)


async def test_what_is_written_arrives_whole_and_in_order() -> None:
    """More than the kernel holds, in pieces of all sizes, handed over before the client reads anything."""
    data = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(512 * 1024))  # 16 MB that do not repeat
    async with connected() as (server, reader, _):
        at = 0
        for size in (1, 16 * 1024, 16 * 1024 + 1, 300_000, 5 * MB, 7):
            server.transport.write(data[at : at + size])
            at += size
        server.transport.write(memoryview(data)[at:])
        waiting = server.transport.get_write_buffer_size()
        assert waiting > 0
        server.transport.write(b"")
        assert server.transport.get_write_buffer_size() == waiting
        server.transport.close()
        server.transport.write(b"too late")
        async with asyncio.timeout(30):
            assert await reader.read(-1) == data


async def test_a_slow_reader_pauses_the_writer_until_there_is_room() -> None:
    async with connected() as (server, reader, _):
        server.transport.set_write_buffer_limits(high=MB)
        piece = b"x" * (256 * 1024)
        written = 0
        while "pause" not in server.told:
            server.transport.write(piece)
            written += len(piece)
            await asyncio.sleep(0)
        assert MB < server.transport.get_write_buffer_size() <= MB + len(piece)
        async with asyncio.timeout(30):
            while server.told != ["pause", "resume"]:
                written -= len(await reader.read(65536))
        assert server.transport.get_write_buffer_size() <= MB // 4
        async with asyncio.timeout(30):
            while written:
                written -= len(await reader.read(65536))
        assert server.transport.get_write_buffer_size() == 0


async def test_a_client_that_leaves_is_noticed_once() -> None:
    async with connected() as (server, _, writer):
        writer.write(b"hello")
        await server.heard(b"hello")
        writer.close()
        assert await asyncio.wait_for(server.gone, 10) is None
        assert server.told == ["eof", "lost"]
        server.transport.write(b"to nobody")
        server.transport.close()
        server.transport.abort()
        await asyncio.sleep(0)
        assert server.told == ["eof", "lost"]


async def test_a_client_that_breaks_off_while_it_is_written_to() -> None:
    async with connected() as (server, _, writer):
        server.transport.write(b"x" * 16 * MB)
        assert server.transport.get_write_buffer_size() > 0
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset, no end
        writer.transport.abort()
        async with asyncio.timeout(10):
            await server.gone
        assert server.told[-1] == "lost"
        assert server.transport.get_write_buffer_size() == 0


async def test_an_abort_tells_the_protocol_but_not_inline() -> None:
    async with connected() as (server, reader, _):
        server.transport.write(b"x" * 16 * MB)
        server.transport.abort()
        assert server.told[-1:] != ["lost"]
        assert server.transport.is_closing()
        await asyncio.wait_for(server.gone, 10)
        with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
            await reader.readexactly(16 * MB)


async def test_who_does_not_say_goodbye_is_left_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinnace.core.tls.CLOSING_SECONDS", 0.05)
    clock = RealClock()
    server = Server()
    (sock,) = await listener.bind("127.0.0.1", 0)
    listening = Listener(sock, self_signed(clock, "localhost"), clock, lambda: server, lambda: 1)

    def greet() -> ssl.SSLSocket:
        return client_tls().wrap_socket(socket.create_connection(listening.address, 10))

    client = await asyncio.to_thread(greet)
    await server.made
    server.transport.write(b"last words")
    server.transport.close()
    assert not server.gone.done()
    assert await asyncio.wait_for(server.gone, 10) is None
    assert client.recv(100) == b"last words"
    assert client.recv(100) == b"", "an end, not a reset"
    client.close()
    await listening.close()


async def test_nothing_is_read_while_reading_is_paused() -> None:
    async with connected() as (server, _, writer):
        server.transport.pause_reading()
        writer.write(b"wait")
        await writer.drain()
        await asyncio.sleep(0.05)
        assert server.read == b""
        server.transport.resume_reading()
        await server.heard(b"wait")
        large = b"y" * (3 * MB)
        writer.write(large)
        await server.heard(large)
