"""A listening socket of an HTTP server, and what comes to it until it has become a connection.

The first byte of every client decides: what can only be plain HTTP is answered as Go's server does, in plain text;
anything else begins a TLS handshake. A client whose handshake fails learns why from OpenSSL's alert, and the server's
log has one line. Who says nothing, or does not finish, is dropped by ``sweep``.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from pinnace.core.clock import Clock, Timer
from pinnace.core.cooperate import Turn
from pinnace.core.tls import Handshake, TlsTransport

log = logging.getLogger(__name__)

PLAIN_HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
BACKLOG = 1024
#: Clients taken in before others have their turn.
AT_ONCE = 16
#: Steps of handshakes taken before others have their turn: each takes some 0.3 ms.
HANDSHAKES_AT_ONCE = 4
#: Looks by ``sweep`` that a client survives without a first byte, a whole handshake, or taking a refusal.
PATIENCE = 6
#: Seconds without accepting when the process has no file descriptors left.
PAUSE = 1.0


class Listener:
    """``connected`` makes the protocol of a client. At most ``room()`` more clients are taken in; others are closed.
    Listeners of one server share a ``turn``."""

    def __init__(
        self,
        sock: socket.socket,
        tls: ssl.SSLContext | None,
        clock: Clock,
        connected: Callable[[], asyncio.Protocol],
        room: Callable[[], int],
        turn: Turn | None = None,
    ) -> None:
        self._socket = sock
        self._tls = tls
        self._clock = clock
        self._connected = connected
        self._room = room
        self._turn = turn or Turn(clock)
        self._loop = asyncio.get_running_loop()
        self._silent: dict[socket.socket, int] = {}  # looks by ``sweep`` so far
        self._refused: dict[socket.socket, int] = {}
        self._greeted: dict[Handshake, tuple[str, int]] = {}  # names, and looks so far
        self._waiting: deque[Handshake] = deque()  # for a step; those that have ended meanwhile are passed over
        self._plain: set[asyncio.Task[None]] = set()  # on their way to be connections without TLS
        self._paused: Timer | None = None
        self._loop.add_reader(sock, self._accept)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    @property
    def arriving(self) -> int:
        """Clients that are no connections yet."""
        return len(self._silent) + len(self._refused) + len(self._greeted) + len(self._plain)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                client, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.warning("no client can be accepted: %s", error.strerror)
                    self._loop.remove_reader(self._socket)
                    self._paused = self._clock.call_later(PAUSE, self._resume)
                    return
                continue  # this client is gone already
            if self._room() <= 0:
                client.close()
                continue
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # finds those gone without a word
            self._look(client, f"{address[0]}:{address[1]}")

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._socket, self._accept)

    def _look(self, client: socket.socket, name: str) -> None:
        """What the client begins with, if it has begun."""
        try:
            first = client.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            if client not in self._silent:
                self._silent[client] = 0
                self._loop.add_reader(client, self._speaks, client, name)
            return
        except OSError:
            first = b""
        if client in self._silent:
            self._loop.remove_reader(client)
            del self._silent[client]
        if not first:
            client.close()
        elif self._tls is None:
            task = self._loop.create_task(self._connect(client))
            self._plain.add(task)
            task.add_done_callback(self._plain.discard)
        elif first.isupper():  # a method; TLS begins with a number below 32
            self._refuse(client, name)
        else:
            self._greet(self._tls, client, name)

    def _speaks(self, client: socket.socket, name: str) -> None:
        if not self._turn.full:  # else the loop calls again
            self._look(client, name)

    async def _connect(self, client: socket.socket) -> None:
        await self._loop.connect_accepted_socket(self._connected, client)

    def _greet(self, tls: ssl.SSLContext, client: socket.socket, name: str) -> None:
        try:
            handshake = Handshake(client, tls, self._ready)
        except OSError as error:
            log.info("TLS handshake error from %s: %s", name, error)
            client.close()
            return
        self._greeted[handshake] = (name, 0)
        self._ready(handshake)

    def _ready(self, handshake: Handshake) -> None:
        self._waiting.append(handshake)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._take_steps)

    def _take_steps(self) -> None:
        for _ in range(min(HANDSHAKES_AT_ONCE, len(self._waiting))):
            handshake = self._waiting.popleft()
            if handshake in self._greeted:
                self._step(handshake)
            if self._turn.full:
                break
        if self._waiting:
            self._loop.call_soon(self._take_steps)

    def _step(self, handshake: Handshake) -> None:
        try:
            made = handshake.step()
        except OSError as error:
            name, _ = self._greeted.pop(handshake)
            log.info("TLS handshake error from %s: %s", name, error)
            self._part(handshake.plain())
            return
        if made is not None:
            del self._greeted[handshake]
            TlsTransport(made, self._connected(), self._clock, self._turn)

    def _refuse(self, client: socket.socket, name: str) -> None:
        """Tell it in plain text. What it goes on sending is read away: a reset could overtake the answer."""
        log.info("plain HTTP from %s to an HTTPS server", name)
        try:
            client.send(PLAIN_HTTP)
        except OSError:
            client.close()
            return
        self._part(client)

    def _part(self, client: socket.socket) -> None:
        """Let it read what it was sent, and leave."""
        try:
            client.shutdown(socket.SHUT_WR)
        except OSError:
            client.close()
            return
        self._refused[client] = 0
        self._loop.add_reader(client, self._discard, client)

    def _discard(self, client: socket.socket) -> None:
        try:
            more = client.recv(64 * 1024)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            more = b""
        if not more:
            del self._refused[client]
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._loop.remove_reader(client)
        client.close()

    def sweep(self) -> None:
        for kept in (self._silent, self._refused):
            for client, looks in list(kept.items()):
                kept[client] = looks + 1
                if looks >= PATIENCE:
                    del kept[client]
                    self._drop(client)
        for handshake, (name, looks) in list(self._greeted.items()):
            self._greeted[handshake] = (name, looks + 1)
            if looks >= PATIENCE:
                del self._greeted[handshake]
                log.info("TLS handshake error from %s: it was not finished in time", name)
                handshake.drop()

    async def close(self) -> None:
        """Accept nothing more; who has not become a connection is dropped."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for kept in (self._silent, self._refused):
            for client in kept:
                self._drop(client)
            kept.clear()
        for handshake in self._greeted:
            handshake.drop()
        self._greeted.clear()
        self._waiting.clear()
        for task in self._plain:
            task.cancel()
        await asyncio.gather(*self._plain, return_exceptions=True)


async def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address that ``host`` means. Raises OSError."""
    loop = asyncio.get_running_loop()
    found: list[Any] = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets
