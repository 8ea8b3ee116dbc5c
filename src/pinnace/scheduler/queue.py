"""Which Pod is scheduled next, after kube-scheduler's scheduling queue.

A waiting Pod is in exactly one place: *active* (highest priority first, then oldest), *backing off* after a failed try
(1 s, doubling to 10 s), or *unschedulable*: parked until something happens that could make one of the plugins that
turned it down pass, at the latest after five minutes. When nothing is active, Pods that were unschedulable do not sit
out their back-off (KEP-5142); those whose try went wrong do.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
import itertools
from collections.abc import Callable

from pinnace.core.clock import Clock, Timer
from pinnace.scheduler.nodes import PodInfo

INITIAL_BACKOFF = 1.0
MAX_BACKOFF = 10.0
UNSCHEDULABLE_LIMIT = 300.0
FLUSH_INTERVAL = 30.0


class ClusterEvent(enum.Enum):
    """What can make a parked Pod schedulable, with the plugins that care."""

    NODE_CHANGED = frozenset(
        {"NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit", ""}
    )
    POD_GONE = frozenset({"NodePorts", "NodeResourcesFit"})


class _Waiting:
    __slots__ = ("added", "attempts", "info", "order", "place", "plugins", "tried")

    def __init__(self, info: PodInfo, added: float, order: int) -> None:
        self.info = info
        self.added = added
        self.order = order
        self.attempts = 0
        self.tried = added
        self.place = "active"
        self.plugins: frozenset[str] = frozenset()  # who turned it down; "" if there was no node at all

    def __lt__(self, other: _Waiting) -> bool:
        return (-self.info.priority, self.order) < (-other.info.priority, other.order)


class SchedulingQueue:
    """See the module's docstring. ``pop`` hands a Pod out; then ``done``, ``unschedulable`` or ``failed`` follows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pods: dict[str, _Waiting] = {}  # by uid
        self._active: list[_Waiting] = []  # heap; entries that are no longer active are skipped
        self._order = itertools.count()
        self._wakeup = asyncio.Event()
        self._backoffs: dict[str, Timer] = {}
        self._eager: dict[str, _Waiting] = {}  # those backing off that may go before their time
        self._flush: Timer | None = None

    def __len__(self) -> int:
        return len(self._pods)

    def add(self, info: PodInfo) -> None:
        """A Pod that is new or was changed; a change gives a parked Pod another try."""
        waiting = self._pods.get(info.uid)
        if waiting is None:
            waiting = self._pods[info.uid] = _Waiting(info, self._clock.monotonic(), next(self._order))
            self._activate(waiting)
            return
        changed = waiting.info.signature != info.signature
        waiting.info = info
        if waiting.place == "unschedulable" and changed:
            self._activate_or_back_off(waiting)

    def remove(self, uid: str) -> None:
        waiting = self._pods.pop(uid, None)
        if waiting is not None:
            waiting.place = "gone"
            self._cancel_backoff(uid)

    async def pop(self) -> PodInfo:
        """The next Pod, waiting for one if need be."""
        while True:
            info = self.pop_ready()
            if info is not None:
                return info
            self._wakeup.clear()
            await self._wakeup.wait()

    def pop_ready(self) -> PodInfo | None:
        waiting = self._next_active() or self._next_backing_off()
        if waiting is None:
            return None
        waiting.place = "trying"
        waiting.attempts += 1
        waiting.tried = self._clock.monotonic()
        return waiting.info

    def _next_active(self) -> _Waiting | None:
        while self._active:
            waiting = heapq.heappop(self._active)
            if waiting.place == "active":
                return waiting
        return None

    def _next_backing_off(self) -> _Waiting | None:
        waiting = min(self._eager.values(), default=None)
        if waiting is not None:
            self._cancel_backoff(waiting.info.uid)
        return waiting

    def done(self, uid: str) -> None:
        """The Pod is on a node."""
        self.remove(uid)

    def failed(self, uid: str) -> None:
        """The try went wrong for no fault of the Pod (a conflict, the API away): again after its back-off."""
        waiting = self._pods.get(uid)
        if waiting is not None and waiting.place == "trying":
            self._activate_or_back_off(waiting, eager=False)

    def unschedulable(self, uid: str, plugins: frozenset[str]) -> None:
        """No node passed; ``plugins`` turned some down. Parked until something they care about happens."""
        waiting = self._pods.get(uid)
        if waiting is not None and waiting.place == "trying":
            waiting.plugins = plugins
            waiting.place = "unschedulable"
            if self._flush is None:
                self._flush = self._clock.call_later(FLUSH_INTERVAL, self._flush_old)

    def happened(self, event: ClusterEvent) -> None:
        """Give every parked Pod that ``event`` could help another try."""
        for waiting in list(self._pods.values()):
            if waiting.place == "unschedulable" and waiting.plugins & event.value:
                self._activate_or_back_off(waiting)

    def backoff(self, attempts: int) -> float:
        """Seconds to wait after that many tries."""
        return min(INITIAL_BACKOFF * 2.0 ** max(attempts - 1, 0), MAX_BACKOFF)

    def _activate(self, waiting: _Waiting) -> None:
        waiting.place = "active"
        heapq.heappush(self._active, waiting)
        self._wakeup.set()

    def _activate_or_back_off(self, waiting: _Waiting, *, eager: bool = True) -> None:
        left = waiting.tried + self.backoff(waiting.attempts) - self._clock.monotonic()
        if left <= 0:
            self._activate(waiting)
            return
        waiting.place = "backoff"
        self._cancel_backoff(waiting.info.uid)
        self._backoffs[waiting.info.uid] = self._clock.call_later(left, self._backed_off, waiting)
        if eager:
            self._eager[waiting.info.uid] = waiting
            self._wakeup.set()

    def _backed_off(self, waiting: _Waiting) -> None:
        self._cancel_backoff(waiting.info.uid)
        if waiting.place == "backoff":
            self._activate(waiting)

    def _cancel_backoff(self, uid: str) -> None:
        self._eager.pop(uid, None)
        if (timer := self._backoffs.pop(uid, None)) is not None:
            timer.cancel()

    def _flush_old(self) -> None:
        self._flush = None
        now = self._clock.monotonic()
        parked = [waiting for waiting in self._pods.values() if waiting.place == "unschedulable"]
        for waiting in parked:
            if now - waiting.tried >= UNSCHEDULABLE_LIMIT:
                self._activate_or_back_off(waiting)
        if any(waiting.place == "unschedulable" for waiting in parked):
            self._flush = self._clock.call_later(FLUSH_INTERVAL, self._flush_old)

    def close(self) -> None:
        """Cancel every timer."""
        for cancel in self._timers():
            cancel()
        self._backoffs.clear()
        self._eager.clear()
        self._flush = None

    def _timers(self) -> list[Callable[[], None]]:
        return [timer.cancel for timer in self._backoffs.values()] + ([self._flush.cancel] if self._flush else [])
