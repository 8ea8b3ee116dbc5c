"""Fan-out: every watcher sees each event once and in order, whenever it joins and however slowly it is served."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pinnace.api.errors import ApiError
from pinnace.apiserver.resources import codec
from pinnace.apiserver.resources.watchhub import WatchHub
from pinnace.core.clock import VirtualClock
from pinnace.store.backends.memory import open_memory
from pinnace.store.local import LocalStore
from pinnace.store.protocol import Event, Put, Txn


class Outlet:
    def __init__(self) -> None:
        self.seen: list[int] = []
        self.finished = False

    def deliver(self, batch: Any) -> None:
        self.seen += batch

    def finish(self, error: ApiError | None = None) -> None:
        self.finished = True


class Stepping(VirtualClock):
    """Every look at it is a millisecond later: hand-outs are cut into slices."""

    def monotonic(self) -> float:
        self._elapsed += 0.001
        return self._elapsed


def revisions(events: Sequence[Event]) -> list[int]:
    return [event.revision for event in events]


async def write(store: LocalStore, key: str) -> None:
    await store.commit(Txn((), (Put(key, b"x"),)))


async def test_all_outlets_share_one_rendering() -> None:
    clock = VirtualClock()
    store = open_memory(stamp=codec.stamp, clock=clock)
    hub = WatchHub(store, clock)
    rendered: list[list[int]] = []

    def render(events: Sequence[Event]) -> list[int]:
        rendered.append(revisions(events))
        return rendered[-1]

    outlets = [Outlet() for _ in range(5)]
    for outlet in outlets:
        hub.group("k", "/a/", "/a0", render).join(outlet)
    await asyncio.gather(*(write(store, f"/a/{n}") for n in range(10)))
    await clock.settle()
    assert all(outlet.seen == list(range(1, 11)) for outlet in outlets)
    assert rendered == [list(range(1, 11))]
    await store.close()
    assert all(outlet.finished for outlet in outlets)


async def test_joining_and_leaving_in_the_midst_of_a_hand_out() -> None:
    clock = Stepping()
    store = open_memory(stamp=codec.stamp, clock=clock)
    hub = WatchHub(store, clock)
    early = [Outlet() for _ in range(100)]
    group = hub.group("k", "/a/", "/a0", revisions)
    for outlet in early:
        group.join(outlet)
    await write(store, "/a/1")
    await asyncio.sleep(0)
    assert any(not outlet.seen for outlet in early)  # it takes several turns
    late = Outlet()
    group.join(late)
    left = early.pop()
    group.leave(left)
    await write(store, "/a/2")
    for _ in range(200):
        await asyncio.sleep(0)
        await clock.advance(0.02)
    assert all(outlet.seen == [1, 2] for outlet in early)
    assert late.seen == [2]
    assert left.seen == [1]
    assert hub.watchers == 100
    for outlet in [*early, late]:
        group.leave(outlet)
    assert hub.watchers == 0
    await store.close()
