"""``/stats/summary``: what the node and its Pods use, as far as it is known cheaply."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core.clock import Clock, timestamp
from pinnace.kubelet.pods.manager import PodManager
from pinnace.kubelet.runtime.base import RUNNING


async def summary(managers: list[PodManager], clock: Clock) -> Object:
    pods: list[Object] = []
    now = timestamp(clock.now())
    for manager in managers:
        for pod in manager.pods():
            state = await manager.runtime.pod(meta.uid(pod))
            containers = []
            for container in state.containers:
                usage = await manager.runtime.usage(container.id) if container.state == RUNNING else None
                if usage is None:
                    continue
                containers.append(
                    {
                        "name": container.name,
                        "startTime": timestamp(container.started_at),
                        "cpu": {"time": now, "usageCoreNanoSeconds": usage.cpu_nanoseconds},
                        "memory": {"time": now, "workingSetBytes": usage.working_set, "rssBytes": usage.resident},
                    }
                )
            reference = {"name": meta.name(pod), "namespace": meta.namespace(pod), "uid": meta.uid(pod)}
            started = (pod.get("status") or {}).get("startTime")
            pods.append({"podRef": reference, "startTime": started, "containers": containers})
    name = managers[0].node_name if len(managers) == 1 else ""
    return {"node": {"nodeName": name, "startTime": None}, "pods": pods}
