"""The arithmetic of PodDisruptionBudgets. Pure."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.controllers import podstate, rollout
from pinnace.core.clock import parse_timestamp, timestamp

#: Seconds after which an eviction that was allowed and did not happen is forgotten.
DELETION_LIMIT = 120.0


def needs_scale(budget: Object) -> bool:
    """Whether the number of Pods that should exist counts, rather than of those that do."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def desired_healthy(budget: Object, expected: int) -> int:
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        return max(expected - rollout.absolute(spec["maxUnavailable"], expected, up=True), 0)
    return rollout.absolute(spec.get("minAvailable"), expected, up=True)


def disrupted(budget: Object, pods: list[Object], now: float) -> tuple[dict[str, str], float | None]:
    """(evictions allowed that are still under way, seconds until the next of them is forgotten)."""
    names = {meta.name(pod) for pod in pods if not meta.is_deleting(pod)}
    kept: dict[str, str] = {}
    waits: list[float] = []
    for name, since in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
        left = parse_timestamp(since) + DELETION_LIMIT - now
        if name in names and left > 0:
            kept[name] = since
            waits.append(left)
    return kept, min(waits, default=None)


def status(budget: Object, pods: list[Object], expected: int, evicting: dict[str, str], now: float) -> Object:
    healthy = sum(
        1 for pod in pods if not meta.is_deleting(pod) and meta.name(pod) not in evicting and podstate.is_ready(pod)
    )
    desired = desired_healthy(budget, expected)
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    result: Object = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": meta.generation(budget),
    }
    if evicting:
        result["disruptedPods"] = evicting
    reason = "SufficientPods" if allowed > 0 else "InsufficientPods"
    result["conditions"] = with_allowed(budget, "True" if allowed > 0 else "False", reason, "", now)
    return result


def with_allowed(budget: Object, state: str, reason: str, message: str, now: float) -> list[Object]:
    """The conditions with DisruptionAllowed brought up to date."""
    held = list((budget.get("status") or {}).get("conditions") or ())
    old = meta.condition(budget, "DisruptionAllowed")
    since = old["lastTransitionTime"] if old is not None and old["status"] == state else timestamp(now)
    allowed = {
        "type": "DisruptionAllowed",
        "status": state,
        "observedGeneration": meta.generation(budget),
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }
    return [*(c for c in held if c["type"] != "DisruptionAllowed"), allowed]
