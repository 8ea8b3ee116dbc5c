"""Looking after what the node has left: its conditions, and the Pods that have to go when it is too little."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pinnace.api import meta
from pinnace.api.errors import ApiError
from pinnace.api.types import Object
from pinnace.client.recorder import WARNING, Recorder
from pinnace.core.clock import Clock
from pinnace.kubelet import eviction
from pinnace.kubelet.configuration import Configuration
from pinnace.kubelet.eviction import Consumption, Shortage
from pinnace.kubelet.image_gc import ImageCollector
from pinnace.kubelet.lifecycle.situation import Waiting
from pinnace.kubelet.node import NodeAgent
from pinnace.kubelet.pods.gate import Gate
from pinnace.kubelet.pods.manager import PodManager
from pinnace.kubelet.pods.worker import PodWorker
from pinnace.kubelet.runtime.base import RUNNING, RuntimeFailure
from pinnace.kubelet.stats import MachineStats

log = logging.getLogger(__name__)

#: Seconds between two looks, and that an ended Pod gets to be gone before the next one has to go.
EVERY, GONE = 10.0, 30.0
#: Seconds of grace for a Pod that goes because the node runs short.
GRACE = 1.0


class Pressure:
    """Of one real node. ``pods_dir`` and ``logs_dir`` hold a directory per Pod."""

    def __init__(
        self,
        clock: Clock,
        chosen: Configuration,
        stats: MachineStats,
        manager: PodManager,
        images: ImageCollector,
        agent: NodeAgent,
        gate: Gate,
        recorder: Recorder,
        *,
        node: Object,
        pods_dir: Path,
        logs_dir: Path,
    ) -> None:
        self._clock = clock
        self._chosen = chosen
        self._stats = stats
        self._manager = manager
        self._images = images
        self._agent = agent
        self._gate = gate
        self._recorder = recorder
        self._node = node
        self._pods_dir = pods_dir
        self._logs_dir = logs_dir
        self._seen: dict[str, float] = {}  # condition -> when it was last true

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                if await self.look():
                    await self._clock.sleep(1.0)
                    continue
            except (RuntimeFailure, ApiError, OSError, TimeoutError, ValueError) as error:
                log.warning("cannot look after what the node has left: %s", error)
            await self._clock.sleep(EVERY, routine=True)

    async def look(self) -> bool:
        """One look, and what follows from it; whether a Pod had to go. Raises OSError, ApiError, RuntimeFailure."""
        met = self._met()
        self._seen, held = eviction.conditions(
            met, self._seen, self._clock.monotonic(), self._chosen.evictionPressureTransitionPeriod
        )
        if held != list(self._gate.pressure):
            self._gate.pressure = self._agent.pressure = held
            await self._agent.report()
        if await self._end_over_own_limits():
            return True
        if not met:
            return False
        shortage = met[0]
        log.warning(
            "the node is low on %s: %d left, %d wanted", shortage.signal, shortage.available, shortage.threshold
        )
        text = f"Attempting to reclaim {shortage.resource}"
        self._recorder.event(self._node, WARNING, "EvictionThresholdMet", text)
        if shortage.condition == "DiskPressure" and await self._images.remove_unused():
            if shortage.signal not in [again.signal for again in self._met()]:
                return False
        return await self._end_one(shortage)

    def _met(self) -> list[Shortage]:
        return eviction.shortages(self._stats.node(), self._chosen.evictionHard)

    async def _end_one(self, shortage: Shortage) -> bool:
        workers = {meta.uid(worker.pod): worker for worker in self._running()}
        used = {uid: await self._consumption(worker, shortage.resource) for uid, worker in workers.items()}
        ranked = eviction.rank(
            [worker.pod for worker in workers.values()], shortage.resource, lambda pod: used[meta.uid(pod)]
        )
        for pod in ranked:
            text = eviction.message(shortage, pod, used[meta.uid(pod)])
            await self._end(workers[meta.uid(pod)], text)
            return True
        log.warning("the node is low on %s, and runs no Pod that may be ended for it", shortage.signal)
        return False

    async def _end_over_own_limits(self) -> bool:
        ended = False
        for worker in self._running():
            if not eviction.has_own_limits(worker.pod):
                continue
            disk, volumes = await self._disk(worker)
            if text := eviction.over_own_limits(worker.pod, disk, volumes):
                await self._end(worker, text)
                ended = True
        return ended

    def _running(self) -> list[PodWorker]:
        return [worker for worker in self._manager.workers() if not worker.terminating]

    async def _end(self, worker: PodWorker, text: str) -> None:
        """Return once it is gone, or has had its time."""
        log.warning("Pod %s is ended: %s", meta.key(worker.pod), text)
        self._recorder.event(worker.pod, WARNING, "Evicted", text)
        worker.fail(Waiting("Evicted", text), disruption=text, grace=GRACE)
        deadline = self._clock.monotonic() + GONE
        while self._clock.monotonic() < deadline and any(c.state == RUNNING for c in worker.state.containers):
            await self._clock.sleep(0.1)

    # -- what a Pod uses

    async def _consumption(self, worker: PodWorker, resource: str) -> Consumption:
        uid = meta.uid(worker.pod)
        if resource in (eviction.DISK, "inodes"):
            return (await self._disk(worker))[0]
        if resource == eviction.PIDS:
            return Consumption(self._stats.processes(uid))
        whole = self._stats.pod(uid)
        containers = {
            container.name: usage.working_set
            for container in worker.state.containers
            if container.state == RUNNING and (usage := self._stats.container(uid, container.id)) is not None
        }
        return Consumption(whole.working_set if whole is not None else 0, containers)

    async def _disk(self, worker: PodWorker) -> tuple[Consumption, Mapping[str, int]]:
        """What a Pod has written: its containers' own layers and logs, and its emptyDirs, which are told apart too."""
        pod = worker.pod
        uid = meta.uid(pod)
        volumes: dict[str, int] = {}
        for volume in pod["spec"].get("volumes") or ():
            source = volume.get("emptyDir")
            if source is not None and source.get("medium") != "Memory":
                path = self._pods_dir / uid / "volumes" / "kubernetes.io~empty-dir" / volume["name"]
                volumes[volume["name"]] = await asyncio.to_thread(size_of, path)
        logs = self._logs_dir / f"{meta.namespace(pod)}_{meta.name(pod)}_{uid}"
        containers: dict[str, int] = {}
        for container in worker.state.containers:
            if container.name not in containers:
                layer = await self._manager.runtime.written(container.id)
                containers[container.name] = layer + await asyncio.to_thread(size_of, logs / container.name)
        return Consumption(sum(containers.values()) + sum(volumes.values()), containers), volumes


def size_of(directory: Path) -> int:
    """Bytes on disk of all files below ``directory``; what goes meanwhile does not count."""
    total = 0
    for inner, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(os.path.join(inner, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
