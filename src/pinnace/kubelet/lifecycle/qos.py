"""A Pod's quality of service class, and what follows from it on the machine."""

from __future__ import annotations

from pinnace.api import quantity
from pinnace.api.types import Object

GUARANTEED = "Guaranteed"
BURSTABLE = "Burstable"
BEST_EFFORT = "BestEffort"


def qos_class(pod: Object) -> str:
    """Guaranteed: every container has cpu and memory limits and requests equal to them; BestEffort: none has any."""
    containers = [*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())]
    requests = limits = False
    guaranteed = True
    for container in containers:
        resources = container.get("resources") or {}
        asked = {k: v for k, v in (resources.get("requests") or {}).items() if _counts(k, v)}
        limited = {k: v for k, v in (resources.get("limits") or {}).items() if _counts(k, v)}
        requests, limits = requests or bool(asked), limits or bool(limited)
        equal = all(quantity.parse(asked.get(k, limited[k])) == quantity.parse(limited[k]) for k in limited)
        guaranteed = guaranteed and equal and set(limited) == {"cpu", "memory"}
    if not requests and not limits:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE


def _counts(name: str, amount: str) -> bool:
    return name in ("cpu", "memory") and bool(quantity.parse(amount))


def oom_score_adjustment(pod: Object, container: Object, machine_memory: int) -> int:
    """How readily the kernel kills the container when the machine runs out of memory."""
    kind = (pod.get("status") or {}).get("qosClass") or qos_class(pod)
    if pod["spec"].get("priorityClassName") == "system-node-critical" or kind == GUARANTEED:
        return -997
    if kind == BEST_EFFORT:
        return 1000
    request = ((container.get("resources") or {}).get("requests") or {}).get("memory")
    asked = quantity.parse(request).value() if request else 0
    score = 1000 - 1000 * asked // max(machine_memory, 1)
    return max(3, min(999, int(score)))
