"""The SQLite file: who may open it, what is in it, and whether that is whole.

One row per write, in commit order, under the id ``revision << 16 | position in the transaction``; a deletion is a row
with a NULL value. The rows after ``meta.compacted`` are the history; of the older ones only the newest of each key
counts, the rest is garbage that a compaction had not dropped yet.

``<file>.lock`` is locked (flock) while the file is open. It holds the newest revision that was answered, so that a
write-ahead log that lost its end is noticed instead of silently serving an older state. It is written without fsync,
after the revision became durable: it may lag behind the file, never run ahead of it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from pinnace.store.mvcc import View
from pinnace.store.protocol import Event, KeyValue, StoreError

APPLICATION_ID = 0x504E4E43
FORMAT = 1
#: Bits of a row's id for its position in its transaction.
POSITION_BITS = 16
#: Milliseconds that a write waits for a tool that looks into the file meanwhile.
BUSY_TIMEOUT = 5000
#: Prepared statements kept: one for each power of two of rows in an INSERT, and the others.
STATEMENTS = 32

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE log (id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, created INTEGER NOT NULL,
  version INTEGER NOT NULL);
CREATE TABLE meta (compacted INTEGER NOT NULL);
INSERT INTO meta VALUES (0);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
COMMIT;
"""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


class FileLock:
    """Exclusive use of one store file by one process, and the newest revision it answered."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError if another process has it, OSError if the lock file cannot be used."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._fd).st_size < 8:
                os.pwrite(self._fd, bytes(8), 0)
            self._map = mmap.mmap(self._fd, 8)
        except BlockingIOError:
            os.close(self._fd)
            raise StoreError(
                f"{path.with_suffix('')} is in use by another process: stop it or use another --data-dir"
            ) from None
        except OSError:
            os.close(self._fd)
            raise

    @property
    def answered(self) -> int:
        return int.from_bytes(self._map[:8], "little")

    @answered.setter
    def answered(self, revision: int) -> None:
        self._map[:8] = revision.to_bytes(8, "little")

    def release(self) -> None:
        self._map.close()
        os.close(self._fd)


@dataclass(slots=True)
class OpenFile:
    """A checked, loaded file: what it holds, the connection and the lock that keep it."""

    connection: sqlite3.Connection
    lock: FileLock
    view: View
    #: (revision, key) of compacted rows still in the file.
    garbage: list[tuple[int, str]] = field(default_factory=list)


def open_file(path: Path) -> OpenFile:
    """Lock, create if need be, check and load the file at ``path``. Raises StoreError and leaves nothing open."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"))
        try:
            return _open(path, lock)
        except BaseException:
            lock.release()
            raise
    except OSError as error:
        raise StoreError(f"cannot open {path}: {error.strerror or error}") from error


def _open(path: Path, lock: FileLock) -> OpenFile:
    wal = path.with_name(path.name + "-wal")
    if not path.exists():
        if wal.exists() and wal.stat().st_size:
            raise StoreError(
                f"{path} is missing but its write-ahead log {wal.name} is there: restore the file, "
                f"or remove {wal.name} to start empty"
            )
        lock.answered = 0
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    elif not path.stat().st_size and lock.answered:
        raise StoreError(_damaged(path, "it is empty, but had been written"))
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, timeout=0, check_same_thread=False, cached_statements=STATEMENTS
        )
    except sqlite3.Error as error:
        raise StoreError(f"cannot open {path}: {error}") from error
    try:
        _prepare(connection, path)
        view, garbage = _load(connection, path)
        if view.revision < lock.answered:
            raise StoreError(
                _damaged(path, f"it ends at revision {view.revision}, but revision {lock.answered} had been answered")
                + f". To go on without the lost writes, remove {path.name}.lock"
            )
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        return OpenFile(connection, lock, view, garbage)
    except sqlite3.Error as error:
        connection.close()
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            raise StoreError(f"{path} is in use by another process: stop it or use another --data-dir") from error
        if code in _DAMAGED:
            raise StoreError(_damaged(path, str(error))) from error
        raise StoreError(f"cannot open {path}: {error}") from error
    except BaseException:
        connection.close()
        raise


def _damaged(path: Path, what: str) -> str:
    return f"{path} is damaged ({what}): restore it from a backup, or use another --data-dir"


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check whose file it is, create the schema in an empty one, set the journal up."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    empty = not tables and not application and not version
    if not empty and application != APPLICATION_ID:
        raise StoreError(f"{path} is not a Pinnace store but another program's database: use another --data-dir")
    if version > FORMAT:
        raise StoreError(
            f"data directory was written by a newer Pinnace ({path} has store format {version}, this one knows up to "
            f"{FORMAT}): upgrade Pinnace or use another --data-dir"
        )
    if empty:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(f"{path} is on a file system where SQLite cannot keep a write-ahead log: use a local one")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # the journal decides when
    if empty:
        connection.executescript(_SCHEMA)


def _load(connection: sqlite3.Connection, path: Path) -> tuple[View, list[tuple[int, str]]]:
    (compacted,) = connection.execute("SELECT compacted FROM meta").fetchone()
    split = (compacted + 1) << POSITION_BITS
    garbage: list[tuple[int, str]] = []
    base: dict[str, KeyValue] = {}
    rows = connection.execute("SELECT id, key, value, created, version FROM log WHERE id < ? ORDER BY id", (split,))
    for id_, key, value, created, version in rows:
        revision = id_ >> POSITION_BITS
        old = base.pop(key, None)
        if old is not None:
            garbage.append((old.mod_revision, key))
        if value is None:
            garbage.append((revision, key))
        else:
            base[key] = KeyValue(key, value, created, revision, version)
    view = View()
    view.restore([base[key] for key in sorted(base)], compacted)
    events: list[Event] = []
    latest: dict[str, KeyValue | None] = {}
    last = compacted
    rows = connection.execute("SELECT id, key, value, created, version FROM log WHERE id >= ? ORDER BY id", (split,))
    for id_, key, value, created, version in rows:
        revision = id_ >> POSITION_BITS
        if revision > last + 1:
            raise StoreError(_damaged(path, f"revision {last + 1} is missing"))
        last = revision
        old = latest[key] if key in latest else base.get(key)
        new = KeyValue(key, value, created, revision, version) if value is not None else None
        if version != (old.version + 1 if old is not None else 1) and new is not None:
            raise StoreError(_damaged(path, f"revision {revision} does not follow from what is before it"))
        latest[key] = new
        events.append(Event(key, revision, new, old))
    view.apply(events, last)
    return view, garbage
