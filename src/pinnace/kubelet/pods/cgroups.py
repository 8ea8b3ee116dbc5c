"""Pods' own cgroups, on both versions of the hierarchy."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time so far in nanoseconds; working set, resident and all charged memory in bytes. ``nano_cores``: CPU in use
    now, where that need not be measured."""

    cpu_nanoseconds: int
    working_set: int
    resident: int
    memory: int
    nano_cores: int | None = None


ROOT = Path("/sys/fs/cgroup")
#: Where the hierarchy has the Pods of each class.
_CLASSES = ("", "burstable", "besteffort")
_V2_CONTROLLERS = "+cpu +memory +pids +cpuset"


class Cgroups:
    """``root`` is where the hierarchy is mounted."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._unified = (root / "cgroup.controllers").exists()

    def _hierarchies(self) -> list[Path]:
        """The directories below which a cgroup's path is looked up, each real one once."""
        if self._unified:
            return [self._root]
        return sorted({path.resolve() for path in self._root.iterdir() if path.is_dir()})

    def create(self, path: str, shares: int, quota: int | None, memory: int | None) -> None:
        """Make a Pod's cgroup with its limits. Idempotent. Raises OSError."""
        relative = path.lstrip("/")
        if self._unified:
            self._create_unified(relative, shares, quota, memory)
            return
        for name in ("cpu", "memory", "pids"):
            (self._root / name / relative).mkdir(parents=True, exist_ok=True)
        cpu = self._root / "cpu" / relative
        (cpu / "cpu.shares").write_text(str(shares))
        if quota is not None:
            (cpu / "cpu.cfs_quota_us").write_text(str(quota))
        if memory is not None:
            (self._root / "memory" / relative / "memory.limit_in_bytes").write_text(str(memory))

    def _create_unified(self, relative: str, shares: int, quota: int | None, memory: int | None) -> None:
        directory = self._root
        for part in Path(relative).parts:
            (directory / "cgroup.subtree_control").write_text(_V2_CONTROLLERS)
            directory = directory / part
            directory.mkdir(exist_ok=True)
        (directory / "cpu.weight").write_text(_weight(shares))
        if quota is not None:
            (directory / "cpu.max").write_text(f"{quota} 100000")
        if memory is not None:
            (directory / "memory.max").write_text(str(memory))

    def share_out(self, kind: str, shares: int) -> None:
        """Give all Pods of a class together (``burstable``, ``besteffort``, "" for all of them) this share of the
        CPUs. Nothing is done where no Pod is. Raises OSError."""
        relative = Path("kubepods", kind)
        path, text = self._root / "cpu" / relative / "cpu.shares", str(shares)
        if self._unified:
            path, text = self._root / relative / "cpu.weight", _weight(shares)
        if path.exists():
            path.write_text(text)

    def remove(self, uid: str) -> None:
        """Remove the Pod's cgroup and what is empty inside it, wherever its class put it."""
        for directory in self._of(uid):
            for inner in sorted(directory.rglob("*/"), reverse=True):
                self._remove(inner)
            self._remove(directory)

    def processes(self, uid: str) -> set[int]:
        """Who runs in the Pod's cgroup."""
        found: set[int] = set()
        for directory in self._of(uid):
            for inner, _, _ in os.walk(directory):
                try:
                    found.update(map(int, Path(inner, "cgroup.procs").read_text().split()))
                except OSError as error:  # removed meanwhile, and so nobody is in it
                    log.debug("%s", error)
        return found

    def usage(self, uid: str, container_id: str = "") -> Usage | None:
        """What a Pod, or one of its containers, uses; None if it has no cgroup (any more)."""
        for middle in _CLASSES:
            relative = Path("kubepods", middle, f"pod{uid}", container_id)
            try:
                return self._unified_usage(relative) if self._unified else self._usage(relative)
            except FileNotFoundError:  # of another class, or gone
                continue
        return None

    def _usage(self, relative: Path) -> Usage:
        memory = self._root / "memory" / relative
        charged = int((memory / "memory.usage_in_bytes").read_text())
        stat = _table((memory / "memory.stat").read_text())
        cpu = int((self._root / "cpuacct" / relative / "cpuacct.usage").read_text())
        return Usage(cpu, max(charged - stat["total_inactive_file"], 0), stat["total_rss"], charged)

    def _unified_usage(self, relative: Path) -> Usage:
        directory = self._root / relative
        charged = int((directory / "memory.current").read_text())
        stat = _table((directory / "memory.stat").read_text())
        cpu = _table((directory / "cpu.stat").read_text())["usage_usec"] * 1000
        return Usage(cpu, max(charged - stat["inactive_file"], 0), stat["anon"], charged)

    def exists(self, uid: str) -> bool:
        return any(self._of(uid))

    def remove_if_empty(self) -> None:
        """Remove what all Pods' cgroups are in, where there are none."""
        for hierarchy in self._hierarchies():
            for name in ("kubepods/burstable", "kubepods/besteffort", "kubepods"):
                self._remove(hierarchy / name)

    def _of(self, uid: str) -> Iterator[Path]:
        for hierarchy in self._hierarchies():
            for middle in _CLASSES:
                directory = hierarchy / "kubepods" / middle / f"pod{uid}"
                if directory.is_dir():
                    yield directory

    @staticmethod
    def _remove(directory: Path) -> None:
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:  # a process in it is still ending: the next housekeeping removes it
            log.debug("cgroup %s stays for now: %s", directory, error)


def _table(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def _weight(shares: int) -> str:
    """What the second version of the hierarchy calls them."""
    return str(1 + ((shares - 2) * 9999) // 262_142)
