"""Ending Pods when the node runs short: pure decisions.

A signal is met when less is available than its threshold. Then the node first frees what nobody uses, and, if that is
not enough, ends one Pod after the other: those that use more than they asked for first, of these the least important,
of these the largest. Critical Pods are never ended. A Pod that exceeds its own limits of disk ends whatever is free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pinnace.api import meta, pods, quantity
from pinnace.api.types import Object
from pinnace.kubelet.configuration import threshold
from pinnace.kubelet.pods.admission import is_critical
from pinnace.kubelet.stats import NodeUsage

MEMORY, DISK, PIDS = "memory", "ephemeral-storage", "pids"
#: Signal -> the node's condition and the resource that is short; memory comes first, as it kills at once.
SIGNALS = {
    "memory.available": ("MemoryPressure", MEMORY),
    "imagefs.available": ("DiskPressure", DISK),
    "imagefs.inodesFree": ("DiskPressure", "inodes"),
    "nodefs.available": ("DiskPressure", DISK),
    "nodefs.inodesFree": ("DiskPressure", "inodes"),
    "pid.available": ("PIDPressure", PIDS),
}


@dataclass(frozen=True, slots=True)
class Shortage:
    """A signal that is met."""

    signal: str
    threshold: int
    available: int

    @property
    def condition(self) -> str:
        return SIGNALS[self.signal][0]

    @property
    def resource(self) -> str:
        return SIGNALS[self.signal][1]


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a Pod uses of memory, disk or processes; ``containers`` of the same, by name."""

    total: int = 0
    containers: Mapping[str, int] = field(default_factory=dict)


def shortages(usage: NodeUsage, thresholds: Mapping[str, str]) -> list[Shortage]:
    """The signals that are met, in the order in which they are dealt with. Raises ValueError."""
    free = {
        "memory.available": (usage.memory_available, usage.memory),
        "imagefs.available": (usage.imagefs.available, usage.imagefs.capacity),
        "imagefs.inodesFree": (usage.imagefs.inodes_free, usage.imagefs.inodes),
        "nodefs.available": (usage.nodefs.available, usage.nodefs.capacity),
        "nodefs.inodesFree": (usage.nodefs.inodes_free, usage.nodefs.inodes),
        "pid.available": (usage.processes_limit - usage.processes, usage.processes_limit),
    }
    found = []
    for signal in SIGNALS:
        limit = thresholds.get(signal)
        available, capacity = free[signal]
        if limit and capacity:  # some file systems do not count inodes
            least = threshold(limit, capacity)
            if available < least:
                found.append(Shortage(signal, least, available))
    return found


def conditions(
    met: Iterable[Shortage], seen: Mapping[str, float], now: float, period: float
) -> tuple[dict[str, float], list[str]]:
    """When each condition was last seen, and those that hold: until ``period`` seconds after that."""
    last = {name: when for name, when in seen.items() if now - when < period}
    last.update({shortage.condition: now for shortage in met})
    return last, sorted(last)


def rank(running: Sequence[Object], resource: str, used: Callable[[Object], Consumption]) -> list[Object]:
    """The Pods that may be ended, the first one first."""

    def order(pod: Object) -> tuple[bool, int, int]:
        amount = used(pod).total
        over = amount - requested(pod, resource)
        return not over > 0, int(pod["spec"].get("priority") or 0), -over

    return sorted((pod for pod in running if not is_critical(pod)), key=order)


def requested(pod: Object, resource: str) -> int:
    return pods.pod_requests(pod).get(resource, 0)


def message(shortage: Shortage, pod: Object, used: Consumption) -> str:
    """Why the Pod is ended, as its status and an event say."""
    binary = shortage.resource in (MEMORY, DISK)
    text = (
        f"The node was low on resource: {shortage.resource}. "
        f"Threshold quantity: {_amount(shortage.threshold, binary)}, available: {_amount(shortage.available, binary)}. "
    )
    for container in pod["spec"].get("containers") or ():
        amount = used.containers.get(container["name"])
        asked = pods.amounts((container.get("resources") or {}).get("requests")).get(shortage.resource, 0)
        if amount is not None and amount > asked:
            text += (
                f"Container {container['name']} was using {_amount(amount, binary)}, request is "
                f"{_amount(asked, binary)}, has larger consumption of {shortage.resource}. "
            )
    return text


def over_own_limits(pod: Object, disk: Consumption, volumes: Mapping[str, int]) -> str:
    """Why a Pod that uses more disk than it may is ended; "" if it does not. ``volumes`` are its emptyDirs' bytes."""
    for volume in pod["spec"].get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit and volumes.get(volume["name"], 0) > quantity.value(limit) > 0:
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    limits = pods.pod_limits(pod).get(DISK)
    every = [c for c in pod["spec"]["containers"] if DISK in ((c.get("resources") or {}).get("limits") or {})]
    if limits and len(every) == len(pod["spec"]["containers"]) and disk.total > limits:
        text = _amount(limits, True)
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {text}. "
    for container in every:
        limit = container["resources"]["limits"][DISK]
        if disk.containers.get(container["name"], 0) > quantity.value(limit):
            return f'Container {container["name"]} exceeded its local ephemeral storage limit "{limit}". '
    return ""


def has_own_limits(pod: Object) -> bool:
    """Whether ``over_own_limits`` can be anything for the Pod."""
    if any((volume.get("emptyDir") or {}).get("sizeLimit") for volume in pod["spec"].get("volumes") or ()):
        return True
    return any(DISK in ((c.get("resources") or {}).get("limits") or {}) for c in pod["spec"]["containers"])


def _amount(number: int, binary: bool) -> str:
    return quantity.from_value(number, quantity.BINARY_SI if binary else quantity.DECIMAL_SI)


def names(chosen: Iterable[Object]) -> str:
    return ", ".join(meta.key(pod) for pod in chosen)
