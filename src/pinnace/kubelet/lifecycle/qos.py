"""What follows on the machine from a Pod's quality-of-service class."""

from __future__ import annotations

from pinnace.api import qos, quantity
from pinnace.api.types import Object


def oom_score_adjustment(pod: Object, container: Object, machine_memory: int) -> int:
    """How readily the kernel kills the container when the machine runs out of memory."""
    kind = qos.pod_qos(pod)
    if pod["spec"].get("priorityClassName") == "system-node-critical" or kind == qos.GUARANTEED:
        return -997
    if kind == qos.BEST_EFFORT:
        return 1000
    request = ((container.get("resources") or {}).get("requests") or {}).get("memory")
    asked = quantity.parse(request).value() if request else 0
    score = 1000 - 1000 * asked // max(machine_memory, 1)
    return max(3, min(999, int(score)))
