"""hostPath: a file, directory, socket or device of the node, checked or made before it is used."""

from __future__ import annotations

import stat
from pathlib import Path

from pinnace.kubelet.volumes.payload import PayloadError

_CHECKS = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


def prepare(path: Path, kind: str) -> None:
    """Raises PayloadError if ``path`` is not what ``kind`` says; OSError if it cannot be made."""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    check = _CHECKS.get(kind.removesuffix("OrCreate"))
    if check is None:  # "" checks nothing
        return
    test, complaint = check
    if not path.exists() or not test(path.stat().st_mode):
        raise PayloadError(f"hostPath type check failed: {path} {complaint}")
