"""Writing a set of files so that a reader sees all of one version or all of another.

The files are in a directory named for the moment, ``..data`` is a symbolic link to it, and each file's name in the
volume is a symbolic link through ``..data``. A new version is a new directory and one rename of the link.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DATA = "..data"
_NEW = "..data_tmp"


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    mode: int = 0o644
    owner: int | None = None


def write(target: Path, files: Mapping[str, File], stamp: str, group: int | None = None) -> bool:
    """Make ``target`` hold exactly ``files`` (relative path -> file); False if it already did. Raises OSError.

    ``stamp`` names the moment (``2026_11_21_09_14_00``); ``group`` owns everything if given.
    """
    current = target / DATA
    if current.is_symlink() and _same(current, files, group):
        return False
    before = current.resolve() if current.is_symlink() else None
    fresh = Path(tempfile.mkdtemp(prefix=f"..{stamp}.", dir=target))
    fresh.chmod(0o755 if group is None else 0o2755)
    for name, file in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode if group is None else file.mode | 0o440)
        if file.owner is not None or group is not None:
            os.chown(path, -1 if file.owner is None else file.owner, -1 if group is None else group)
    if group is not None:
        os.chown(fresh, -1, group)
    link = target / _NEW
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(current)
    _link_names(target, files)
    if before is not None and before != fresh and before.parent == target.resolve():
        shutil.rmtree(before, ignore_errors=True)
    for stale in target.glob("..[0-9]*"):  # a version that a crash left half written
        if stale.name != fresh.name:
            shutil.rmtree(stale, ignore_errors=True)
    return True


def _link_names(target: Path, files: Mapping[str, File]) -> None:
    tops = {name.split("/", 1)[0] for name in files}
    for top in tops:
        link = target / top
        if not link.is_symlink():
            link.symlink_to(Path(DATA) / top)
    for entry in target.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()


def _same(current: Path, files: Mapping[str, File], group: int | None) -> bool:
    if not current.is_dir():
        return False
    root = current.resolve()
    present = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    if present != set(files):
        return False
    for name, file in files.items():
        path = root / name
        mode = file.mode if group is None else file.mode | 0o440
        if path.stat().st_mode & 0o7777 != mode or path.read_bytes() != file.content:
            return False
    return True
