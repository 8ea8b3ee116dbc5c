"""Starting containers through the kubelet, beside the same calls made to containerd directly, in one run.

A start through the kubelet is counted from the Pod's creation to its Ready condition at the API server. The raw start
makes the same sandbox and container with the configurations that the kubelet made of a Pod like it. Each begins when
the node has been left alone for a moment: kernel and containerd clear up for a while after what was removed. The CPU
time is that of all there is to it: API server, kubelet, containerd, its shims, the OCI runtime, the Pod's own
processes.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.nodes import Node, real_node

from pinnace.api import meta
from pinnace.api.resources import PODS
from pinnace.kubelet.pods import manager
from pinnace.kubelet.pods.cgroups import ROOT
from pinnace.kubelet.runtime.base import POD_UID

STARTS = 20
#: Seconds that kernel and containerd have to clear up after what was removed.
SETTLE = 0.3
AT_ONCE = 50
SPEC: dict[str, Any] = {"containers": [{"name": "main", "command": ["sleep", "3600"]}]}


def starts() -> tuple[float, float, float, float]:
    """Median seconds of one start through the kubelet and of a raw one, seconds until 50 Pods made at once are all
    Ready, and seconds of CPU that each of these took."""
    with _accounted() as spent:
        return asyncio.run(_starts(spent))


@contextmanager
def _accounted() -> Iterator[Path]:
    """A cgroup for this process and all that it starts, Pods' own excepted: the file with the CPU time it has had."""
    unified = (ROOT / "cgroup.controllers").exists()
    above = ROOT if unified else ROOT / "cpuacct"
    own = above / f"pinnace-bench-{os.getpid()}"
    own.mkdir()
    try:
        (own / "cgroup.procs").write_text(str(os.getpid()))
        yield own / ("cpu.stat" if unified else "cpuacct.usage")
    finally:
        (above / "cgroup.procs").write_text(str(os.getpid()))
        own.rmdir()


def _seconds(spent: Path) -> float:
    words = spent.read_text().split()
    return int(words[0]) / 1e9 if len(words) == 1 else int(words[words.index("usage_usec") + 1]) / 1e6


async def _starts(spent: Path) -> tuple[float, float, float, float]:
    manager.RELIST = 3600.0  # what is started raw belongs to no Pod, and would be taken apart meanwhile
    async with real_node() as node:
        ready = _Ready(node)
        await ready.of("warm-up")
        through, raw = [], []
        for number in range(STARTS):
            await asyncio.sleep(SETTLE)
            through.append(await ready.of(f"one-{number}"))
            await asyncio.sleep(SETTLE)
            raw.append(await _raw(node, number))
            await _remove(node, f"one-{number}")
        before, began = _seconds(spent), time.perf_counter()
        await asyncio.gather(*(ready.of(f"many-{number}") for number in range(AT_ONCE)))
        together, cpu = time.perf_counter() - began, _seconds(spent) - before
        for number in range(AT_ONCE):
            usage = node.kubelet._cgroups.usage(meta.uid(await node.get(f"many-{number}")))
            cpu += usage.cpu_nanoseconds / 1e9 if usage is not None else 0.0
        return statistics.median(through), statistics.median(raw), together, cpu / AT_ONCE


async def _remove(node: Node, name: str) -> None:
    """Return once nothing of the Pod runs: its end would be counted with the next start through the kubelet alone."""
    uid = meta.uid(await node.get(name))
    await node.client.delete(PODS, name, "default", grace_period_seconds=0)
    while True:
        if not (await node.kubelet.runtime.pod(uid)).sandboxes:
            return
        await asyncio.sleep(0.01)


class _Ready:
    """Tells when Pods are Ready, by one watch: looking again and again would slow what is measured."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._waiting: dict[str, asyncio.Event] = {}
        node.kubelet._pods.add_handler(self._seen)

    def _seen(self, old: object, new: dict[str, Any] | None) -> None:
        if new is not None and meta.has_condition(new, "Ready") and meta.name(new) in self._waiting:
            self._waiting[meta.name(new)].set()

    async def of(self, name: str) -> float:
        """Seconds from the creation of a Pod to its being Ready."""
        waiting = self._waiting[name] = asyncio.Event()
        began = time.perf_counter()
        await self._node.pod(name, SPEC)
        await waiting.wait()
        return time.perf_counter() - began


async def _raw(node: Node, number: int) -> float:
    """Seconds of RunPodSandbox, CreateContainer and StartContainer; they are removed again."""
    kubelet = node.kubelet
    pod = meta.copy(await node.get(f"one-{number}"))
    pod["metadata"].update(name=f"raw-{number}", uid=f"raw-{number}")
    preparation = kubelet._preparation
    await preparation.mount(pod)
    image = await kubelet.runtime.image("docker.io/library/busybox:latest")
    assert image is not None
    box = await preparation.sandbox(pod, 0)
    state = await kubelet.runtime.pod(box["labels"][POD_UID])
    config = await preparation.container(pod, pod["spec"]["containers"][0], "regular", 0, state, box, image)
    config["image"] = {"image": image.id}
    began = time.perf_counter()
    sandbox = await kubelet.runtime.run_sandbox(box)
    await kubelet.runtime.start_container(await kubelet.runtime.create_container(sandbox, config, box))
    took = time.perf_counter() - began
    await kubelet.runtime.stop_sandbox(sandbox)
    await kubelet.runtime.remove_sandbox(sandbox)
    return took
