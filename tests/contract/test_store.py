"""The Store protocol's promises, checked on every backend; a model says what each answer must be."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.relative import Relative
from tests.etcd import Etcd

from pinnace.core.clock import RealClock, VirtualClock
from pinnace.store.backends import etcd_feed
from pinnace.store.open import open_store
from pinnace.store.protocol import (
    TXN_COMPARES,
    TXN_WRITES,
    Committed,
    CompactedError,
    Compare,
    Delete,
    Event,
    FutureRevisionError,
    KeyValue,
    Put,
    Stamp,
    Store,
    StoreError,
    Txn,
    prefix_end,
)


def stamp(value: bytes, revision: int) -> bytes:
    return b"%d:%s" % (revision, value)


@dataclass
class StoreFactory:
    """Opens stores of one backend. ``place`` names where one keeps its data; opening it again finds it again if the
    backend is ``durable``. An ``ordered`` one does what is asked for at once in the order of the calls."""

    url: Callable[[str], str]
    durable: bool
    ordered: bool = True
    opened: list[Store] = field(default_factory=list)

    async def open(self, place: str = "store", stamp: Stamp = stamp) -> Store:
        store = await self._open(place, stamp)
        self.opened.append(store)
        return store

    async def _open(self, place: str, stamp: Stamp) -> Store:
        return await open_store(self.url(place), stamp=stamp, clock=VirtualClock())

    @asynccontextmanager
    async def using(self, place: str) -> AsyncIterator[Store]:
        store = await self.open(place)
        try:
            yield store
        finally:
            await store.close()


@dataclass
class EtcdFactory(StoreFactory):
    """Each place is a prefix of one etcd, whose revisions are counted from its first opening."""

    etcd: Etcd | None = None
    bases: dict[str, int] = field(default_factory=dict)

    async def _open(self, place: str, stamp: Stamp) -> Store:
        assert self.etcd is not None
        if place not in self._prefixes:
            self._prefixes[place] = prefix = f"/{next(_prefixes)}"
            self.etcd.ctl("put", f"{prefix}/pinnace.internal/progress", "")  # the newest revision is its own
        prefix = self._prefixes[place]
        store = await open_store(
            self.etcd.url,
            stamp=lambda value, revision: stamp(value, revision - self.bases.get(place, 0)),
            clock=RealClock(),
            etcd=self.etcd.options(prefix, root=""),
        )
        return Relative(store, self.bases.setdefault(place, store.revision))

    def __post_init__(self) -> None:
        self._prefixes: dict[str, str] = {}


_prefixes = itertools.count()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no reason to write more than the test does."""
    monkeypatch.setattr(etcd_feed, "SILENCE", 5.0)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    made = Etcd(tmp_path_factory.mktemp("etcd"), durable=False)
    yield made.start()
    made.stop()


@pytest.fixture(params=["memory", "sqlite", "etcd"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> StoreFactory:
    if request.param == "memory":
        return StoreFactory(lambda _: "memory://", durable=False)
    if request.param == "etcd":
        return EtcdFactory(str, durable=True, ordered=False, etcd=request.getfixturevalue("etcd"))
    return StoreFactory(lambda place: f"sqlite://{tmp_path}/{place}.db", durable=True)


@pytest.fixture
async def store_factory(backend: StoreFactory) -> AsyncIterator[StoreFactory]:
    yield backend
    for store in backend.opened:
        await store.close()


@pytest.fixture
async def store(store_factory: StoreFactory) -> Store:
    return await store_factory.open()


async def put(store: Store, *keys: str, value: bytes = b"v") -> Committed:
    return await store.commit(Txn((), [Put(key, value) for key in keys]))


def shape(item: KeyValue | None) -> Any:
    return item and (item.key, item.value, item.create_revision, item.mod_revision, item.version)


def flat(events: Sequence[Event]) -> list[Any]:
    return [(event.revision, event.key, shape(event.current), shape(event.previous)) for event in events]


class Collector:
    """A sink that keeps what it is fed."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.ends = 0

    def __call__(self, events: Sequence[Event] | None) -> None:
        if events is None:
            self.ends += 1
        else:
            assert not self.ends
            assert events, "a sink is never called with nothing"
            self.batches.append(list(events))

    @property
    def events(self) -> list[Event]:
        return list(itertools.chain.from_iterable(self.batches))

    @property
    def revisions(self) -> list[int]:
        return [event.revision for event in self.events]


# -- commits


async def test_a_new_store_is_empty_at_revision_0(store: Store) -> None:
    assert (store.revision, store.compacted_revision, await store.sync()) == (0, 0, 0)
    assert store.get("/a") is None
    assert store.range("/", "0").items == []


async def test_a_put_is_stamped_and_visible_when_answered(store: Store) -> None:
    answer = await put(store, "/a", value=b"one")
    assert answer.succeeded
    assert answer.revision == store.revision == 1
    assert shape(store.get("/a")) == ("/a", b"1:one", 1, 1, 1) == shape(answer.puts[0])
    await put(store, "/b")
    await put(store, "/a", value=b"two")
    assert shape(store.get("/a")) == ("/a", b"3:two", 1, 3, 2)


async def test_a_key_created_again_starts_anew(store: Store) -> None:
    await put(store, "/a")
    await store.commit(Txn((), [Delete("/a")]))
    assert store.get("/a") is None
    await put(store, "/a")
    assert shape(store.get("/a")) == ("/a", b"3:v", 3, 3, 1)


async def test_failed_compares_write_nothing(store: Store) -> None:
    await put(store, "/a")
    for compare in (Compare("/a", 0), Compare("/a", 7), Compare("/b", 1)):
        answer = await store.commit(Txn([compare], [Put("/b", b"x"), Delete("/a")]))
        assert (answer.succeeded, answer.revision, list(answer.puts)) == (False, 1, [])
    assert store.revision == 1
    assert (await store.commit(Txn([Compare("/a", 1), Compare("/b", 0)], [Put("/b", b"x")]))).succeeded


async def test_a_transaction_that_changes_nothing_takes_no_revision(store: Store) -> None:
    await put(store, "/a")
    assert (await store.commit(Txn((), [Delete("/b")]))).revision == 1
    assert (await store.commit(Txn([Compare("/a", 1)]))).succeeded
    assert store.revision == 1


async def test_all_writes_of_a_transaction_share_its_revision(store: Store) -> None:
    await put(store, "/a", "/b")
    answer = await store.commit(Txn((), [Put("/c", b"x"), Delete("/a"), Put("/b", b"y")]))
    assert answer.revision == 2
    assert [item.key for item in answer.puts] == ["/c", "/b"]
    assert {item.mod_revision for item in answer.puts} == {2}
    assert store.get("/a") is None


async def test_a_transaction_may_write_a_key_once(store: Store) -> None:
    with pytest.raises(ValueError, match="once"):
        await store.commit(Txn((), [Put("/a", b""), Delete("/a")]))
    assert store.revision == 0


async def test_a_transaction_has_its_limits(store: Store) -> None:
    compares = [Compare(f"/{number}", 0) for number in range(TXN_COMPARES)]
    writes = [Put(f"/{number}", b"") for number in range(TXN_WRITES)]
    answer = await store.commit(Txn(compares, writes))
    assert (answer.succeeded, answer.revision, len(answer.puts)) == (True, 1, TXN_WRITES)
    for txn in (Txn([*compares, Compare("/x", 0)]), Txn((), [*writes, Put("/x", b"")])):
        with pytest.raises(ValueError, match="at most"):
            await store.commit(txn)


@pytest.mark.parametrize("key", ["/a\ud800", "/a\0b"])
async def test_a_key_must_be_text(store: Store, key: str) -> None:
    good = asyncio.create_task(put(store, "/a"))
    with pytest.raises(ValueError, match=r"surrogates|NUL"):
        await put(store, key)
    assert (await good).succeeded
    assert (await put(store, "/é/𝄞")).revision == 2


async def test_of_concurrent_creations_of_one_key_exactly_one_wins(store: Store) -> None:
    answers = await asyncio.gather(*[store.commit(Txn([Compare("/a", 0)], [Put("/a", b"%d" % i)])) for i in range(300)])
    assert sum(answer.succeeded for answer in answers) == 1
    assert store.revision == 1


async def test_concurrent_increments_lose_no_update(store: Store) -> None:
    async def increment() -> None:
        while True:
            item = store.get("/n")
            number = int(item.value.split(b":")[1]) if item else 0
            compare = Compare("/n", item.mod_revision if item else 0)
            if (await store.commit(Txn([compare], [Put("/n", b"%d" % (number + 1))]))).succeeded:
                return

    await asyncio.gather(*[increment() for _ in range(40)])
    item = store.get("/n")
    assert item is not None
    assert (item.value, item.version) == (b"40:40", 40)


async def test_a_value_the_stamp_refuses_fails_its_own_transaction_only(store_factory: StoreFactory) -> None:
    def strict(value: bytes, revision: int) -> bytes:
        if value == b"bad":
            raise ValueError("no place for a revision")
        return stamp(value, revision)

    store = await store_factory.open("strict", strict)
    txns = [Txn((), [Put("/a", b"x")]), Txn((), [Put("/b", b"x"), Put("/c", b"bad")]), Txn((), [Put("/d", b"x")])]
    first, second, third = await asyncio.gather(*map(store.commit, txns), return_exceptions=True)
    assert isinstance(first, Committed)
    assert isinstance(second, ValueError)
    assert isinstance(third, Committed)
    assert {first.revision, third.revision} == {1, 2}
    assert store.get("/b") is None


async def test_a_batch_is_bounded_but_everything_gets_through(store: Store) -> None:
    await asyncio.gather(*[put(store, f"/k/{i:04}", value=b"x" * 3000) for i in range(1000)])
    assert store.revision == 1000
    assert sorted(item.mod_revision for item in store.range("/k/", "/k0").items) == list(range(1, 1001))


async def test_a_transaction_of_many_writes_is_one_revision(store: Store) -> None:
    await put(store, *[f"/k/{i:04}" for i in range(700)])
    assert store.revision == 1
    assert store.range("/k/", "/k0").count == 700


async def test_a_cancelled_caller_disturbs_nobody(store: Store) -> None:
    tasks = [asyncio.create_task(put(store, f"/{i}")) for i in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(store.get(f"/{i}") is not None for i in range(1, 10, 2))
    assert (await put(store, "/z")).revision == store.revision


# -- reads


async def test_ranges_are_in_key_order_and_limited(store: Store) -> None:
    await put(store, "/b/2", "/a/1", "/b/10", "/c", "/b/1", "/b")
    found = store.range("/b/", prefix_end("/b/"))
    assert [item.key for item in found.items] == ["/b/1", "/b/10", "/b/2"]
    assert (found.count, found.more, found.revision) == (3, False, 1)
    found = store.range("/b/", prefix_end("/b/"), limit=2)
    assert [item.key for item in found.items] == ["/b/1", "/b/10"]
    assert (found.count, found.more) == (3, True)
    found = store.range("/b/10\0", prefix_end("/b/"), limit=2)
    assert ([item.key for item in found.items], found.more) == (["/b/2"], False)


async def test_the_past_can_be_read(store: Store) -> None:
    await put(store, "/a", value=b"1")
    await put(store, "/b", value=b"2")
    await put(store, "/a", value=b"3")
    await store.commit(Txn((), [Delete("/b")]))
    await put(store, "/c", value=b"5")
    want = {1: ["1:1"], 2: ["1:1", "2:2"], 3: ["3:3", "2:2"], 4: ["3:3"], 5: ["3:3", "5:5"], 0: ["3:3", "5:5"]}
    for revision, values in want.items():
        found = store.range("/", "0", revision=revision)
        assert [item.value.decode() for item in found.items] == values
        assert (found.count, found.revision) == (len(values), revision or 5)
    assert shape(store.get("/b", 3)) == ("/b", b"2:2", 2, 2, 1)
    assert store.get("/b", 1) is None
    assert store.get("/b", 4) is None
    found = store.range("/", "0", revision=3, limit=1)
    assert ([item.key for item in found.items], found.more, found.count) == (["/a"], True, 2)


async def test_the_future_cannot_be_read(store: Store) -> None:
    await put(store, "/a")
    with pytest.raises(FutureRevisionError):
        store.get("/a", 2)
    with pytest.raises(FutureRevisionError):
        store.range("/", "0", revision=2)
    with pytest.raises(FutureRevisionError):
        await store.compact(2)


async def test_reading_at_the_newest_revision_needs_no_history(store: Store) -> None:
    await put(store, "/a")
    await store.compact(1)
    assert store.get("/a", 1) is not None
    assert store.range("/", "0", revision=1).count == 1


# -- watches


async def test_a_watch_sees_what_matches_from_now_on(store: Store) -> None:
    await put(store, "/a/1")
    seen = Collector()
    store.watch("/a/", prefix_end("/a/"), store.revision, seen)
    await put(store, "/a/1", value=b"x")
    await put(store, "/b/1")
    await store.commit(Txn((), [Delete("/a/1")]))
    assert flat(seen.events) == [
        (2, "/a/1", ("/a/1", b"2:x", 1, 2, 2), ("/a/1", b"1:v", 1, 1, 1)),
        (4, "/a/1", None, ("/a/1", b"2:x", 1, 2, 2)),
    ]


async def test_a_watch_from_the_past_is_fed_before_it_returns(store: Store) -> None:
    for i in range(4):
        await put(store, f"/a/{i}")
    seen = Collector()
    store.watch("/a/", prefix_end("/a/"), 2, seen)
    assert seen.revisions == [3, 4]
    await put(store, "/a/9")
    assert seen.revisions == [3, 4, 5]


async def test_a_watch_from_the_future_waits_for_it(store: Store) -> None:
    seen = Collector()
    store.watch("/", "0", 3, seen)
    await asyncio.gather(*[put(store, f"/{i}") for i in range(5)])
    assert seen.revisions == [4, 5]


@pytest.mark.parametrize(
    ("start", "end", "keys"),
    [
        ("/pods/ns/a", "/pods/ns/a\0", ["/pods/ns/a"]),
        ("/pods/ns/", prefix_end("/pods/ns/"), ["/pods/ns/a", "/pods/ns/ab"]),
        ("/pods/", prefix_end("/pods/"), ["/pods/ns/a", "/pods/ns/ab", "/pods/ns2/a"]),
        ("/pods/ns/ab", "/pods/ns2/b", ["/pods/ns/ab", "/pods/ns2/a"]),
        ("/nothing/", prefix_end("/nothing/"), []),
    ],
)
async def test_watched_ranges(store: Store, start: str, end: str, keys: list[str]) -> None:
    live, past = Collector(), Collector()
    store.watch(start, end, 0, live)
    for key in ("/pods/ns/a", "/pods/ns/ab", "/pods/ns2/a", "/podsy", "/nodes/a"):
        await put(store, key)
    store.watch(start, end, 0, past)
    assert [event.key for event in live.events] == keys == [event.key for event in past.events]


async def test_watchers_get_whole_batches_in_order_and_share_them(store: Store) -> None:
    first, second = Collector(), Collector()
    shared: list[Sequence[Event]] = []
    store.watch("/a/", prefix_end("/a/"), 0, first)
    store.watch("/a/", prefix_end("/a/"), 0, second)
    store.watch("/a/", prefix_end("/a/"), 0, lambda events: shared.append(events or ()))
    store.watch("/a/", prefix_end("/a/"), 0, lambda events: shared.append(events or ()))
    await store.commit(Txn((), [Put("/a/1", b""), Put("/b", b""), Put("/a/2", b"")]))
    assert [len(batch) for batch in first.batches] == [2]
    assert shared[0] is shared[1]
    await asyncio.gather(*[put(store, f"/a/{i}") for i in range(500)])
    assert first.revisions == second.revisions == [1, *range(1, 502)]


async def test_what_a_watch_is_told_can_be_read(store: Store) -> None:
    seen: list[tuple[int, bool]] = []

    def sink(events: Sequence[Event] | None) -> None:
        for event in events or ():
            item = store.get(event.key)
            seen.append((event.revision, item is event.current and store.revision >= event.revision))

    store.watch("/", "0", 0, sink)
    await asyncio.gather(*[put(store, f"/{i}") for i in range(50)])
    assert seen == [(revision, True) for revision in range(1, 51)]


async def test_a_cancelled_watch_hears_nothing_more(store: Store) -> None:
    seen, other = Collector(), Collector()
    watch = store.watch("/", "0", 0, seen)
    store.watch("/", "0", 0, other)
    await put(store, "/a")
    watch.cancel()
    watch.cancel()
    await put(store, "/b")
    await store.close()
    assert seen.revisions == [1]
    assert (other.revisions, seen.ends, other.ends) == ([1, 2], 0, 1)


async def test_watches_may_be_added_and_cancelled_by_sinks(store: Store) -> None:
    late, victim = Collector(), Collector()

    def sink(events: Sequence[Event] | None) -> None:
        if events is not None and events[0].revision == 1:
            store.watch("/", "0", 0, late)
            watches[1].cancel()

    watches = [store.watch("/", "0", 0, sink), store.watch("/", "0", 0, victim)]
    await put(store, "/a")
    await put(store, "/b")
    assert late.revisions == [1, 2]
    assert victim.revisions == []


# -- compaction


async def test_compaction_forgets_the_past_and_keeps_the_present(store: Store) -> None:
    for i in range(6):
        await put(store, "/a", value=b"%d" % i)
    await put(store, "/b")
    await store.compact(4)
    assert store.compacted_revision == 4
    for revision in (1, 3):
        with pytest.raises(CompactedError) as caught:
            store.range("/", "0", revision=revision)
        assert caught.value.compacted == 4
        with pytest.raises(CompactedError):
            store.get("/a", revision)
        with pytest.raises(CompactedError):
            store.watch("/", "0", revision, Collector())
        with pytest.raises(CompactedError):
            await store.compact(revision)
    assert [item.mod_revision for item in store.range("/", "0", revision=4).items] == [4]
    seen = Collector()
    store.watch("/", "0", 4, seen)
    assert seen.revisions == [5, 6, 7]
    await store.compact(4)
    await store.compact(7)
    assert [item.mod_revision for item in store.range("/", "0").items] == [6, 7]


async def test_commits_go_on_during_a_compaction(store: Store) -> None:
    await asyncio.gather(*[put(store, f"/k/{i % 100}") for i in range(2000)])
    answers = await asyncio.gather(store.compact(2000), *[put(store, f"/n/{i}") for i in range(200)])
    assert answers[0] is None
    assert (store.revision, store.compacted_revision) == (2200, 2000)
    assert store.range("/", "0").count == 300


# -- closing and opening again


async def test_a_closed_store_ends_watches_and_refuses_writes(store: Store) -> None:
    seen = Collector()
    store.watch("/", "0", 0, seen)
    pending = asyncio.create_task(put(store, "/a"))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert (await pending).succeeded, "a commit that was accepted is finished"
    assert (seen.revisions, seen.ends) == ([1], 1)
    with pytest.raises(StoreError, match="closed"):
        await put(store, "/b")


async def test_everything_is_there_after_opening_again(store_factory: StoreFactory) -> None:
    store = await store_factory.open()
    await put(store, "/a", "/b", value=b"\x00\xff")
    await put(store, "/a")
    await store.commit(Txn((), [Delete("/b")]))
    await put(store, "/é/日本")
    before = [[shape(item) for item in store.range("/", "0", revision=r).items] for r in range(1, 5)]
    await store.close()
    again = await store_factory.open()
    if not store_factory.durable:
        assert again.revision == 0
        return
    assert again.revision == 4
    assert [[shape(item) for item in again.range("/", "0", revision=r).items] for r in range(1, 5)] == before
    seen = Collector()
    again.watch("/", "0", 1, seen)
    assert flat(seen.events)[:2] == [
        (2, "/a", ("/a", b"2:v", 1, 2, 2), ("/a", b"1:\x00\xff", 1, 1, 1)),
        (3, "/b", None, ("/b", b"1:\x00\xff", 1, 1, 1)),
    ]
    assert (await put(again, "/a")).puts[0].version == 3


async def test_a_compaction_is_remembered(store_factory: StoreFactory) -> None:
    store = await store_factory.open()
    await put(store, "/a")
    await put(store, "/a")
    await store.commit(Txn((), [Delete("/a")]))
    await store.compact(3)
    await store.close()
    if store_factory.durable:
        again = await store_factory.open()
        assert (again.revision, again.compacted_revision) == (3, 3)
        assert again.range("/", "0").count == 0
        assert (await put(again, "/b")).revision == 4


# -- the model

State = dict[str, tuple[str, bytes, int, int, int]]
KEYS = ["/p/a/1", "/p/a/2", "/p/b/1", "/p", "/q/x"]
RANGES = [
    ("/", "0"),
    ("/p/", "/p0"),
    ("/p/a/", "/p/a0"),
    ("/p/a/1", "/p/a/1\0"),
    ("/p/a/2", "/q/"),
]


@dataclass
class Model:
    """The protocol, done naively: a full copy of the state for every revision."""

    states: list[State] = field(default_factory=lambda: [{}])
    events: list[Any] = field(default_factory=list)
    compacted: int = 0

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def commit(self, txn: Txn) -> tuple[bool, int]:
        state = self.states[-1]
        for compare in txn.compares:
            if (state[compare.key][3] if compare.key in state else 0) != compare.mod_revision:
                return False, self.revision
        new, revision, events = dict(state), self.revision + 1, []
        for write in txn.writes:
            old = state.get(write.key)
            if isinstance(write, Put):
                created, version = (old[2], old[4] + 1) if old else (revision, 1)
                new[write.key] = (write.key, stamp(write.value, revision), created, revision, version)
            elif old is None:
                continue
            else:
                del new[write.key]
            events.append((revision, write.key, new.get(write.key), old))
        if events:
            self.states.append(new)
            self.events += events
        return True, self.revision

    def range(self, start: str, end: str, revision: int) -> list[Any]:
        state = self.states[revision]
        return [state[key] for key in sorted(state) if start <= key < end]

    def watched(self, start: str, end: str, after: int) -> list[Any]:
        return [event for event in self.events if event[0] > after and start <= event[1] < end]


key_ = st.sampled_from(KEYS)
write_ = st.one_of(st.builds(Put, key_, st.binary(max_size=3)), st.builds(Delete, key_))
writes_ = st.lists(write_, max_size=3, unique_by=lambda write: write.key)
# A compare names its revision as "the key's own" (None) or some number that mostly does not hold.
txn_ = st.tuples(st.lists(st.tuples(key_, st.sampled_from([None, None, 0, 1, 2])), max_size=2), writes_)
step_ = st.one_of(
    st.tuples(st.just("commit"), st.lists(txn_, min_size=1, max_size=5)),
    st.tuples(st.just("commit"), st.lists(txn_, min_size=1, max_size=5)),
    st.tuples(st.just("read"), st.sampled_from(RANGES), st.floats(0, 1), st.integers(0, 3)),
    st.tuples(st.just("watch"), st.sampled_from(RANGES), st.floats(0, 1)),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("compact"), st.floats(0, 1)),
    st.tuples(st.just("reopen")),
)


class Walk:
    """One random walk: the store and the model do each step, and must agree after it."""

    def __init__(self, factory: StoreFactory, place: str) -> None:
        self.factory = factory
        self.place = place
        self.model = Model()
        self.store: Store
        self.watches: list[tuple[Any, Collector, tuple[str, str], int]] = []

    async def run(self, steps: list[Any]) -> None:
        self.store = await self.factory.open(self.place)
        for name, *arguments in steps:
            step: Callable[..., Awaitable[None]] = getattr(self, name)
            await step(*arguments)
            self.check()
        await self.store.close()

    def at(self, fraction: float) -> int:
        return self.model.compacted + round(fraction * (self.model.revision - self.model.compacted))

    async def commit(self, drafts: list[Any]) -> None:
        txns = []
        for compares, writes in drafts:
            state = self.model.states[-1]
            own = {key: state[key][3] if key in state else 0 for key in KEYS}
            txns.append(Txn([Compare(key, own[key] if rev is None else rev) for key, rev in compares], writes))
        if self.factory.ordered:
            answers = await asyncio.gather(*map(self.store.commit, txns))
        else:
            answers = [await self.store.commit(txn) for txn in txns]
        assert [(answer.succeeded, answer.revision) for answer in answers] == [self.model.commit(txn) for txn in txns]

    async def read(self, bounds: tuple[str, str], fraction: float, limit: int) -> None:
        revision = self.at(fraction)
        found = self.store.range(*bounds, revision=revision, limit=limit)
        want = self.model.range(*bounds, revision or self.model.revision)
        assert [shape(item) for item in found.items] == want[: limit or None]
        assert (found.count, found.more) == (len(want), bool(limit) and len(want) > limit)
        for key in KEYS:
            assert shape(self.store.get(key, revision)) == self.model.states[revision or -1].get(key)

    async def watch(self, bounds: tuple[str, str], fraction: float) -> None:
        seen, after = Collector(), self.at(fraction)
        self.watches.append((self.store.watch(*bounds, after, seen), seen, bounds, after))

    async def cancel(self) -> None:
        if self.watches:
            watch, seen, bounds, after = self.watches.pop(0)
            watch.cancel()
            assert flat(seen.events) == self.model.watched(*bounds, after)

    async def compact(self, fraction: float) -> None:
        revision = self.at(fraction)
        await self.store.compact(revision)
        self.model.compacted = revision
        if revision > 1:
            with pytest.raises(CompactedError):
                self.store.get(KEYS[0], revision - 1)

    async def reopen(self) -> None:
        if self.factory.durable:
            await self.store.close()
            assert all(seen.ends == 1 for _, seen, _, _ in self.watches)
            self.watches.clear()
            self.store = await self.factory.open(self.place)

    def check(self) -> None:
        assert self.store.revision == self.model.revision
        assert self.store.compacted_revision == self.model.compacted
        items = self.store.range("/", "0").items
        assert [shape(item) for item in items] == self.model.range("/", "0", self.model.revision)
        for _, seen, bounds, after in self.watches:
            assert flat(seen.events) == self.model.watched(*bounds, after)


@pytest.fixture
def places() -> Iterator[str]:
    return (f"walk-{i}" for i in itertools.count())


def test_the_store_agrees_with_the_model(backend: StoreFactory, places: Iterator[str]) -> None:
    @settings(
        max_examples=80 if backend.ordered else 15,  # etcd has a tenth of a second for each
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(steps=st.lists(step_, max_size=25))
    def agrees(steps: list[Any]) -> None:
        asyncio.run(Walk(backend, next(places)).run(steps))

    agrees()
