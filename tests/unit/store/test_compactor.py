from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pinnace.core.clock import VirtualClock
from pinnace.store.backends.memory import open_memory
from pinnace.store.compactor import Policy
from pinnace.store.local import LocalStore
from pinnace.store.protocol import Put, Txn

POLICY = Policy(max_age=300, min_events=10, max_events=100, max_bytes=1000, interval=30)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def store(clock: VirtualClock) -> AsyncIterator[LocalStore]:
    store = open_memory(stamp=lambda value, revision: value, clock=clock, policy=POLICY)
    yield store
    await store.close()


async def put(store: LocalStore, count: int, key: str = "/k/{}", value: bytes = b"") -> None:
    for _ in range(count):
        await store.commit(Txn((), [Put(key.format(store.revision), value)]))


async def test_history_older_than_the_age_is_forgotten(store: LocalStore, clock: VirtualClock) -> None:
    await put(store, 30)
    await clock.advance(200)
    await put(store, 30)
    assert store.compacted_revision == 0
    await clock.advance(140)
    assert store.compacted_revision == 30
    await clock.advance(3600)
    assert store.compacted_revision == 50, "the last min_events are kept however old"
    assert store.range("/", "0").count == 60


async def test_an_idle_store_sets_no_timers(store: LocalStore, clock: VirtualClock) -> None:
    await put(store, 50)
    await clock.advance(3600)
    assert store.compacted_revision == 40
    calls: list[float] = []
    clock.call_later = lambda delay, *_: calls.append(delay)  # type: ignore[method-assign, assignment, return-value]
    await clock.advance(36000)
    assert calls == []


async def test_too_many_events_are_forgotten_at_once(store: LocalStore, clock: VirtualClock) -> None:
    await put(store, 1000)
    await clock.settle()
    assert 900 <= store.compacted_revision <= 930


async def test_too_many_bytes_are_forgotten_at_once(store: LocalStore, clock: VirtualClock) -> None:
    await put(store, 90, key="/same", value=b"x" * 100)
    await clock.settle()
    assert 79 <= store.compacted_revision <= 89


async def test_one_version_larger_than_the_bound_is_forgotten(store: LocalStore, clock: VirtualClock) -> None:
    await put(store, 2, key="/same", value=b"x" * 5000)
    await clock.settle()
    assert store.compacted_revision == 2
    assert store.get("/same") is not None


async def test_bytes_are_bounded_after_one_transaction_of_many_small_events(store: LocalStore) -> None:
    await store.commit(Txn((), [Put(f"/small/{number}", b"") for number in range(80)]))
    await put(store, 14, key="/same", value=b"x" * 100)
    assert store.compacted_revision >= 1 + 3
