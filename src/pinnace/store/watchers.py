"""Running watches, found by the keys they are about.

Watches of one range share a group: an event is matched once per group, and every watcher of the group is handed the
same tuple. Groups of a prefix that ends in a slash, and of a single key, are found by dictionary look-ups on the key
of an event and its parents; any other range is compared with every event.

Rule: a watcher sees only events after its ``since``. It is the revision up to which it was fed when it was added, so
one added while a batch is being dispatched does not see that batch twice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pinnace.store.protocol import Event, Sink, prefix_end

log = logging.getLogger(__name__)


class _Group:
    __slots__ = ("end", "start", "watchers")

    def __init__(self, start: str, end: str) -> None:
        self.start = start
        self.end = end
        self.watchers: dict[Watcher, None] = {}  # in the order they were added


class Watcher:
    """One running watch; implements ``protocol.Watch``."""

    __slots__ = ("_group", "_owner", "active", "since", "sink")

    def __init__(self, owner: Watchers, group: _Group, since: int, sink: Sink) -> None:
        self._owner = owner
        self._group = group
        self.since = since
        self.sink = sink
        self.active = True

    def cancel(self) -> None:
        if self.active:
            self.active = False
            self._owner.remove(self, self._group)

    def feed(self, events: Sequence[Event]) -> None:
        """Hand ``events``, in revision order, to the sink. A sink that raises breaks its promise: its watch ends."""
        if events[0].revision <= self.since:
            events = tuple(event for event in events if event.revision > self.since)
            if not events:
                return
        try:
            self.sink(events)
        except Exception:  # one watcher's fault must not keep events from the others
            log.exception("a watch of [%s, %s) failed and is ended", self._group.start, self._group.end)
            self.cancel()


class Watchers:
    """All watches of one store."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Group] = {}
        self._by_key: dict[str, _Group] = {}
        self._by_prefix: dict[str, _Group] = {}
        self._others: list[_Group] = []

    def __len__(self) -> int:
        return sum(len(group.watchers) for group in self._groups.values())

    def add(self, start: str, end: str, since: int, sink: Sink) -> Watcher:
        """Feed ``sink`` from now on with events after ``since``."""
        group = self._groups.get((start, end))
        if group is None:
            group = self._groups[start, end] = _Group(start, end)
            if end == start + "\0":
                self._by_key[start] = group
            elif start.endswith("/") and end == prefix_end(start):
                self._by_prefix[start] = group
            else:
                self._others.append(group)
        watcher = Watcher(self, group, since, sink)
        group.watchers[watcher] = None
        return watcher

    def remove(self, watcher: Watcher, group: _Group) -> None:
        del group.watchers[watcher]
        if group.watchers:
            return
        del self._groups[group.start, group.end]
        if self._by_key.get(group.start) is group:
            del self._by_key[group.start]
        elif self._by_prefix.get(group.start) is group:
            del self._by_prefix[group.start]
        else:
            self._others.remove(group)

    def dispatch(self, events: Sequence[Event]) -> None:
        """Hand each watcher those of ``events``, a whole batch in revision order, that it asked for."""
        if not self._groups:
            return
        matched: dict[_Group, list[Event]] = {}
        for event in events:
            for group in self._matching(event.key):
                matched.setdefault(group, []).append(event)
        for group, found in matched.items():
            shared = tuple(found)
            for watcher in tuple(group.watchers):
                if watcher.active:
                    watcher.feed(shared)

    def _matching(self, key: str) -> list[_Group]:
        groups = [group for group in self._others if group.start <= key < group.end]
        group = self._by_key.get(key)
        if group is not None:
            groups.append(group)
        if self._by_prefix:
            slash = key.find("/")
            while slash >= 0:
                group = self._by_prefix.get(key[: slash + 1])
                if group is not None:
                    groups.append(group)
                slash = key.find("/", slash + 1)
        return groups

    def close(self) -> None:
        """End every watch: its sink is called with None."""
        for group in list(self._groups.values()):
            for watcher in tuple(group.watchers):
                if not watcher.active:
                    continue
                watcher.cancel()
                try:
                    watcher.sink(None)
                except Exception:  # as in feed
                    log.exception("a watch of [%s, %s) failed at its end", group.start, group.end)
