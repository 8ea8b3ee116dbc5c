"""A store whose revisions are counted from where it was when it was opened first, as if it had been empty: what the
contract asks of a store in a database that others use too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pinnace.store.protocol import (
    Committed,
    CompactedError,
    Compare,
    Event,
    FutureRevisionError,
    KeyValue,
    Range,
    Sink,
    Store,
    Txn,
    Watch,
)


@dataclass
class Relative:
    """``store``'s revisions, less ``base``. The same version of a key is the same object, as it is in the store."""

    store: Store
    base: int

    def __post_init__(self) -> None:
        self._items: dict[int, tuple[KeyValue, KeyValue]] = {}
        self._batches: dict[int, tuple[Sequence[Event], Sequence[Event]]] = {}

    @property
    def revision(self) -> int:
        return self.store.revision - self.base

    @property
    def compacted_revision(self) -> int:
        return max(self.store.compacted_revision - self.base, 0)

    @property
    def refusal(self) -> str | None:
        return self.store.refusal

    async def sync(self) -> int:
        return await self.store.sync() - self.base

    def _item(self, item: KeyValue | None) -> KeyValue | None:
        if item is None:
            return None
        if id(item) not in self._items:
            made = KeyValue(
                item.key, item.value, item.create_revision - self.base, item.mod_revision - self.base, item.version
            )
            self._items[id(item)] = (item, made)  # the first is kept so that its id stays its own
        return self._items[id(item)][1]

    def _absolute(self, revision: int) -> int:
        return revision + self.base if revision else 0

    def get(self, key: str, revision: int = 0) -> KeyValue | None:
        try:
            return self._item(self.store.get(key, self._absolute(revision)))
        except (CompactedError, FutureRevisionError) as error:
            raise self._error(error) from None

    def range(self, start: str, end: str, *, revision: int = 0, limit: int = 0) -> Range:
        try:
            found = self.store.range(start, end, revision=self._absolute(revision), limit=limit)
        except (CompactedError, FutureRevisionError) as error:
            raise self._error(error) from None
        items = [made for item in found.items if (made := self._item(item)) is not None]
        return Range(items, found.revision - self.base, found.more, found.count)

    def _error(self, error: CompactedError | FutureRevisionError) -> Exception:
        if isinstance(error, CompactedError):
            return CompactedError(error.compacted - self.base)
        return FutureRevisionError(error.asked - self.base, error.current - self.base)

    async def commit(self, txn: Txn) -> Committed:
        compares = [Compare(key, self._absolute(revision)) for key, revision in txn.compares]
        answer = await self.store.commit(Txn(compares, txn.writes))
        puts = [made for item in answer.puts if (made := self._item(item)) is not None]
        return Committed(answer.succeeded, answer.revision - self.base, puts)

    def watch(self, start: str, end: str, revision: int, sink: Sink) -> Watch:
        def relative(events: Sequence[Event] | None) -> None:
            if events is None:
                sink(None)
                return
            if id(events) not in self._batches:
                made = [
                    Event(each.key, each.revision - self.base, self._item(each.current), self._item(each.previous))
                    for each in events
                ]
                self._batches[id(events)] = (events, made)
            sink(self._batches[id(events)][1])

        try:
            return self.store.watch(start, end, revision + self.base, relative)
        except CompactedError as error:
            raise self._error(error) from None

    async def compact(self, revision: int) -> None:
        try:
            await self.store.compact(revision + self.base)
        except (CompactedError, FutureRevisionError) as error:
            raise self._error(error) from None

    async def close(self) -> None:
        await self.store.close()
