"""Group commit against a journal whose outcomes the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from pinnace.core.clock import VirtualClock
from pinnace.store.backends.memory import MemoryJournal
from pinnace.store.local import LocalStore
from pinnace.store.mvcc import View
from pinnace.store.protocol import Committed, Compare, Event, OutcomeUnknownError, Put, StoreError, Txn


class HeldJournal(MemoryJournal):
    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._done: Callable[[StoreError | None], None] | None = None

    def append(self, events: Sequence[Event], done: Callable[[StoreError | None], None]) -> None:
        assert self._done is None, "one batch in flight at most"
        self.batches.append([event.revision for event in events])
        self._done = done

    async def finish(self, error: StoreError | None = None) -> None:
        assert self._done is not None
        done, self._done = self._done, None
        done(error)
        await clock.settle()


clock = VirtualClock()


@pytest.fixture
def journal() -> HeldJournal:
    return HeldJournal()


@pytest.fixture
def store(journal: HeldJournal) -> LocalStore:
    return LocalStore(View(), journal, stamp=lambda value, revision: value, clock=clock)


async def begin(store: LocalStore, *keys: str, absent: str = "") -> asyncio.Task[Committed]:
    txn = Txn([Compare(absent, 0)] if absent else (), [Put(key, b"") for key in keys])
    task = asyncio.create_task(store.commit(txn))
    await clock.settle()
    return task


async def test_what_arrives_during_a_write_is_the_next_batch(store: LocalStore, journal: HeldJournal) -> None:
    first = await begin(store, "/a")
    others = [await begin(store, f"/{i}") for i in range(3)]
    assert journal.batches == [[1]]
    assert store.get("/a") is None, "not durable yet"
    assert not first.done()
    await journal.finish()
    assert journal.batches == [[1], [2, 3, 4]]
    assert (first.done(), others[0].done(), store.revision) == (True, False, 1)
    await journal.finish()
    assert [task.result().revision for task in others] == [2, 3, 4]


async def test_a_batch_sees_its_own_earlier_writes(store: LocalStore, journal: HeldJournal) -> None:
    blocker = await begin(store, "/x")
    tasks = [await begin(store, "/a", absent="/a") for _ in range(3)]
    await journal.finish()
    assert not tasks[2].done(), "the loser is answered only once the winner is durable"
    await journal.finish()
    assert [task.result().succeeded for task in tasks] == [True, False, False]
    assert blocker.result().revision == 1


async def test_a_refused_batch_changes_nothing_and_its_revisions_are_used_again(
    store: LocalStore, journal: HeldJournal
) -> None:
    seen: list[int] = []
    store.watch("/", "0", 0, lambda events: seen.extend(event.revision for event in events or ()))
    failed = [await begin(store, "/a"), await begin(store, "/b"), await begin(store, "/c", absent="/b")]
    await journal.finish()
    await journal.finish(StoreError("disk full"))
    assert store.get("/a") is not None
    for task in failed[1:]:
        with pytest.raises(StoreError, match="disk full"):
            task.result()
    assert (store.revision, store.get("/b"), seen) == (1, None, [1])
    again = await begin(store, "/b", absent="/b")
    await journal.finish()
    assert again.result().revision == 2
    assert seen == [1, 2]


async def test_after_an_unknown_outcome_no_commit_is_accepted(store: LocalStore, journal: HeldJournal) -> None:
    first, queued = await begin(store, "/a"), await begin(store, "/b")
    await journal.finish(OutcomeUnknownError("fsync failed: restart"))
    for task in (first, queued, await begin(store, "/c")):
        with pytest.raises(StoreError, match="fsync failed: restart"):
            task.result()
    assert (store.revision, store.get("/a")) == (0, None)
    await store.close()


async def test_closing_waits_for_what_was_accepted(store: LocalStore, journal: HeldJournal) -> None:
    first, second = await begin(store, "/a"), await begin(store, "/b")
    closing = asyncio.create_task(store.close())
    await clock.settle()
    await journal.finish()
    assert not closing.done()
    await journal.finish()
    assert closing.done()
    assert (first.result().revision, second.result().revision) == (1, 2)


async def test_a_sink_that_fails_is_dropped_alone(
    store: LocalStore, journal: HeldJournal, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def broken(events: Sequence[Event] | None) -> None:
        raise RuntimeError("no")

    store.watch("/", "0", 0, broken)
    store.watch("/", "0", 0, lambda events: seen.extend(event.key for event in events or ()))
    for key in ("/a", "/b"):
        task = await begin(store, key)
        await journal.finish()
        assert task.result().succeeded
    assert seen == ["/a", "/b"]
    assert len([record for record in caplog.records if "failed and is ended" in record.message]) == 1


async def test_a_caller_that_leaves_during_the_write_disturbs_nobody(store: LocalStore, journal: HeldJournal) -> None:
    await begin(store, "/x")
    gone, stays = await begin(store, "/a"), await begin(store, "/b")
    await journal.finish()
    gone.cancel()
    await clock.settle()
    await journal.finish()
    assert stays.result().revision == 3
    assert store.get("/a") is not None, "it was in flight already"
