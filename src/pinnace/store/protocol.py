"""The ``Store`` protocol: etcd's model, split into a local view to read and a remote or durable log to write.

Every backend keeps an MVCC view in this process (``pinnace.store.mvcc``). Reads and watches are served from it and see
only what is durable. ``commit`` returns once its writes are durable *and* in the view. ``sync`` makes the view at least
as new as every write that any process had been answered before the call: nothing to do where this process is the only
writer, one linearizable read of the revision where it is not (etcd).

Revisions count transactions that wrote something, from 1, over the whole store. A revision older than
``compacted_revision`` cannot be read or watched from any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from pinnace.store.packing import Likeness, Packed


class KeyValue:
    """One version of one key. Immutable; ``decoded`` is a slot for the reader's own cache of the parsed value. How the
    value is held is the store's affair: those that are seldom read are compressed."""

    __slots__ = ("create_revision", "decoded", "held", "key", "mod_revision", "version")

    def __init__(self, key: str, value: bytes, create_revision: int, mod_revision: int, version: int) -> None:
        self.key = key
        self.held: bytes | Packed | Likeness = value
        self.create_revision = create_revision
        self.mod_revision = mod_revision
        self.version = version  # 1 for the write that created the key, then one more for each
        self.decoded: Any = None

    @property
    def value(self) -> bytes:
        held = self.held
        return held if held.__class__ is bytes else held.read()  # type: ignore[union-attr]

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return len(self.held)

    def __repr__(self) -> str:
        return f"KeyValue({self.key!r}, mod_revision={self.mod_revision}, version={self.version})"


class Event:
    """One key's change. ``current`` is None for a deletion; ``previous`` is None for a creation.

    ``frames`` is a slot for the reader's own cache of encoded forms, shared by all its watchers.
    """

    __slots__ = ("current", "frames", "key", "previous", "revision")

    def __init__(self, key: str, revision: int, current: KeyValue | None, previous: KeyValue | None) -> None:
        self.key = key
        self.revision = revision
        self.current = current
        self.previous = previous
        self.frames: Any = None


class Put(NamedTuple):
    """Write ``value`` under ``key``. The store passes it through its ``stamp`` with the revision it gets."""

    key: str
    value: bytes


class Delete(NamedTuple):
    """Remove ``key``; no effect, and no revision, if it does not exist."""

    key: str


class Compare(NamedTuple):
    """Holds if ``key``'s mod_revision is ``mod_revision``; 0 means that the key does not exist."""

    key: str
    mod_revision: int


class Txn(NamedTuple):
    """All of ``writes`` in one revision, or none if any of ``compares`` fails."""

    compares: Sequence[Compare] = ()
    writes: Sequence[Put | Delete] = ()


class Committed(NamedTuple):
    """``succeeded`` is False if a compare failed (nothing was written). ``puts`` are the new versions, in order of
    the transaction's Puts. ``revision`` is the store's revision after the transaction."""

    succeeded: bool
    revision: int
    puts: Sequence[KeyValue] = ()


class Range:
    """``items`` in key order; ``more`` if a limit cut them; ``count`` of all keys in it; the ``revision`` read."""

    __slots__ = ("count", "items", "more", "revision")

    def __init__(self, items: list[KeyValue], revision: int, more: bool, count: int) -> None:
        self.items = items
        self.revision = revision
        self.more = more
        self.count = count


class CompactedError(Exception):
    """The revision asked for is older than ``compacted`` and no longer kept."""

    def __init__(self, compacted: int) -> None:
        super().__init__(f"required revision has been compacted (oldest kept: {compacted})")
        self.compacted = compacted


class FutureRevisionError(Exception):
    """The revision asked for has not been reached yet."""

    def __init__(self, asked: int, current: int) -> None:
        super().__init__(f"required revision {asked} is a future revision (current: {current})")
        self.asked = asked
        self.current = current


class StoreError(Exception):
    """The backend cannot serve: says what failed and what to do (disk full, data from a newer version, etcd away)."""


class UnavailableError(StoreError):
    """The backend cannot be reached for the moment, and nothing was done: the same may be asked again later."""


class OutcomeUnknownError(StoreError):
    """A commit failed, and whether it is kept cannot be told."""


#: Called synchronously, in revision order, with events of whole transactions; must not block or raise.
#: Called with ``None`` once, at the end, if the store ends the watch (it is closing).
Sink = Callable[[Sequence[Event] | None], None]


class Watch(Protocol):
    """A running watch."""

    def cancel(self) -> None:
        """The sink is not called again. Idempotent."""


#: Writes the revision into a value as it is committed: ``stamp(value, revision)``. Pure and fast.
Stamp = Callable[[bytes, int], bytes]


class Store(Protocol):
    """See the module's docstring. Not thread-safe: one event loop owns it."""

    @property
    def revision(self) -> int:
        """The newest revision in the view."""

    @property
    def compacted_revision(self) -> int:
        """The oldest revision that can still be read; 0 if nothing was compacted."""

    @property
    def refusal(self) -> str | None:
        """Why no write is accepted any more (a disk that failed); None as long as they are."""

    async def sync(self) -> int:
        """Wait until the view holds every write answered before the call; return its revision. Raises StoreError."""

    def get(self, key: str, revision: int = 0) -> KeyValue | None:
        """The newest version of ``key`` at ``revision`` (0: now). Raises CompactedError, FutureRevisionError."""

    def range(self, start: str, end: str, *, revision: int = 0, limit: int = 0) -> Range:
        """Keys in [start, end) at ``revision`` (0: now), at most ``limit`` (0: all). Raises as ``get``."""

    async def commit(self, txn: Txn) -> Committed:
        """Apply ``txn`` atomically; return when it is durable and visible. Raises ValueError for one that no store
        takes (it writes a key twice, or more than ``TXN_WRITES`` or ``TXN_COMPARES``), StoreError having written
        nothing, or OutcomeUnknownError (the backend was lost meanwhile)."""

    def watch(self, start: str, end: str, revision: int, sink: Sink) -> Watch:
        """Feed ``sink`` every event on keys in [start, end) with a revision > ``revision``, past ones first (before
        this returns), then new ones as they are committed. Raises CompactedError."""

    async def compact(self, revision: int) -> None:
        """Forget versions that are not the newest at ``revision``. Raises as ``get``."""

    async def close(self) -> None:
        """Finish the commits under way, end the watches, release the files. Idempotent."""


#: Most writes, and compares, in one transaction: what every backend can do (etcd's own limit is 128 operations a
#: level, and a level of writes can be nested in another).
TXN_WRITES = 4096
TXN_COMPARES = 64


def check_txn(txn: Txn) -> None:
    """Raise ValueError for a transaction that no store takes."""
    writes = txn.writes
    if len(writes) > 1 and (len(writes) > TXN_WRITES or len({write.key for write in writes}) < len(writes)):
        raise ValueError(f"a transaction may write each key once and at most {TXN_WRITES} keys")
    if len(txn.compares) > TXN_COMPARES:
        raise ValueError(f"a transaction may compare at most {TXN_COMPARES} keys")
    for write in writes:
        if not write.key.isascii():
            write.key.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
        if "\0" in write.key:
            raise ValueError(f"key {write.key!r} holds a NUL character")


def prefix_end(prefix: str) -> str:
    """The end of the range of all keys that start with ``prefix``."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
