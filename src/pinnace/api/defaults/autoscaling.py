"""Defaults of HorizontalPodAutoscalers, whose two versions differ in shape."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill, given
from pinnace.api.types import GVK, Object

_KIND = "HorizontalPodAutoscaler"


def _v1(obj: Object) -> None:
    fill(child(obj, "spec"), minReplicas=1)
    fill(child(obj, "status"), currentReplicas=0, desiredReplicas=0)


def _policy(kind: str, value: int, seconds: int = 15) -> Object:
    return {"type": kind, "value": value, "periodSeconds": seconds}


def _v2(obj: Object) -> None:
    spec = child(obj, "spec")
    fill(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = given(spec, "behavior")
    if behavior is not None:
        _rules(behavior, "scaleUp", 0, [_policy("Pods", 4), _policy("Percent", 100)])
        _rules(behavior, "scaleDown", None, [_policy("Percent", 100)])
    status = child(obj, "status")
    fill(status, desiredReplicas=0)
    status.setdefault("currentMetrics", None)


def _rules(behavior: Object, direction: str, window: int | None, policies: list[Object]) -> None:
    rules = child(behavior, direction)
    fill(rules, selectPolicy="Max")
    if window is not None:
        fill(rules, stabilizationWindowSeconds=window)
    if not rules.get("policies"):
        rules["policies"] = policies


DEFAULTS = {GVK("autoscaling", "v1", _KIND): _v1, GVK("autoscaling", "v2", _KIND): _v2}
