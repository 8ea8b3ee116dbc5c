"""The data directory: one cluster's files, held by one process at a time.

::

    lock           held (flock) by the process that runs the cluster, so it is free the moment that process is gone
    format         the layout's version, written once
    run.json       how to reach the running cluster; only true while the lock is held
    pinnace.log    what a detached cluster prints
    *.conf         kubeconfigs for parts that run as processes of their own
    pki/ store/ node/   each of its own room
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, cast

import orjson

from pinnace.cluster.errors import ClusterError, Exit

FORMAT = 1


class DataDir:
    """See the module's docstring. ``acquire`` before writing anything else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def log(self) -> Path:
        return self.path / "pinnace.log"

    def acquire(self) -> None:
        """Make the directory if needed and hold its lock. Raises ClusterError: in use, newer, not permitted."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ClusterError(
                Exit.NOT_PERMITTED,
                f"cannot use the data directory {self.path}: {error.strerror}; choose one: --data-dir",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            holder = self.running()
            by = f" (process {holder['pid']}, {holder['server']})" if holder else ""
            raise ClusterError(
                Exit.DATA_IN_USE,
                f"the data directory {self.path} is in use by another Pinnace{by}; stop it with "
                f"'pinnace down --data-dir {self.path}' or choose another --data-dir",
            ) from error
        self._lock = lock
        (self.path / "run.json").unlink(missing_ok=True)  # what an earlier process said is no longer true
        try:
            self._check_format()
        except ClusterError:
            self.release()
            raise

    def _check_format(self) -> None:
        file = self.path / "format"
        try:
            text = file.read_text().strip()
        except FileNotFoundError:
            self.write("format", f"{FORMAT}\n".encode())
            return
        if not text.isdecimal():
            raise ClusterError(
                Exit.DATA_DAMAGED, f"{file} should hold the data's version number and holds {text[:40]!r}; restore it"
            )
        if int(text) > FORMAT:
            raise ClusterError(
                Exit.DATA_NEWER,
                f"the data directory {self.path} is from a newer Pinnace (data version {text}, this one knows "
                f"{FORMAT}); upgrade Pinnace or choose another --data-dir",
            )

    def write(self, name: str, content: bytes, mode: int = 0o600) -> None:
        """Replace a file of the directory in one step: a crash leaves the old one or the new one."""
        unfinished = self.path / f".{name}.{os.getpid()}"
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(unfinished, self.path / name)

    def keep(self, name: str, content: bytes) -> None:
        """Have ``content`` in a file of the directory, which only its owner may read."""
        try:
            if (self.path / name).read_bytes() == content:
                return
        except FileNotFoundError:
            pass
        self.write(name, content)

    def announce(self, facts: dict[str, Any]) -> None:
        """Tell other commands how to reach the cluster this process runs."""
        self.write("run.json", orjson.dumps(facts, option=orjson.OPT_INDENT_2) + b"\n")

    def running(self) -> dict[str, Any] | None:
        """What the process that holds the lock announced; None if nobody holds it or it has not said yet."""
        return self.last_announced() if self.is_held() else None

    def last_announced(self) -> dict[str, Any] | None:
        """What was announced last, be it true or not any more."""
        try:
            return cast(dict[str, Any], orjson.loads((self.path / "run.json").read_bytes()))
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None

    def is_held(self) -> bool:
        """Whether some process, this one included, runs a cluster on the directory."""
        if self._lock is not None:
            return True
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except PermissionError as error:
            raise ClusterError(
                Exit.NOT_PERMITTED, f"the data directory {self.path} belongs to another user: {error.strerror}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
