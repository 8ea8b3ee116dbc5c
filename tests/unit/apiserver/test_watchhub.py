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


async def test_who_comes_serves_nobody_else() -> None:
    """Each of hundreds that come while others are written to would otherwise hold the loop for all of them."""
    clock = Stepping()
    store = open_memory(stamp=codec.stamp, clock=clock)
    hub = WatchHub(store, clock)
    group = hub.group("k", "/a/", "/a0", revisions)
    early = [Outlet() for _ in range(400)]
    for outlet in early:
        group.join(outlet)
    await write(store, "/a/1")
    await asyncio.sleep(0)
    await write(store, "/a/2")
    served = [list(outlet.seen) for outlet in early]
    assert [] in served
    late, asking = Outlet(), early[0]
    group.join(late)
    group.catch_up(late)
    group.catch_up(asking)
    assert asking.seen == [1, 2], "before it is told that this is where it is"
    assert [outlet.seen for outlet in early[1:]] == served[1:]
    assert late.seen == []
    await write(store, "/a/3")
    for _ in range(600):
        await asyncio.sleep(0)
        await clock.advance(0.02)
    assert all(outlet.seen == [1, 2, 3] for outlet in early)
    assert late.seen == [3]
    await store.close()


async def test_of_what_was_gathered_a_newcomer_gets_the_newer_part() -> None:
    clock = VirtualClock()
    store = open_memory(stamp=codec.stamp, clock=clock)
    hub = WatchHub(store, clock)
    group = hub.group("k", "/a/", "/a0", revisions)
    first, second = Outlet(), Outlet()
    group.join(first)
    group._rest_until = clock.monotonic() + 1.0  # both events go out together
    await write(store, "/a/1")
    group.join(second)
    await write(store, "/a/2")
    assert first.seen == second.seen == []
    await clock.advance(2.0)
    await clock.settle()
    assert (first.seen, second.seen) == ([1, 2], [2])
    await store.close()
