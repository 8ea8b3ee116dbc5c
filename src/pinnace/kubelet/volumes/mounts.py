"""Mounting and unmounting, by the system calls themselves."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

_MNT_DETACH = 2
_MS_NOSUID, _MS_NODEV = 2, 4


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount_tmpfs(target: Path, *, size: int = 0, mode: int = 0o777) -> None:
    """``size`` in bytes, 0 for the kernel's default. Raises OSError."""
    options = f"mode={mode:o}{f',size={size}' if size else ''}"
    _check(
        _libc().mount(b"tmpfs", os.fsencode(target), b"tmpfs", _MS_NOSUID | _MS_NODEV, options.encode()),
        f"cannot mount a tmpfs at {target}",
    )


def unmount(target: Path) -> None:
    """Unmount, at once even if somebody still uses it. Raises OSError."""
    _check(_libc().umount2(os.fsencode(target), _MNT_DETACH), f"cannot unmount {target}")


def mounted_below(directory: Path) -> list[Path]:
    """Mount points in ``directory``, the deepest first."""
    prefix = str(directory.resolve()) + "/"
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].encode().decode("unicode_escape")
        if point.startswith(prefix):
            found.append(Path(point))
    return sorted(found, reverse=True)


def is_mount(path: Path) -> bool:
    return os.path.ismount(path)
