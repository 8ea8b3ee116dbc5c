"""What a node's conditions and age of its heartbeat mean: conditions, taints, the state of its zone. Pure."""

from __future__ import annotations

from typing import NamedTuple

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core.clock import timestamp

#: A node counts as dead after this many seconds without a heartbeat; a new one has a little longer for its first.
GRACE = 50.0
STARTUP_GRACE = 60.0

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_BY_CONDITION = {
    "Ready": {"False": NOT_READY, "Unknown": UNREACHABLE},
    "MemoryPressure": {"True": "node.kubernetes.io/memory-pressure"},
    "DiskPressure": {"True": "node.kubernetes.io/disk-pressure"},
    "NetworkUnavailable": {"True": "node.kubernetes.io/network-unavailable"},
    "PIDPressure": {"True": "node.kubernetes.io/pid-pressure"},
}
_NO_SCHEDULE = frozenset(taint for taints in _BY_CONDITION.values() for taint in taints.values()) | {UNSCHEDULABLE}
_NO_EXECUTE = frozenset({NOT_READY, UNREACHABLE})


def ready_status(node: Object) -> str:
    """``True``, ``False`` or ``Unknown``; a node that never told is Unknown."""
    ready = meta.condition(node, "Ready")
    return str(ready.get("status") or "Unknown") if ready is not None else "Unknown"


def is_ready(node: Object) -> bool:
    return ready_status(node) == "True"


def silent_conditions(node: Object, now: float) -> list[Object]:
    """The conditions of a node that has not been heard of for too long: all that its kubelet reports are Unknown."""
    conditions: list[Object] = []
    held = list((node.get("status") or {}).get("conditions") or ())
    for condition in held:
        if condition.get("type") in _WATCHED and condition.get("status") != "Unknown":
            condition = {
                **condition,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": timestamp(now),
            }
        conditions.append(condition)
    known = {condition.get("type") for condition in held}
    conditions += [
        {
            "type": type,
            "status": "Unknown",
            "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
            "lastTransitionTime": timestamp(now),
            "reason": "NodeStatusNeverUpdated",
            "message": "Kubelet never posted node status.",
        }
        for type in _WATCHED
        if type not in known
    ]
    return conditions


def taints(node: Object, *, evict: bool | None, now: float) -> list[Object]:
    """The node's taints, those brought in line that follow from its conditions and ``spec.unschedulable``.

    ``evict``: whether Pods are to be driven off it if it is not ready (NoExecute); None leaves that as it is.
    """
    scheduling: set[str] = set()
    for condition in (node.get("status") or {}).get("conditions") or ():
        taint = _BY_CONDITION.get(condition.get("type", ""), {}).get(condition.get("status", ""))
        if taint is not None:
            scheduling.add(taint)
    if node["spec"].get("unschedulable"):
        scheduling.add(UNSCHEDULABLE)
    wanted = {(taint, "NoSchedule") for taint in scheduling}
    status = ready_status(node)
    if status != "True" and meta.condition(node, "Ready") is not None:
        if evict:
            wanted.add((NOT_READY if status == "False" else UNREACHABLE, "NoExecute"))
        elif evict is None:
            wanted |= {(key, "NoExecute") for key in _NO_EXECUTE}
    held = list(node["spec"].get("taints") or ())
    kept = [taint for taint in held if not _is_ours(taint) or (taint["key"], taint["effect"]) in wanted]
    present = {(taint["key"], taint["effect"]) for taint in kept}
    missing = (
        sorted(wanted - present) if evict is not None else sorted(w for w in wanted - present if w[1] == "NoSchedule")
    )
    return kept + [{"key": key, "effect": effect, "timeAdded": timestamp(now)} for key, effect in missing]


def _is_ours(taint: Object) -> bool:
    names = _NO_SCHEDULE if taint["effect"] == "NoSchedule" else _NO_EXECUTE if taint["effect"] == "NoExecute" else ()
    return taint["key"] in names


class ZoneState(NamedTuple):
    """How many nodes of a zone are ready, and how many are not."""

    ready: int
    not_ready: int

    @property
    def all_down(self) -> bool:
        return self.not_ready > 0 and self.ready == 0

    @property
    def eviction_interval(self) -> float | None:
        """Seconds between two nodes' evictions; None: none at all. Where most nodes of a small zone are down, the
        network is more likely at fault than they are."""
        if self.all_down:
            return 10.0
        if self.not_ready > 2 and self.not_ready / (self.ready + self.not_ready) >= 0.55:
            return 100.0 if self.ready + self.not_ready > 50 else None
        return 10.0


def zone_of(node: Object) -> str:
    labels = meta.labels(node)
    return f"{labels.get('topology.kubernetes.io/region', '')}/{labels.get('topology.kubernetes.io/zone', '')}"
