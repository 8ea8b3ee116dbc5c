"""Questions about the world outside: passed on to the host's own name servers, their answers kept for a while.

Bounds: ``CONCURRENT`` questions at once, ``CACHED`` answers for at most ``LIFETIME`` seconds, ``PATIENCE`` seconds for
each of at most ``SERVERS`` servers. The same question is the same bytes but for its id and its letters' case.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from pinnace.core.clock import Clock, timeout
from pinnace.network.dns import wire
from pinnace.network.dns.wire import Query, Reply, WireError

CONCURRENT = 1000
CACHED = 10_000
LIFETIME = 30
SERVERS = 3
PATIENCE = 2.0
RESOLV_CONF = Path("/etc/resolv.conf")


class ForwardError(Exception):
    """Nobody answered; ``rcode`` is what to tell the client."""

    def __init__(self, rcode: int, message: str) -> None:
        super().__init__(message)
        self.rcode = rcode


class Upstreams:
    """The name servers of a resolv.conf, read again when it changes. ``own`` addresses are left out: asking oneself
    would go round for ever."""

    def __init__(self, path: Path, own: Collection[str], port: int = 53) -> None:
        self._path = path
        self._own = frozenset(own)
        self._port = port
        self._stamp: tuple[int, int] | None = None
        self._servers: tuple[tuple[str, int], ...] = ()

    def servers(self) -> tuple[tuple[str, int], ...]:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                self._servers = self._parse(self._path.read_text(errors="replace"))
                self._stamp = stamp
        except OSError:  # a host without the file has no name servers
            self._servers, self._stamp = (), None
        return self._servers

    def _parse(self, text: str) -> tuple[tuple[str, int], ...]:
        words = (line.split() for line in text.splitlines())
        found = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver" and line[1] not in self._own]
        return tuple((address, self._port) for address in found[:SERVERS])


@dataclass(frozen=True, slots=True)
class _Kept:
    data: bytes
    ttl_offsets: list[int]
    since: float
    until: float


class Forwarder:
    """Asks ``upstreams`` in their order until one answers."""

    def __init__(self, upstreams: Upstreams, clock: Clock) -> None:
        self._upstreams = upstreams
        self._clock = clock
        self._random = SystemRandom()
        self._cache: dict[bytes, _Kept] = {}
        self._busy = 0

    async def answer(self, data: bytes, query: Query, limit: int, *, tcp: bool) -> bytes:
        """The answer to the question in ``data``, under its id. Raises ForwardError."""
        key = data[2:12] + data[12 : 12 + len(query.question)].lower() + data[12 + len(query.question) :]
        kept = self._kept(key)
        if kept is not None and len(kept.data) <= limit:
            fresh = wire.aged(kept.data, data[:2], kept.ttl_offsets, int(self._clock.monotonic() - kept.since))
            return fresh[:12] + query.question + fresh[12 + len(query.question) :]
        answer, reply = await self._ask(data, tcp=tcp)
        self._keep(key, answer, reply)
        return data[:2] + answer[2:]

    async def addresses(self, name: str, type: int) -> Reply:
        """The records that lead from ``name`` to its addresses. Raises ForwardError, WireError."""
        data = wire.write_query(0, name, type)
        query = wire.read_query(data)
        assert query is not None
        answer = await self.answer(data, query, wire.TCP_LIMIT, tcp=False)
        reply = wire.read_reply(answer, data)
        if reply.truncated:
            reply = (await self._ask(data, tcp=True))[1]
        return reply

    def _kept(self, key: bytes) -> _Kept | None:
        kept = self._cache.get(key)
        if kept is not None and kept.until <= self._clock.monotonic():
            del self._cache[key]
            return None
        return kept

    def _keep(self, key: bytes, answer: bytes, reply: Reply) -> None:
        lifetime = min(reply.lifetime, LIFETIME)
        if lifetime <= 0 or reply.truncated or reply.rcode not in (wire.NOERROR, wire.NXDOMAIN):
            return
        if len(self._cache) >= CACHED:
            del self._cache[next(iter(self._cache))]
        now = self._clock.monotonic()
        self._cache[key] = _Kept(answer, reply.ttl_offsets, now, now + lifetime)

    async def _ask(self, data: bytes, *, tcp: bool) -> tuple[bytes, Reply]:
        if self._busy >= CONCURRENT:
            raise ForwardError(wire.REFUSED, f"more than {CONCURRENT} questions at once")
        servers = self._upstreams.servers()
        problem = "the host has no name servers"
        self._busy += 1
        try:
            for server in servers:
                query = struct.pack("!H", self._random.getrandbits(16)) + data[2:]
                try:
                    async with timeout(self._clock, PATIENCE):
                        answer = await (_by_tcp(server, query) if tcp else _by_udp(server, query))
                    return answer, wire.read_reply(answer, query)
                except (OSError, WireError, TimeoutError, asyncio.IncompleteReadError) as error:
                    problem = f"{server[0]}: {str(error) or 'no answer'}"
        finally:
            self._busy -= 1
        raise ForwardError(wire.SERVFAIL, problem)


class _Exchange(asyncio.DatagramProtocol):
    """Waits for the answer to one question; what does not answer it is passed over."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self.answer.done():
            return
        try:
            wire.read_reply(data, self._query)
        except WireError:
            return
        self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _by_udp(server: tuple[str, int], query: bytes) -> bytes:
    """From a port of its own for every question, so that an answer is hard to forge."""
    loop = asyncio.get_running_loop()
    transport, exchange = await loop.create_datagram_endpoint(lambda: _Exchange(query), remote_addr=server)
    try:
        transport.sendto(query)
        return await exchange.answer
    finally:
        transport.close()


async def _by_tcp(server: tuple[str, int], query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(struct.pack("!H", len(query)) + query)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()
