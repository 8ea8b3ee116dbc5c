"""What the node, its Pods and their containers use: read from cgroup files, /proc and file systems when asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pinnace.kubelet.pods.cgroups import Cgroups, Usage

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Bytes and inodes; ``available`` is what ordinary users may still take."""

    capacity: int
    available: int
    inodes: int = 0
    inodes_free: int = 0

    @property
    def used(self) -> int:
        return max(self.capacity - self.available, 0)


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """CPU time since boot in nanoseconds, memory in bytes: what could be had without swapping is available.
    ``nano_cores``: CPU in use now, where that need not be measured."""

    cpu_nanoseconds: int
    memory: int
    memory_available: int
    nodefs: FileSystem
    imagefs: FileSystem
    processes: int
    processes_limit: int
    nano_cores: int | None = None

    @property
    def working_set(self) -> int:
        return max(self.memory - self.memory_available, 0)


class Stats(Protocol):
    """What a node's server tells of it and its Pods."""

    def node(self) -> NodeUsage:
        """Raises OSError."""

    def pod(self, uid: str) -> Usage | None: ...

    def container(self, uid: str, container_id: str) -> Usage | None:
        """None if it does not run."""


class MachineStats:
    """``root`` is on the file system of Pods' volumes and logs, ``images`` on that of images."""

    def __init__(
        self,
        root: Path,
        images: Path,
        cgroups: Cgroups,
        *,
        proc: Path = _PROC,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._root = root
        self._images = images
        self._cgroups = cgroups
        self._proc = proc
        self._statvfs = statvfs

    def node(self) -> NodeUsage:
        """Raises OSError."""
        memory = dict(line.split()[:2] for line in (self._proc / "meminfo").read_text().splitlines())
        # user, nice, system, idle, iowait, irq, softirq, steal: all but the two in which nothing is done
        times = [int(word) for word in (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        busy = sum(times) - times[3] - times[4]
        running = (self._proc / "loadavg").read_text().split()[3].partition("/")[2]
        limit = (self._proc / "sys" / "kernel" / "pid_max").read_text()
        return NodeUsage(
            busy * (1_000_000_000 // _TICKS),
            int(memory["MemTotal:"]) * 1024,
            int(memory["MemAvailable:"]) * 1024,
            self._file_system(self._root),
            self._file_system(self._images),
            int(running),
            int(limit),
        )

    def _file_system(self, path: Path) -> FileSystem:
        found = self._statvfs(path)
        block = found.f_frsize
        return FileSystem(found.f_blocks * block, found.f_bavail * block, found.f_files, found.f_favail)

    def imagefs(self) -> FileSystem:
        """Raises OSError."""
        return self._file_system(self._images)

    def shares_disk(self) -> bool:
        """Whether images are on the same file system as the rest. Raises OSError."""
        return self._root.stat().st_dev == self._images.stat().st_dev

    def pod(self, uid: str) -> Usage | None:
        return self._cgroups.usage(uid)

    def container(self, uid: str, container_id: str) -> Usage | None:
        return self._cgroups.usage(uid, container_id)

    def processes(self, uid: str) -> int:
        """How many processes run in a Pod."""
        return len(self._cgroups.processes(uid))
