"""Time, injected (design D5): nothing else in Pinnace reads the system clock or sleeps.

``RealClock`` follows the machine. ``VirtualClock`` stands still until ``advance`` moves it; it then fires every
timer that falls due, in order of its time and then of its registration, and lets the event loop run dry between two
timers, so that what one timer causes has happened before the next fires.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol


class Timer(Protocol):
    """A pending call; ``cancel`` is idempotent and has no effect once the call was made."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What every part is handed instead of the system's time."""

    def now(self) -> float:
        """Wall-clock time in seconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call ``callback(*args)`` in the event loop after ``delay`` seconds (at once, but not inline, if <= 0)."""

    async def sleep(self, delay: float) -> None:
        """Return after ``delay`` seconds."""


def timestamp(seconds: float) -> str:
    """RFC 3339 in whole seconds, as metav1.Time is written: ``2026-11-21T09:14:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def timestamp_micro(seconds: float) -> str:
    """RFC 3339 with six decimals, as metav1.MicroTime is written."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time. Raises ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no time zone")
    return moment.timestamp()


@asynccontextmanager
async def timeout(clock: Clock, delay: float | None) -> AsyncIterator[None]:
    """Raise TimeoutError in the body after ``delay`` seconds of ``clock`` (None: never)."""
    async with asyncio.timeout(None) as scope:
        if delay is None:
            yield
            return
        timer = clock.call_later(delay, lambda: scope.reschedule(asyncio.get_running_loop().time()))
        try:
            yield
        finally:
            timer.cancel()


class RealClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        return asyncio.get_running_loop().call_later(max(delay, 0.0), callback, *args)

    async def sleep(self, delay: float) -> None:
        await asyncio.sleep(delay)


class _VirtualTimer:
    __slots__ = ("args", "callback", "cancelled")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """Time that moves only when told; for tests and simulations on asyncio's own (not uvloop's) event loop."""

    def __init__(self, start: float = 1_600_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _VirtualTimer]] = []

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        timer = _VirtualTimer(callback, args)
        heapq.heappush(self._timers, (self._elapsed + max(delay, 0.0), next(self._order), timer))
        return timer

    async def sleep(self, delay: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_later(delay, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        """Move time on by ``seconds``, firing what falls due in order and settling after each."""
        await self.settle()
        end = self._elapsed + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            if timer.cancelled:
                continue
            self._elapsed = max(self._elapsed, due)
            timer.callback(*timer.args)
            await self.settle()
        self._elapsed = end

    async def settle(self) -> None:
        """Return once the event loop has nothing left to run without new input or time.

        Looks at asyncio's ready queue: another loop (uvloop) does not have one, and is refused.
        """
        ready = getattr(asyncio.get_running_loop(), "_ready", None)
        if ready is None:
            raise RuntimeError("VirtualClock needs asyncio's own event loop; this is another implementation")
        while True:
            await asyncio.sleep(0)
            if not ready:
                return
