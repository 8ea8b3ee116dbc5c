"""Rows of the core group but Pods, and of leases, events and priority classes."""

from __future__ import annotations

from typing import Any

from pinnace.api.table import values as v
from pinnace.api.types import Object

_ACCESS_MODES = (
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
)
_ROLE_PREFIX = "node-role.kubernetes.io/"


def aged(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.age(obj, now)]


def component_status(obj: Object, now: float) -> list[Any]:
    for condition in v.children(obj, "conditions"):
        if condition.get("type") == "Healthy":
            healthy = "Healthy" if condition.get("status") == "True" else "Unhealthy"
            return [v.name(obj), healthy, v.text(condition, "message"), v.text(condition, "error")]
    return [v.name(obj), "Unknown", "", ""]


def config_map(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.size(obj, "data") + v.size(obj, "binaryData"), v.age(obj, now)]


def endpoints(obj: Object, now: float) -> list[Any]:
    found: list[str] = []
    for subset in v.children(obj, "subsets"):
        addresses = [v.text(address, "ip") for address in v.children(subset, "addresses")]
        ports = v.children(subset, "ports")
        if not ports:
            found += addresses
        for port in ports:
            number = v.number(port, "port")
            found += [f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}" for ip in addresses]
    shown = v.with_more(found, 3, "") if v.size(obj, "subsets") else v.NONE
    return [v.name(obj), shown, v.age(obj, now)]


def event(obj: Object, now: float) -> list[Any]:
    """An Event of either group; events.k8s.io names some fields differently."""
    target = v.child(obj, "involvedObject") or v.child(obj, "regarding")
    first = _first_moment(obj, ("firstTimestamp",), ("deprecatedFirstTimestamp",), ("eventTime",))
    last = _first_moment(obj, ("lastTimestamp",), ("deprecatedLastTimestamp",))
    first_seen = v.since(now, first)
    last_seen = first_seen if last is None else v.since(now, last)
    count = v.number(obj, "count") or v.number(obj, "deprecatedCount") or 1
    if isinstance(v.at(obj, "series"), dict):
        last_seen = v.since(now, v.moment(obj, "series", "lastObservedTime"))
        count = v.number(obj, "series", "count")
    source = v.child(obj, "source") or v.child(obj, "deprecatedSource")
    component = v.text(source, "component") or v.text(obj, "reportingComponent") or v.text(obj, "reportingController")
    host = v.text(source, "host") or v.text(obj, "reportingInstance")
    kind, name = v.text(target, "kind").lower(), v.text(target, "name")
    return [
        last_seen,
        v.text(obj, "type"),
        v.text(obj, "reason"),
        f"{kind}/{name}" if name else kind,
        v.text(target, "fieldPath"),
        f"{component}, {host}" if host else component,
        (v.text(obj, "message") or v.text(obj, "note")).strip(),
        first_seen,
        count,
        v.name(obj),
    ]


def _first_moment(obj: Object, *paths: tuple[str, ...]) -> float | None:
    return next((found for path in paths if (found := v.moment(obj, *path)) is not None), None)


def namespace(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.text(obj, "status", "phase"), v.age(obj, now)]


def node(obj: Object, now: float) -> list[Any]:
    ready = [c for c in v.children(obj, "status", "conditions") if c.get("type") == "Ready"]
    status = ("Ready" if ready[-1].get("status") == "True" else "NotReady") if ready else "Unknown"
    if v.flag(obj, "spec", "unschedulable"):
        status += ",SchedulingDisabled"
    labels = v.child(obj, "metadata", "labels")
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles = (roles | {v.text(labels, "kubernetes.io/role")}) - {""}
    info = v.child(obj, "status", "nodeInfo")
    kernel = v.text(info, "kernelVersion") or v.UNKNOWN
    if v.text(info, "architecture"):
        kernel += f" ({v.text(info, 'architecture')})"
    return [
        v.name(obj),
        status,
        ",".join(sorted(roles)) or v.NONE,
        v.age(obj, now),
        v.text(info, "kubeletVersion"),
        _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"),
        v.text(info, "osImage") or v.UNKNOWN,
        kernel,
        v.text(info, "containerRuntimeVersion") or v.UNKNOWN,
    ]


def _address(obj: Object, type: str) -> str:
    addresses = v.children(obj, "status", "addresses")
    return next((v.text(a, "address") for a in addresses if a.get("type") == type), v.NONE)


def _access_modes(modes: list[str]) -> str:
    return ",".join(short for mode, short in _ACCESS_MODES if mode in modes)


def _storage_class(obj: Object) -> str:
    annotations = v.child(obj, "metadata", "annotations")
    beta = annotations.get("volume.beta.kubernetes.io/storage-class")
    return beta if isinstance(beta, str) else v.text(obj, "spec", "storageClassName")


def _phase(obj: Object) -> str:
    return "Terminating" if v.at(obj, "metadata", "deletionTimestamp") else v.text(obj, "status", "phase")


def persistent_volume(obj: Object, now: float) -> list[Any]:
    claim = v.child(obj, "spec", "claimRef")
    return [
        v.name(obj),
        v.text(obj, "spec", "capacity", "storage") or "0",
        _access_modes(v.texts(obj, "spec", "accessModes")),
        v.text(obj, "spec", "persistentVolumeReclaimPolicy"),
        _phase(obj),
        f"{v.text(claim, 'namespace')}/{v.text(claim, 'name')}" if claim else "",
        _storage_class(obj),
        v.text(obj, "spec", "volumeAttributesClassName") or v.UNSET,
        v.text(obj, "status", "reason"),
        v.age(obj, now),
        v.text(obj, "spec", "volumeMode") or v.UNSET,
    ]


def persistent_volume_claim(obj: Object, now: float) -> list[Any]:
    bound = bool(v.text(obj, "spec", "volumeName"))
    return [
        v.name(obj),
        _phase(obj),
        v.text(obj, "spec", "volumeName"),
        (v.text(obj, "status", "capacity", "storage") or "0") if bound else "",
        _access_modes(v.texts(obj, "status", "accessModes")) if bound else "",
        _storage_class(obj),
        v.text(obj, "spec", "volumeAttributesClassName") or v.UNSET,
        v.age(obj, now),
        v.text(obj, "spec", "volumeMode") or v.UNSET,
    ]


def resource_quota(obj: Object, now: float) -> list[Any]:
    requests: list[str] = []
    limits: list[str] = []
    hard = v.child(obj, "status", "hard")
    for resource in sorted(hard):
        used = v.text(obj, "status", "used", resource) or "0"
        target = limits if resource.startswith("limits.") else requests
        target.append(f"{resource}: {used}/{hard[resource]}")
    return [v.name(obj), ", ".join(requests), ", ".join(limits), v.age(obj, now)]


def secret(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.text(obj, "type"), v.size(obj, "data"), v.age(obj, now)]


def lease(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.text(obj, "spec", "holderIdentity"), v.age(obj, now)]


def lease_candidate(obj: Object, now: float) -> list[Any]:
    spec = v.child(obj, "spec")
    named = [v.text(spec, key) for key in ("leaseName", "binaryVersion", "emulationVersion")]
    return [v.name(obj), *named, v.age(obj, now)]


def priority_class(obj: Object, now: float) -> list[Any]:
    preemption = v.text(obj, "preemptionPolicy")
    return [v.name(obj), v.number(obj, "value"), v.flag(obj, "globalDefault"), v.age(obj, now), preemption]
