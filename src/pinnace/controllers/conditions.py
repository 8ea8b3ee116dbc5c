"""Entries of ``status.conditions``. Pure; conditions and lists of them are made anew, never changed in place."""

from __future__ import annotations

from pinnace.api.types import Object
from pinnace.core.clock import timestamp


def find(conditions: list[Object], type: str) -> Object | None:
    return next((c for c in conditions if c["type"] == type), None)


def without(conditions: list[Object], type: str) -> list[Object]:
    return [c for c in conditions if c["type"] != type]


def with_condition(
    conditions: list[Object],
    type: str,
    status: str,
    reason: str,
    message: str,
    now: float,
    *,
    update_time: bool = False,
) -> list[Object]:
    """``conditions`` with that one. Nothing changes if status and reason are the same already (clients watch these);
    the transition time stays unless the status changes. ``update_time`` adds a lastUpdateTime (Deployments)."""
    current = find(conditions, type)
    if current is not None and current["status"] == status and current.get("reason", "") == reason:
        return conditions
    stamp = timestamp(now)
    condition: Object = {"type": type, "status": status}
    if update_time:
        condition["lastUpdateTime"] = stamp
    same_status = current is not None and current["status"] == status
    condition["lastTransitionTime"] = (current or {}).get("lastTransitionTime", stamp) if same_status else stamp
    condition["reason"] = reason
    condition["message"] = message
    return [*without(conditions, type), condition]
