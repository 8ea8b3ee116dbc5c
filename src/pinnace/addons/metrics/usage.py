"""From what kubelets say (``/stats/summary``) to NodeMetrics and PodMetrics: pure.

A Pod is told of when all its running containers are measured, as metrics-server has it: half a Pod would look like one
that uses little.
"""

from __future__ import annotations

from typing import NamedTuple

from pinnace.addons.metrics.resources import GROUP, VERSION
from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core.clock import timestamp


class Used(NamedTuple):
    """Billionths of a core, and the working set in bytes."""

    cpu: int
    memory: int

    def shown(self) -> Object:
        """CPU in the unit in which it is measured, memory in Ki where it is whole ones, as metrics-server writes it."""
        memory = f"{self.memory // 1024}Ki" if self.memory and self.memory % 1024 == 0 else str(self.memory)
        return {"cpu": f"{self.cpu}n" if self.cpu else "0", "memory": memory}


class Reading(NamedTuple):
    """What a kubelet says: the node's name (""  if it serves several), its use, and that of containers by Pod UID.
    None is what was not measured over a time yet."""

    node: str
    whole: Used | None
    pods: dict[str, dict[str, Used | None]]

    @property
    def complete(self) -> bool:
        return self.whole is not None and None not in (c for found in self.pods.values() for c in found.values())


def reading(summary: Object) -> Reading:
    """Raises KeyError, TypeError or ValueError if it is no summary."""
    pods = {
        str(pod["podRef"]["uid"]): {str(entry["name"]): _used(entry) for entry in pod.get("containers") or ()}
        for pod in summary["pods"] or ()
    }
    return Reading(str(summary["node"].get("nodeName") or ""), _used(summary["node"]), pods)


def _used(entry: Object) -> Used | None:
    cpu, memory = entry.get("cpu") or {}, entry.get("memory") or {}
    if "usageNanoCores" not in cpu or "workingSetBytes" not in memory:
        return None
    return Used(int(cpu["usageNanoCores"]), int(memory["workingSetBytes"]))


def node_metrics(node: Object, found: Reading, now: float, window: float) -> Object | None:
    """None if the node is not measured yet."""
    return _metrics("NodeMetrics", node, now, window) | {"usage": found.whole.shown()} if found.whole else None


def pod_metrics(pod: Object, found: Reading, now: float, window: float) -> Object | None:
    """None if nothing of it runs, or not all of that is measured yet."""
    containers = found.pods.get(meta.uid(pod))
    if not containers:
        return None
    listed = []
    for name, used in containers.items():
        if used is None:
            return None
        listed.append({"name": name, "usage": used.shown()})
    return _metrics("PodMetrics", pod, now, window) | {"containers": listed}


def _metrics(kind: str, of: Object, now: float, window: float) -> Object:
    metadata: Object = {"name": meta.name(of), "creationTimestamp": timestamp(now)}
    if meta.namespace(of):
        metadata["namespace"] = meta.namespace(of)
    if meta.labels(of):
        metadata["labels"] = dict(meta.labels(of))
    return {
        "kind": kind,
        "apiVersion": f"{GROUP}/{VERSION}",
        "metadata": metadata,
        "timestamp": timestamp(now),
        "window": f"{window:.3f}".rstrip("0").rstrip(".") + "s",
    }
