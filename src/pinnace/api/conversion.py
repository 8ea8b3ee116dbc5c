"""Conversions between the versions of a built-in kind, in place on objects the caller owns.

A resource is stored in one version, its others are made from that: ``from_storage`` and ``to_storage`` give the
functions for one version. Both set ``apiVersion``. A round trip through the stored version keeps every field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from pinnace.api.types import GVK, Object

T = TypeVar("T")
Conversion = Callable[[Object], None]

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_EVENT_FIELDS = {  # core/v1 -> events.k8s.io/v1
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_EVENT_FIELDS_BACK = {new: old for old, new in _EVENT_FIELDS.items()}


def from_storage(gvk: GVK, stored_api_version: str) -> Conversion:
    """Makes an object of ``gvk`` from one in the version it is stored in."""
    return _to(gvk.api_version, _FROM.get(gvk), same=gvk.api_version == stored_api_version)


def to_storage(gvk: GVK, stored_api_version: str) -> Conversion:
    """Makes an object in its stored version from one of ``gvk``."""
    return _to(stored_api_version, _TO.get(gvk), same=gvk.api_version == stored_api_version)


def _to(api_version: str, fields: Conversion | None, *, same: bool) -> Conversion:
    if same:
        return lambda obj: None

    def convert(obj: Object) -> None:
        obj["apiVersion"] = api_version
        if fields is not None:
            fields(obj)

    return convert


def _rename(obj: Object, names: dict[str, str]) -> None:
    for old, new in names.items():
        if old in obj:
            obj[new] = obj.pop(old)


def _event_from_core(obj: Object) -> None:
    _rename(obj, _EVENT_FIELDS)


def _event_to_core(obj: Object) -> None:
    _rename(obj, _EVENT_FIELDS_BACK)


def _annotation(obj: Object, name: str, value: Any) -> None:
    """Keep ``value`` in an annotation, for what the other version has no field for."""
    if value:
        annotations = obj.setdefault("metadata", {}).setdefault("annotations", {})
        annotations[_PREFIX + name] = orjson.dumps(value).decode()


def _taken(obj: Object, name: str, kind: type[T]) -> T | None:
    """What ``_annotation`` kept, which is removed; None if there is nothing of that kind."""
    metadata = obj.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    text = annotations.pop(_PREFIX + name, None)
    if "annotations" in metadata and not annotations:
        del metadata["annotations"]
    if text is None:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:  # written by someone else
        return None
    return value if isinstance(value, kind) else None


def _hpa_v1_from_v2(obj: Object) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    others = []
    for metric in spec.pop("metrics", None) or []:
        utilization = _cpu_utilization(metric, "target")
        if utilization is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = utilization
        else:
            others.append(metric)
    _annotation(obj, "metrics", others)
    _annotation(obj, "behavior", spec.pop("behavior", None))
    current = status.pop("currentMetrics", None) or []
    for metric in current:
        utilization = _cpu_utilization(metric, "current")
        if utilization is not None:
            status["currentCPUUtilizationPercentage"] = utilization
    _annotation(obj, "current-metrics", current)
    _annotation(obj, "conditions", status.pop("conditions", None))


def _cpu_utilization(metric: Object, where: str) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    found: int | None = (resource.get(where) or {}).get("averageUtilization")
    return found


def _hpa_v1_to_v2(obj: Object) -> None:
    spec: Object = obj.setdefault("spec", {})
    status: Object = obj.get("status", {})
    metrics: list[Any] = _taken(obj, "metrics", list) or []
    utilization = spec.pop("targetCPUUtilizationPercentage", None)
    if utilization is not None:
        target = {"type": "Utilization", "averageUtilization": utilization}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    behavior, conditions = _taken(obj, "behavior", dict), _taken(obj, "conditions", list)
    current = _taken(obj, "current-metrics", list)
    used = status.pop("currentCPUUtilizationPercentage", None)
    if not current and used is not None:
        current = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}}]
    for holder, name, value in (
        (spec, "metrics", metrics),
        (spec, "behavior", behavior),
        (status, "currentMetrics", current),
        (status, "conditions", conditions),
    ):
        if value:
            holder[name] = value
    if status:
        obj["status"] = status


#: What a device request holds in every version; the rest is under ``exactly`` in versions after v1beta1.
_REQUEST = frozenset({"name", "firstAvailable"})


def _requests(obj: Object) -> list[Object]:
    """The device requests of a ResourceClaim or ResourceClaimTemplate."""
    spec = obj.get("spec") or {}
    if obj.get("kind") == "ResourceClaimTemplate":
        spec = spec.get("spec") or {}
    return (spec.get("devices") or {}).get("requests") or []


def _claim_from_v1(obj: Object) -> None:
    for request in _requests(obj):
        request.update(request.pop("exactly", None) or {})


def _claim_to_v1(obj: Object) -> None:
    for request in _requests(obj):
        exact = {name: request.pop(name) for name in list(request) if name not in _REQUEST}
        if exact:
            request["exactly"] = exact


def _slice_from_v1(obj: Object) -> None:
    for device in (obj.get("spec") or {}).get("devices") or []:
        basic = {name: device.pop(name) for name in list(device) if name != "name"}
        if basic:
            device["basic"] = basic


def _slice_to_v1(obj: Object) -> None:
    for device in (obj.get("spec") or {}).get("devices") or []:
        device.update(device.pop("basic", None) or {})


_EVENT = GVK("events.k8s.io", "v1", "Event")
_HPA = GVK("autoscaling", "v1", "HorizontalPodAutoscaler")
_DEVICES = ("resource.k8s.io", "v1beta1")
_FROM: dict[GVK, Conversion] = {
    _EVENT: _event_from_core,
    _HPA: _hpa_v1_from_v2,
    GVK(*_DEVICES, "ResourceClaim"): _claim_from_v1,
    GVK(*_DEVICES, "ResourceClaimTemplate"): _claim_from_v1,
    GVK(*_DEVICES, "ResourceSlice"): _slice_from_v1,
}
_TO: dict[GVK, Conversion] = {
    _EVENT: _event_to_core,
    _HPA: _hpa_v1_to_v2,
    GVK(*_DEVICES, "ResourceClaim"): _claim_to_v1,
    GVK(*_DEVICES, "ResourceClaimTemplate"): _claim_to_v1,
    GVK(*_DEVICES, "ResourceSlice"): _slice_to_v1,
}
