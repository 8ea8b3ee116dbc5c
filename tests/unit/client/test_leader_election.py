"""One leader at a time, also through failures; a leader that cannot renew stops before another may begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from random import Random
from typing import Any

import pytest

from pinnace.api import errors
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.leader_election import LeaderElector
from pinnace.client.recorder import Recorder
from pinnace.client.transport import WatchEvent
from pinnace.core.clock import VirtualClock


class Server:
    """One Lease, and the events; a candidate in ``cut`` does not reach it, and one that ``hangs`` never answers."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.version = 0
        self.events: list[str] = []
        self.cut: set[str] = set()
        self.hangs = False


class Line:
    """A candidate's connection."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> Object:
        server = self.server
        if self.name in server.cut:
            raise ConnectionRefusedError("cut")
        if server.hangs:
            await asyncio.Event().wait()
        if path.endswith("/events"):
            server.events.append(body["message"])
            return dict(body)
        if method == "GET":
            if server.lease is None:
                raise errors.not_found("coordination.k8s.io", "leases", "work")
            return server.lease
        if method == "POST" and server.lease is not None:
            raise errors.already_exists("coordination.k8s.io", "leases", "work")
        if method == "PUT":
            if server.lease is None:
                raise errors.not_found("coordination.k8s.io", "leases", "work")
            if body["metadata"]["resourceVersion"] != server.lease["metadata"]["resourceVersion"]:
                raise errors.conflict("coordination.k8s.io", "leases", "work")
        server.version += 1
        server.lease = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": str(server.version)}}
        return server.lease

    async def read(self, path: str, *, query: Mapping[str, str] = {}) -> bytes:
        raise AssertionError(path)

    def watch(self, path: str, *, query: Mapping[str, str] = {}) -> AsyncGenerator[Sequence[WatchEvent], None]:
        raise AssertionError(path)

    async def close(self) -> None: ...


class Candidate:
    """Leads whenever it can; ``led`` has the times at which that began and ended."""

    def __init__(self, server: Server, clock: VirtualClock, name: str) -> None:
        self.clock = clock
        client = Client(Line(server, name))
        self.recorder = Recorder(client, clock, "worker")
        self.elector = LeaderElector(client, clock, self.recorder, name="work", identity=name, random=Random(name))
        self.led: list[tuple[float, float]] = []
        self.leads = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self.elector.acquire()
        began = self.clock.monotonic()
        self.leads = True
        try:
            await self.elector.hold()
        finally:
            self.leads = False
            self.led.append((began, self.clock.monotonic()))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.elector.release()
        await self.recorder.stop()


async def test_the_second_waits_until_the_first_lets_go() -> None:
    server, clock = Server(), VirtualClock()
    first = Candidate(server, clock, "a")
    await clock.advance(1)
    second = Candidate(server, clock, "b")
    await clock.advance(60)
    assert (first.leads, second.leads) == (True, False)
    assert server.lease is not None
    spec = server.lease["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 15, 0)
    assert server.events == ["a became leader"]
    await first.stop()
    assert server.lease["spec"]["holderIdentity"] == ""
    await clock.advance(5)  # 2 s, and up to 1.2 times that more
    assert second.leads
    assert server.lease["spec"]["leaseTransitions"] == 1
    assert server.events == ["a became leader", "b became leader"]
    await second.stop()


async def test_a_leader_that_was_killed_is_replaced_after_its_lease() -> None:
    server, clock = Server(), VirtualClock()
    first, second = Candidate(server, clock, "a"), Candidate(server, clock, "b")
    await clock.advance(30)
    first.task.cancel()
    await clock.advance(12)
    assert not second.leads
    await clock.advance(9)
    assert second.leads
    await first.recorder.stop()
    await second.stop()


async def test_a_leader_that_is_cut_off_stops_before_the_next_begins() -> None:
    server, clock = Server(), VirtualClock()
    first, second = Candidate(server, clock, "a"), Candidate(server, clock, "b")
    await clock.advance(30)
    server.cut.add("a")
    await clock.advance(40)
    assert not first.leads
    assert second.leads
    began = clock.monotonic()
    assert first.led[0][1] < began
    await second.stop()
    assert second.led[0][0] > first.led[0][1]
    await first.stop()


async def test_a_short_failure_changes_nothing() -> None:
    server, clock = Server(), VirtualClock()
    first, second = Candidate(server, clock, "a"), Candidate(server, clock, "b")
    await clock.advance(30)
    server.cut.add("a")
    await clock.advance(7)
    server.cut.clear()
    await clock.advance(60)
    assert first.leads
    assert not second.leads
    await first.stop()
    await second.stop()


async def test_of_two_at_once_one_wins() -> None:
    server, clock = Server(), VirtualClock()
    many = [Candidate(server, clock, name) for name in "abcdef"]
    for _ in range(20):
        await clock.advance(3)
        assert sum(candidate.leads for candidate in many) == 1
    for candidate in many:
        await candidate.stop()
        await clock.advance(10)


async def test_a_lease_that_somebody_deletes_is_made_again() -> None:
    server, clock = Server(), VirtualClock()
    first = Candidate(server, clock, "a")
    await clock.advance(5)
    server.lease = None
    await clock.advance(5)
    assert first.leads
    assert server.lease is not None
    await first.stop()


async def test_a_server_that_hangs_is_told_of_as_such(caplog: pytest.LogCaptureFixture) -> None:
    server, clock = Server(), VirtualClock()
    first = Candidate(server, clock, "a")
    await clock.advance(5)
    server.hangs = True
    await clock.advance(13)
    assert not first.leads
    stopping = asyncio.create_task(first.stop())
    await clock.advance(30)
    await stopping
    assert "failed to renew lease kube-system/work: context deadline exceeded" in caplog.text
    assert "cannot release lease kube-system/work: timed out after 2 s" in caplog.text
