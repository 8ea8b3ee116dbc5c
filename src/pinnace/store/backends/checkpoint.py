"""Moves what the write-ahead log holds into the SQLite file without making commits wait.

A checkpoint of some megabytes takes tens of milliseconds. SQLite lets another connection do it while commits go on,
but then the log never ends: it starts anew only once all of it is in the file. So the bulk is copied by a thread with
its own connection, and what was committed meanwhile, little, by the writer itself between two commits.

State, changed by the writer alone but for ``copied``: idle -> (log grew by ``BYTES``) bulk under way -> ``copied`` set
by the thread -> writer copies the rest -> idle. A checkpoint that fails loses nothing: the log is kept, and the next
one tries again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path
from queue import SimpleQueue

log = logging.getLogger(__name__)

#: A checkpoint begins when values of this many bytes were written since the last one.
BYTES = 8 << 20


class Checkpointer:
    """Called from the writer's thread only; ``writer`` is its connection."""

    def __init__(self, path: Path, writer: sqlite3.Connection) -> None:
        self._path = path
        self._writer = writer
        self._size = 0
        self._under_way = False
        self._copied = threading.Event()
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def wrote(self, size: int) -> None:
        """A commit of ``size`` bytes was made."""
        self._size += size
        if self._under_way:
            if self._copied.is_set():
                self._under_way = False
                self._size = 0
                self._checkpoint(self._writer)
        elif self._size >= BYTES:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
                self._thread.start()
            self._under_way = True
            self._copied.clear()
            self._wanted.put(True)

    def close(self) -> None:
        if self._thread is not None:
            self._wanted.put(False)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while self._wanted.get():
            if connection is None:
                connection = sqlite3.connect(self._path, isolation_level=None)
                connection.execute("PRAGMA synchronous = FULL")
            self._checkpoint(connection)
            self._copied.set()
        if connection is not None:
            connection.close()

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            log.warning("%s-wal grows, as it cannot be copied into the file: %s", self._path, error)
