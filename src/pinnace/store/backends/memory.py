"""The store that lives and dies with its process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from pinnace.core.clock import Clock
from pinnace.store.compactor import Policy
from pinnace.store.local import LocalStore
from pinnace.store.mvcc import View
from pinnace.store.protocol import Event, Stamp, StoreError


class MemoryJournal:
    """Keeps nothing: the view is all there is. Implements ``commit.Journal``."""

    def append(self, events: Sequence[Event], done: Callable[[StoreError | None], None]) -> None:
        asyncio.get_running_loop().call_soon(done, None)

    async def compact(self, revision: int) -> None:
        pass

    async def forget(self, gone: Sequence[tuple[int, str]]) -> None:
        pass

    async def close(self) -> None:
        pass


def open_memory(*, stamp: Stamp, clock: Clock, policy: Policy | None = None) -> LocalStore:
    """An empty store at revision 0."""
    return LocalStore(View(), MemoryJournal(), stamp=stamp, clock=clock, policy=policy)
