"""Fan-out: one store watch and one rendering serve all watchers that look at the same thing in the same way.

A ``Group`` is (key range, view). It gathers the events of one turn of the event loop, renders them once, and hands the
same batch to each of its outlets. A new watcher reads its own past from the store, then joins: it is ``ahead`` of the
group, and gets of what has been gathered only what is newer. So it sees each event once, in order, and nobody else is
served because it came. Outlets are served in slices of ``SLICE_SECONDS``, so that no fan-out holds the event loop;
meanwhile further events gather. After a hand-out the group rests for ``REST``
times what it took, at most ``REST_SECONDS``: with many watchers events then go out several at a time, at a fraction of
the cost, and whoever writes gets its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from pinnace.apiserver.response import Outlet
from pinnace.core.clock import Clock, Timer
from pinnace.store.protocol import Event, Store, Watch

#: Renders events into a batch for outlets; None if none of them is to be seen.
Render = Callable[[Sequence[Event]], Any]

SLICE_SECONDS = 0.0025
REST = 3.0
REST_SECONDS = 0.010
KEPT_SECONDS = 2.0


class Group:
    """See the module's docstring."""

    def __init__(self, hub: WatchHub, key: Hashable, start: str, end: str, render: Render) -> None:
        self._hub = hub
        self._key = key
        self._render = render
        self._outlets: dict[Outlet, None] = {}
        self._pending: list[Event] = []
        self._events: Sequence[Event] = ()  # being handed out
        self._batch: Any = None  # the same, rendered
        self._left: list[Outlet] = []  # who is still to get it; last first
        self._ahead: dict[Outlet, int] = {}  # who has seen everything up to a revision, by other ways
        self._scheduled = False
        self._spent = 0.0  # seconds of handing out since the last rest
        self._rest_until = 0.0
        self.start = start
        self._watch: Watch | None = None
        self._watch = hub.store.watch(start, end, hub.store.revision, self._sink)

    @property
    def size(self) -> int:
        return len(self._outlets)

    def join(self, outlet: Outlet) -> None:
        """Serve ``outlet`` with the events after the store's present revision."""
        self._outlets[outlet] = None
        self._ahead[outlet] = self._hub.store.revision

    def catch_up(self, outlet: Outlet) -> None:
        """Hand ``outlet``, which has joined, everything up to the store's present revision."""
        if not self._left and not self._pending:
            return
        if outlet in self._left:
            self._hand(outlet)
        since = self._ahead.get(outlet, 0)
        pending = [event for event in self._pending if event.revision > since]
        if pending and (batch := self._render(pending)) is not None:
            outlet.deliver(batch)
        self._ahead[outlet] = self._hub.store.revision

    def leave(self, outlet: Outlet) -> None:
        self._outlets.pop(outlet, None)
        self._ahead.pop(outlet, None)
        if not self._outlets:
            self._hub.drop(self._key)
            if self._watch is not None:
                self._watch.cancel()

    def flush(self) -> None:
        """Hand out everything gathered so far, now."""
        while self._left or self._pending:
            self._serve(None)

    def end(self) -> None:
        """Hand out what has been gathered, then finish every outlet."""
        self.flush()
        for outlet in list(self._outlets):
            outlet.finish()

    def _sink(self, events: Sequence[Event] | None) -> None:
        if events is None:
            self.end()
            return
        self._pending += events
        self._schedule()

    def _schedule(self) -> None:
        if self._scheduled:
            return
        self._scheduled = True
        rest = 0.0 if self._left else self._rest_until - self._hub.clock.monotonic()
        if rest > 0.0:
            self._hub.clock.call_later(rest, self._turn)
        else:
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        started = self._hub.clock.monotonic()
        self._serve(started + SLICE_SECONDS)
        ended = self._hub.clock.monotonic()
        self._spent += ended - started
        if not self._left:
            self._rest_until = ended + min(REST * self._spent, REST_SECONDS)
            self._spent = 0.0
        if self._left or self._pending:
            self._schedule()

    def _serve(self, until: float | None) -> None:
        """Go on handing out the present batch, or render and begin the next one."""
        if not self._left:
            if not self._pending:
                return
            events, self._pending = self._pending, []
            self._events, self._batch = events, self._render(events)
            self._hub.spent(events)
            if self._batch is None:
                return
            self._left = list(self._outlets)
        batch, left, outlets, ahead = self._batch, self._left, self._outlets, self._ahead
        count = 0
        while left:
            outlet = left.pop()
            if outlet in ahead:
                self._hand(outlet)
            elif outlet in outlets:
                outlet.deliver(batch)
            count += 1
            if until is not None and not count & 7 and self._hub.clock.monotonic() > until:
                return
        self._events, self._batch = (), None

    def _hand(self, outlet: Outlet) -> None:
        """Of the present batch, what ``outlet`` has not seen."""
        since = self._ahead.get(outlet, 0)
        if since >= self._events[-1].revision:
            return
        self._ahead.pop(outlet, None)
        if since < self._events[0].revision:
            outlet.deliver(self._batch)
        elif (rest := self._render([event for event in self._events if event.revision > since])) is not None:
            outlet.deliver(rest)


class WatchHub:
    """All groups of one server."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self._groups: dict[Hashable, Group] = {}
        self._spent: list[Event] = []
        self._timer: Timer | None = None

    def group(self, key: Hashable, start: str, end: str, render: Render) -> Group:
        """The group of ``key``, which stands for the range and for what ``render`` does."""
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = Group(self, key, start, end, render)
        return found

    def end(self, prefix: str) -> None:
        """End every watch below ``prefix``: what is there is not served as it was any more."""
        for group in list(self._groups.values()):
            if group.start.startswith(prefix):
                group.end()

    def spent(self, events: Sequence[Event]) -> None:
        """``events`` have been rendered. What was cached with them is let go a moment later, when all groups have had
        their use of it: the store keeps events for minutes, and their renderings would outweigh it."""
        self._spent += events
        if self._timer is None:
            self._timer = self.clock.call_later(KEPT_SECONDS, self._forget, routine=True)

    def _forget(self) -> None:
        self._timer = None
        events, self._spent = self._spent, []
        for event in events:
            event.frames = None
            if event.previous is not None:
                event.previous.decoded = None

    @property
    def watchers(self) -> int:
        return sum(group.size for group in self._groups.values())

    def drop(self, key: Hashable) -> None:
        self._groups.pop(key, None)
