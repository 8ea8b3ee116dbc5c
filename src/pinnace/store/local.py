"""A store whose only writer is this process: the view, group commit, watches and compaction over a journal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pinnace.core.clock import Clock
from pinnace.core.cooperate import breathe
from pinnace.store.commit import GroupCommit, Journal
from pinnace.store.compactor import Compactor, Policy
from pinnace.store.mvcc import View
from pinnace.store.packer import Packer
from pinnace.store.protocol import Committed, Event, Stamp, StoreError, Txn
from pinnace.store.reads import Reads

#: Events freed, and rows dropped, in one go by a compaction.
SLICE = 200


class LocalStore(Reads):
    """Implements ``protocol.Store``. ``view`` and ``journal`` hold the same state when they are handed over;
    ``garbage`` are compacted rows that the journal still has."""

    def __init__(
        self,
        view: View,
        journal: Journal,
        *,
        stamp: Stamp,
        clock: Clock,
        policy: Policy | None = None,
        garbage: Sequence[tuple[int, str]] = (),
    ) -> None:
        super().__init__(view)
        self._journal = journal
        self._commits = GroupCommit(view, journal, stamp, self._applied)
        self._compactor = Compactor(view, clock, policy or Policy(), self.compact)
        self._packer = Packer(view, clock)
        self._compacting = asyncio.Lock()
        self._garbage = list(garbage)  # compacted rows the journal has yet to drop
        self._compactor.changed()

    @property
    def refusal(self) -> str | None:
        return self._commits.refusal

    async def sync(self) -> int:
        return self._view.revision

    async def commit(self, txn: Txn) -> Committed:
        return await self._commits.commit(txn)

    def _applied(self, events: Sequence[Event]) -> None:
        self._watchers.dispatch(events)
        self._compactor.changed()
        self._packer.changed()

    async def compact(self, revision: int) -> None:
        async with self._compacting:
            if self._closed:
                raise StoreError("the store is closed")
            self._view.check(revision)
            if revision > self._view.compacted:
                await self._journal.compact(revision)
                self._view.compact(revision)
            while (gone := self._view.trim(SLICE)) is not None:
                # Dropped from the journal only now that the compaction is durable; kept here if that fails.
                self._garbage += gone
                await self._drop_garbage()
                await breathe()
            await self._drop_garbage()

    async def _drop_garbage(self) -> None:
        while self._garbage:
            await self._journal.forget(self._garbage[:SLICE])
            del self._garbage[:SLICE]

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._packer.stop()
        await self._compactor.stop()
        await self._commits.close()
        self._watchers.close()
        async with self._compacting:
            await self._journal.close()
