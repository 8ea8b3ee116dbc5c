"""The server's side of a TLS connection: a transport that encrypts straight into its socket.

Event loops run TLS through buffers in memory: each byte is copied three times more, and sent when the turn of the loop
ends, however many connections were written to in it. Here ``write`` has OpenSSL encrypt into the socket, record after
record, and returns when the kernel has it all or takes no more: what a turn sends it also spends, so that who serves
many can look at the time. What the kernel does not take waits, by reference and not yet encrypted.

The protocol's promises are asyncio's: ``connection_made`` once the handshake is done, ``data_received`` with at most a
record, ``pause_writing`` above the high-water mark, ``connection_lost`` last and not inline. A client that has sent its
end gets what waits and then ours (TLS as asyncio has it knows no half-closed connections).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from pinnace.core.clock import Clock, Timer
from pinnace.core.cooperate import Turn

#: The most that a TLS record holds.
RECORD = 16 * 1024
#: Records read from one client, and bytes that waited written to it, before others have their turn.
RECORDS_AT_ONCE = 16
BYTES_AT_ONCE = 1024 * 1024
#: OpenSSL is given this much at a time.
PIECE = 256 * 1024
HIGH_WATER = 64 * 1024
#: Seconds that a client has to take our end and send its own.
CLOSING_SECONDS = 1.0


class Handshake:
    """One client's handshake, of which ``step`` does what can be done now; ``ready`` is called when there is more."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, ready: Callable[[Handshake], None]) -> None:
        """Takes ``sock`` over, which does not block. Raises OSError if its client is gone."""
        self._loop = asyncio.get_running_loop()
        self._ready = ready
        self._tls = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    def step(self) -> ssl.SSLSocket | None:
        """The connection once it is made, None before. Raises OSError; OpenSSL has sent its alert then."""
        self._rest()
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.add_reader(self._tls, self._go_on)
            return None
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._tls, self._go_on)
            return None
        return self._tls

    def _go_on(self) -> None:
        self._rest()
        self._ready(self)

    def _rest(self) -> None:
        self._loop.remove_reader(self._tls)
        self._loop.remove_writer(self._tls)

    def plain(self) -> socket.socket:
        """The bare socket of a handshake that has failed."""
        self._rest()
        return socket.socket(fileno=self._tls.detach())

    def drop(self) -> None:
        self._rest()
        self._tls.close()


class TlsTransport(asyncio.Transport):
    """See the module's docstring. ``tls`` is a connection whose handshake is done."""

    __slots__ = (
        "_bytes",
        "_clock",
        "_closing",
        "_ended",
        "_high",
        "_loop",
        "_over",
        "_paused",
        "_protocol",
        "_reading",
        "_timer",
        "_tls",
        "_turn",
        "_waiting",
        "_writing",
    )

    def __init__(self, tls: ssl.SSLSocket, protocol: asyncio.Protocol, clock: Clock, turn: Turn) -> None:
        super().__init__()
        self._tls = tls
        self._turn = turn
        self._protocol: asyncio.Protocol | None = protocol
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._high = HIGH_WATER
        #: What the kernel did not take. OpenSSL insists on getting the first of it again as it was.
        self._waiting: deque[memoryview] = deque()
        self._bytes = 0
        self._writing = False  # the loop tells when there is room
        self._paused = False  # the protocol knows that there is none
        self._reading = True  # the protocol wants what comes
        self._ended = False  # the client has sent its end
        self._closing = False  # nothing more is taken from the protocol, nor given to it
        self._over = False  # our end is sent, or never will be
        self._timer: Timer | None = None
        protocol.connection_made(self)
        if not self._closing:
            self._loop.add_reader(tls, self._readable)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name in ("ssl_object", "socket"):
            return self._tls
        if name == "peercert":
            return self._tls.getpeercert()
        if name == "sslcontext":
            return self._tls.context
        if name in ("peername", "sockname"):
            try:
                return self._tls.getpeername() if name == "peername" else self._tls.getsockname()
            except OSError:
                return default
        return default

    def is_closing(self) -> bool:
        return self._closing

    # -- reading

    def pause_reading(self) -> None:
        if self._reading and not self._closing:
            self._reading = False
            self._loop.remove_reader(self._tls)

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.add_reader(self._tls, self._readable)

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def _readable(self) -> None:
        for _ in range(RECORDS_AT_ONCE):
            if self._turn.full:
                return  # the loop calls again
            try:
                data = self._tls.read(RECORD)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):  # an answer to the client's new key goes out later
                return
            except OSError as error:
                self._lose(error)
                return
            if not data:
                self._end()
                return
            assert self._protocol is not None
            self._protocol.data_received(data)
            # Of a record that is not full hardly ever another follows; if so, the loop calls again.
            if len(data) < RECORD or self._closing or not self._reading:
                return

    def _end(self) -> None:
        assert self._protocol is not None
        self._ended = True
        self._protocol.eof_received()
        self.close()

    # -- writing

    def get_write_buffer_size(self) -> int:
        return self._bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._high // 4, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_WATER if high is None else high

    def can_write_eof(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_closing() or not data:
            return
        if not self._waiting:
            if len(data) <= PIECE:
                if self._taken(data):
                    return
            else:
                data = memoryview(data)
                while self._taken(data[:PIECE]):
                    data = data[PIECE:]
                    if not data:
                        return
            if self._closing:
                return
            self._writing = True
            self._loop.add_writer(self._tls, self._writable)
        self._bytes += len(data)
        view = memoryview(bytes(data) if isinstance(data, bytearray) else data)
        self._waiting.extend(view[at : at + PIECE] for at in range(0, len(view), PIECE))
        if self._bytes > self._high and not self._paused and self._protocol is not None:
            self._paused = True
            self._protocol.pause_writing()

    def _taken(self, data: bytes | bytearray | memoryview) -> bool:
        """Whether the kernel has all of ``data``; if not, OpenSSL wants just it again, or the connection is lost."""
        try:
            self._tls.write(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return False
        except OSError as error:
            self._lose(error)
            return False
        return True

    def _writable(self) -> None:
        left, waiting = BYTES_AT_ONCE, self._waiting
        while waiting and left > 0:
            size = len(waiting[0])
            if not self._taken(waiting[0]):
                return
            waiting.popleft()
            self._bytes -= size
            left -= size
        if self._paused and self._bytes <= self._high // 4 and self._protocol is not None:
            self._paused = False
            self._protocol.resume_writing()  # which may write at once
        if not waiting and not self._over:
            self._quiet()
            if self._closing:
                self._say_goodbye()

    def _quiet(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._tls)

    # -- the end

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._tls)
        if not self._waiting:
            self._say_goodbye()

    def abort(self) -> None:
        self._lose(None)

    def _say_goodbye(self) -> None:
        """Send TLS's end, and wait a moment for the client to leave. A close with bytes unread would reset the
        connection, which overtakes what the client has not read yet; and there are clients (uvloop's) that lose what
        they have not read when TCP's end comes."""
        try:
            self._tls.unwrap()
        except ssl.SSLWantWriteError:
            self._writing = True
            self._loop.add_writer(self._tls, self._writable)
            return
        except (OSError, ValueError):
            pass  # the client's end has not come yet, in most cases
        if self._ended:
            self._lose(None)
            return
        self._over = True
        self._timer = self._clock.call_later(CLOSING_SECONDS, self._lose, None)
        self._loop.add_reader(self._tls, self._discard)

    def _discard(self) -> None:
        try:
            more = socket.socket.recv(self._tls, 64 * 1024)  # as it comes, not as TLS
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            more = b""
        if not more:
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        """It is over, now; the protocol is told a moment later."""
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        self._closing = self._over = True
        self._waiting.clear()
        self._bytes = 0
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._tls)
        self._quiet()
        self._tls.close()
        self._loop.call_soon(protocol.connection_lost, error)
