"""Listeners and the connections they accepted: limits, timeouts, graceful shutdown."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any

from pinnace.apiserver.http.connection import Connection
from pinnace.apiserver.request import Request
from pinnace.apiserver.response import Answer
from pinnace.core import listener
from pinnace.core.clock import Clock, Timer
from pinnace.core.cooperate import Turn
from pinnace.core.listener import Listener

log = logging.getLogger(__name__)

Handler = Callable[[Request], Answer | Coroutine[Any, Any, Answer]]

#: Seconds between two looks at all connections; timeouts are kept to this precision.
TICK = 5.0
#: Ticks that a connection may stay without a request (90 s, as upstream), and that one request may take to come in.
IDLE_TICKS = 18
REQUEST_TICKS = 12
MAX_CONNECTIONS = 10_000
#: Seconds that requests under way get to finish when the server stops.
GRACE = 5.0


class HttpServer:
    """Serves ``handler``. It answers at once, or with a coroutine to be awaited; ApiErrors become Status answers."""

    def __init__(self, handler: Handler, clock: Clock, tls: ssl.SSLContext | None) -> None:
        self.handler = handler
        self.clock = clock
        self.tls = tls
        self.tick = 0
        self.turn = Turn(clock)
        self.stopping = False
        #: Answers given, by verb and code.
        self.answered: dict[tuple[str, int], int] = {}
        self._date = b""
        self._date_second = 0
        self._connections: set[Connection] = set()
        self._listeners: list[Listener] = []
        self._sweeper: Timer | None = None
        self._emptied: asyncio.Event = asyncio.Event()

    @property
    def connections(self) -> int:
        return len(self._connections)

    def count(self, verb: str, code: int) -> None:
        key = (verb, code)
        self.answered[key] = self.answered.get(key, 0) + 1

    @property
    def date(self) -> bytes:
        """The Date header line."""
        second = int(self.clock.now())
        if second != self._date_second:
            self._date_second = second
            self._date = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._date

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Serve on an address; return the one it became (port 0 picks one). Raises OSError."""
        made = [
            Listener(sock, self.tls, self.clock, lambda: Connection(self), self._room, self.turn)
            for sock in await listener.bind(host, port)
        ]
        self._listeners += made
        if self._sweeper is None:
            self._sweeper = self.clock.call_later(TICK, self._sweep)
        return made[0].address

    def _room(self) -> int:
        """How many more clients may come."""
        return MAX_CONNECTIONS - len(self._connections) - sum(each.arriving for each in self._listeners)

    def admit(self, connection: Connection) -> bool:
        if len(self._connections) >= MAX_CONNECTIONS or self.stopping:
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()

    def _sweep(self) -> None:
        self.tick += 1
        for connection in list(self._connections):
            idle = connection.reading and self.tick - connection.tick > IDLE_TICKS
            if idle or (connection.began is not None and self.tick - connection.began > REQUEST_TICKS):
                connection.abort()
        for each in self._listeners:
            each.sweep()
        self._sweeper = self.clock.call_later(TICK, self._sweep)

    async def stop(self) -> None:
        """Accept nothing more, end watches, let requests under way finish for ``GRACE`` seconds."""
        self.stopping = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for each in self._listeners:
            await each.close()
        for connection in list(self._connections):
            connection.shut_down()
        if self._connections:
            self._emptied.clear()
            timer = self.clock.call_later(GRACE, self._emptied.set)
            await self._emptied.wait()
            timer.cancel()
        for connection in list(self._connections):
            connection.abort()
        self._listeners.clear()
