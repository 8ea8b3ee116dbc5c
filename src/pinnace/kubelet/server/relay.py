"""Bytes between a client and the container runtime's streaming server.

SPDY and the older WebSocket protocols are the runtime's own: they pass as they are. What runtimes do not speak is
translated to SPDY: ``v5.channel.k8s.io``, where closing a stream is a message (so that a command sees the end of its
input), and port-forward's SPDY tunnelled through a WebSocket.

    client  --- WebSocket: [channel] bytes --->  here  --- SPDY: one stream per channel --->  runtime

Order within a channel is kept. Either side's slowness slows the other down; nothing is gathered here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

from pinnace.core.cooperate import breathe
from pinnace.core.http1 import HttpAnswer, HttpConnection
from pinnace.kubelet.server.http import Refusal, Request
from pinnace.kubelet.server.spdy import SpdyClient, SpdyError
from pinnace.kubelet.server.websocket import INTERNAL_ERROR, PROTOCOL_ERROR, WebSocket, WebSocketError, accept_headers

log = logging.getLogger(__name__)

V5 = "v5.channel.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
_CHUNK = 64 << 10
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSED = 0, 1, 2, 3, 4, 255
#: Bytes that the word of how a command ended has at most.
_STATUS = 64 << 10


async def relay(request: Request, url: str) -> None:
    """Answer a request for the runtime's streaming address, and serve it until either side ends. Raises Refusal."""
    target = urlsplit(url)
    host, port = target.hostname or "127.0.0.1", target.port or 80
    path = f"{target.path}?{target.query}" if target.query else target.path
    try:
        connection = await HttpConnection.connect(host, port, None)
    except OSError as error:
        raise Refusal(500, f"cannot reach the container runtime's streaming server: {error}") from error
    try:
        protocol = _translated(request)
        if protocol:
            spoken = "v4.channel.k8s.io" if protocol == V5 else "portforward.k8s.io"
            headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", spoken)]
            answer = await connection.request("POST", path, [("Host", f"{host}:{port}"), *headers], b"")
        else:
            headers = [
                (name, value) for name, value in request.headers if name.lower() not in ("host", "content-length")
            ]
            answer = await connection.request(request.method, path, [("Host", f"{host}:{port}"), *headers])
        if not answer.upgraded or not protocol:
            await _pass_head(request, answer, connection)
        else:
            lines = ["HTTP/1.1 101 Switching Protocols", *accept_headers(request.header("sec-websocket-key"), protocol)]
            request.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            socket = WebSocket(request.reader, request.writer)
            if protocol == TUNNEL:
                await _tunnel(socket, connection)
            else:
                await _Translation(request, socket, connection).run()
    finally:
        connection.close()


def _translated(request: Request) -> str:
    """The WebSocket protocol that is to be translated, if the client offers one."""
    if request.header("upgrade").lower() != "websocket" or not request.header("sec-websocket-key"):
        return ""
    offered = [text.strip() for text in request.header("sec-websocket-protocol").split(",")]
    wanted = TUNNEL if request.path.startswith("/portForward/") else V5
    return wanted if wanted in offered else ""


async def _pass_head(request: Request, answer: HttpAnswer, connection: HttpConnection) -> None:
    lines = [b"HTTP/1.1 %d %s" % (answer.status, b"Switching Protocols" if answer.upgraded else b"Error")]
    lines += [name + b": " + value for name, value in answer.raw_headers]
    writer = request.writer
    writer.write(b"\r\n".join([*lines, b"", b""]))
    if not answer.upgraded:
        writer.write(await answer.read())
        await writer.drain()
        return
    writer.write(connection.rest)
    up = _copy(request.reader, connection.writer, half_close=True)
    await _until_either_ends(up, _copy(connection.reader, writer, half_close=False), connection)


async def _until_either_ends(
    up: Coroutine[Any, Any, None], down: Coroutine[Any, Any, None], connection: HttpConnection
) -> None:
    """Run both; once the client has ended its side, what is under way may still come back."""
    tasks = rising, falling = asyncio.ensure_future(up), asyncio.ensure_future(down)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not falling.done() and rising.exception() is None and connection.writer.can_write_eof():
            await asyncio.wait((falling,))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, half_close: bool) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
        await breathe()  # others' turn; and a peer that is gone is noticed, however fast the data comes
    if half_close and writer.can_write_eof():
        writer.write_eof()


async def _tunnel(socket: WebSocket, connection: HttpConnection) -> None:
    """The WebSocket's messages are nothing but pieces of a byte stream."""

    async def up() -> None:
        while (piece := await socket.read()) is not None:
            connection.writer.write(piece.data)
            await connection.writer.drain()

    async def down() -> None:
        if connection.rest:
            await socket.send(connection.rest)
        while data := await connection.reader.read(_CHUNK):
            await socket.send(data)

    await _race(socket, up(), down())


async def _race(socket: WebSocket, up: Coroutine[Any, Any, None], down: Coroutine[Any, Any, None]) -> None:
    """Run both until one ends, then close: a client that is gone must not keep the runtime waiting, nor the reverse."""
    tasks = asyncio.ensure_future(up), asyncio.ensure_future(down)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        error = next((task.exception() for task in done if task.exception() is not None), None)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if isinstance(error, WebSocketError):
        await socket.close(PROTOCOL_ERROR, str(error))
    elif isinstance(error, SpdyError):
        await socket.close(INTERNAL_ERROR, f"the container runtime: {error}")
    elif isinstance(error, ConnectionError) or error is None:
        await socket.close()
    else:
        raise error


class _Translation:
    """One exec or attach: the WebSocket's channels are the runtime's SPDY streams."""

    def __init__(self, request: Request, socket: WebSocket, connection: HttpConnection) -> None:
        self._socket = socket
        self._spdy = SpdyClient(connection.reader, connection.writer, connection.rest)
        on = {flag: request.query.get(flag) in ("1", "true") for flag in ("input", "output", "error", "tty")}
        wanted = {
            _ERROR: True,
            _STDIN: on["input"],
            _STDOUT: on["output"],
            _STDERR: on["error"] and not on["tty"],
            _RESIZE: on["tty"],
        }
        names = {_ERROR: "error", _STDIN: "stdin", _STDOUT: "stdout", _STDERR: "stderr", _RESIZE: "resize"}
        self._streams = {c: self._spdy.open({"streamtype": names[c]}) for c, is_on in wanted.items() if is_on}
        self._channels = {stream: channel for channel, stream in self._streams.items()}
        self._closed: set[int] = set()  # channels that take no more from the client

    async def run(self) -> None:
        await _race(self._socket, self._up(), self._down())

    async def _up(self) -> None:
        await self._spdy.opened.wait()
        channel = -1
        while (piece := await self._socket.read()) is not None:
            data = piece.data
            if piece.first:
                channel, data = data[0], data[1:]
            if channel == _CLOSED:
                for ended in data:
                    await self._send(ended, b"", end=True)
            elif channel in (_STDIN, _RESIZE) and data:
                await self._send(channel, data)

    async def _send(self, channel: int, data: bytes, *, end: bool = False) -> None:
        stream = self._streams.get(channel)
        if stream is not None and channel not in self._closed:
            if end:
                self._closed.add(channel)
            await self._spdy.send(stream, data, end=end)

    async def _down(self) -> None:
        """Until the runtime has said how it ended and both outputs are through, or it has closed the connection. How
        it ended is the last that the client is told: many take it for the end of everything."""
        status = b""
        open_streams = {self._streams[channel] for channel in (_ERROR, _STDOUT, _STDERR) if channel in self._streams}
        async with aclosing(self._spdy.chunks()) as chunks:
            async for stream, data, end in chunks:
                channel = self._channels.get(stream)
                if channel is None:
                    continue
                if channel == _ERROR and len(status) + len(data) <= _STATUS:
                    status += data
                elif data:
                    await self._socket.send(data, bytes((channel,)))
                if end:
                    self._closed.add(channel)
                    open_streams.discard(stream)
                    if not open_streams:
                        break
        if status:
            await self._socket.send_last(status, bytes((_ERROR,)))
