"""``/stats/summary``: what the node and its Pods use, as metrics-server and people read it."""

from __future__ import annotations

from collections.abc import Sequence

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core.clock import Clock, timestamp
from pinnace.core.cooperate import breathe
from pinnace.kubelet.pods.cgroups import Usage
from pinnace.kubelet.pods.manager import PodManager
from pinnace.kubelet.pods.worker import PodWorker
from pinnace.kubelet.runtime.base import RUNNING
from pinnace.kubelet.stats import FileSystem, Stats

#: Seconds between two samples that a rate is made of: at least, and at most.
APART, LONGEST = 1.0, 60.0
#: Nodes told of between two breaths of the event loop.
SLICE = 20


class Summary:
    """Remembers the last sample of each counter, for rates."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.now()
        self._samples: dict[str, tuple[float, int, int]] = {}  # key -> when, counter, rate until then
        self._asked: set[str] = set()

    def of(self, managers: Sequence[PodManager]) -> Object:
        """Raises OSError."""
        self._asked = set()
        pods = [self._pod(manager.stats, worker) for manager in managers for worker in manager.workers()]
        node: Object = {"nodeName": managers[0].node_name if len(managers) == 1 else ""}
        node["startTime"] = timestamp(self._started)
        if len(managers) == 1 and managers[0].stats is not None:
            node.update(self._node(managers[0].stats))
        self._samples = {key: self._samples[key] for key in self._asked if key in self._samples}
        return {"node": node, "pods": pods}

    async def each(self, managers: Sequence[PodManager]) -> Object:
        """A summary of each node. Raises OSError."""
        items = []
        for number, manager in enumerate(managers, 1):
            items.append(self.of([manager]))
            if number % SLICE == 0:
                await breathe()
        return {"items": items}

    def _node(self, stats: Stats) -> Object:
        usage, now = stats.node(), self._now()
        memory = {
            "time": now,
            "availableBytes": usage.memory_available,
            "usageBytes": usage.working_set,
            "workingSetBytes": usage.working_set,
        }
        return {
            "cpu": self._cpu("node", usage.cpu_nanoseconds, usage.nano_cores),
            "memory": memory,
            "fs": self._fs(usage.nodefs),
            "runtime": {"imageFs": self._fs(usage.imagefs)},
            "rlimit": {"time": now, "maxpid": usage.processes_limit, "curproc": usage.processes},
        }

    def _pod(self, stats: Stats | None, worker: PodWorker) -> Object:
        pod = worker.pod
        uid = meta.uid(pod)
        shown: Object = {
            "podRef": {"name": meta.name(pod), "namespace": meta.namespace(pod), "uid": uid},
            "startTime": (pod.get("status") or {}).get("startTime"),
            "containers": [],
        }
        if stats is None:
            return shown
        for container in worker.state.containers:
            usage = stats.container(uid, container.id) if container.state == RUNNING else None
            if usage is not None:
                entry = {"name": container.name, "startTime": timestamp(container.started_at)}
                shown["containers"].append({**entry, **self._usage(container.id, usage)})
        if (whole := stats.pod(uid)) is not None:
            shown.update(self._usage(uid, whole))
        return shown

    def _usage(self, key: str, usage: Usage) -> Object:
        memory = {
            "time": self._now(),
            "usageBytes": usage.memory,
            "workingSetBytes": usage.working_set,
            "rssBytes": usage.resident,
        }
        return {"cpu": self._cpu(key, usage.cpu_nanoseconds, usage.nano_cores), "memory": memory}

    def _cpu(self, key: str, counter: int, known: int | None) -> Object:
        now = self._clock.now()
        if known is not None:
            return {"time": timestamp(now), "usageCoreNanoSeconds": counter, "usageNanoCores": known}
        self._asked.add(key)
        when, before, rate = self._samples.get(key, (now, counter, -1))
        if now - when > LONGEST:  # it would say little of now
            when, before, rate = self._samples[key] = now, counter, -1
        elif now - when >= APART:
            rate = max(int((counter - before) / (now - when)), 0)
            self._samples[key] = now, counter, rate
        else:
            self._samples.setdefault(key, (when, before, rate))
        shown: Object = {"time": timestamp(now), "usageCoreNanoSeconds": counter}
        if rate >= 0:
            shown["usageNanoCores"] = rate
        return shown

    def _fs(self, fs: FileSystem) -> Object:
        return {
            "time": self._now(),
            "availableBytes": fs.available,
            "capacityBytes": fs.capacity,
            "usedBytes": fs.used,
            "inodesFree": fs.inodes_free,
            "inodes": fs.inodes,
            "inodesUsed": max(fs.inodes - fs.inodes_free, 0),
        }

    def _now(self) -> str:
        return timestamp(self._clock.now())
