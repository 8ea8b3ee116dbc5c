from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from pinnace.store import mvcc, packing
from pinnace.store.mvcc import KeyIndex, View
from pinnace.store.protocol import Event, KeyValue

keys = st.text("abc/", max_size=4)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), keys), max_size=80), keys, keys, st.integers(0, 5))
def test_the_index_is_a_sorted_map(steps: list[tuple[bool, str]], start: str, end: str, limit: int) -> None:
    with patch.object(mvcc, "CHUNK", 4):
        index, model = KeyIndex(), dict[str, KeyValue]()
        for revision, (is_put, key) in enumerate(steps, 1):
            if is_put:
                model[key] = KeyValue(key, b"", revision, revision, 1)
                index.put(model[key])
            elif model.pop(key, None) is not None:
                index.remove(key)
        want = [model[key] for key in sorted(model) if start <= key < end]
        assert index.range(start, end, limit) == (want[: limit or None], len(want))
        assert index.range("", "\U0010ffff", 0)[0] == [model[key] for key in sorted(model)]


def put(view: View, key: str, value: bytes = b"v") -> None:
    old, revision = view.current.get(key), view.revision + 1
    new = KeyValue(key, value, old.create_revision if old else revision, revision, old.version + 1 if old else 1)
    view.apply([Event(key, revision, new, old)], revision)


def test_history_is_freed_in_slices_and_counted() -> None:
    view = View()
    for _ in range(5):
        put(view, "/a", b"12345678")
    assert (view.event_count, view.superseded_bytes) == (5, 32)
    view.compact(4)
    assert view.trim(2) == [(1, "/a")]
    assert view.trim(2) == [(2, "/a"), (3, "/a")]
    assert view.trim(2) is None
    assert (view.event_count, view.superseded_bytes) == (1, 8)
    item = view.get("/a", 4)
    assert item is not None
    assert item.mod_revision == 4


def test_a_deletion_is_freed_with_what_it_deleted() -> None:
    view = View()
    put(view, "/a")
    view.apply([Event("/a", 2, None, view.current["/a"])], 2)
    view.compact(2)
    assert view.trim(10) == [(1, "/a"), (2, "/a")]
    assert view.superseded_bytes == 0


def test_what_readers_cached_of_superseded_versions_is_dropped() -> None:
    with patch.object(mvcc, "WARM", 2):
        view = View()
        for number in range(5):
            put(view, "/a")
            view.current["/a"].decoded = {"version": number}
            view.events("/a", "/b", number)[0].frames = b"frame"
        events = view.events("/", "0", 0)
        assert [event.frames for event in events] == [None, None, None, b"frame", b"frame"]
        held = [event.current and event.current.decoded for event in events]
        assert held == [None, None, {"version": 2}, {"version": 3}, {"version": 4}]
        view.compact(4)
        view.trim(10)
        put(view, "/a")
        put(view, "/a")
        assert view.current["/a"].version == 7
        assert events[3].current is not None
        assert events[3].current.decoded is None


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 90_000))), max_size=60))
def test_compressed_history_reads_as_before(steps: list[tuple[str, int | None]]) -> None:
    with patch.object(mvcc, "WARM", 3):
        view = View()
        for number, (key, length) in enumerate(steps):
            if length is not None:
                put(view, key, b"%d" % number * length)
            elif key in view.current:
                view.apply([Event(key, view.revision + 1, None, view.current[key])], view.revision + 1)

        def state() -> list[list[tuple[str, bytes, int]]]:
            ranges = [view.range("a", "z", revision).items for revision in range(1, view.revision + 1)]
            past = [event.previous for event in view.events("a", "z", 0) if event.previous is not None]
            return [[(item.key, item.value, item.size) for item in items] for items in (*ranges, past)]

        before = state()
        while view.pack():
            pass
        assert view.unpacked == 0
        assert state() == before
        view.compact(view.revision)
        while view.trim(7) is not None:
            pass
        assert view.superseded_bytes == 0


def test_what_nobody_read_says_only_how_it_differs_from_its_like() -> None:
    with patch.object(mvcc, "WARM", 0):
        view = View()
        value = b'{"kind":"Event","reason":"Scheduled","message":"pod %04d","component":"default-scheduler"}' * 8
        for number in range(50):
            put(view, f"/registry/events/default/e{number}", value % ((number,) * 8))
        put(view, "/registry/pods/default/read", value % ((1,) * 8))
        view.current["/registry/pods/default/read"].decoded = {}
        put(view, "/registry/pods/default/large", b"x" * 5000)
        while view.pack():
            pass
    for number in range(50):
        item = view.current[f"/registry/events/default/e{number}"]
        assert (item.value, item.size) == (value % ((number,) * 8), len(item.value))
        assert isinstance(item.held, packing.Likeness)
        assert len(item.held._data) < item.size / 4
    assert isinstance(view.current["/registry/pods/default/read"].held, bytes)
    assert isinstance(view.current["/registry/pods/default/large"].held, bytes)


def test_old_values_take_a_fraction_of_their_bytes() -> None:
    with patch.object(mvcc, "WARM", 0):
        view = View()
        for number in range(41):
            put(view, "/a", b'{"status":{"phase":"Running","ready":%d}}' % number * 50)
        while view.pack():
            pass
    held = [event.previous.held for event in view.events("", "z", 0) if event.previous is not None]
    assert len(held) == 40
    assert not any(isinstance(value, bytes) for value in held)
    assert len({id(value._bundle): value._bundle for value in held if not isinstance(value, bytes)}) == 2
