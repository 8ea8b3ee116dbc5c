"""Defaults of the core group's smaller kinds."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.defaults.base import child, fill, fill_empty, given, items, resource_lists
from pinnace.api.defaults.pod import pod_template
from pinnace.api.types import Object

_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


def namespace(obj: Object) -> None:
    name = meta.name(obj)
    if name:
        child(child(obj, "metadata"), "labels")["kubernetes.io/metadata.name"] = name
    child(obj, "spec")
    fill_empty(child(obj, "status"), phase="Active")


def secret(obj: Object) -> None:
    fill_empty(obj, type="Opaque")


def node(obj: Object) -> None:
    spec, status = child(obj, "spec"), child(obj, "status")
    address, addresses = spec.get("podCIDR"), spec.get("podCIDRs")
    if address and (not isinstance(addresses, list) or address not in addresses[:1]):
        spec["podCIDRs"] = [address]
    elif isinstance(addresses, list) and addresses and not address:
        spec["podCIDR"] = addresses[0]
    fill(child(child(status, "daemonEndpoints"), "kubeletEndpoint"), Port=0)
    fill(child(status, "nodeInfo"), **dict.fromkeys(_NODE_INFO, ""))
    resource_lists(status, "capacity", "allocatable")
    if status.get("allocatable") is None and given(status, "capacity") is not None:
        status["allocatable"] = dict(status["capacity"])


def event(obj: Object) -> None:
    """Upstream writes these even if they are unset."""
    child(obj, "source")
    fill(obj, reportingComponent="", reportingInstance="")
    for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
        obj.setdefault(name, None)


def limit_range(obj: Object) -> None:
    for item in items(child(obj, "spec"), "limits"):
        resource_lists(item, "max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
        if item.get("type") != "Container":
            continue
        limit, request = dict(item.get("default") or {}), dict(item.get("defaultRequest") or {})
        for name, value in (item.get("max") or {}).items():
            limit.setdefault(name, value)
        for source in (limit, item.get("min") or {}):
            for name, value in source.items():
                request.setdefault(name, value)
        if limit:
            item["default"] = limit
        if request:
            item["defaultRequest"] = request


def resource_quota(obj: Object) -> None:
    resource_lists(child(obj, "spec"), "hard")
    resource_lists(child(obj, "status"), "hard", "used")


def replication_controller(obj: Object) -> None:
    spec = child(obj, "spec")
    fill(spec, replicas=1)
    if given(spec, "template") is None:
        return
    pod_template(spec)
    labels = labels_from_template(obj, spec)
    if labels and not spec.get("selector"):
        spec["selector"] = dict(labels)


def labels_from_template(obj: Object, spec: Object) -> Object | None:
    """Give an object without labels those of its template; returns the template's."""
    labels = given(given(given(spec, "template") or {}, "metadata") or {}, "labels")
    if labels:
        metadata = child(obj, "metadata")
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)
    return labels


DEFAULTS = {
    ("", "Namespace"): namespace,
    ("", "Secret"): secret,
    ("", "Node"): node,
    ("", "Event"): event,
    ("", "LimitRange"): limit_range,
    ("", "ResourceQuota"): resource_quota,
    ("", "ReplicationController"): replication_controller,
}
