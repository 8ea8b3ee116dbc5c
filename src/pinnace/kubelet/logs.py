"""Reading container logs as CRI writes them: ``<time> <stdout|stderr> <F|P> <text>``, one line each.

P marks a part of a longer line, F its end. Reading from the end of large files costs what is shown, not what is there.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from pinnace.core.clock import Clock, parse_timestamp

BLOCK = 64 << 10
#: Seconds between two looks at a file that is followed.
POLL = 0.1


#: Pieces of a log; close it with ``aclose``.
Chunks: TypeAlias = AsyncGenerator[bytes, None]


class LogError(Exception):
    """A log that cannot be read; the text is the client's."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    follow: bool = False
    tail_lines: int | None = None
    since: float | None = None  # seconds since the epoch
    limit_bytes: int | None = None
    timestamps: bool = False
    stream: str = ""  # "Stdout", "Stderr", or "" for both


@dataclass(frozen=True, slots=True)
class Entry:
    time: bytes
    stream: bytes
    partial: bool
    text: bytes  # with its newline if it is whole


def parse(line: bytes) -> Entry | None:
    """One line of the file, None if it is not in CRI's form."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    text = parts[3] if len(parts) == 4 else b""
    partial = parts[2].split(b":")[0] == b"P"
    return Entry(parts[0], parts[1], partial, text if partial else text + b"\n")


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last ``lines`` whole lines begin; a line in parts counts once."""
    file.seek(0, os.SEEK_END)
    end = file.tell()
    if lines <= 0:
        return end
    position, rest, wanted = end, b"", lines
    offset = end
    while position > 0:
        size = min(BLOCK, position)
        position -= size
        file.seek(position)
        rest = file.read(size) + rest
        starts = [0] if position == 0 else []
        index = rest.find(b"\n")
        while index != -1 and index + 1 < len(rest):
            starts.append(index + 1)
            index = rest.find(b"\n", index + 1)
        for start in reversed(starts):
            entry = parse(rest[start : rest.find(b"\n", start) + 1 or None])
            if entry is not None and not entry.partial:
                if wanted == 0:
                    return offset
                wanted -= 1
            offset = position + start
        rest = rest[: starts[0]] if starts else rest
    return 0


def _shown(entry: Entry, options: LogOptions, continued: bool) -> bytes:
    if options.stream and entry.stream != options.stream.lower().encode():
        return b""
    if options.since is not None and _seconds(entry.time) < options.since:
        return b""
    prefix = entry.time + b" " if options.timestamps and not continued else b""
    return prefix + entry.text


def _seconds(stamp: bytes) -> float:
    text = stamp.decode(errors="replace")
    head, dot, fraction = text.partition(".")
    if dot:  # nanoseconds are more than the parser takes
        digits = len(fraction) - len(fraction.lstrip("0123456789"))
        text = f"{head}.{fraction[: min(digits, 6)]}{fraction[digits:]}"
    try:
        return parse_timestamp(text)
    except ValueError:
        return float("inf")


class _Reader:
    """Whole lines of a file from an offset on, as far as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rest = b""

    def lines(self) -> Iterator[bytes]:
        while block := self._file.read(BLOCK):
            self._rest += block
            *whole, self._rest = self._rest.split(b"\n")
            yield from (line + b"\n" for line in whole)


async def read(path: Path, options: LogOptions, clock: Clock, running: Callable[[], bool]) -> Chunks:
    """Chunks of the log; with ``follow`` until the container has ended (``running()`` is False) and all is read.
    Raises LogError."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise LogError(f'failed to try resolving symlinks in path "{path}": {error}') from error
    left = options.limit_bytes
    try:
        if options.tail_lines is not None:
            file.seek(tail_offset(file, options.tail_lines))
        reader, continued, rotated = _Reader(file), False, False
        while True:
            ended = not running()
            chunk = bytearray()
            for line in reader.lines():
                entry = parse(line)
                if entry is None:
                    continue
                chunk += _shown(entry, options, continued)
                continued = entry.partial
                if left is not None and len(chunk) >= left:
                    yield bytes(chunk[:left])
                    return
                if len(chunk) >= BLOCK:
                    left = None if left is None else left - len(chunk)
                    yield bytes(chunk)
                    chunk = bytearray()
            if chunk:
                left = None if left is None else left - len(chunk)
                yield bytes(chunk)
            if not options.follow or ended:
                return
            if rotated:
                fresh = path.open("rb")
                file.close()
                file, reader, rotated = fresh, _Reader(fresh), False
                continue
            rotated = _replaced(path, file)
            if not rotated:  # else read once more: nothing is written to the old file from now on
                await clock.sleep(POLL)
    finally:
        file.close()


def _replaced(path: Path, file: BinaryIO) -> bool:
    """Whether the log was rotated: another file has its name."""
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:  # between the two steps of a rotation
        return False


def tail_of(path: Path, lines: int, limit: int) -> str:
    """The last lines of a log as text, at most ``limit`` bytes; "" if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(tail_offset(file, lines))
            entries = [entry for line in file if (entry := parse(line)) is not None]
    except OSError:
        return ""
    return b"".join(entry.text for entry in entries)[-limit:].decode(errors="replace")
