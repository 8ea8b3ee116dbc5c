"""Group commit: one durable write serves every transaction that waits.

Transactions queue. A batch of them is evaluated in order against the view and the batch's own writes so far (the
overlay), its values stamped with their revisions, and handed to the journal. Once the journal has made it durable it
goes into the view, then to the watches, then the waiters are answered, all in revision order. At most one batch is in
flight; what arrives meanwhile is the next batch:

    loop:     evaluate 1 | gather 2 ...        | apply 1, evaluate 2 | dispatch 1, answer 1, gather 3 ...
    journal:             | write 1, fsync      |                     | write 2, fsync

Rules: the view holds only what is durable. If the journal refuses a batch and is sure that nothing of it was kept, all
its waiters get StoreError and the next batch starts from the unchanged view. If it is not sure, no commit is
accepted any more: what is on disk is found out when the store is opened again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from pinnace.store.mvcc import View
from pinnace.store.protocol import (
    Committed,
    Delete,
    Event,
    KeyValue,
    OutcomeUnknownError,
    Put,
    Stamp,
    StoreError,
    Txn,
    check_txn,
)

#: Most transactions and bytes in one batch: bounds how long evaluating or applying one holds the event loop.
BATCH_TXNS = 128
BATCH_BYTES = 4 << 20

_ABSENT = KeyValue("", b"", 0, 0, 0)  # "not in the overlay", where None means deleted in it


class Journal(Protocol):
    """Where batches are made durable. Calls come from the event loop's thread and must not block it."""

    def append(self, events: Sequence[Event], done: Callable[[StoreError | None], None]) -> None:
        """Make ``events`` durable, all or none, then call ``done`` from the event loop (not inline): with None, with
        OutcomeUnknownError, or with StoreError if surely nothing of them was kept."""

    async def compact(self, revision: int) -> None:
        """Remember durably that nothing older than ``revision`` is needed. Raises StoreError."""

    async def forget(self, gone: Sequence[tuple[int, str]]) -> None:
        """Drop these (revision, key) rows; they are compacted, so it may also happen later. Raises StoreError."""

    async def close(self) -> None:
        """Release the files."""


class _Batch:
    __slots__ = ("answers", "events", "overlay", "revision", "size")

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.events: list[Event] = []
        self.overlay: dict[str, KeyValue | None] = {}
        self.answers: list[tuple[asyncio.Future[Committed], Committed | Exception]] = []
        self.size = 0


class GroupCommit:
    """One store's queue of transactions. ``applied`` is called with each batch's events once they are in the view."""

    def __init__(self, view: View, journal: Journal, stamp: Stamp, applied: Callable[[Sequence[Event]], None]) -> None:
        self._view = view
        self._journal = journal
        self._stamp = stamp
        self._applied = applied
        self._queue: deque[tuple[Txn, asyncio.Future[Committed]]] = deque()
        self._in_flight: _Batch | None = None
        self._scheduled = False  # a _flush is on its way
        self._refusal: str | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def refusal(self) -> str | None:
        """Why no commit is accepted any more; None as long as they are."""
        return self._refusal

    async def commit(self, txn: Txn) -> Committed:
        """As ``Store.commit``. A caller cancelled while waiting does not know whether it was committed."""
        if self._refusal is not None:
            raise StoreError(self._refusal)
        check_txn(txn)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Committed] = loop.create_future()
        self._queue.append((txn, future))
        if self._in_flight is None and not self._scheduled:
            # Not inline: whatever else became ready in this turn of the loop joins the batch.
            self._scheduled = True
            self._idle.clear()
            loop.call_soon(self._flush)
        return await future

    async def close(self) -> None:
        """Finish what was accepted, accept nothing more."""
        if self._refusal is None:
            self._refusal = "the store is closed"
        await self._idle.wait()

    def _flush(self) -> None:
        """Evaluate the next batch and send it off. Nothing is in flight."""
        self._scheduled = False
        view = self._view
        while self._queue:
            batch = _Batch(view.revision)
            while self._queue and len(batch.answers) < BATCH_TXNS and batch.size < BATCH_BYTES:
                txn, future = self._queue.popleft()
                if future.done():
                    continue  # its caller has gone: not begun, so not done
                try:
                    answer: Committed | Exception = self._evaluate(batch, txn)
                except Exception as error:  # noqa: BLE001 - the stamp refused a value: its caller's error, not the batch's
                    answer = error
                batch.answers.append((future, answer))
            if batch.events:
                self._in_flight = batch
                self._journal.append(batch.events, self._done)
                return
            _answer(batch)
        self._idle.set()

    def _evaluate(self, batch: _Batch, txn: Txn) -> Committed:
        """Add ``txn``'s writes to ``batch`` if its compares hold there; change nothing if the stamp raises."""
        overlay, current = batch.overlay, self._view.current
        for compare in txn.compares:
            item = overlay.get(compare.key, _ABSENT)
            if item is _ABSENT:
                item = current.get(compare.key)
            if (item.mod_revision if item is not None else 0) != compare.mod_revision:
                return Committed(False, batch.revision)
        revision = batch.revision + 1
        events: list[Event] = []
        puts: list[KeyValue] = []
        for write in txn.writes:
            key = write.key
            old = overlay.get(key, _ABSENT)
            if old is _ABSENT:
                old = current.get(key)
            if isinstance(write, Put):
                value = self._stamp(write.value, revision)
                created, version = (old.create_revision, old.version + 1) if old is not None else (revision, 1)
                new = KeyValue(old.key if old is not None else key, value, created, revision, version)
                puts.append(new)
                events.append(Event(new.key, revision, new, old))
            elif isinstance(write, Delete) and old is not None:
                events.append(Event(key, revision, None, old))
        if not events:
            return Committed(True, batch.revision)
        for event in events:
            overlay[event.key] = event.current
            batch.size += event.current.size if event.current is not None else 0
        batch.events += events
        batch.revision = revision
        return Committed(True, revision, puts)

    def _done(self, error: StoreError | None) -> None:
        """The journal is through with the batch in flight."""
        batch = self._in_flight
        assert batch is not None
        self._in_flight = None
        if error is None:
            self._view.apply(batch.events, batch.revision)
            self._flush()  # the next batch is written while this one is dispatched
            self._applied(batch.events)
            _answer(batch)
            return
        for future, _ in batch.answers:
            _fail(future, error)
        if isinstance(error, OutcomeUnknownError):
            self._refusal = str(error)
            while self._queue:
                _fail(self._queue.popleft()[1], StoreError(self._refusal))
        self._flush()


def _answer(batch: _Batch) -> None:
    for future, answer in batch.answers:
        if future.done():
            continue
        if isinstance(answer, Committed):
            future.set_result(answer)
        else:
            future.set_exception(answer)


def _fail(future: asyncio.Future[Committed], error: StoreError) -> None:
    if not future.done():
        future.set_exception(type(error)(str(error)))
