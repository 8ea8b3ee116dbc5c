"""HTTP/1.1 for few and trusted callers: one request a connection, answered whole, in pieces, or by raw bytes."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from pinnace.core import clock as clocks
from pinnace.core import listener
from pinnace.core.clock import Clock, Timer
from pinnace.core.listener import Listener

log = logging.getLogger(__name__)

HEAD_LIMIT = 64 << 10
BODY_LIMIT = 1 << 20
#: Seconds for a request's head to arrive.
HEAD_SECONDS = 30.0
SWEEP_SECONDS = 5.0
MAX_CONNECTIONS = 1000
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Refusal(Exception):
    """A request answered with an error's text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Request:
    method: str
    path: str  # decoded
    query: dict[str, str]
    pairs: list[tuple[str, str]]  # the query in full
    headers: list[tuple[str, str]]
    body: bytes
    certificate: dict[str, object]  # as ssl tells it; empty if none was shown
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass(slots=True)
class Answer:
    status: int = 200
    body: bytes | AsyncGenerator[bytes, None] = b""
    content_type: str = "text/plain"
    headers: list[tuple[str, str]] = field(default_factory=list)


#: None: the handler has used the connection itself.
Handler = Callable[[Request], Awaitable[Answer | None]]


class HttpServer:
    def __init__(self, handle: Handler, clock: Clock, tls: ssl.SSLContext | None) -> None:
        self._handle = handle
        self._clock = clock
        self._tls = tls
        self._listeners: list[Listener] = []
        self._sweeper: Timer | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def listen(self, host: str, port: int) -> int:
        """The port, a free one if 0 was asked for. Raises OSError."""
        for sock in await listener.bind(host, port):
            self._listeners.append(Listener(sock, self._tls, self._clock, self._connected, self._room))
        self._sweeper = self._clock.call_later(SWEEP_SECONDS, self._sweep, routine=True)
        return self._listeners[0].address[1]

    def _connected(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=HEAD_LIMIT), self._serve)

    def _room(self) -> int:
        return MAX_CONNECTIONS - len(self._open) - sum(each.arriving for each in self._listeners)

    def _sweep(self) -> None:
        for each in self._listeners:
            each.sweep()
        self._sweeper = self._clock.call_later(SWEEP_SECONDS, self._sweep, routine=True)

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for each in self._listeners:
            await each.close()
        self._listeners.clear()
        for writer in list(self._open):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._exchange(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            log.debug("a connection was broken off: %s", error)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with clocks.timeout(self._clock, HEAD_SECONDS):
                request = await _read(reader, writer)
            answer = await self._handle(request)
        except Refusal as refusal:
            answer = Answer(refusal.status, f"{refusal}\n".encode())
        if answer is not None:
            await self._write(writer, answer)

    async def _write(self, writer: asyncio.StreamWriter, answer: Answer) -> None:
        head = [
            f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Error')}",
            f"Content-Type: {answer.content_type}",
        ]
        head += [f"{name}: {value}" for name, value in answer.headers]
        head.append("Connection: close")
        if isinstance(answer.body, bytes):
            head.append(f"Content-Length: {len(answer.body)}")
            writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + answer.body)
            await writer.drain()
            return
        head.append("Transfer-Encoding: chunked")
        writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
        try:
            async for chunk in answer.body:
                writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                await writer.drain()
                await self._clock.sleep(0)  # a long log must not hold the event loop
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        finally:
            await answer.body.aclose()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise Refusal(413, "the request's head is too large") from None
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise Refusal(400, "malformed request line")
    headers = []
    for line in lines[1:-2]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Refusal(400, "malformed header")
        headers.append((name, value.strip()))
    url = urlsplit(parts[1])
    pairs = parse_qsl(url.query, keep_blank_values=True)
    query: dict[str, str] = {}
    for name, value in pairs:
        query.setdefault(name, value)
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    body = b""
    if lengths:
        if not lengths[0].isdecimal() or int(lengths[0]) > BODY_LIMIT:
            raise Refusal(413, "the request's body is too large")
        body = await reader.readexactly(int(lengths[0]))
    certificate = writer.get_extra_info("peercert") or {}
    return Request(parts[0], unquote(url.path), query, pairs, headers, body, certificate, reader, writer)
