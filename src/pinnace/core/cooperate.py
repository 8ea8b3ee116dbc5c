"""Long work leaves the event loop to others: it takes turns of a few milliseconds each, or a thread of its own."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar, TypeVarTuple

from pinnace.core.clock import Clock

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

#: Documents of more bytes than this are worked on ``aside``.
LARGE = 256 * 1024
#: The same for YAML, which takes some fifty times as long as JSON.
LARGE_YAML = 16 * 1024


@types.coroutine
def breathe() -> Generator[None, None, None]:
    """Let the event loop run what else is ready, then go on."""
    yield


async def aside(work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """``work(*arguments)`` in a thread. What it changes must be its caller's own until it is done.

    One thread, one work after the other: the event loop waits for the interpreter's lock behind each that runs.
    """
    return await asyncio.get_running_loop().run_in_executor(_thread(), work, *arguments)


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="aside")


#: What one turn of the event loop may begin.
TURN_SECONDS = 0.002
TURN_TASKS = 12
TURN_QUIET = 4


class Turn:
    """How much of what comes in is taken up in one turn of the event loop: hundreds of clients may speak at once. Who
    finds it ``full`` leaves what came where it is; the loop tells of it again. Whoever begins a task says so, since it
    runs in the next turn with all others begun in this one.

    The loop tells when a busy turn is over, which costs some microseconds. So a turn counts as busy once ``TURN_QUIET``
    have come in what the loop says is the same moment: uvloop's time stands still for most of a turn."""

    def __init__(self, clock: Clock) -> None:
        self.begun = 0
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._came = 0
        self._at = -1.0
        self._busy = False
        self._until = 0.0

    @property
    def full(self) -> bool:
        if self._busy:
            return self.begun >= TURN_TASKS or self._clock.monotonic() > self._until
        at = self._loop.time()
        if at != self._at:
            self._at = at
            self._came = self.begun = 0
        self._came += 1
        if self._came >= TURN_QUIET:
            self._busy = True
            self._until = self._clock.monotonic() + TURN_SECONDS
            self._loop.call_soon(self._over)
        return False

    def _over(self) -> None:
        self._busy = False
        self._at = -1.0
