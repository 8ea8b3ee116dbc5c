"""Parts of a running system and the tasks inside them.

A ``Part`` is what the composition root starts and stops. ``Tasks`` owns a part's background tasks: none is lost, none
outlives ``stop``, and one that fails is reported and, if it is to run for ever, started again after a back-off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from pinnace.core.backoff import Backoff
from pinnace.core.clock import Clock

log = logging.getLogger(__name__)


class Part(Protocol):
    """One component of a cluster: API server, controllers, scheduler, node, network, an add-on."""

    name: str

    async def start(self) -> None:
        """Return once the part does its work; raise, leaving nothing running, if it cannot."""

    async def stop(self) -> None:
        """End everything the part started. Idempotent; also after a failed ``start``."""


class Tasks:
    """The background tasks of one part. There are thousands of parts, most of which have none: they cost little."""

    __slots__ = ("_backoff", "_clock", "_name", "_tasks")

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._tasks: set[asyncio.Task[Any]] | None = None
        self._backoff: Backoff | None = None

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run ``work`` once; a failure is logged with its traceback."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}/{name}")
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def forever(self, work: Callable[[], Awaitable[None]], *, name: str) -> asyncio.Task[Any]:
        """Run ``work()`` and, whenever it returns or fails, again after a back-off, until ``stop``."""
        return self.spawn(self._forever(work, name), name=name)

    async def _forever(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        if self._backoff is None:
            self._backoff = Backoff(base=0.1, cap=30.0)
        while True:
            started = self._clock.monotonic()
            try:
                await work()
                log.warning("%s/%s ended and is started again", self._name, name)
            except Exception:
                log.exception("%s/%s failed and is started again", self._name, name)
            if self._clock.monotonic() - started > 60.0:
                self._backoff.forget(name)
            await self._clock.sleep(self._backoff.next(name))

    def _ended(self, task: asyncio.Task[Any]) -> None:
        assert self._tasks is not None
        self._tasks.discard(task)
        if not self._tasks:
            self._tasks = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    async def stop(self) -> None:
        """Cancel every task and wait until each has ended."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks or () if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
