"""Namespaces, nodes, Secrets, ConfigMaps, quotas, limits, events and bindings."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from pinnace.api import formats as f
from pinnace.api import quantity
from pinnace.api.errors import FieldError, duplicate, forbidden_field, invalid_value, not_supported, required, too_long
from pinnace.api.types import Object
from pinnace.api.validation import common, scheduling
from pinnace.api.validation.metadata import IMMUTABLE, immutable, wrong

Errors = list[FieldError]

MAX_SECRET_SIZE = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"


def namespace(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        deleting = bool((new.get("metadata") or {}).get("deletionTimestamp"))
        phase = (new.get("status") or {}).get("phase") or ""
        if not deleting and phase != "Active":
            why = "may only be 'Active' if `deletionTimestamp` is empty"
            errors.append(invalid_value("status.Phase", phase, why))
        if deleting and phase != "Terminating":
            why = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            errors.append(invalid_value("status.Phase", phase, why))
        return
    if old is None or subresource == "finalize":
        for index, finalizer in enumerate((new.get("spec") or {}).get("finalizers") or ()):
            at = "spec.finalizers" if old is None else f"spec.finalizers[{index}]"
            wrong(errors, at, finalizer, f.label_key(finalizer))
            if "/" not in finalizer and finalizer not in ("kubernetes", "orphan", "foregroundDeletion"):
                why = "name is neither a standard finalizer name nor is it fully qualified"
                errors.append(invalid_value(at, finalizer, why))


def node(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec, status = new.get("spec") or {}, new.get("status") or {}
    if spec.get("taints"):
        scheduling.taints(errors, "metadata.taints", spec["taints"])
    for key in ("capacity", "allocatable"):
        for name, text in (status.get(key) or {}).items():
            common.amount(errors, f"status.{key}.{name}", name, text)
    blocks = spec.get("podCIDRs") or []
    if old is None:
        for index, block in enumerate(blocks):
            wrong(errors, f"spec.podCIDRs[{index}]", block, f.cidr(block))
        if len(blocks) > 2 or len({":" in block for block in blocks}) < len(blocks):
            why = "may specify no more than one CIDR for each IP family"
            errors.append(invalid_value("spec.podCIDRs", blocks, why))
        return
    before = old.get("spec") or {}
    addresses = status.get("addresses") or []
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            errors.append(duplicate(f"status.addresses[{index}]", address))
    if before.get("podCIDRs") and blocks != before["podCIDRs"]:
        why = 'node updates may not change podCIDR except from "" to valid'
        errors.append(forbidden_field("spec.podCIDRs", why))
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        changed = "modified" if spec.get("providerID") else "cleared"
        errors.append(invalid_value("spec.providerID", None, f"field cannot be {changed} once set"))


def _decoded_size(text: str | None) -> int:
    """The size of a value that is written in base64; a null value is empty."""
    return 0 if not text else len(text) // 4 * 3 - text[-2:].count("=")


def _frozen(errors: Errors, new: Object, old: Object, keys: tuple[str, ...]) -> None:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        errors.append(forbidden_field("immutable", _FROZEN))
    for key in keys:
        if (new.get(key) or {}) != (old.get(key) or {}):
            errors.append(forbidden_field(key, _FROZEN))


_SECRET_KEYS: dict[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def secret(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    data, type = new.get("data") or {}, new.get("type") or ""
    if old is not None:
        immutable(errors, "type", type, old.get("type") or "")
        _frozen(errors, new, old, ("data",))
    for key in data:
        if problems := f.config_key(key):
            wrong(errors, f"data[{key}]", key, problems)
    if sum(map(_decoded_size, data.values())) > MAX_SECRET_SIZE:
        errors.append(too_long("data", MAX_SECRET_SIZE))
    if type == "kubernetes.io/service-account-token":
        key = "kubernetes.io/service-account.name"
        if not ((new.get("metadata") or {}).get("annotations") or {}).get(key):
            errors.append(required(f"metadata.annotations[{key}]"))
    elif type == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            errors.extend((required("data[username]"), required("data[password]")))
    else:
        for key in _SECRET_KEYS.get(type, ()):
            if key not in data or (type == "kubernetes.io/ssh-auth" and not data[key]):
                errors.append(required(f"data[{key}]"))
            elif key.startswith(".docker"):
                _docker_config(errors, f"data[{key}]", data[key])


def _docker_config(errors: Errors, field: str, encoded: str) -> None:
    try:
        parsed = orjson.loads(base64.b64decode(encoded or ""))
        problem = (
            "" if isinstance(parsed, dict) else "json: cannot unmarshal value into Go value of type map[string]any"
        )
    except ValueError as error:
        problem = str(error)
    if problem:
        errors.append(invalid_value(field, "<secret contents redacted>", problem))


def config_map(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    if old is not None:
        _frozen(errors, new, old, ("data", "binaryData"))
    size = 0
    for key, text in data.items():
        if problems := f.config_key(key):
            wrong(errors, f"data[{key}]", key, problems)
        if key in binary:
            errors.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += 0 if not text else len(text) if text.isascii() else len(text.encode())
    for key, text in binary.items():
        wrong(errors, f"binaryData[{key}]", key, f.config_key(key))
        size += _decoded_size(text)
    if size > MAX_SECRET_SIZE:
        errors.append(too_long("[]", MAX_SECRET_SIZE))


_SCOPES = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
)


def _quota_resource(errors: Errors, field: str, name: str, text: Any) -> None:
    if common.resource_name(errors, field, name) and "/" not in name and name not in common.QUOTA:
        if not name.startswith(("hugepages-", "requests.hugepages-")):
            errors.append(invalid_value(field, name, "must be a standard resource for quota"))
    common.amount(errors, field, name, text)


def resource_quota(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec, status = new.get("spec") or {}, new.get("status") or {}
    if subresource == "status":
        for key in ("hard", "used"):
            for name, text in (status.get(key) or {}).items():
                _quota_resource(errors, f"status.{key}[{name}]", name, text)
        return
    for name, text in (spec.get("hard") or {}).items():
        _quota_resource(errors, f"spec.hard[{name}]", name, text)
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(invalid_value("spec.scopes", scopes, "unsupported scope"))
    for pair in ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"}):
        if pair <= set(scopes):
            errors.append(invalid_value("spec.scopes", scopes, "conflicting scopes"))
    for item in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        at, name, operator = "spec.scopeSelector.matchExpressions", item.get("scopeName"), item.get("operator")
        if name not in _SCOPES:
            errors.append(invalid_value(f"{at}.scopeName", name or "", "unsupported scope"))
        if operator in ("In", "NotIn"):
            if not item.get("values"):
                why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.append(required(f"{at}.values", why))
        elif operator in ("Exists", "DoesNotExist"):
            if item.get("values"):
                why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.append(invalid_value(f"{at}.values", item["values"], why))
        else:
            errors.append(invalid_value(f"{at}.operator", operator or "", "not a valid selector operator"))
    if old is not None and set(scopes) != set((old.get("spec") or {}).get("scopes") or ()):
        errors.append(invalid_value("spec.scopes", scopes, IMMUTABLE))


_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
_LIMIT_KEYS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
#: ``(lower, upper, the field to blame, whose value is shown, how the message names both)``, in upstream's order.
_LIMIT_ORDER = (
    ("min", "max", "min", "min", "min value", "max value"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min value", "default request value"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request value", "max value"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default request value", "default limit value"),
    ("min", "default", "default", "min", "min value", "default value"),
    ("default", "max", "default", "max", "default value", "max value"),
)


def limit_range(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    seen: set[str] = set()
    for index, limit in enumerate((new.get("spec") or {}).get("limits") or ()):
        at, type = f"spec.limits[{index}]", limit.get("type") or ""
        wrong(errors, f"{at}.type", type, f.label_key(type))
        if type and "/" not in type and type not in _LIMIT_TYPES:
            why = "must be a standard limit type or fully qualified"
            errors.append(invalid_value(f"{at}.type", type, why))
        if type in seen:
            errors.append(duplicate(f"{at}.type", type))
        seen.add(type)
        _limit(errors, at, type, limit)


def _limit(errors: Errors, field: str, type: str, limit: Object) -> None:
    check = common.container_resource_name if type in ("Pod", "Container") else common.resource_name
    names: dict[str, None] = {}
    for key in _LIMIT_KEYS:
        amounts = limit.get(key) or {}
        if type == "Pod" and key in ("default", "defaultRequest"):
            if amounts:
                errors.append(forbidden_field(f"{field}.{key}", "may not be specified when `type` is 'Pod'"))
            continue
        for name in amounts:
            check(errors, f"{field}.{key}[{name}]", name)
            names[name] = None
    if type == "PersistentVolumeClaim" and not ({*(limit.get("min") or ()), *(limit.get("max") or ())} & {"storage"}):
        why = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{field}.limits", why))
    for name in names:
        for lower, upper, blamed, shown, low_text, high_text in _LIMIT_ORDER:
            low, high = (limit.get(lower) or {}).get(name), (limit.get(upper) or {}).get(name)
            if low is None or high is None or quantity.compare(low, high) <= 0:
                continue
            low, high = quantity.canonical(low), quantity.canonical(high)
            value = low if shown == lower else high
            why = f"{low_text} {low} is greater than {high_text} {high}"
            errors.append(invalid_value(f"{field}.{blamed}[{name}]", value, why))
        ratio = (limit.get("maxLimitRequestRatio") or {}).get(name)
        if ratio is not None and quantity.compare(ratio, "1") < 0:
            why = f"ratio {quantity.canonical(ratio)} is less than 1"
            errors.append(invalid_value(f"{field}.maxLimitRequestRatio[{name}]", quantity.canonical(ratio), why))


#: What an update of an events.k8s.io Event may not change, and how messages call it.
_EVENT_FIXED = {
    "regarding": "involvedObject",
    "reason": "reason",
    "note": "message",
    "type": "type",
    "action": "action",
    "related": "related",
    "reportingController": "reportingController",
    "reportingInstance": "reportingInstance",
}


def event(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    """An Event of either group; events.k8s.io asks for more."""
    modern = new.get("apiVersion") == "events.k8s.io/v1"
    target = new.get("regarding" if modern else "involvedObject") or {}
    space, own = target.get("namespace") or "", (new.get("metadata") or {}).get("namespace") or ""
    at = "involvedObject.namespace"
    if not new.get("eventTime"):
        if own != space and (space or own != "default"):
            errors.append(invalid_value(at, space, "does not match event.namespace"))
        if not modern:
            return
        errors.append(required("eventTime"))
    elif not space and own not in ("default", "kube-system"):
        errors.append(invalid_value(at, space, "does not match event.namespace"))
    reporter = "reportingController" if modern else "reportingComponent"
    controller = new.get(reporter) or ""
    if not controller:
        errors.append(required(reporter))
    wrong(errors, reporter, controller, f.label_key(controller))
    message = "note" if modern else "message"
    for key, shown, limit in (("reportingInstance", "reportingInstance", 128), ("action", "action", 128)):
        if not new.get(key):
            errors.append(required(shown))
        elif len(new[key]) > limit:
            errors.append(invalid_value(shown, "", f"can have at most {limit} characters"))
    if not new.get("reason"):
        errors.append(required("reason"))
    elif len(new["reason"]) > 128:
        errors.append(invalid_value("reason", "", "can have at most 128 characters"))
    if len(new.get(message) or "") > 1024:
        errors.append(invalid_value("message", "", "can have at most 1024 characters"))
    if modern and new.get("type") not in ("Normal", "Warning"):
        errors.append(invalid_value("type", "", "has invalid value: " + (new.get("type") or "")))
    if modern and old is not None:
        for key, shown in _EVENT_FIXED.items():
            immutable(errors, shown, new.get(key), old.get(key))


def binding(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    target = new.get("target") or {}
    if target.get("kind") not in (None, "", "Node"):
        errors.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        errors.append(required("target.name"))


def priority_class(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    value, name = new.get("value") or 0, (new.get("metadata") or {}).get("name") or ""
    system = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
    if old is not None:
        if value != (old.get("value") or 0):
            errors.append(forbidden_field("value", "may not be changed in an update."))
        immutable(errors, "preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))
        return
    if name.startswith("system-"):
        if name not in system:
            problem = f"{name} is not a known system priority class"
        elif value != system[name]:
            problem = f"value of {name} PriorityClass must be {system[name]}"
        else:
            problem = f"globalDefault of {name} PriorityClass must be false" if new.get("globalDefault") else ""
        if problem:
            why = f"priority class names with 'system-' prefix are reserved for system use only. error: {problem}"
            errors.append(forbidden_field("metadata.name", why))
    elif value > 1000000000:
        why = "maximum allowed value of a user defined priority is 1000000000"
        errors.append(forbidden_field("value", why))
    preemption = new.get("preemptionPolicy")
    if preemption is not None and preemption not in ("PreemptLowerPriority", "Never"):
        errors.append(not_supported("preemptionPolicy", preemption, ("PreemptLowerPriority", "Never")))


def lease(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec = new.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        errors.append(invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        why = "must be greater than or equal to 0"
        errors.append(invalid_value("spec.leaseTransitions", transitions, why))
    strategy = spec.get("strategy")
    if strategy is not None and "/" not in strategy and strategy != "OldestEmulationVersion":
        errors.append(not_supported("spec.strategy.strategy", strategy, ("OldestEmulationVersion",)))
    if spec.get("preferredHolder") and not strategy:
        errors.append(forbidden_field("spec.preferredHolder", "may only be specified if `strategy` is defined"))
