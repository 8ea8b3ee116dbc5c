"""Giving a volume to a Pod's group: fsGroup."""

from __future__ import annotations

import os
import stat
from pathlib import Path

ON_MISMATCH = "OnRootMismatch"
_FILE = 0o660
_DIRECTORY = 0o770 | stat.S_ISGID


def give(root: Path, group: int, policy: str) -> None:
    """Let ``group`` own all below ``root``, read and write it, and own what is made there. With ``OnRootMismatch``
    nothing is touched if the root is right already. Links are not followed. Raises OSError."""
    if policy == ON_MISMATCH and _is_right(root, group):
        return
    for directory, _, files in os.walk(root, topdown=False):  # the root last: it tells that all of it is done
        for name in files:
            _give(Path(directory, name), group)
        _give(Path(directory), group)


def _is_right(root: Path, group: int) -> bool:
    status = root.stat()
    return status.st_gid == group and status.st_mode & _DIRECTORY == _DIRECTORY


def _give(path: Path, group: int) -> None:
    try:
        status = path.lstat()
        os.chown(path, -1, group, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            return
        path.chmod(stat.S_IMODE(status.st_mode) | (_DIRECTORY if stat.S_ISDIR(status.st_mode) else _FILE))
    except FileNotFoundError:  # gone since it was listed
        return
