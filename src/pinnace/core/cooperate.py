"""Long work leaves the event loop to others: it takes turns of a few milliseconds each, or a thread of its own."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar, TypeVarTuple

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
