"""Reading logs in CRI's form."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnace.core.clock import VirtualClock
from pinnace.kubelet.logs import LogError, LogOptions, read, tail_of

LINES = [
    b"2026-11-21T10:00:00.123456789Z stdout F one\n",
    b"2026-11-21T10:00:01.123456789Z stderr F two\n",
    b"2026-11-21T10:00:02.123456789Z stdout P thr\n",
    b"2026-11-21T10:00:02.223456789Z stdout F ee\n",
    b"2026-11-21T10:00:03.123456789Z stdout F \n",
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(LINES))
    return path


async def text(path: Path, options: LogOptions) -> bytes:
    return b"".join([chunk async for chunk in read(path, options, VirtualClock(), lambda: False)])


async def test_parts_of_a_line_are_joined(log: Path) -> None:
    assert await text(log, LogOptions()) == b"one\ntwo\nthree\n\n"


async def test_timestamps_come_once_a_line(log: Path) -> None:
    shown = await text(log, LogOptions(timestamps=True, tail_lines=2))
    assert shown == b"2026-11-21T10:00:02.123456789Z three\n2026-11-21T10:00:03.123456789Z \n"


async def test_selections(log: Path) -> None:
    assert await text(log, LogOptions(tail_lines=0)) == b""
    assert await text(log, LogOptions(tail_lines=1)) == b"\n"
    assert await text(log, LogOptions(tail_lines=3)) == b"two\nthree\n\n"
    assert await text(log, LogOptions(tail_lines=99)) == b"one\ntwo\nthree\n\n"
    assert await text(log, LogOptions(stream="Stderr")) == b"two\n"
    assert await text(log, LogOptions(limit_bytes=6)) == b"one\ntw"
    since = 1795255202.0  # 10:00:02
    assert await text(log, LogOptions(since=since)) == b"three\n\n"


async def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="No such file"):
        await text(tmp_path / "no", LogOptions())


async def test_following_ends_with_the_container(log: Path) -> None:
    clock, running, seen = VirtualClock(), [True], bytearray()

    async def follow() -> None:
        async for chunk in read(log, LogOptions(follow=True, tail_lines=1), clock, lambda: running[0]):
            seen.extend(chunk)

    task = asyncio.create_task(follow())
    await clock.advance(1)
    with log.open("ab") as file:
        file.write(b"2026-11-21T10:00:04Z stdout F half")
        file.flush()
        await clock.advance(1)
        assert bytes(seen) == b"\n"
        file.write(b" done\n")
    await clock.advance(1)
    assert bytes(seen) == b"\nhalf done\n"
    running[0] = False
    await clock.advance(1)
    assert task.done()


def test_the_tail_as_text(log: Path) -> None:
    assert tail_of(log, 2, 100) == "three\n\n"
    assert tail_of(log, 2, 3) == "e\n\n"
    assert tail_of(log.parent / "no", 2, 100) == ""


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.tuples(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), st.booleans()), max_size=60),
    wanted=st.integers(0, 20),
)
def test_a_tail_is_the_end_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[bytes, bool]], wanted: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "0.log"
    whole = [(content, partial) for content, partial in lines] + [(b"end", False)]
    path.write_bytes(
        b"".join(b"2026-11-21T10:00:00Z stdout %s %s\n" % (b"P" if partial else b"F", c) for c, partial in whole)
    )
    everything = asyncio.run(text(path, LogOptions()))
    tail = asyncio.run(text(path, LogOptions(tail_lines=wanted)))
    logical = everything.split(b"\n")[:-1]
    assert tail == b"".join(line + b"\n" for line in logical[len(logical) - min(wanted, len(logical)) :])
