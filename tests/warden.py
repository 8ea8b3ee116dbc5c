"""Ends what tests have left running in the background, when the test run itself was killed.

A process of its own waits until this one is gone. ``after_death(command)`` says what it does then; it does nothing if
this one ended as processes end, having cleaned up itself.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_SECONDS = 60
_DONE = b"done\n"
_warden: IO[bytes] | None = None


def after_death(*command: str | Path) -> None:
    """Have ``command`` run if this process is killed; commands run in the order of the calls."""
    global _warden
    if _warden is None:
        _warden = _start()
    _warden.write(json.dumps([str(word) for word in command]).encode() + b"\n")
    _warden.flush()


def _start() -> IO[bytes]:
    reading, writing = os.pipe()
    pipe = os.fdopen(writing, "wb")
    with os.fdopen(reading, "rb") as theirs:
        quiet = subprocess.DEVNULL
        command = [sys.executable, "-S", __file__]
        process = subprocess.Popen(command, stdin=theirs, stdout=quiet, stderr=quiet, start_new_session=True)

    def done() -> None:
        pipe.write(_DONE)
        pipe.close()
        process.wait()

    atexit.register(done)
    return pipe


def wait(lines: IO[bytes]) -> list[Sequence[str]]:
    """The commands to run once ``lines`` have ended."""
    commands: list[Sequence[str]] = []
    for line in lines:
        if line == _DONE:
            return []
        commands.append(json.loads(line))
    return commands


def main() -> None:
    for command in wait(sys.stdin.buffer):
        try:
            subprocess.run(command, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue  # nobody is there to be told


if __name__ == "__main__":
    main()
