"""What is particular to the SQLite file: space, failures of the disk, compactions cut short."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pinnace.core.clock import VirtualClock
from pinnace.store.backends import checkpoint, sqlite
from pinnace.store.backends.sqlite import SqliteJournal, open_sqlite
from pinnace.store.backends.sqlite_file import open_file
from pinnace.store.local import LocalStore
from pinnace.store.protocol import Delete, Put, StoreError, Txn


async def open_at(path: Path) -> LocalStore:
    return await open_sqlite(path, stamp=lambda value, revision: value, clock=VirtualClock())


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalStore]:
    store = await open_at(tmp_path / "store.db")
    yield store
    await store.close()


async def fill(store: LocalStore, count: int, size: int = 3000) -> None:
    await asyncio.gather(*[store.commit(Txn((), [Put(f"/k/{i % 50}", os.urandom(size))])) for i in range(count)])


def rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM log").fetchone()
    connection.close()
    return int(count)


async def test_secrets_are_readable_by_the_owner_only(store: LocalStore, tmp_path: Path) -> None:
    await fill(store, 1)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_every_commit_is_synced(tmp_path: Path) -> None:
    file = open_file(tmp_path / "store.db")
    assert file.connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
    assert file.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    file.connection.close()
    file.lock.release()


async def test_a_full_disk_is_reported_and_survived(tmp_path: Path) -> None:
    file = open_file(tmp_path / "store.db")
    pages = file.connection.execute("PRAGMA page_count").fetchone()[0] + 50
    file.connection.execute(f"PRAGMA max_page_count = {pages}")
    journal = SqliteJournal(file, tmp_path / "store.db")
    store = LocalStore(file.view, journal, stamp=lambda value, revision: value, clock=VirtualClock())
    await fill(store, 30)
    with pytest.raises(StoreError, match=r"store\.db: database or disk is full; nothing was written: free space"):
        await fill(store, 100)
    reached = store.revision
    assert 30 <= reached < 130
    with pytest.raises(StoreError, match="disk is full"):
        await store.commit(Txn((), [Put(f"/large/{i}", bytes(3000)) for i in range(300)]))
    await store.commit(Txn((), [Delete("/k/1")]))
    assert store.revision == reached + 1
    await store.close()
    again = await open_at(tmp_path / "store.db")
    assert (again.revision, again.get("/k/1"), again.range("/large/", "/large0").count) == (reached + 1, None, 0)
    await again.close()


async def test_after_another_failure_of_the_disk_nothing_more_is_accepted(tmp_path: Path) -> None:
    file = open_file(tmp_path / "store.db")

    class FailingDisk:
        def execute(self, statement: str, *arguments: object) -> sqlite3.Cursor:
            if statement.startswith("INSERT"):
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise error
            return file.connection.execute(statement, *arguments)  # type: ignore[arg-type]

        def __getattr__(self, name: str) -> object:
            return getattr(file.connection, name)

    journal = SqliteJournal(file, tmp_path / "store.db")
    journal._connection = FailingDisk()  # type: ignore[assignment]
    store = LocalStore(file.view, journal, stamp=lambda value, revision: value, clock=VirtualClock())
    for _ in range(2):
        with pytest.raises(StoreError, match=r"disk I/O error; whether the last writes were kept is unknown"):
            await store.commit(Txn((), [Put("/a", b"")]))
    assert store.get("/a") is None
    await store.close()


async def test_compacted_rows_leave_the_file_and_their_space_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "FREE_PAGES", 100)
    monkeypatch.setattr(checkpoint, "BYTES", 1 << 20)
    path = tmp_path / "store.db"
    store = await open_at(path)
    for _ in range(6):
        await fill(store, 1000)
        await store.compact(store.revision)
    wal = path.with_name("store.db-wal").stat().st_size
    await store.close()
    assert rows(path) == 50
    assert path.stat().st_size < 3 << 20, "of 18 MB written"
    assert wal < 12 << 20


async def test_a_compaction_cut_short_is_finished_after_opening_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    store = await open_at(path)
    await fill(store, 200)
    await store.commit(Txn((), [Delete("/k/1")]))

    async def fail(self: SqliteJournal, gone: object) -> None:
        raise StoreError("the disk went away")

    with monkeypatch.context() as broken:
        broken.setattr(SqliteJournal, "forget", fail)
        with pytest.raises(StoreError, match="went away"):
            await store.compact(201)
    before = [(item.key, item.mod_revision, item.version) for item in store.range("/", "0").items]
    await store.close()
    assert rows(path) == 201
    store = await open_at(path)
    assert (store.revision, store.compacted_revision) == (201, 201)
    assert [(item.key, item.mod_revision, item.version) for item in store.range("/", "0").items] == before
    await fill(store, 1)
    await store.compact(201)
    await store.close()
    assert rows(path) == 50


async def test_a_compaction_the_disk_refuses_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: LocalStore
) -> None:
    await fill(store, 200)

    async def fail(self: SqliteJournal, revision: int) -> None:
        raise StoreError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(SqliteJournal, "compact", fail)
        with pytest.raises(StoreError, match="disk full"):
            await store.compact(200)
    assert store.compacted_revision == 0
    assert store.range("/", "0", revision=1).count == 1
    await store.compact(200)
    await store.close()
    assert rows(tmp_path / "store.db") == 50
    with pytest.raises(StoreError, match="closed"):
        await store.compact(200)


async def test_rows_of_any_key_leave_the_file(store: LocalStore, tmp_path: Path) -> None:
    for key in ("/é𝄞日", "/quote'\"\\", "/%_*"):
        for _ in range(3):
            await store.commit(Txn((), [Put(key, b"")]))
    await store.compact(9)
    assert rows(tmp_path / "store.db") == 3


async def test_another_tool_may_read_the_file_meanwhile(store: LocalStore, tmp_path: Path) -> None:
    await fill(store, 10)
    assert rows(tmp_path / "store.db") == 10
    await fill(store, 10)
    assert store.revision == 20
