"""The cluster's DNS server: UDP and TCP on one address.

Bounds: ``CONNECTIONS`` TCP connections, each closed after ``IDLE`` seconds without a question; questions are at most
``QUESTION`` bytes. What is no question gets no answer, or FORMERR if it has an id to answer to. Answers are made of no
more endpoints than fit: of a headless Service of thousands each client is told of some.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from random import Random
from typing import Protocol

from pinnace.core.clock import Clock, timeout
from pinnace.core.cooperate import aside
from pinnace.core.supervisor import Tasks
from pinnace.network.dns import records, wire
from pinnace.network.dns.forward import Forwarder, ForwardError
from pinnace.network.dns.records import Answer, View, Zone
from pinnace.network.dns.wire import Query, Record, WireError

log = logging.getLogger(__name__)

CONNECTIONS = 500
IDLE = 10.0
QUESTION = 4096
#: Bytes of the shortest record: a name said before, and an IPv4 address.
_RECORD = 16
#: Where it listens if another server has port 53 of all addresses.
OTHER_PORT = 10053


class Known(View, Protocol):
    """A view whose state has a number."""

    @property
    def serial(self) -> int: ...


class DnsServer:
    """Answers for ``zone`` out of ``view`` and for everything else through ``forwarder``."""

    def __init__(self, view: Known, zone: Zone, forwarder: Forwarder, clock: Clock) -> None:
        self._view = view
        self._zone = zone
        self._forwarder = forwarder
        self._clock = clock
        self._random = Random()
        self._tasks = Tasks("dns", clock)
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections = 0
        self.port = 0

    async def start(self, address: str, port: int = 53) -> None:
        """Listen on ``address``: on ``port``, else on ``OTHER_PORT`` (see ``port`` afterwards). Raises OSError."""
        try:
            udp, tcp = _sockets(address, port)
        except OSError as error:
            log.info("port %d of %s is taken (%s): cluster DNS listens on %d", port, address, error, OTHER_PORT)
            udp, tcp = _sockets(address, OTHER_PORT)
        self.port = udp.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), sock=udp)
        self._tcp = await asyncio.start_server(self._serve, sock=tcp, limit=QUESTION + 2)

    async def stop(self) -> None:
        """Idempotent."""
        if self._udp is not None:
            self._udp.close()
            self._udp = None
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None
        await self._tasks.stop()

    # -- questions

    def datagram(self, data: bytes, client: tuple[str, int]) -> None:
        query = wire.read_query(data) if len(data) <= QUESTION else None
        if query is None:
            return
        answer = self._at_once(query, query.udp_limit)
        if answer is not None:
            self._send(answer, client)
        else:
            self._tasks.spawn(self._later(data, query, client), name="forward")

    async def _later(self, data: bytes, query: Query, client: tuple[str, int]) -> None:
        self._send(await self._outside(data, query, query.udp_limit, tcp=False), client)

    def _send(self, answer: bytes, client: tuple[str, int]) -> None:
        if self._udp is not None:
            self._udp.sendto(answer, client)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection, question after question."""
        self._connections += 1
        try:
            while self._connections <= CONNECTIONS:
                async with timeout(self._clock, IDLE):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    if length > QUESTION:
                        return
                    data = await reader.readexactly(length)
                query = wire.read_query(data)
                if query is None:
                    return
                answer = await aside(self._at_once, query, wire.TCP_LIMIT)  # it may be of thousands of records
                if answer is None:
                    answer = await self._outside(data, query, wire.TCP_LIMIT, tcp=True)
                async with timeout(self._clock, IDLE):
                    writer.write(struct.pack("!H", len(answer)) + answer)
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # the client went away or has nothing more to ask
        finally:
            self._connections -= 1
            writer.close()

    # -- answers

    def _at_once(self, query: Query, limit: int) -> bytes | None:
        """The answer to what needs nobody else; None for the rest."""
        if query.problem:
            return wire.write_answer(query, query.problem, limit)
        answer = self._zone.answer(self._view, query.name, query.type, self._view.serial, limit // _RECORD)
        if answer is None or answer.chase:
            return None
        try:
            return self._write(query, answer, limit)
        except (ValueError, OSError):  # a name or address of an object that its validation let through
            log.exception("cannot answer for %s: %s", query.name, answer)
            return wire.write_answer(query, wire.SERVFAIL, limit)

    def _write(self, query: Query, answer: Answer, limit: int) -> bytes:
        return wire.write_answer(
            query,
            answer.rcode,
            limit,
            answers=self._shuffled(answer.answers, limit // _RECORD + 1),
            authority=answer.authority,
            additional=answer.additional,
            authoritative=answer.rcode != wire.REFUSED,
        )

    def _shuffled(self, answers: tuple[Record, ...], most: int) -> list[Record]:
        """Aliases first, then at most so many addresses in any order: clients take the first."""
        aliases = [record for record in answers if record.type == wire.CNAME]
        others = [record for record in answers if record.type != wire.CNAME]
        return aliases + self._random.sample(others, min(len(others), most))

    async def _outside(self, data: bytes, query: Query, limit: int, *, tcp: bool) -> bytes:
        answer = self._zone.answer(self._view, query.name, query.type, self._view.serial)
        try:
            if answer is None:
                return await self._forwarder.answer(data, query, limit, tcp=tcp)
            reply = await self._forwarder.addresses(answer.chase, query.type)
        except (ForwardError, WireError) as error:
            log.debug("cannot resolve %s: %s", query.name, error)
            rcode = error.rcode if isinstance(error, ForwardError) else wire.SERVFAIL
            return wire.write_answer(query, rcode, limit)
        chased = [record._replace(ttl=min(record.ttl, records.TTL)) for record in reply.records]
        return self._write(query, Answer(reply.rcode, (*answer.answers, *chased)), limit)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.datagram(data, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("a client of cluster DNS went away: %s", exc)


def _sockets(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one port (0: any)."""
    tcp = socket.create_server((address, port), backlog=128)
    tcp.setblocking(False)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.setblocking(False)
        udp.bind((address, tcp.getsockname()[1]))
    except OSError:
        udp.close()
        tcp.close()
        raise
    return udp, tcp
