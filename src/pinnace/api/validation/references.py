"""References to fields, resources and keys, as environment variables and downward API volumes hold them."""

from __future__ import annotations

from pinnace.api import formats as f
from pinnace.api import quantity
from pinnace.api.errors import FieldError, invalid_value, not_supported, required
from pinnace.api.types import Object
from pinnace.api.validation.metadata import wrong

Errors = list[FieldError]

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_KNOWN_FIELDS = {*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase"}
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")


def field_ref(errors: Errors, field: str, ref: Object, allowed: tuple[str, ...]) -> None:
    version, path = ref.get("apiVersion"), ref.get("fieldPath") or ""
    if not version:
        errors.append(required(f"{field}.apiVersion"))
        return
    if not path:
        errors.append(required(f"{field}.fieldPath"))
        return
    base, bracket, subscript = path.partition("['")
    subscripted = bool(bracket) and path.endswith("']")
    problem = ""
    if version != "v1":
        problem = f"unsupported pod version: {version}"
    elif subscripted and base not in ("metadata.annotations", "metadata.labels"):
        problem = f"field label does not support subscript: {path}"
    elif not subscripted and path not in _KNOWN_FIELDS and path != "spec.host":
        problem = f"field label not supported: {path}"
    if problem:
        errors.append(invalid_value(f"{field}.fieldPath", path, f"error converting fieldPath: {problem}"))
    elif subscripted:
        key = subscript[:-2]
        key = key.lower() if base == "metadata.annotations" else key
        wrong(errors, field, key, f.label_key(key))
    else:
        path = "spec.nodeName" if path == "spec.host" else path
        if path not in allowed:
            errors.append(not_supported(f"{field}.fieldPath", path, allowed))


def resource_ref(errors: Errors, field: str, ref: Object, *, volume: bool) -> None:
    resource = ref.get("resource") or ""
    if volume and not ref.get("containerName"):
        errors.append(required(f"{field}.containerName"))
    elif not resource:
        errors.append(required(f"{field}.resource"))
    elif resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        errors.append(not_supported(f"{field}.resource", resource, _RESOURCES))
    divisor = quantity.canonical(ref.get("divisor") or "0")
    if divisor == "0":
        return
    if resource.endswith(".cpu"):
        if divisor not in ("1m", "1"):
            why = "only divisor's values 1m and 1 are supported with the cpu resource"
            errors.append(invalid_value(f"{field}.divisor", resource, why))
    elif divisor not in _SIZES:
        kind = "memory" if resource.endswith(".memory") else "local ephemeral storage"
        kind = "hugepages" if resource.startswith(_HUGE_PAGES) else kind
        why = f"only divisor's values {', '.join(_SIZES)} are supported with the {kind} resource"
        errors.append(invalid_value(f"{field}.divisor", resource, why))


def key_ref(errors: Errors, field: str, ref: Object) -> None:
    """A key of a ConfigMap or Secret."""
    name, key = ref.get("name") or "", ref.get("key") or ""
    wrong(errors, f"{field}.name", name, f.dns_subdomain(name))
    if not key:
        errors.append(required(f"{field}.key"))
    else:
        wrong(errors, f"{field}.key", key, f.config_key(key))
