"""Self-compaction: decides up to which revision history is forgotten, and when to look again.

The policy is pure arithmetic on revisions (``Policy.target``); ``Compactor`` runs it from the clock, and at once when
the history outgrows its bounds. Nothing is scheduled while there is nothing to forget: an idle store costs nothing.

Bound: history holds at most ``max_bytes`` of superseded values and ``max_events`` events, plus what is committed while
a compaction runs.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from pinnace.core.clock import Clock, Timer
from pinnace.core.supervisor import Tasks
from pinnace.store.mvcc import View
from pinnace.store.protocol import StoreError

log = logging.getLogger(__name__)


class Policy(NamedTuple):
    """Keep the history of the last ``max_age`` seconds, and of the last ``min_events`` events however old, but never
    more than ``max_events`` events or ``max_bytes`` bytes of superseded values."""

    max_age: float = 300.0
    min_events: int = 1_000
    max_events: int = 30_000
    max_bytes: int = 32 << 20
    #: Seconds between two looks at the clock.
    interval: float = 30.0

    def exceeded(self, view: View) -> bool:
        return view.event_count > self.max_events or view.superseded_bytes > self.max_bytes

    def target(self, view: View, aged: int) -> int:
        """The revision to compact at, where ``aged`` is the newest one reached longer than ``max_age`` ago."""
        count = view.event_count
        if self.exceeded(view):
            # Down to three quarters of the bounds, so that the next compaction is a while away.
            drop = max(
                count - self.max_events * 3 // 4, view.events_holding(view.superseded_bytes - self.max_bytes * 3 // 4)
            )
            return view.revision_of_event(drop - 1) if drop > 0 else view.compacted
        if count <= self.min_events:
            return view.compacted
        return max(min(aged, view.revision_of_event(count - self.min_events) - 1), view.compacted)


class Compactor:
    """Runs ``compact(revision)`` for one store; failures are logged and tried again at the next look."""

    def __init__(self, view: View, clock: Clock, policy: Policy, compact: Callable[[int], Awaitable[None]]) -> None:
        self._view = view
        self._clock = clock
        self._policy = policy
        self._compact = compact
        self._tasks = Tasks("store-compactor", clock)
        self._marks: deque[tuple[float, int]] = deque()  # (time, revision then), oldest first
        self._aged = 0
        self._timer: Timer | None = None
        self._running = False

    def changed(self) -> None:
        """The view has grown."""
        if self._timer is None:
            self._schedule()
        if not self._running and self._policy.exceeded(self._view):
            self._start()

    def _mark(self) -> None:
        """Remember which revision was reached by now."""
        self._marks.append((self._clock.monotonic(), self._view.revision))

    def _age(self) -> None:
        oldest = self._clock.monotonic() - self._policy.max_age
        while self._marks and self._marks[0][0] <= oldest:
            self._aged = self._marks.popleft()[1]

    def _look(self) -> None:
        self._timer = None
        self._age()
        if not self._running and self._policy.target(self._view, self._aged) > self._view.compacted:
            self._start()
        self._schedule()

    def _schedule(self) -> None:
        """Look again later, if there is anything that only has to grow old to be forgotten."""
        if self._policy.target(self._view, self._view.revision) > self._view.compacted:
            self._mark()
            self._timer = self._clock.call_later(self._policy.interval, self._look, routine=True)

    def _start(self) -> None:
        self._running = True
        self._tasks.spawn(self._run(), name="compact")

    async def _run(self) -> None:
        try:
            target = self._policy.target(self._view, self._aged)
            if target > self._view.compacted:
                await self._compact(target)
        except StoreError as error:
            log.warning("cannot compact the store, trying again later: %s", error)
        finally:
            self._running = False

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._tasks.stop()
