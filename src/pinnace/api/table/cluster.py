"""Rows of cluster administration: RBAC, certificates, admission, flow control, storage, devices."""

from __future__ import annotations

from typing import Any

from pinnace.api.table import values as v
from pinnace.api.table.duration import human_duration
from pinnace.api.types import Object


def binding(obj: Object, now: float) -> list[Any]:
    users, groups, accounts = [], [], []
    for subject in v.children(obj, "subjects"):
        name = v.text(subject, "name")
        match v.text(subject, "kind"):
            case "ServiceAccount":
                accounts.append(f"{v.text(subject, 'namespace')}/{name}")
            case "User":
                users.append(name)
            case "Group":
                groups.append(name)
    role = f"{v.text(obj, 'roleRef', 'kind')}/{v.text(obj, 'roleRef', 'name')}"
    return [v.name(obj), role, v.age(obj, now), ", ".join(users), ", ".join(groups), ", ".join(accounts)]


def certificate_signing_request(obj: Object, now: float) -> list[Any]:
    types = {v.text(c, "type") for c in v.children(obj, "status", "conditions")}
    status = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    status += ",Failed" if "Failed" in types else ""
    status += ",Issued" if v.text(obj, "status", "certificate") else ""
    seconds = v.at(obj, "spec", "expirationSeconds")
    return [
        v.name(obj),
        v.age(obj, now),
        v.text(obj, "spec", "signerName") or v.NONE,
        v.text(obj, "spec", "username"),
        human_duration(seconds) if isinstance(seconds, int) else v.NONE,
        status,
    ]


def cluster_trust_bundle(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.text(obj, "spec", "signerName") or v.NONE]


def pod_certificate_request(obj: Object, now: float) -> list[Any]:
    state = "Pending"
    for condition in v.children(obj, "status", "conditions"):
        if condition.get("type") in ("Issued", "Denied", "Failed"):
            state = v.text(condition, "type")
    named = [v.text(obj, "spec", key) for key in ("podName", "serviceAccountName", "nodeName", "signerName")]
    return [v.name(obj), *named, state, v.labels(v.at(obj, "spec", "unverifiedUserAnnotations"))]


def webhook_configuration(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.size(obj, "webhooks"), v.age(obj, now)]


def _policy(obj: Object, now: float, rules: str) -> list[Any]:
    kind, shown = v.child(obj, "spec", "paramKind"), v.UNSET
    if kind:
        shown = f"{v.text(kind, 'apiVersion')}/{v.text(kind, 'kind')}"
    return [v.name(obj), v.size(obj, "spec", rules), shown, v.age(obj, now)]


def validating_policy(obj: Object, now: float) -> list[Any]:
    return _policy(obj, now, "validations")


def mutating_policy(obj: Object, now: float) -> list[Any]:
    return _policy(obj, now, "mutations")


def policy_binding(obj: Object, now: float) -> list[Any]:
    ref, shown = v.child(obj, "spec", "paramRef"), v.UNSET
    if name := v.text(ref, "name"):
        shown = f"{v.text(ref, 'namespace') or '*'}/{name}"
    elif ref.get("selector") is not None:
        shown = v.selector_text(ref["selector"])
    return [v.name(obj), v.text(obj, "spec", "policyName"), shown, v.age(obj, now)]


def api_service(obj: Object, now: float) -> list[Any]:
    service = v.child(obj, "spec", "service")
    shown = f"{v.text(service, 'namespace')}/{v.text(service, 'name')}" if service else "Local"
    available = "Unknown"
    for condition in v.children(obj, "status", "conditions"):
        if condition.get("type") == "Available":
            available = v.text(condition, "status")
            if available != "True":
                available += f" ({v.text(condition, 'reason')})"
    return [v.name(obj), shown, available, v.age(obj, now)]


def flow_schema(obj: Object, now: float) -> list[Any]:
    dangling = [c for c in v.children(obj, "status", "conditions") if c.get("type") == "Dangling"]
    return [
        v.name(obj),
        v.text(obj, "spec", "priorityLevelConfiguration", "name"),
        v.number(obj, "spec", "matchingPrecedence"),
        v.text(obj, "spec", "distinguisherMethod", "type") or v.NONE,
        v.age(obj, now),
        v.text(dangling[0], "status") if dangling else "?",
    ]


def priority_level(obj: Object, now: float) -> list[Any]:
    limited = v.at(obj, "spec", "limited")
    queuing = v.at(limited, "limitResponse", "queuing")
    shares = v.number(limited, "nominalConcurrencyShares") if isinstance(limited, dict) else v.NONE
    queues: list[Any] = [v.NONE] * 3
    if isinstance(queuing, dict):
        queues = [v.number(queuing, key) for key in ("queues", "handSize", "queueLengthLimit")]
    return [v.name(obj), v.text(obj, "spec", "type"), shares, *queues, v.age(obj, now)]


def storage_version(obj: Object, now: float) -> list[Any]:
    versions = v.children(obj, "status", "storageVersions")
    shown = [f"{v.text(s, 'apiServerID')}={v.text(s, 'encodingVersion')}" for s in versions]
    common = v.text(obj, "status", "commonEncodingVersion") or v.UNSET
    return [v.name(obj), common, v.with_more(shown, 3, v.UNSET), v.age(obj, now)]


def storage_version_migration(obj: Object, now: float) -> list[Any]:
    group, resource = v.text(obj, "spec", "resource", "group"), v.text(obj, "spec", "resource", "resource")
    status = v.UNKNOWN.strip("<>").capitalize()
    for condition in v.children(obj, "status", "conditions"):
        if condition.get("status") == "True" and condition.get("type") in ("Running", "Failed", "Succeeded"):
            status = v.text(condition, "type")
    return [v.name(obj), f"{resource}.{group}" if group else resource, status]


def runtime_class(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.text(obj, "handler"), v.age(obj, now)]


def csi_driver(obj: Object, now: float) -> list[Any]:
    audiences = ",".join(v.text(t, "audience") for t in v.children(obj, "spec", "tokenRequests"))
    return [
        v.name(obj),
        v.at(obj, "spec", "attachRequired") is not False,
        v.flag(obj, "spec", "podInfoOnMount"),
        v.flag(obj, "spec", "storageCapacity"),
        v.UNSET if v.at(obj, "spec", "tokenRequests") is None else audiences,
        v.flag(obj, "spec", "requiresRepublish"),
        ",".join(v.texts(obj, "spec", "volumeLifecycleModes")) or v.NONE,
        v.age(obj, now),
    ]


def csi_node(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.size(obj, "spec", "drivers"), v.age(obj, now)]


def csi_storage_capacity(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.text(obj, "storageClassName"), v.text(obj, "capacity") or v.UNSET]


_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def storage_class(obj: Object, now: float) -> list[Any]:
    default = any(v.text(obj, "metadata", "annotations", key) == "true" for key in _DEFAULT_CLASS)
    return [
        v.name(obj) + (" (default)" if default else ""),
        v.text(obj, "provisioner"),
        v.text(obj, "reclaimPolicy") or "Delete",
        v.text(obj, "volumeBindingMode") or "Immediate",
        v.flag(obj, "allowVolumeExpansion"),
        v.age(obj, now),
    ]


def volume_attachment(obj: Object, now: float) -> list[Any]:
    return [
        v.name(obj),
        v.text(obj, "spec", "attacher"),
        v.text(obj, "spec", "source", "persistentVolumeName"),
        v.text(obj, "spec", "nodeName"),
        v.flag(obj, "status", "attached"),
        v.age(obj, now),
    ]


def volume_attributes_class(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), v.text(obj, "driverName"), v.age(obj, now)]


def resource_claim(obj: Object, now: float) -> list[Any]:
    deleted, allocated = bool(v.at(obj, "metadata", "deletionTimestamp")), v.at(obj, "status", "allocation") is not None
    states = ["deleted"] if deleted else []
    if allocated:
        states += ["allocated", *(["reserved"] if v.size(obj, "status", "reservedFor") else [])]
    elif not deleted:
        states.append("pending")
    return [v.name(obj), ",".join(states), v.age(obj, now)]


def resource_slice(obj: Object, now: float) -> list[Any]:
    spec = v.child(obj, "spec")
    return [
        v.name(obj),
        v.text(spec, "nodeName"),
        v.text(spec, "driver"),
        v.text(spec, "pool", "name"),
        v.age(obj, now),
    ]


def resource_pool_status_request(obj: Object, now: float) -> list[Any]:
    counted = ("totalDevices", "availableDevices", "allocatedDevices", "unavailableDevices")
    status, pools = "Pending", v.children(obj, "status", "pools")
    pool_count = v.number(obj, "status", "poolCount")
    completed: float | None = None
    for condition in v.children(obj, "status", "conditions"):
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            status = v.text(condition, "type")
            completed = v.moment(condition, "lastTransitionTime") if status == "Complete" else None
            break
    sums = ["-"] * 5
    if status != "Failed" and isinstance(v.at(obj, "status"), dict):
        sums = [str(sum(v.number(pool, key) for pool in pools)) for key in counted]
        sums.append(str(sum(pool.get("validationError") is not None for pool in pools)))
    if status == "Complete" and pool_count > len(pools):
        status = f"Complete ({len(pools)}/{pool_count} pools)"
    done = v.NONE if completed is None else v.since(now, completed)
    return [v.name(obj), v.text(obj, "spec", "driver"), *sums, pool_count, status, done]


def device_taint_rule(obj: Object, now: float) -> list[Any]:
    taint = v.child(obj, "spec", "taint")
    added = v.since(now, v.moment(taint, "timeAdded")) if taint.get("timeAdded") else ""
    return [v.name(obj), *(v.text(taint, key) for key in ("key", "value", "effect")), added, v.age(obj, now)]


def pod_group(obj: Object, now: float) -> list[Any]:
    policy = "Gang" if v.at(obj, "spec", "schedulingPolicy", "gang") is not None else "Basic"
    conditions = {v.text(c, "type"): c for c in v.children(obj, "status", "conditions")}
    status = "Pending"
    if (scheduled := conditions.get("PodGroupInitiallyScheduled")) is not None:
        status = "Scheduled" if scheduled.get("status") == "True" else "Unschedulable"
    if (target := conditions.get("DisruptionTarget")) is not None:
        status = v.text(target, "reason")
    workload = v.text(obj, "spec", "workloadRef", "workloadName") or v.NONE
    return [v.name(obj), policy, workload, status, v.age(obj, now)]
