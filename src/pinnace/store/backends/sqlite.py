"""The embedded durable store: a journal in one SQLite file, written by one thread.

A batch is one INSERT statement, so one transaction with one fsync (WAL, synchronous=FULL), and few hand-overs of the
interpreter lock to a thread that an event loop under load would keep waiting. A statement keeps what was bound to it
last, so there is one only for each power of two of rows, and what is left over of its rows is NULL. The file's form,
its lock and its checks are ``sqlite_file``'s.

Rules: after opening, only the writer thread touches the connection. A failed write of which SQLite says that it was
rolled back for lack of space or memory is looked for afterwards, and refused; after any other failure (a failed fsync
above all) nobody can say what a restart would find, so the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from pinnace.core.clock import Clock
from pinnace.store.backends.checkpoint import Checkpointer
from pinnace.store.backends.sqlite_file import POSITION_BITS, OpenFile, open_file
from pinnace.store.compactor import Policy
from pinnace.store.local import LocalStore
from pinnace.store.protocol import Event, OutcomeUnknownError, Stamp, StoreError

T = TypeVar("T")

#: Rows per INSERT; more are several statements in one transaction.
ROWS = 128
#: Free pages beyond this many, and beyond a third of the file, are given back, so many at a time.
FREE_PAGES = 2048
VACUUM_PAGES = 256

_ROLLED_BACK = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_READONLY,
)
_FORGET = f"""
DELETE FROM log WHERE id IN (
  SELECT l.id FROM json_each(?) AS gone CROSS JOIN log AS l
  WHERE l.id >= json_extract(gone.value, '$[0]') << {POSITION_BITS}
    AND l.id < (json_extract(gone.value, '$[0]') + 1) << {POSITION_BITS}
    AND l.key = json_extract(gone.value, '$[1]'))
"""


@cache
def _insert(rows: int) -> str:
    """For up to so many rows, those that have an id."""
    values = ", ".join(["(?,?,?,?,?)"] * rows)
    return f"INSERT INTO log (id, key, value, created, version) SELECT * FROM (VALUES {values}) WHERE column1 NOTNULL"


class SqliteJournal:
    """Implements ``commit.Journal`` over an opened file."""

    def __init__(self, file: OpenFile, path: Path) -> None:
        self._connection = file.connection
        self._lock = file.lock
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._checkpointer = Checkpointer(path, file.connection)
        self._thread = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._thread.start()

    # -- in the event loop's thread

    def append(self, events: Sequence[Event], done: Callable[[StoreError | None], None]) -> None:
        rows: list[Any] = []
        size = 0
        revision = position = 0
        for event in events:
            position = position + 1 if event.revision == revision else 0
            revision = event.revision
            item = event.current
            if item is None:
                rows += (revision << POSITION_BITS | position, event.key, None, 0, 0)
            else:
                rows += (
                    revision << POSITION_BITS | position,
                    event.key,
                    item.value,
                    item.create_revision,
                    item.version,
                )
                size += len(item.value)
        self._jobs.put(lambda: self._append(rows, size, revision, done))

    def _landed(self, revision: int, done: Callable[[StoreError | None], None]) -> None:
        self._lock.answered = revision
        done(None)

    async def compact(self, revision: int) -> None:
        await self._call(lambda: self._execute("UPDATE meta SET compacted = ?", (revision,)))

    async def forget(self, gone: Sequence[tuple[int, str]]) -> None:
        rows = json.dumps(gone)
        await self._call(lambda: self._forget(rows))

    async def close(self) -> None:
        await self._call(self._close)
        self._jobs.put(None)
        self._thread.join()
        self._lock.release()

    async def _call(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the writer thread, after what is queued. Raises StoreError for a failure of SQLite."""
        future: asyncio.Future[T] = self._loop.create_future()

        def deliver(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def job() -> None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - the caller waits in another thread and must be told
                self._report(deliver, None, StoreError(f"cannot write {self._path}: {error}"))
            else:
                self._report(deliver, result, None)

        self._jobs.put(job)
        return await future

    # -- in the writer thread

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _report(self, call: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(call, *args)

    def _close(self) -> None:
        self._checkpointer.close()
        self._connection.close()  # the last one: copies the rest of the log and removes it

    def _execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        self._connection.execute(statement, parameters)

    def _append(self, rows: list[Any], size: int, revision: int, done: Callable[[StoreError | None], None]) -> None:
        try:
            if len(rows) <= ROWS * 5:
                self._insert(rows)
            else:
                self._connection.execute("BEGIN IMMEDIATE")
                for start in range(0, len(rows), ROWS * 5):
                    self._insert(rows[start : start + ROWS * 5])
                self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the callers wait in another thread and must be told
            self._report(done, self._failure(error, rows[0]))
            return
        self._report(self._landed, revision, done)
        self._checkpointer.wrote(size)

    def _insert(self, rows: list[Any]) -> None:
        count = len(rows) // 5
        room = 1 << (count - 1).bit_length()
        self._connection.execute(_insert(room), rows + [None] * 5 * (room - count))

    def _failure(self, error: Exception, first: int) -> StoreError:
        """What became of a batch that failed, whose first row would be ``first``."""
        message = f"cannot write {self._path}: {error}"
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            (kept,) = self._connection.execute("SELECT count(*) FROM log WHERE id >= ?", (first,)).fetchone()
        except sqlite3.Error as second:
            message, kept = f"{message}; then: {second}", -1
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if not kept and code in _ROLLED_BACK:
            advice = "free space and try again" if code == sqlite3.SQLITE_FULL else "try again"
            return StoreError(f"{message}; nothing was written: {advice}")
        return OutcomeUnknownError(
            f"{message}; whether the last writes were kept is unknown, so no more are accepted: check the disk, "
            "then restart Pinnace"
        )

    def _forget(self, rows: str) -> None:
        self._connection.execute(_FORGET, (rows,))
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        if free > FREE_PAGES:
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            if free > pages // 3:
                # executescript: it steps to the end, where execute stops after the first page.
                self._connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")


async def open_sqlite(path: Path, *, stamp: Stamp, clock: Clock, policy: Policy | None = None) -> LocalStore:
    """The store in the file at ``path``, created if it does not exist. Raises StoreError as ``open_file`` does."""
    file = open_file(path)
    journal = SqliteJournal(file, path)
    return LocalStore(file.view, journal, stamp=stamp, clock=clock, policy=policy, garbage=file.garbage)
