"""What the SQLite store makes of processes killed and files damaged: nothing answered is lost without being said."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pinnace.core.clock import VirtualClock
from pinnace.store.open import open_store
from pinnace.store.protocol import Delete, Event, Put, Store, StoreError, Txn

ROUNDS = 8

#: Commits for ever, eight at a time, and compacts now and then; writes a line for each commit that was answered.
WRITER = """
import asyncio, os, random, sys
from pinnace.core.clock import RealClock
from pinnace.store.open import open_store
from pinnace.store.protocol import Delete, Put, Txn

async def main():
    rng = random.Random(int(sys.argv[2]))
    store = await open_store(sys.argv[1], stamp=lambda value, revision: value, clock=RealClock())
    os.write(1, b"ready\\n")
    async def client():
        while True:
            key, value = f"/k/{rng.randrange(60)}", rng.randbytes(rng.randrange(8000))
            write = Delete(key) if store.get(key) and not rng.randrange(5) else Put(key, value)
            answer = await store.commit(Txn((), [write, Put("/last", value[:9])]))
            what = value.hex() if isinstance(write, Put) else "-"
            os.write(1, f"{answer.revision} {key} {what}.\\n".encode())
            if not rng.randrange(100):
                await store.compact(max(store.revision - rng.randrange(150), store.compacted_revision))
    await asyncio.gather(*[client() for _ in range(8)])

asyncio.run(main())
"""


async def reopen(path: Path) -> Store:
    return await open_store(f"sqlite://{path}", stamp=lambda value, revision: value, clock=VirtualClock())


async def commit(store: Store, key: str, value: bytes) -> None:
    await store.commit(Txn((), [Put(key, value)]))


def killed_writer(path: Path, seed: int, delay: float) -> list[tuple[int, str, bytes | None]]:
    """Run the writer, kill it ``delay`` seconds after it began to commit; what it had been answered."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, f"sqlite://{path}", str(seed)], stdout=subprocess.PIPE, pipesize=1 << 20
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        killer = subprocess.Popen(["sh", "-c", f"sleep {delay}; kill -{signal.SIGKILL.value} {process.pid}"])
        lines = process.stdout.read().split(b"\n")
        killer.wait()
    answered = []
    for line in lines:
        if line.endswith(b"."):  # the last line may have been cut
            revision, key, value = line[:-1].decode().split(" ")
            answered.append((int(revision), key, None if value == "-" else bytes.fromhex(value)))
    return answered


async def test_nothing_answered_is_lost_by_kill_9(tmp_path: Path) -> None:
    rng = random.Random(7)
    path = tmp_path / "store.db"
    answered: dict[int, tuple[str, bytes | None]] = {}
    for round_ in range(ROUNDS):
        new = await asyncio.to_thread(killed_writer, path, round_, rng.uniform(0.0, 0.4))
        answered |= {revision: (key, value) for revision, key, value in new}
        store = await reopen(path)
        assert store.revision >= max(answered, default=0)
        latest: dict[str, int] = {}
        for revision, (key, value) in sorted(answered.items()):
            latest[key] = revision
            if revision < store.compacted_revision:
                continue
            item = store.get(key, revision)
            assert (item and item.value) == value
            assert value is None or (item is not None and item.mod_revision == revision)
        for key, revision in latest.items():
            item, value = store.get(key), answered[revision][1]
            if item is None or item.mod_revision < revision:
                # Deleted; if later than the last answer for this key, then by a commit that was not answered.
                assert item is None
                assert value is None or any(later not in answered for later in range(revision, store.revision + 1))
            elif item.mod_revision == revision:
                assert item.value == value
        events: list[Event] = []
        store.watch("/", "0", store.compacted_revision, lambda batch, seen=events: seen.extend(batch or ()))
        assert sorted({event.revision for event in events}) == list(
            range(store.compacted_revision + 1, store.revision + 1)
        )
        await store.close()
    assert len(answered) > 100


@pytest.fixture
async def crashed(tmp_path: Path) -> Path:
    """The files of a store of 40 keys whose process died, all in the write-ahead log but the first 20."""
    origin = tmp_path / "origin" / "store.db"
    store = await reopen(origin)
    for i in range(20):
        await commit(store, f"/k/{i:02}", b"x" * 2000)
    await store.close()
    store = await reopen(origin)
    for i in range(20, 40):
        await commit(store, f"/k/{i:02}", b"x" * 2000)
    await store.commit(Txn((), [Delete("/k/00")]))
    shutil.copytree(origin.parent, tmp_path / "crashed")
    await store.close()
    return tmp_path / "crashed" / "store.db"


async def outcome(path: Path) -> str:
    """ "whole" if the store of ``crashed`` opens with all it was answered, else the error."""
    try:
        store = await reopen(path)
    except StoreError as error:
        return str(error)
    found = store.range("/", "0")
    await commit(store, "/new", b"")
    await store.close()
    assert (found.revision, found.count) == (41, 39)
    return "whole"


async def test_a_crashed_store_is_whole(crashed: Path) -> None:
    assert (crashed.parent / "store.db-wal").stat().st_size > 20 * 2000
    assert await outcome(crashed) == "whole"


async def test_a_torn_end_of_the_log_is_dropped(crashed: Path) -> None:
    with (crashed.parent / "store.db-wal").open("ab") as file:
        file.write(random.Random(1).randbytes(3000))
    assert await outcome(crashed) == "whole"


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
async def test_a_truncated_log_is_noticed(crashed: Path, keep: float) -> None:
    wal = crashed.parent / "store.db-wal"
    os.truncate(wal, int(wal.stat().st_size * keep))
    message = await outcome(crashed)
    assert "store.db is damaged" in message
    assert "revision 41 had been answered" in message


async def test_a_missing_log_is_noticed_and_the_loss_can_be_accepted(crashed: Path) -> None:
    (crashed.parent / "store.db-wal").unlink()
    assert "it ends at revision 20, but revision 41 had been answered" in await outcome(crashed)
    (crashed.parent / "store.db.lock").unlink()
    store = await reopen(crashed)
    assert store.revision == 20
    await store.close()


@pytest.mark.parametrize("keep", [0, 1, 15, 50, 99, 100, 2000, 4096, 6000, 8192, 12288, 40000, -4096, -1])
@pytest.mark.parametrize("with_log", [True, False])
async def test_a_truncated_file_is_noticed(crashed: Path, keep: int, with_log: bool) -> None:
    if not with_log:
        await (await reopen(crashed)).close()
        assert not (crashed.parent / "store.db-wal").exists()
    size = crashed.stat().st_size
    os.truncate(crashed, keep if keep >= 0 else size + keep)
    message = await outcome(crashed)
    assert message == "whole" or "store.db is damaged" in message


@pytest.mark.parametrize("what", [b"garbage", b"SQLite format 3\0garbage", b"\0" * 8192, b"# notes\n" * 1000])
async def test_what_is_no_store_is_left_alone(tmp_path: Path, what: bytes) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(what)
    with pytest.raises(StoreError, match=r"store\.db is damaged \(file is not a database\)"):
        await reopen(path)
    assert path.read_bytes() == what


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text)")
    other.close()
    with pytest.raises(StoreError, match="another program's database"):
        await reopen(path)


async def test_a_newer_format_is_left_alone(crashed: Path) -> None:
    await (await reopen(crashed)).close()
    other = sqlite3.connect(crashed)
    other.execute("PRAGMA user_version = 2")
    other.close()
    with pytest.raises(StoreError, match=r"newer Pinnace \(.*format 2.*upgrade Pinnace or use another --data-dir"):
        await reopen(crashed)


async def test_an_interrupted_creation_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    store = await reopen(tmp_path / "store.db")
    await commit(store, "/a", b"")
    await store.close()
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("PRAGMA auto_vacuum = INCREMENTAL")
    other.execute("PRAGMA journal_mode = WAL")
    other.close()
    store = await reopen(tmp_path / "other.db")
    await commit(store, "/a", b"")
    await store.close()


async def test_a_missing_file_beside_its_log_is_noticed(crashed: Path) -> None:
    crashed.unlink()
    assert "store.db is missing but its write-ahead log" in await outcome(crashed)


async def test_a_hole_in_the_history_is_noticed(crashed: Path) -> None:
    await (await reopen(crashed)).close()
    other = sqlite3.connect(crashed)
    other.execute("DELETE FROM log WHERE id >> 16 = 7")
    other.commit()
    other.close()
    assert "revision 7 is missing" in await outcome(crashed)


async def test_one_process_at_a_time(crashed: Path) -> None:
    store = await reopen(crashed)
    script = WRITER.replace("asyncio.run(main())", "from pinnace.store.protocol import StoreError\n") + (
        "try:\n    asyncio.run(main())\nexcept StoreError as error:\n    print(error)\n"
    )
    other = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, f"sqlite://{crashed}", "1"], capture_output=True, timeout=20
    )
    assert b"store.db is in use by another process" in other.stdout
    with pytest.raises(StoreError, match="in use"):
        await reopen(crashed)
    await store.close()
    await (await reopen(crashed)).close()


async def test_a_database_locked_by_another_tool_is_in_use(crashed: Path) -> None:
    await (await reopen(crashed)).close()
    other = sqlite3.connect(crashed, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM log")
    with pytest.raises(StoreError, match=r"store\.db is in use by another process"):
        await reopen(crashed)
    other.execute("ROLLBACK")
    other.close()
    assert await outcome(crashed) == "whole"


async def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "directory", tmp_path / "file" / "store.db"):
        with pytest.raises(StoreError, match="cannot open"):
            await reopen(path)
