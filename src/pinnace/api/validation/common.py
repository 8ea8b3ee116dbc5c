"""Checks that several kinds share: quantities, ports, paths, resource lists."""

from __future__ import annotations

from typing import Any

from pinnace.api import formats as f
from pinnace.api import quantity
from pinnace.api.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from pinnace.api.types import Object
from pinnace.api.validation.metadata import NEGATIVE, wrong

Errors = list[FieldError]

NOT_POSITIVE = "must be greater than zero"
MAX_INT32 = 2147483647
FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_COUNTS = frozenset(
    [
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ]
)
_CONTAINER = frozenset(("cpu", "memory", "ephemeral-storage"))
STANDARD = _COUNTS | frozenset(
    [
        "cpu",
        "memory",
        "ephemeral-storage",
        "storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "requests.storage",
    ]
)
QUOTA = STANDARD - {"storage"}
NOT_STANDARD = "must be a standard resource type or fully qualified"


def positive(errors: Errors, field: str, value: int | None) -> None:
    if (value or 0) <= 0:
        errors.append(invalid_value(field, value or 0, NOT_POSITIVE))


def port_or_name(errors: Errors, field: str, value: Any) -> None:
    if isinstance(value, str):
        wrong(errors, field, value, f.port_name(value))
    else:
        wrong(errors, field, value or 0, f.port_number(value or 0))


def file_mode(errors: Errors, field: str, mode: int | None) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        errors.append(invalid_value(field, mode, FILE_MODE))


def no_backsteps(errors: Errors, field: str, path: str) -> None:
    if ".." in path and ".." in path.split("/"):
        errors.append(invalid_value(field, path, "must not contain '..'"))


def descending_path(errors: Errors, field: str, path: str) -> None:
    if path.startswith("/"):
        errors.append(invalid_value(field, path, "must be a relative path"))
    no_backsteps(errors, field, path)


def local_path(errors: Errors, field: str, path: str) -> None:
    """A path below a volume's root; names that start with two dots are the kubelet's own."""
    descending_path(errors, field, path)
    if path.startswith("..") and not path.startswith("../"):
        errors.append(invalid_value(field, path, "must not start with '..'"))


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    return not is_native(name) and not name.startswith("requests.") and not f.label_key(f"requests.{name}")


def resource_name(errors: Errors, field: str, name: str) -> bool:
    """A resource's name: standard or fully qualified. Returns whether it is one."""
    if problems := f.label_key(name):
        wrong(errors, field, name, problems)
        return False
    if "/" not in name and name not in STANDARD and not name.startswith(("hugepages-", "requests.hugepages-")):
        errors.append(invalid_value(field, name, NOT_STANDARD))
        return False
    return True


def container_resource_name(errors: Errors, field: str, name: str) -> None:
    if name in _CONTAINER:
        return
    resource_name(errors, field, name)
    if "/" not in name:
        if not is_huge_page(name):
            errors.append(invalid_value(field, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        errors.append(invalid_value(field, name, "doesn't follow extended resource name standard"))


def amount(errors: Errors, field: str, name: str, text: Any) -> None:
    """A quantity of a resource: not negative, and whole if the resource is counted."""
    parsed = quantity.parse(text)
    if parsed.nano < 0:
        errors.append(invalid_value(field, quantity.canonical(text), NEGATIVE))
    if (name in _COUNTS or ("/" in name and is_extended(name))) and parsed.milli_value() % 1000:
        errors.append(invalid_value(field, quantity.canonical(text), "must be an integer"))


def _huge_page(errors: Errors, field: str, name: str, text: Any) -> None:
    try:
        page = quantity.value(name.removeprefix("hugepages-"))
    except quantity.QuantityError:
        page = 0
    if page <= 0 or quantity.value(text) % page:
        why = f"{quantity.canonical(text)} is not positive integer multiple of {name}"
        errors.append(invalid_value(field, quantity.canonical(text), why))


def requirements(errors: Errors, field: str, resources: Object, *, pod_level: bool = False) -> None:
    """A container's or Pod's ``resources`` without its claims."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for which, amounts in (("limits", limits), ("requests", requests)):
        for name, text in amounts.items():
            at = f"{field}.{which}[{name}]"
            if pod_level:
                _pod_resource_name(errors, at, name)
            else:
                container_resource_name(errors, at, name)
            amount(errors, at, name, text)
            if which == "requests":
                _against_limit(errors, field, name, text, limits)
            if is_huge_page(name):
                _huge_page(errors, at, name, text)
    named = limits.keys() | requests.keys()
    if any(map(is_huge_page, named)) and not named & {"cpu", "memory"}:
        errors.append(forbidden_field(field, "HugePages require cpu or memory"))


def _pod_resource_name(errors: Errors, field: str, name: str) -> None:
    if resource_name(errors, field, name) and name not in ("cpu", "memory") and not is_huge_page(name):
        errors.append(not_supported(field, name, ("cpu", "hugepages-", "memory")))


def _against_limit(errors: Errors, field: str, name: str, text: Any, limits: Object) -> None:
    overcommit = is_native(name) and not is_huge_page(name)
    limit = limits.get(name)
    if limit is None:
        if not overcommit:
            errors.append(required(f"{field}.limits", "Limit must be set for non overcommitable resources"))
        return
    order = quantity.compare(text, limit)
    shown, bound = quantity.canonical(text), quantity.canonical(limit)
    if order and not overcommit:
        errors.append(invalid_value(f"{field}.requests", shown, f"must be equal to {name} limit of {bound}"))
    elif order > 0:
        why = f"must be less than or equal to {name} limit of {bound}"
        errors.append(invalid_value(f"{field}.requests", shown, why))
