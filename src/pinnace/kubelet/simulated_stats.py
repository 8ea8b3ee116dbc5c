"""What simulated nodes, Pods and containers seem to use: always the same for the same objects, and nothing is measured.

A container uses what its Pod's annotations say, ``pinnace.dev/cpu-usage[.NAME]`` (``250m``) and
``pinnace.dev/memory-usage[.NAME]`` (``64Mi``), as they are now: a test can change them. Where they say nothing it uses
half of what it requests, and a little if it requests nothing. A node uses what its Pods do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pinnace.api import meta, quantity
from pinnace.api.types import Object
from pinnace.core.clock import Clock
from pinnace.kubelet.machine import Machine
from pinnace.kubelet.pods.cgroups import Usage
from pinnace.kubelet.pods.manager import PodManager
from pinnace.kubelet.pods.worker import PodWorker
from pinnace.kubelet.runtime.base import RUNNING, Container
from pinnace.kubelet.runtime.simulated import PREFIX
from pinnace.kubelet.stats import FileSystem, NodeUsage

log = logging.getLogger(__name__)

#: Of a container that requests nothing.
LITTLE = {"cpu": "1m", "memory": "1Mi"}


class SimulatedStats:
    """Implements ``stats.Stats`` for the Pods of ``manager``."""

    __slots__ = ("_clock", "_machine", "_manager")

    def __init__(self, machine: Machine, clock: Clock, manager: PodManager) -> None:
        self._machine = machine
        self._clock = clock
        self._manager = manager

    def node(self) -> NodeUsage:
        used = _sum(usage for worker in self._manager.workers() for usage in self._running(worker))
        disk = FileSystem(self._machine.disk, self._machine.disk)
        memory = self._machine.memory
        return NodeUsage(
            used.cpu_nanoseconds, memory, max(memory - used.memory, 0), disk, disk, 0, 0, nano_cores=used.nano_cores
        )

    def pod(self, uid: str) -> Usage | None:
        worker = self._manager.worker_of(uid)
        return None if worker is None else _sum(self._running(worker))

    def container(self, uid: str, container_id: str) -> Usage | None:
        worker = self._manager.worker_of(uid)
        for container in worker.state.containers if worker is not None else ():
            if container.id == container_id and worker is not None:
                return self._usage(worker, container)
        return None

    def _running(self, worker: PodWorker) -> Iterable[Usage]:
        for container in worker.state.containers:
            if (usage := self._usage(worker, container)) is not None:
                yield usage

    def _usage(self, worker: PodWorker, container: Container) -> Usage | None:
        if container.state != RUNNING:
            return None
        try:
            cpu = amount(worker.pod, container.name, "cpu").nano
            memory = amount(worker.pod, container.name, "memory").value()
        except quantity.QuantityError as error:
            log.warning("Pod %s says what it uses as no quantity: %s", "/".join(meta.key(worker.pod)), error)
            return None
        running = max(self._clock.now() - container.started_at, 0.0)
        return Usage(int(cpu * running), memory, memory, memory, nano_cores=cpu)


def _sum(all: Iterable[Usage]) -> Usage:
    cpu = memory = now = 0
    for usage in all:
        cpu, memory, now = cpu + usage.cpu_nanoseconds, memory + usage.memory, now + (usage.nano_cores or 0)
    return Usage(cpu, memory, memory, memory, nano_cores=now)


def amount(pod: Object, container: str, what: str) -> quantity.Quantity:
    """What the container uses of ``cpu`` or ``memory``. Raises QuantityError."""
    annotations = meta.annotations(pod)
    told = annotations.get(f"{PREFIX}{what}-usage.{container}", annotations.get(f"{PREFIX}{what}-usage"))
    if told is not None:
        return quantity.parse(told)
    spec = pod["spec"]
    for entry in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        if entry["name"] == container:
            requested = ((entry.get("resources") or {}).get("requests") or {}).get(what)
            if requested is not None:
                whole = quantity.parse(requested)
                return quantity.Quantity(whole.nano // 2, whole.format)
    return quantity.parse(LITTLE[what])
