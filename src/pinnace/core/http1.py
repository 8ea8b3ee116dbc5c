"""A small HTTP/1.1 client: one connection, one request at a time; answers whole, in pieces, or upgraded to raw."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import httptools

#: Bytes of an answer's head.
HEAD_BYTES = 256 * 1024
READ = 256 * 1024


class HttpError(ConnectionError):
    """The peer does not speak HTTP/1.1 as it should."""


class HttpAnswer:
    """The head of an answer and a way to its body, which must be read (or the connection closed) before the next
    request. ``headers`` have lower-case names; ``upgraded`` means 101: what follows is raw."""

    def __init__(self, connection: HttpConnection) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self.upgraded = False
        self.complete = False
        self.keep_alive = True
        self._connection = connection
        self._head_done = False
        self._body: deque[bytes] = deque()
        self._head_bytes = 0

    # httptools' callbacks
    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES:
            raise HttpError("the answer's head is too large")
        self.raw_headers.append((name, value))
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._connection.parser.get_status_code()
        if self.status == 100:
            self.headers.clear()
            self.raw_headers.clear()
            return
        self.keep_alive = self._connection.parser.should_keep_alive()
        self._head_done = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._head_done:
            self.complete = True

    async def wait_head(self) -> None:
        while not self._head_done:
            if not await self._connection.feed(self):
                raise HttpError("the connection was closed before the answer came")

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes in. Raises HttpError if it ends too early."""
        while True:
            while self._body:
                yield self._body.popleft()
            if self.complete:
                return
            if not await self._connection.feed(self):
                if "content-length" in self.headers or "transfer-encoding" in self.headers:
                    raise HttpError("the connection was closed in the midst of an answer")
                self.complete = True
                self.keep_alive = False

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body, or some more than the first ``limit`` bytes of it: the connection is of no use then."""
        parts, length = [], 0
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                parts.append(chunk)
                length += len(chunk)
                if limit is not None and length >= limit:
                    break
        return b"".join(parts)


class HttpConnection:
    """Open one with ``connect``; ``close`` it at the end. Not for concurrent use."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.rest = b""  # read behind an upgraded answer's head
        self.parser: httptools.HttpResponseParser  # of the answer under way

    @classmethod
    async def connect(
        cls, host: str, port: int, tls: ssl.SSLContext | None, *, server_name: str | None = None
    ) -> HttpConnection:
        """Raises OSError (ssl.SSLError among them)."""
        reader, writer = await asyncio.open_connection(
            host, port, ssl=tls, server_hostname=(server_name or host) if tls else None, limit=READ
        )
        return cls(reader, writer)

    @property
    def closed(self) -> bool:
        return self.reader.at_eof() or self.writer.is_closing()

    async def request(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes | None = None
    ) -> HttpAnswer:
        """Send a request and wait for the head of its answer. Raises OSError."""
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        await self.writer.drain()
        answer = HttpAnswer(self)
        self.parser = httptools.HttpResponseParser(answer)
        await answer.wait_head()
        return answer

    async def feed(self, answer: HttpAnswer) -> bool:
        """Read some bytes into ``answer``; False at the end of the stream."""
        data = await self.reader.read(READ)
        if not data:
            return False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            answer.upgraded = True
            answer.complete = True
            self.rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            raise HttpError(f"malformed answer: {error}") from None
        return True

    def close(self) -> None:
        self.writer.close()
