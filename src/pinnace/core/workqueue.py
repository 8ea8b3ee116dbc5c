"""A queue of keys for reconcilers.

Promises, as client-go's workqueue makes them: a key waiting is held once however often it is added; a key being
worked on is never handed out a second time, and if it is added meanwhile it is handed out again afterwards; keys come
out in the order they were first added. Bounded by the number of distinct keys.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from pinnace.core.backoff import Backoff
from pinnace.core.clock import Clock, Timer

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys waiting for ``run``'s workers, with per-key back-off after failures."""

    def __init__(self, clock: Clock, *, base_delay: float = 0.005, max_delay: float = 1000.0) -> None:
        self._clock = clock
        self._backoff = Backoff(base=base_delay, cap=max_delay)
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()  # waiting, or to be handed out again when done
        self._working: set[K] = set()
        self._timers: dict[K, tuple[float, Timer]] = {}  # earliest delayed add of a key
        self._routines: dict[K, Timer] = {}
        self._wakeup = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._wakeup.set()

    def add_after(self, key: K, delay: float) -> None:
        """Add ``key`` in ``delay`` seconds; of several delayed adds of one key the earliest counts."""
        if delay <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay
        pending = self._timers.get(key)
        if pending is not None:
            if pending[0] <= due:
                return
            pending[1].cancel()
        self._timers[key] = (due, self._clock.call_later(delay, self._due, key))

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def add_routinely(self, key: K, delay: float) -> None:
        """Add ``key`` in ``delay`` seconds, as a routine of the clock; of several such adds the last counts."""
        pending = self._routines.pop(key, None)
        if pending is not None:
            pending.cancel()
        self._routines[key] = self._clock.call_later(delay, self._routine_due, key, routine=True)

    def _routine_due(self, key: K) -> None:
        self._routines.pop(key, None)
        self.add(key)

    def retry(self, key: K) -> float:
        """Add ``key`` after its back-off and return that delay in seconds."""
        delay = self._backoff.next(key)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        self._backoff.forget(key)

    def failures(self, key: K) -> int:
        return self._backoff.failures(key)

    async def get(self) -> K:
        """Wait for the next key and mark it as being worked on; ``done`` must follow."""
        while not self._ready:
            self._wakeup.clear()
            await self._wakeup.wait()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        self._working.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wakeup.set()

    async def run(self, work: Callable[[K], Awaitable[None]], failed: Callable[[K, Exception, float], None]) -> None:
        """One worker: hand keys to ``work`` for ever. A key whose work raises is retried after its back-off and
        reported to ``failed(key, error, delay)``; one that returns starts its back-off anew. Run it several times for
        several workers; it ends only by cancellation."""
        while True:
            key = await self.get()
            try:
                await work(key)
            except Exception as error:  # noqa: BLE001 - any failure of one key is that key's, and is reported
                failed(key, error, self.retry(key))
            else:
                self.forget(key)
            finally:
                self.done(key)

    def close(self) -> None:
        """Cancel every delayed add."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for timer in self._routines.values():
            timer.cancel()
        self._routines.clear()
