"""Time, injected (design D5): nothing else in Pinnace reads the system clock or sleeps.

``RealClock`` follows the machine. ``VirtualClock`` stands still until ``advance`` moves it; it then fires every
timer that falls due, in order of its time and then of its registration, and lets the event loop run dry between two
timers, so that what one timer causes has happened before the next fires.

Some timers are *routine*: what is done again and again and only matters for having been done lately (heartbeats and
who listens for them, bookmarks, housekeeping). Where nothing else has happened for ``QUIET`` seconds, virtual time hops
over the stretch in which nothing else would, as if they had fired all the while. It lands ``QUIET`` seconds before the
next other timer, and there each routine begins its wait anew: those that beat in 25 s before those that listen for 50.
So every routine has had its turn by then; of those with longer periods, the ones of up to ``LONG`` seconds have it on
landing, the others (a watch's natural end) just move along.

    now                                       landing            the next timer that is no routine
     |--- QUIET, routine only ---|    hop     |----- QUIET --------|
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol, TypeVar, TypeVarTuple

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class Timer(Protocol):
    """A pending call; ``cancel`` is idempotent and has no effect once the call was made."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What every part is handed instead of the system's time."""

    @property
    def outside(self) -> Clock:
        """The clock that others than this cluster live by: for certificates and sockets."""

    def now(self) -> float:
        """Wall-clock time in seconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, routine: bool = False) -> Timer:
        """Call ``callback(*args)`` in the event loop after ``delay`` seconds (at once, but not inline, if <= 0).
        ``routine``: see the module's docstring; everything that waits for it must be routine too."""

    async def sleep(self, delay: float, *, routine: bool = False) -> None:
        """Return after ``delay`` seconds."""


def timestamp(seconds: float) -> str:
    """RFC 3339 in whole seconds, as metav1.Time is written: ``2026-11-21T09:14:00Z``."""
    return _whole_seconds(seconds // 1)


@lru_cache(64)
def _whole_seconds(seconds: float) -> str:
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
    """Raise TimeoutError in the body after ``delay`` seconds of ``clock`` (None: never); it says after how many."""
    if delay is None:
        yield
        return
    scope = asyncio.timeout(None)
    try:
        async with scope:
            timer = clock.call_later(delay, lambda: scope.reschedule(asyncio.get_running_loop().time()))
            try:
                yield
            finally:
                timer.cancel()
    except TimeoutError as error:
        if scope.expired() and not error.args:
            raise TimeoutError(f"timed out after {delay:g} s") from error
        raise


class RealClock:
    """The machine's own time."""

    @property
    def outside(self) -> Clock:
        return self

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, routine: bool = False) -> Timer:
        return asyncio.get_running_loop().call_later(max(delay, 0.0), callback, *args)

    async def sleep(self, delay: float, *, routine: bool = False) -> None:
        await asyncio.sleep(delay)


#: Seconds of nothing but routine before time hops, and between a landing and what comes next: longer than a node's
#: grace, so that a heartbeat that is missing has been missed before any hop.
QUIET = 75.0
LONG = 600.0


class _VirtualTimer:
    __slots__ = ("args", "callback", "cancelled", "clock", "delay", "routine")

    def __init__(
        self,
        clock: VirtualClock,
        delay: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        *,
        routine: bool,
    ) -> None:
        self.clock = clock
        self.delay = delay
        self.callback = callback
        self.args = args
        self.routine = routine
        self.cancelled = False

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self.clock.cancelled()


_Queue = list[tuple[float, int, _VirtualTimer]]


class VirtualClock:
    """Time that moves only when told; for tests and simulations on asyncio's own (not uvloop's) event loop.

    ``between``, if given, is awaited after each timer and what it caused, before time goes on. ``outside`` is this
    clock too unless another is given.
    """

    def __init__(
        self,
        start: float = 1_600_000_000.0,
        *,
        between: Callable[[], Awaitable[None]] | None = None,
        outside: Clock | None = None,
    ) -> None:
        self.outside: Clock = outside or self
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._timers: _Queue = []
        self._routine: _Queue = []  # their times are ``_hopped`` seconds too early
        self._hopped = 0.0
        self._stirred = 0.0  # when something last happened that was no routine
        self._dead = 0  # cancelled timers still in a queue
        self._between = between
        self._settling = 0
        self.fired = 0

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, routine: bool = False) -> Timer:
        timer = _VirtualTimer(self, delay, callback, args, routine=routine)
        due = self._elapsed + max(delay, 0.0)
        if routine:
            heapq.heappush(self._routine, (due - self._hopped, next(self._order), timer))
        else:
            heapq.heappush(self._timers, (due, next(self._order), timer))
        return timer

    async def sleep(self, delay: float, *, routine: bool = False) -> None:
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_later(delay, lambda: None if woken.done() else woken.set_result(None), routine=routine)
        try:
            await woken
        finally:
            timer.cancel()

    def stir(self) -> None:
        """Something came from outside: no hop before ``QUIET`` more seconds."""
        self._stirred = self._elapsed

    def cancelled(self) -> None:
        """One more timer waits in vain."""
        self._dead += 1
        if self._dead > 1000 and self._dead * 2 > len(self._timers) + len(self._routine):
            for queue in (self._timers, self._routine):
                queue[:] = [entry for entry in queue if not entry[2].cancelled]
                heapq.heapify(queue)
            self._dead = 0

    async def advance(self, seconds: float) -> None:
        """Move time on by ``seconds``, firing what falls due in order and settling after each."""
        await self.settle()
        end = self._elapsed + seconds
        self.stir()
        while (timer := self._next(end)) is not None:
            timer.cancelled = True  # a cancel that comes now has nothing to take out of a queue
            timer.callback(*timer.args)
            self.fired += 1
            if not timer.routine:
                self.stir()
            await self.settle()
            if self._between is not None:
                await self._between()
        self._elapsed = max(self._elapsed, end)

    def _next(self, end: float) -> _VirtualTimer | None:
        """The timer that is due next, its time being now; None if there is none until ``end``."""
        for queue in (self._timers, self._routine):
            while queue and queue[0][2].cancelled:
                heapq.heappop(queue)
                self._dead -= 1
        other = self._timers[0][:2] if self._timers else (math.inf, 0)
        if self._elapsed - self._stirred >= QUIET:
            self._hop(min(other[0], end) - QUIET)
        routine = (self._routine[0][0] + self._hopped, self._routine[0][1]) if self._routine else (math.inf, 0)
        due = min(other, routine)
        if due[0] > end:
            return None
        self._elapsed = max(self._elapsed, due[0])
        return heapq.heappop(self._timers if other <= routine else self._routine)[2]

    def _hop(self, landing: float) -> None:
        distance = landing - self._elapsed
        if distance <= 0:
            return
        self._elapsed = landing
        self._hopped += distance
        for at, (due, order, timer) in enumerate(self._routine):
            if timer.delay <= QUIET:
                self._routine[at] = (landing + timer.delay - self._hopped, order, timer)
            elif timer.delay <= LONG and due + self._hopped - distance <= landing:
                self._routine[at] = (landing - self._hopped, order, timer)
        heapq.heapify(self._routine)

    async def settle(self) -> None:
        """Return once the event loop has nothing left to run without new input or time, and the jobs that were given
        to threads are done.

        Looks at asyncio's ready queue: another loop (uvloop) does not have one, and is refused. Of threads it knows on
        a ``SettlingLoop``.
        """
        loop = asyncio.get_running_loop()
        ready = getattr(loop, "_ready", None)
        if ready is None:
            raise RuntimeError("VirtualClock needs asyncio's own event loop; this is another implementation")
        while True:
            self._settling += 1
            try:
                await asyncio.sleep(0)
            finally:
                self._settling -= 1
            if len(ready) > self._settling:  # more than the others who wait for the same
                continue
            jobs = loop.jobs if isinstance(loop, SettlingLoop) else ()
            if not jobs:
                return
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)


class SettlingLoop(asyncio.SelectorEventLoop):
    """asyncio's event loop, which also knows what threads do for it."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: set[asyncio.Future[Any]] = set()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        job = super().run_in_executor(executor, func, *args)
        self.jobs.add(job)
        job.add_done_callback(self.jobs.discard)
        return job
