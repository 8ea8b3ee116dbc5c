"""What every store answers from its view: reads at a revision, and watches."""

from __future__ import annotations

from pinnace.store.mvcc import View
from pinnace.store.protocol import KeyValue, Range, Sink, StoreError, Watch
from pinnace.store.watchers import Watchers


class Reads:
    """The reading half of ``protocol.Store``, over a ``_view`` that the other half keeps."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._watchers = Watchers()
        self._closed = False

    @property
    def revision(self) -> int:
        return self._view.revision

    @property
    def compacted_revision(self) -> int:
        return self._view.compacted

    def get(self, key: str, revision: int = 0) -> KeyValue | None:
        return self._view.get(key, revision)

    def range(self, start: str, end: str, *, revision: int = 0, limit: int = 0) -> Range:
        return self._view.range(start, end, revision, limit)

    def watch(self, start: str, end: str, revision: int, sink: Sink) -> Watch:
        if self._closed:
            raise StoreError("the store is closed")
        past = self._view.events(start, end, revision)
        watcher = self._watchers.add(start, end, max(revision, self._view.revision), sink)
        if past:
            sink(past)
        return watcher
