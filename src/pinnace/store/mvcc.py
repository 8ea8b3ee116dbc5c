"""The MVCC view: the current version of every key in key order, and the events since the last compaction.

One view holds all that reads and watches are served from. It is changed only by ``apply``, with events that are already
durable, and by ``compact``/``trim``. A past revision is read by undoing the events after it, so history costs nothing
but the events themselves:

    revision 7 of [a, b, c], newest revision 9, event 8 put b (was b@3), event 9 deleted d (was d@5)
    -> the current a, b, c without what changed after 7, plus what those events say was there: a, b@3, c, d@5

Bounds: inserting or finding a key costs O(log n) comparisons and moves at most ``CHUNK`` pointers; a range costs one
list slice per chunk; a read in the past costs one look at each event after it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter

from pinnace.store.packing import BUNDLE_BYTES, LIKENESS_BYTES, Likeness, pack
from pinnace.store.protocol import CompactedError, Event, FutureRevisionError, KeyValue, Range

#: Most keys per chunk of the index; a chunk that grows beyond it is split in half.
CHUNK = 1024
#: Newest events that keep what readers cached of them. Of what older ones superseded only the bytes stay: decoded it
#: takes three times as much, and hardly anybody asks.
WARM = 512
#: Most kinds whose values are kept as likenesses.
MODELS = 64

_key_of = attrgetter("key")
_revision_of = attrgetter("revision")


class _Chunk:
    """A run of neighbouring keys; ``items[i]`` is the version of ``keys[i]``."""

    __slots__ = ("items", "keys")

    def __init__(self, keys: list[str], items: list[KeyValue]) -> None:
        self.keys = keys
        self.items = items


class KeyIndex:
    """Key-values in key order: chunks of parallel lists, found by their first keys."""

    def __init__(self) -> None:
        self._chunks: list[_Chunk] = []
        self._firsts: list[str] = []  # _firsts[i] <= every key of _chunks[i], > every key of _chunks[i - 1]

    def put(self, item: KeyValue) -> None:
        """Insert ``item`` or replace the version with the same key."""
        key = item.key
        if not self._chunks:
            self._chunks.append(_Chunk([key], [item]))
            self._firsts.append(key)
            return
        at = max(bisect_right(self._firsts, key) - 1, 0)
        chunk = self._chunks[at]
        keys = chunk.keys
        i = bisect_left(keys, key)
        if i < len(keys) and keys[i] == key:
            chunk.items[i] = item
            return
        keys.insert(i, key)
        chunk.items.insert(i, item)
        if i == 0:
            self._firsts[at] = key
        if len(keys) > CHUNK:
            half = len(keys) // 2
            self._chunks.insert(at + 1, _Chunk(keys[half:], chunk.items[half:]))
            self._firsts.insert(at + 1, keys[half])
            del keys[half:], chunk.items[half:]

    def remove(self, key: str) -> None:
        """Drop ``key``, which must be there."""
        at = bisect_right(self._firsts, key) - 1
        chunk = self._chunks[at]
        i = bisect_left(chunk.keys, key)
        del chunk.keys[i], chunk.items[i]
        if not chunk.keys:
            del self._chunks[at], self._firsts[at]

    def range(self, start: str, end: str, limit: int) -> tuple[list[KeyValue], int]:
        """The first ``limit`` (0: all) items with start <= key < end, and how many there are in all."""
        items: list[KeyValue] = []
        count = 0
        for at in range(max(bisect_right(self._firsts, start) - 1, 0), len(self._chunks)):
            if self._firsts[at] >= end:
                break
            chunk = self._chunks[at]
            low = bisect_left(chunk.keys, start)
            high = bisect_left(chunk.keys, end, low)
            count += high - low
            if not limit:
                items += chunk.items[low:high]
            elif len(items) < limit:
                items += chunk.items[low : min(high, low + limit - len(items))]
        return items, count


class View:
    """See the module's docstring. ``revision`` and ``compacted`` are as the Store protocol has them."""

    def __init__(self) -> None:
        self.revision = 0
        self.compacted = 0
        #: The newest version of every key that exists. Read-only for others.
        self.current: dict[str, KeyValue] = {}
        #: Bytes of values that only history still needs.
        self.superseded_bytes = 0
        self._index = KeyIndex()
        self._events: list[Event] = []  # in revision order; all with revision > compacted once trimmed
        self._cold = 0  # how many of the oldest events have lost what readers cached
        self._models: dict[str, bytes] = {}  # kind -> what the likenesses of its values are made with
        self._packed = 0  # and of how many of these what they superseded is compressed

    # -- changing

    def restore(self, items: Sequence[KeyValue], compacted: int) -> None:
        """Fill the empty view with the state at revision ``compacted``; ``apply`` adds what came later."""
        self.revision = self.compacted = compacted
        for item in items:
            self.current[item.key] = item
            self._index.put(item)

    def apply(self, events: Sequence[Event], revision: int) -> None:
        """Take in the durable ``events``, in order; the store is at ``revision`` after them."""
        current, index = self.current, self._index
        for event in events:
            item = event.current
            if item is not None:
                old = event.previous
                current[event.key] = item
                index.put(item)
            else:
                old = current.pop(event.key)
                index.remove(event.key)
            if old is not None:
                self.superseded_bytes += old.size
        self._events += events
        self.revision = revision
        self._cool()

    def _cool(self) -> None:
        end = len(self._events) - WARM
        if end <= self._cold:
            return
        for event in self._events[self._cold : end]:
            event.frames = None
            if event.previous is not None:
                event.previous.decoded = None
        self._cold = end

    def pack(self) -> bool:
        """Compress what some of the oldest events have superseded, and what they have made that nobody has read, for
        half a millisecond; whether more is left."""
        found: list[KeyValue] = []
        size, end = 0, self._packed
        while end < self._cold and size < BUNDLE_BYTES:
            event = self._events[end]
            old, made = event.previous, event.current
            if old is not None:
                if old.held.__class__ is bytes and old.size < BUNDLE_BYTES:
                    found.append(old)
                    size += old.size
            elif made is not None and made.decoded is None and made is self.current.get(event.key):
                self._liken(made)
                size += LIKENESS_BYTES
            end += 1
        self._packed = end
        if len(found) > 1:
            for old, packed in zip(found, pack([old.value for old in found]), strict=True):
                old.held = packed
        return end < self._cold

    def _liken(self, made: KeyValue) -> None:
        value, kind = made.held, made.key[: made.key.find("/", made.key.find("/", 1) + 1)]
        if value.__class__ is not bytes or len(value) > LIKENESS_BYTES:
            return
        model = self._models.get(kind)
        if model is None:
            if len(self._models) >= MODELS:
                self._models.clear()
            model = self._models[kind] = value
        made.held = Likeness(value, model)

    @property
    def unpacked(self) -> int:
        """Of how many cold events what they have superseded is not compressed yet."""
        return self._cold - self._packed

    def compact(self, revision: int) -> None:
        """From now on nothing older than ``revision``, which can be read, can be read; ``trim`` then frees it."""
        self.compacted = revision

    def trim(self, limit: int) -> list[tuple[int, str]] | None:
        """Free up to ``limit`` compacted events; return (revision, key) of the versions and deletions nobody can read
        any more, or None if there was nothing left to free."""
        end = self._after(self.compacted, min(limit, len(self._events)))
        if not end:
            return None
        gone: list[tuple[int, str]] = []
        for event in self._events[:end]:
            if event.previous is not None:
                gone.append((event.previous.mod_revision, event.key))
                self.superseded_bytes -= event.previous.size
            if event.current is None:
                gone.append((event.revision, event.key))
        del self._events[:end]
        self._cold = max(self._cold - end, 0)
        self._packed = max(self._packed - end, 0)
        return gone

    # -- reading

    @property
    def event_count(self) -> int:
        """Events kept, compacted ones not trimmed yet included."""
        return len(self._events)

    def revision_of_event(self, index: int) -> int:
        """The revision of the ``index``-th oldest event kept."""
        return self._events[index].revision

    def events_holding(self, size: int) -> int:
        """How many of the oldest events kept hold ``size`` bytes of superseded values together."""
        for number, event in enumerate(self._events):
            if size <= 0:
                return number
            if event.previous is not None:
                size -= event.previous.size
        return len(self._events)

    def get(self, key: str, revision: int = 0) -> KeyValue | None:
        """As ``Store.get``."""
        item = self.current.get(key)
        if not revision:
            return item
        self.check(revision)
        if item is not None and item.mod_revision <= revision:
            return item
        for event in self._events[self._after(revision) :]:
            if event.key == key:
                return event.previous
        return item

    def range(self, start: str, end: str, revision: int = 0, limit: int = 0) -> Range:
        """As ``Store.range``."""
        if revision:
            self.check(revision)
        if not revision or revision == self.revision:
            items, count = self._index.range(start, end, limit)
            return Range(items, self.revision, len(items) < count, count)
        changed: dict[str, KeyValue | None] = {}
        for event in self._events[self._after(revision) :]:
            if start <= event.key < end and event.key not in changed:
                changed[event.key] = event.previous
        items, count = self._index.range(start, end, 0)
        if changed:
            items = [item for item in items if item.mod_revision <= revision]
            items += [item for item in changed.values() if item is not None]
            items.sort(key=_key_of)
            count = len(items)
        if limit:
            del items[limit:]
        return Range(items, revision, len(items) < count, count)

    def events(self, start: str, end: str, after: int) -> list[Event]:
        """The events on keys in [start, end) with a revision > ``after``. Raises CompactedError."""
        if after < self.compacted:
            raise CompactedError(self.compacted)
        return [event for event in self._events[self._after(after) :] if start <= event.key < end]

    def _after(self, revision: int, high: int | None = None) -> int:
        """How many of the first ``high`` events have a revision <= ``revision``."""
        return bisect_right(self._events, revision, 0, high, key=_revision_of)

    def check(self, revision: int) -> None:
        """Raise CompactedError or FutureRevisionError if ``revision`` cannot be read."""
        if revision < self.compacted:
            raise CompactedError(self.compacted)
        if revision > self.revision:
            raise FutureRevisionError(revision, self.revision)
