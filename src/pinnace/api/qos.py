"""The quality-of-service class of a Pod, from its resources alone (upstream ``pkg/apis/core/helper/qos``)."""

from __future__ import annotations

from pinnace.api import pods, quantity
from pinnace.api.types import Object
from pinnace.core.memo import Remembered, written

GUARANTEED = "Guaranteed"
BURSTABLE = "Burstable"
BEST_EFFORT = "BestEffort"
_COUNTED = (pods.CPU, pods.MEMORY)


def _positive(resources: Object, which: str) -> dict[str, int]:
    """Nano amounts of CPU and memory that are more than zero."""
    listed = resources.get(which) or {}
    found = {name: quantity.parse(listed[name]).nano for name in _COUNTED if name in listed}
    return {name: amount for name, amount in found.items() if amount > 0}


def pod_qos(pod: Object) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort``: the class in the status if there is one, else computed."""
    held = (pod.get("status") or {}).get("qosClass")
    return str(held) if held else compute(pod)


_known: Remembered[str] = Remembered(512)


def compute(pod: Object) -> str:
    """The class that the spec gives. Raises QuantityError for a Pod that was never validated.

    Guaranteed: every container limits CPU and memory and requests just as much; BestEffort: none requests or limits
    either; Burstable: the rest. Pod-level resources, where there are any, stand for all containers.
    """
    spec = pod.get("spec") or {}
    level = spec.get("resources") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    resources = [container.get("resources") or {} for container in containers]
    asked = written([level, *resources])
    known = _known.get(asked)
    if known is None:
        known = _compute(level, resources)
        _known.keep(asked, known)
    return known


def _compute(level: Object, containers: list[Object]) -> str:
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    guaranteed = True
    if any(pods.is_pod_level(name) for which in ("requests", "limits") for name in level.get(which) or ()):
        requests, limits = _positive(level, "requests"), _positive(level, "limits")
        guaranteed = len(limits) == len(_COUNTED)
    else:
        for resources in containers:
            own = _positive(resources, "limits")
            guaranteed = guaranteed and len(own) == len(_COUNTED)
            for name, amount in own.items():
                limits[name] = limits.get(name, 0) + amount
            for name, amount in _positive(resources, "requests").items():
                requests[name] = requests.get(name, 0) + amount
    if not requests and not limits:
        return BEST_EFFORT
    if guaranteed and requests == limits:
        return GUARANTEED
    return BURSTABLE
