"""What controllers read off Pods, and how they make them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cmp_to_key
from typing import cast

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core.clock import parse_timestamp

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def node_of(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or "")


def is_terminal(pod: Object) -> bool:
    """Whether its containers have ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Whether it counts as a replica: neither ended nor being deleted."""
    return not is_terminal(pod) and not meta.is_deleting(pod)


def is_terminating(pod: Object) -> bool:
    return not is_terminal(pod) and meta.is_deleting(pod)


def is_ready(pod: Object) -> bool:
    return meta.has_condition(pod, "Ready")


def ready_since(pod: Object) -> float | None:
    """When it became ready, in seconds since the epoch; None if it is not."""
    ready = meta.condition(pod, "Ready")
    if ready is None or ready.get("status") != "True" or not ready.get("lastTransitionTime"):
        return None
    return parse_timestamp(ready["lastTransitionTime"])


def available_at(pod: Object, min_ready_seconds: int) -> float | None:
    """When it counts as available, in seconds since the epoch (maybe in the future); None if it is not ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds == 0:
        return 0.0
    since = ready_since(pod)
    return None if since is None else since + min_ready_seconds


def is_available(pod: Object, min_ready_seconds: int, now: float) -> bool:
    at = available_at(pod, min_ready_seconds)
    return at is not None and at <= now


def next_availability(pods: Iterable[Object], min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the next ready Pod becomes available; None if none is waiting for that."""
    waits = [at - now for pod in pods if (at := available_at(pod, min_ready_seconds)) is not None and at > now]
    return min(waits, default=None)


def from_template(template: Object, owner: Object, *, generate_name: str = "") -> Object:
    """The Pod that ``owner`` (its controller) creates from its template."""
    wanted = template.get("metadata") or {}
    metadata: Object = {
        "generateName": generate_name or f"{meta.name(owner)}-",
        "namespace": meta.namespace(owner),
        "labels": dict(wanted.get("labels") or {}),
        "ownerReferences": [meta.owner_reference(owner)],
    }
    if wanted.get("annotations"):
        metadata["annotations"] = dict(wanted["annotations"])
    if wanted.get("finalizers"):
        metadata["finalizers"] = list(wanted["finalizers"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": meta.copy(template["spec"])}


def deletion_order(pods: Iterable[Object], doubled_up: dict[str, int], now: float) -> list[Object]:
    """``pods``, those to delete first in front: unassigned before assigned, pending before running, not ready before
    ready, cheap (pod-deletion-cost) before dear, from crowded nodes (``doubled_up``: Pods per node) before lonely,
    ready for a shorter time, restarted more often, younger; times compare by powers of two, then by uid."""

    def compare(left: Object, right: Object) -> int:
        for a, b in (
            (bool(node_of(left)), bool(node_of(right))),
            (_PHASE_RANK.get(phase(left), 0), _PHASE_RANK.get(phase(right), 0)),
            (is_ready(left), is_ready(right)),
            (_cost(left), _cost(right)),
            (-doubled_up.get(node_of(left), 0), -doubled_up.get(node_of(right), 0)),
        ):
            if a != b:
                return -1 if a < b else 1
        if is_ready(left) and (order := _age_order(ready_since(left), ready_since(right), left, right, now)):
            return order
        left_restarts, right_restarts = _restarts(left), _restarts(right)
        if left_restarts != right_restarts:
            return -1 if left_restarts > right_restarts else 1
        return _age_order(_created(left), _created(right), left, right, now)

    return sorted(pods, key=cmp_to_key(compare))


def _created(pod: Object) -> float | None:
    created = meta.metadata(pod).get("creationTimestamp")
    return parse_timestamp(created) if created else None


def _age_order(left_time: float | None, right_time: float | None, left: Object, right: Object, now: float) -> int:
    """Younger first, where ages of the same power of two count as equal and the uid decides."""
    if left_time == right_time:
        return 0
    if left_time is None or right_time is None:
        return -1 if left_time is None else 1
    left_age, right_age = _magnitude(now - left_time), _magnitude(now - right_time)
    if left_age != right_age:
        return -1 if left_age < right_age else 1
    return -1 if meta.uid(left) < meta.uid(right) else 1


def _magnitude(age: float) -> int:
    return -1 if age <= 0 else int(math.log2(age * 1e9))


def _cost(pod: Object) -> int:
    try:
        return int(meta.annotations(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _restarts(pod: Object) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((int(status.get("restartCount") or 0) for status in statuses), default=0)


def container_port(pod: Object, name: str, protocol: str) -> int | None:
    """The number of the Pod's port of that name and protocol; sidecars (restartable init containers) count."""
    spec = pod["spec"]
    containers = list(spec.get("containers") or ())
    containers += [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in containers:
        for port in container.get("ports") or ():
            if port.get("name") == name and (port.get("protocol") or "TCP") == protocol:
                return cast(int, port["containerPort"])
    return None
