"""What a node whose process was killed left on this machine, ended and removed.

First in order, through its containerd, so that the network plugins undo what they did for each Pod; then by force:
whatever still runs in the Pods' cgroups, shims and containerd (their command lines name the node's own socket), mounts
below its directories, and the cgroups themselves. Nothing of anybody else is touched.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from pinnace.core.clock import Clock, timeout
from pinnace.kubelet.containerd import Containerd, ContainerdFailed
from pinnace.kubelet.pods.cgroups import Cgroups
from pinnace.kubelet.runtime.base import RUNNING, RuntimeFailure
from pinnace.kubelet.runtime.cri.runtime import CriRuntime
from pinnace.kubelet.volumes import mounts

log = logging.getLogger(__name__)

#: Seconds for the containers to end in order, and for a process to go once it is killed.
IN_ORDER, KILLED = 30.0, 5.0
AT_ONCE = 8
_PROC = Path("/proc")


def found(containerd: Containerd) -> bool:
    """Whether something of the node that has ``containerd`` still runs."""
    return any(_processes(containerd))


def running_containers(containerd: Containerd) -> int:
    """How many containers of Pods still run, their sandboxes not counted. Raises OSError."""
    tasks = containerd.directory / "state" / "io.containerd.runtime.v2.task" / "k8s.io"
    count = 0
    for bundle in tasks.iterdir() if tasks.is_dir() else ():
        try:
            annotations = json.loads((bundle / "config.json").read_bytes()).get("annotations") or {}
            runs = _runs(int((bundle / "init.pid").read_text()))
        except (FileNotFoundError, ValueError):  # on its way in or out
            continue
        count += runs and annotations.get("io.kubernetes.cri.container-type") == "container"
    return count


async def remove(containerd: Containerd, pods_dir: Path, data_dir: Path, clock: Clock, *, grace: float) -> None:
    """Leave nothing of the node that has ``containerd`` and its Pods in ``pods_dir``, both below ``data_dir``; its
    containers have ``grace`` seconds to end by themselves. The files stay: the next start goes on from them. Raises
    OSError."""
    if found(containerd):
        try:
            async with timeout(clock, IN_ORDER):
                await _end_in_order(containerd, clock, grace)
        except (ContainerdFailed, RuntimeFailure, TimeoutError) as error:
            log.warning("containers are killed, for they could not be stopped: %s", str(error) or "it took too long")
    cgroups = Cgroups()
    uids = [entry.name for entry in pods_dir.iterdir()] if pods_dir.is_dir() else []
    await _kill({pid for uid in uids for pid in cgroups.processes(uid)}, clock)
    while running := set(_processes(containerd)):  # what was about to start a container can have started another
        await _kill(running, clock)
    for point in mounts.mounted_below(data_dir):
        mounts.unmount(point)
    deadline = clock.monotonic() + KILLED
    while there := [uid for uid in uids if cgroups.exists(uid)]:
        for uid in there:
            cgroups.remove(uid)
        if clock.monotonic() > deadline:
            raise TimeoutError(f"cgroups of Pods {', '.join(there)} are still in use")
        await clock.sleep(0.02)
    cgroups.remove_if_empty()


async def _end_in_order(containerd: Containerd, clock: Clock, grace: float) -> None:
    """Goes on with the containerd that is there, or starts one to find the containers with."""
    runtime = CriRuntime(str(containerd.socket), clock)
    gate = asyncio.Semaphore(AT_ONCE)

    async def end(sandbox: str) -> None:
        async with gate:
            await runtime.stop_sandbox(sandbox)

    await containerd.start()
    try:
        await runtime.connect()
        pods = (await runtime.pods()).values()
        running = [c.id for state in pods for c in state.containers if c.state == RUNNING]
        await asyncio.gather(*(runtime.stop_container(container, grace) for container in running))
        await asyncio.gather(*(end(box.id) for state in pods for box in state.sandboxes))
    finally:
        await runtime.close()
        await containerd.stop()


def _processes(containerd: Containerd) -> Iterator[int]:
    """containerd itself, the shims of its containers and what is making one: all name its directory."""
    own = os.fsencode(containerd.directory) + b"/"
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            continue
        program = os.path.basename(command[0])
        if program.startswith((b"containerd", b"runc", b"crun")) and any(word.startswith(own) for word in command[1:]):
            yield int(entry.name)


async def _kill(pids: Iterable[int], clock: Clock) -> None:
    """Return when they are gone. Raises OSError (PermissionError)."""
    waiting = set(pids)
    for pid in waiting:
        _signal(pid, signal.SIGKILL)
    deadline = clock.monotonic() + KILLED
    while waiting := {pid for pid in waiting if _runs(pid)}:
        if clock.monotonic() > deadline:
            raise TimeoutError(f"processes do not end although they were killed: {', '.join(map(str, waiting))}")
        await clock.sleep(0.02)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _runs(pid: int) -> bool:
    """Whether the process is there, and not only its exit code."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
