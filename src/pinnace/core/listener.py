"""A listening socket of an HTTP server, and what comes to it until it has become a connection.

The first byte of every client decides: a TLS handshake is left to the event loop's TLS; what can only be plain HTTP is
answered as Go's server does, in plain text; anything else gets OpenSSL's alert. A client whose handshake fails learns
why from an alert, and the server's log has one line. Who says nothing, or does not finish, is dropped by ``sweep``.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from pinnace.core.clock import Clock, Timer

log = logging.getLogger(__name__)

PLAIN_HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
BACKLOG = 1024
#: Clients taken in before others have their turn.
AT_ONCE = 64
#: Handshakes begun before others have their turn: each takes some 0.3 ms.
HANDSHAKES_AT_ONCE = 8
#: Seconds that a handshake may take.
HANDSHAKE_SECONDS = 30.0
#: Looks by ``sweep`` that a client without a first byte, or with a refusal it does not take, survives.
PATIENCE = 6
#: Seconds that a client has to read the alert that ends its handshake.
LINGER = 1.0
#: Seconds without accepting when the process has no file descriptors left.
PAUSE = 1.0


class Listener:
    """``connected`` makes the protocol of a client. At most ``room()`` more clients are taken in; others are closed."""

    def __init__(
        self,
        sock: socket.socket,
        tls: ssl.SSLContext | None,
        clock: Clock,
        connected: Callable[[], asyncio.Protocol],
        room: Callable[[], int],
    ) -> None:
        self._socket = sock
        self._tls = tls
        if tls is not None:
            tls.sslobject_class = TellingTls
        self._clock = clock
        self._connected = connected
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._silent: dict[socket.socket, int] = {}  # looks by ``sweep`` so far
        self._refused: dict[socket.socket, int] = {}
        self._waiting: deque[tuple[socket.socket, str]] = deque()  # for their handshake to begin
        self._greeted: set[asyncio.Task[None]] = set()  # in the midst of it
        self._paused: Timer | None = None
        self._loop.add_reader(sock, self._accept)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    @property
    def arriving(self) -> int:
        """Clients that are no connections yet."""
        return len(self._silent) + len(self._refused) + len(self._waiting) + len(self._greeted)

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
                self._loop.add_reader(client, self._look, client, name)
            return
        except OSError:
            first = b""
        if client in self._silent:
            self._loop.remove_reader(client)
            del self._silent[client]
        if not first:
            client.close()
        elif self._tls is not None and first.isupper():  # a method; TLS begins with a number below 32
            self._refuse(client, name)
        else:
            self._waiting.append((client, name))
            if len(self._waiting) == 1:
                self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        for _ in range(min(HANDSHAKES_AT_ONCE, len(self._waiting))):
            task = self._loop.create_task(self._greet(*self._waiting.popleft()))
            self._greeted.add(task)
            task.add_done_callback(self._greeted.discard)
        if self._waiting:
            self._loop.call_soon(self._begin)

    async def _greet(self, client: socket.socket, name: str) -> None:
        if self._tls is None:
            await self._loop.connect_accepted_socket(self._connected, client)
            return
        handshake = _Handshake(self._clock)
        _present.set(handshake)
        try:
            await self._loop.connect_accepted_socket(
                self._connected,
                client,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=1.0,
            )
        except (OSError, asyncio.CancelledError) as error:
            if handshake.failure is None and isinstance(error, asyncio.CancelledError):
                raise
            log.info("TLS handshake error from %s: %s", name, handshake.failure or error)
        finally:
            handshake.end()

    def _refuse(self, client: socket.socket, name: str) -> None:
        """Tell it in plain text. What it goes on sending is read away: a reset could overtake the answer."""
        log.info("plain HTTP from %s to an HTTPS server", name)
        try:
            client.send(PLAIN_HTTP)
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
        while self._waiting:
            self._waiting.popleft()[0].close()
        for task in self._greeted:
            task.cancel()
        await asyncio.gather(*self._greeted, return_exceptions=True)


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


class _Handshake:
    """Why it failed, if it did. A client that does not leave then is left ``LINGER`` seconds later."""

    def __init__(self, clock: Clock) -> None:
        self.failure: ssl.SSLError | None = None
        self._clock = clock
        self._task = asyncio.current_task()
        self._timer: Timer | None = None

    def fail(self, error: ssl.SSLError) -> None:
        self.failure = error
        if self._task is not None:
            self._timer = self._clock.call_later(LINGER, self._task.cancel)

    def end(self) -> None:
        self._task = None  # whose context holds this handshake: there must be no cycle for each client
        if self._timer is not None:
            self._timer.cancel()


#: The handshake of the present context.
_present: ContextVar[_Handshake] = ContextVar("handshake")


class TellingTls(ssl.SSLObject):
    """Its failed handshake sends OpenSSL's alert, as event loops do not: they would drop the connection with the alert
    still in the buffer. Told that more has to be read they send what there is first, and then see the client leave."""

    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._failure = error
            _present.get().fail(error)
            raise ssl.SSLWantReadError from error
