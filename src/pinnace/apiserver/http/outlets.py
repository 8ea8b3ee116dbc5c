"""Where a connection's bytes go once its request is answered by more than a response: a watch's batches, or whoever
took the raw connection over.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from pinnace.api.errors import ApiError
from pinnace.apiserver.http import wire
from pinnace.apiserver.response import WatchAnswer
from pinnace.core.cooperate import breathe

if TYPE_CHECKING:
    from pinnace.apiserver.http.connection import Connection

log = logging.getLogger(__name__)

#: Bodies are handed to the transport in pieces of this size.
SLICE = 256 * 1024
#: Bytes that wait for a watcher that does not read.
WATCH_BUFFER = 16 * 1024 * 1024
#: Bytes that wait for a taken-over connection's handler before reading stops.
PIPE_BUFFER = 256 * 1024


class WatchOutlet:
    """A watch's way to its client: batches are bytes, shared with other connections."""

    def __init__(
        self, connection: Connection, transport: asyncio.Transport, answer: WatchAnswer, *, chunked: bool
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._answer = answer
        self._chunked = chunked
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._ended = False

    def deliver(self, batch: tuple[bytes, bytes]) -> None:
        """``batch`` is the frames, bare and as an HTTP chunk."""
        data = batch[1] if self._chunked else batch[0]
        if not self._connection.paused:
            if len(data) <= SLICE:
                self._transport.write(data)
            else:  # one large write costs far more than several
                view = memoryview(data)
                for at in range(0, len(data), SLICE):
                    self._transport.write(view[at : at + SLICE])
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > WATCH_BUFFER:
            log.warning("a watch is ended: its client does not read (%d bytes wait)", self._held_bytes)
            self.stop()
            self._transport.abort()

    async def drained(self) -> None:
        try:
            while self._held or self._connection.paused:
                self.flush()
                await self._connection.drain()
        except ConnectionError:
            return

    def flush(self) -> None:
        while self._held and not self._connection.paused:
            data = self._held.popleft()
            self._held_bytes -= len(data)
            self._transport.write(data)
        if not self._held and self._ended:
            self._close()

    def finish(self, error: ApiError | None = None) -> None:
        if self._ended:
            return
        self._answer.stop()
        if error is not None:
            self.deliver(self._answer.error(error))
        self._ended = True
        if not self._held:
            self._close()

    def _close(self) -> None:
        if self._chunked:
            self._transport.write(wire.LAST_CHUNK)
        self._connection.watch_ended()

    def stop(self) -> None:
        self._ended = True
        self._held.clear()
        self._answer.stop()


class RawPipe:
    """The raw connection of a request that was taken over."""

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        self._connection = connection
        self._transport = transport
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._broken = False
        self._readable: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size > PIPE_BUFFER:
            self._transport.pause_reading()
        self._wake()

    def end(self, *, both_ways: bool) -> None:
        """The client sends nothing more; ``both_ways``: it takes nothing more either."""
        self._ended = True
        self._broken = self._broken or both_ways
        self._wake()

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    async def read(self) -> bytes:
        while not self._chunks:
            if self._ended:
                return b""
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        data = b"".join(self._chunks)
        self._chunks.clear()
        if self._size > PIPE_BUFFER and not self._transport.is_closing():
            self._transport.resume_reading()
        self._size = 0
        return data

    async def write(self, data: bytes) -> None:
        if self._broken:
            raise ConnectionResetError("the client closed the connection")
        self._transport.write(data)
        await self._connection.drain()
        await breathe()  # others' turn; and a client that is gone is noticed, however fast the data comes

    def close(self) -> None:
        self._transport.close()
