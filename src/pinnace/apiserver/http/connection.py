"""One client connection.

Promises: requests of one connection are handled one after the other in the order they came, and answered in that order;
at most ``PIPELINED`` wait, then reading stops. An answer that is ready at once is written without a task. Everything a
request started is cancelled when its client goes away. Bodies are written in slices that wait for the client, so a
connection never holds more than one slice beyond its transport's buffer; a watch that is not read holds at most
``WATCH_BUFFER`` bytes and is then dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

import httptools

from pinnace.api.errors import ApiError, bad_request, internal, too_large
from pinnace.apiserver import response
from pinnace.apiserver.http import wire
from pinnace.apiserver.http.outlets import PIPE_BUFFER, SLICE, RawPipe, WatchOutlet
from pinnace.apiserver.request import Request
from pinnace.apiserver.response import Answer, KeptParts, Response, Stream, Takeover, WatchAnswer
from pinnace.core.cooperate import breathe

if TYPE_CHECKING:
    from pinnace.apiserver.http.server import HttpServer

log = logging.getLogger(__name__)

#: Bytes of headers (names and values) and number of headers of one request.
HEADER_BYTES = 1024 * 1024
HEADER_COUNT = 512
#: Request bodies, as kube-apiserver limits them.
BODY_BYTES = 3 * 1024 * 1024
PIPELINED = 16
#: Bytes written without a look at other connections.
AT_ONCE = 1024 * 1024
#: Tasks that sending a long list, or beginning a watch, counts for.
LONG_ANSWER = 4
#: A transport that holds more than this makes its writer wait.
HIGH_WATER = 1024 * 1024


class _Gone(asyncio.Transport):
    """The transport of a connection that is lost."""

    def write(self, data: object) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_closing(self) -> bool:
        return True


GONE = _Gone()


class Connection(asyncio.Protocol):
    """See the module's docstring."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._certificate: bytes | None = None
        self._peer: dict[str, Any] = {}
        self._url = b""
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._header_count = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._failed = False  # nothing more is read from this client
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._busy = False  # a request is being handled
        self._task: asyncio.Task[None] | None = None
        self._watch: WatchOutlet | None = None
        self._pipe: RawPipe | None = None
        #: What came in behind a request that asks for an upgrade, until it is known whether it gets it.
        self._early: bytearray | None = None
        self.paused = False
        self._drained: asyncio.Future[None] | None = None
        self.lost = False
        self._closing = False  # after the present answer
        self.reading = True  # between requests, or inside one that has not come in whole
        self.tick = server.tick  # when something last happened here
        self.began: int | None = None  # when the request that is coming in began to

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._server.admit(self):
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._certificate = tls.getpeercert(binary_form=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._server.forget(self)
        self._waiting.clear()
        self._resume_drained()
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if self._pipe is not None:
            self._pipe.end(both_ways=True)
        elif self._task is not None:
            self._task.cancel()
        # The transport and the parser know this connection: left in cycles, each would wait for the cycle collector.
        self._transport = GONE
        self._parser = cast(httptools.HttpRequestParser, None)

    def data_received(self, data: bytes) -> None:
        if self.lost:  # what waited behind a request that asked for an upgrade
            return
        self.tick = self._server.tick
        if self._pipe is not None:
            self._pipe.feed(data)
            return
        if self._failed:
            return
        if self._early is not None:
            self._early += data
            if len(self._early) > PIPE_BUFFER:
                self._transport.pause_reading()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_upgrade_request(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, _Refused):
                self._refuse(cause.error)
            else:
                log.debug("malformed request: %s", error)
                self._refuse(bad_request(f"malformed HTTP request: {error}"))

    def eof_received(self) -> bool:
        if self._pipe is not None:
            self._pipe.end(both_ways=self._server.tls is not None)
            return not self._server.tls  # half-closed plain connections still take our bytes
        return False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.tick = self._server.tick
        if self._watch is not None:
            self._watch.flush()
        if not self.paused:
            self._resume_drained()

    def _resume_drained(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def drain(self) -> None:
        """Wait until the transport takes more. Raises ConnectionError if the client is gone."""
        while self.paused and not self.lost:
            if self._drained is None or self._drained.done():
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)
        if self.lost:
            raise ConnectionResetError("the client closed the connection")

    # -- httptools' side

    def on_message_begin(self) -> None:
        self.began = self._server.tick
        self._url = b""
        self._headers = {}
        self._header_bytes = 0
        self._header_count = 0
        self._body = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > 64 * 1024:
            raise _Refused(ApiError(414, "RequestURITooLong", "the request's URL is too long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        self._header_count += 1
        if self._header_bytes > HEADER_BYTES or self._header_count > HEADER_COUNT:
            raise _Refused(ApiError(431, "RequestHeaderFieldsTooLarge", "the request's headers are too large"))
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        held = self._headers.get(key)
        if held is not None:  # a comma is no separator where values may hold one
            text = f"{held}\n{text}" if key.startswith("impersonate-") else f"{held},{text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        headers = self._headers
        length = headers.get("content-length")
        if length is not None and int(length) > BODY_BYTES:
            raise _Refused(_body_too_large())
        if "expect" in headers:
            if headers["expect"].lower() != "100-continue":
                raise _Refused(ApiError(417, "ExpectationFailed", "the only expectation supported is 100-continue"))
            if not self._busy:
                self._transport.write(wire.CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > BODY_BYTES:
            raise _Refused(_body_too_large())
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.began = None
        url = self._url
        if url[:1] == b"/":
            raw_path, _, raw_query = url.partition(b"?")
        else:
            raw_path, raw_query = _split_url(url)
        path = raw_path.decode("utf-8", "replace")
        if "%" in path:
            from urllib.parse import unquote

            path = unquote(path)
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = Request(
            self._parser.get_method().decode("latin-1"),
            path,
            raw_query.decode("latin-1"),
            self._headers,
            body,
            certificate=self._certificate,
            peer=self._peer,
        )
        keep_alive = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"
        if self._busy:
            self._waiting.append((request, keep_alive))
            if len(self._waiting) >= PIPELINED:
                self._transport.pause_reading()
        else:
            self._handle(request, keep_alive)

    def _after_upgrade_request(self, rest: bytes) -> None:
        """The parser stops behind a request that asks for an upgrade: what follows is for the one who takes over, or
        else the next request."""
        self._parser = httptools.HttpRequestParser(self)
        if self._busy:
            self._early = bytearray(rest)
        elif rest and not self._failed:
            self.data_received(rest)

    # -- handling

    def _handle(self, request: Request, keep_alive: bool) -> None:
        self._busy = True
        self.reading = False
        self._closing = self._closing or not keep_alive
        try:
            answer = self._server.handler(request)
        except ApiError as error:
            answer = response.of_error(error)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            answer = response.of_error(internal("unexpected failure; the server's log has the details"))
        if type(answer) is Response and self._written_whole(request, answer):
            self._done()
            return
        self._server.turn.begun += 1 if type(answer) is CoroutineType else LONG_ANSWER
        self._task = asyncio.get_running_loop().create_task(self._finish(request, answer))

    async def _finish(self, request: Request, answer: Answer | Coroutine[Any, Any, Answer]) -> None:
        try:
            if isinstance(answer, Coroutine):
                try:
                    answer = await answer
                except ApiError as error:
                    answer = response.of_error(error)
                except Exception:
                    log.exception("%s %s failed", request.method, request.path)
                    answer = response.of_error(internal("unexpected failure; the server's log has the details"))
            if self.lost:
                return
            if isinstance(answer, Response):
                if not self._written_whole(request, answer):
                    await self._write(request, answer)
                elif self.paused:
                    await self.drain()
            elif isinstance(answer, Stream):
                await self._stream(request, answer)
            elif isinstance(answer, Takeover):
                await self._take_over(answer)
                return
            else:
                self._start_watch(request, answer)
                return
        except ConnectionError:
            self._transport.abort()
            return
        except Exception:
            log.exception("%s %s broke off", request.method, request.path)
            self._transport.abort()
            return
        self._task = None
        self._done()

    def _done(self) -> None:
        """The present answer is written: close, or go on with the next request that came in meanwhile."""
        self._busy = False
        self.reading = True
        self.tick = self._server.tick
        if self._closing or self._server.stopping:
            self._transport.close()
            return
        early, self._early = self._early, None
        if early and not self._failed and not self.lost:
            self._transport.resume_reading()
            asyncio.get_running_loop().call_soon(self.data_received, bytes(early))
        if self._waiting and not self.lost:
            if len(self._waiting) == PIPELINED:
                self._transport.resume_reading()
            # Not inline: hundreds of pipelined requests must not recurse or hold the loop.
            self._busy = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._busy = False
        if self._waiting and not self.lost:
            self._handle(*self._waiting.popleft())
        elif self._server.stopping:
            self._transport.close()

    def _refuse(self, error: ApiError) -> None:
        """Answer what cannot be read as a request, and end the connection once the client has seen why."""
        self._failed = True
        if self._busy or self.lost:
            self._closing = True
            return
        answer = response.of_error(error)
        body = cast(bytes, answer.body)
        self._transport.write(
            wire.head(error.code, answer.content_type, (), date=self._server.date, length=len(body), close=True) + body
        )
        # A close with unread input would reset the connection and could lose the answer: linger.
        self._server.clock.call_later(1.0, self._transport.close)

    # -- answers

    def _written_whole(self, request: Request, answer: Response) -> bool:
        """Write a small answer, head and body at once; False if it is none."""
        body = answer.body
        if type(body) is not bytes or len(body) > SLICE or (len(body) > wire.COMPRESS_ABOVE and _gzips(request)):
            return False
        self._server.count(request.info.verb, answer.status)
        close = self._closing or self._server.stopping
        head = wire.head(
            answer.status,
            answer.content_type,
            answer.headers,
            date=self._server.date,
            length=len(body),
            close=close,
        )
        self._transport.write(head if request.method == "HEAD" else head + body)
        return True

    async def _write(self, request: Request, answer: Response) -> None:
        self._server.count(request.info.verb, answer.status)
        parts = answer.body if isinstance(answer.body, list) else [answer.body]
        length = sum(map(len, parts))
        headers = answer.headers
        encoded = any(name == "Content-Encoding" for name, _ in headers)
        if length > wire.COMPRESS_ABOVE and not encoded and _gzips(request):
            packed = await _packed(parts)
            parts, length = [packed], len(packed)
            headers = (*headers, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
        close = self._closing or self._server.stopping
        self._transport.write(
            wire.head(answer.status, answer.content_type, headers, date=self._server.date, length=length, close=close)
        )
        if request.method == "HEAD":
            return
        written = 0
        for part in parts:
            if len(part) <= SLICE:
                self._transport.write(part)
                written += len(part)
                if self.paused:
                    await self.drain()
                    written = 0
                elif written >= AT_ONCE:
                    await breathe()
                    written = 0
                continue
            view = memoryview(part)
            for at in range(0, len(part), SLICE):
                self._transport.write(view[at : at + SLICE])
                written += SLICE
                if self.paused:
                    await self.drain()
                    written = 0
                elif written >= AT_ONCE:  # a client that reads fast must not hold the loop
                    await breathe()
                    written = 0

    async def _stream(self, request: Request, answer: Stream) -> None:
        self._server.count(request.info.verb, answer.status)
        close = self._closing
        self._transport.write(
            wire.head(
                answer.status, answer.content_type, answer.headers, date=self._server.date, length=None, close=close
            )
        )
        try:
            if request.method != "HEAD":
                async for data in answer.chunks:
                    if data:
                        self._transport.write(data if close else wire.chunk(data))
                        await self.drain()
        finally:
            await answer.chunks.aclose()
        if not close:
            self._transport.write(wire.LAST_CHUNK)

    def _start_watch(self, request: Request, answer: WatchAnswer) -> None:
        self._server.count(request.info.verb, 200)
        headers = response.warning_headers(request.warnings)
        self._transport.write(
            wire.head(200, answer.content_type, headers, date=self._server.date, length=None, close=self._closing)
        )
        self._task = None
        if self._server.stopping:
            self._transport.write(b"" if self._closing else wire.LAST_CHUNK)
            self._done()
            return
        self._watch = WatchOutlet(self, self._transport, answer, chunked=not self._closing)
        answer.start(self._watch)

    async def _take_over(self, answer: Takeover) -> None:
        self._pipe = pipe = RawPipe(self, self._transport)
        early, self._early = self._early, None
        if early:
            self._transport.resume_reading()
            pipe.feed(bytes(early))
        try:
            await answer.run(pipe)
        finally:
            pipe.close()

    # -- shutting down

    @property
    def idle(self) -> bool:
        return not self._busy

    def shut_down(self) -> None:
        """Finish what is being answered, end a watch, close."""
        self._closing = True
        if self._watch is not None:
            self._watch.finish()
        elif not self._busy:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def watch_ended(self) -> None:
        self._watch = None
        self._done()


class _Refused(Exception):
    """Raised inside the parser's callbacks; httptools passes it on as the context of its own error."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


def _split_url(url: bytes) -> tuple[bytes, bytes]:
    """Path and query of an absolute URL."""
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        raise _Refused(bad_request("malformed request URL")) from None
    return parsed.path or b"/", parsed.query or b""


def _body_too_large() -> ApiError:
    return too_large(f"Request entity too large: limit is {BODY_BYTES}")


async def _packed(parts: list[bytes]) -> bytes:
    """``parts`` compressed, in a thread. Who asks for the same meanwhile, or later, waits for the same."""
    work = parts.packed if isinstance(parts, KeptParts) else None
    if work is None:
        work = asyncio.get_running_loop().run_in_executor(None, wire.gzip, parts)
        if isinstance(parts, KeptParts):
            parts.packed = work
    return await asyncio.shield(work)


def _gzips(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")
