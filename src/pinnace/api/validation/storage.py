"""PersistentVolumes, PersistentVolumeClaims and storage.k8s.io."""

from __future__ import annotations

from typing import Any

from pinnace.api import formats as f
from pinnace.api import quantity
from pinnace.api.errors import FieldError, forbidden_field, invalid_value, not_supported, required, too_many
from pinnace.api.types import Object
from pinnace.api.validation import metadata, scheduling
from pinnace.api.validation.common import NOT_POSITIVE, amount
from pinnace.api.validation.diffs import unified
from pinnace.api.validation.metadata import immutable, one_of, wrong

Errors = list[FieldError]

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
_RECLAIM = ("Delete", "Recycle", "Retain")
_NOT_SOURCES = frozenset(
    [
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    ]
)


def _access_modes(errors: Errors, field: str, modes: list[str], why_required: str = "") -> None:
    if not modes:
        errors.append(required(field, why_required))
    for mode in modes:
        if mode not in _MODES:
            errors.append(not_supported(field, mode, _MODES))
    if "ReadWriteOncePod" in modes and any(m in _MODES and m != "ReadWriteOncePod" for m in modes):
        errors.append(forbidden_field(field, "may not use ReadWriteOncePod with other access modes"))


def _storage(errors: Errors, field: str, text: Any) -> None:
    if quantity.parse(text).nano <= 0:
        errors.append(invalid_value(field, quantity.canonical(text), NOT_POSITIVE))
    else:
        amount(errors, field, "storage", text)


def _data_source(errors: Errors, field: str, source: Object) -> None:
    for key in ("name", "kind"):
        if not source.get(key):
            errors.append(required(f"{field}.{key}"))
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(invalid_value(field, source.get("kind") or "", why))
    if group:
        wrong(errors, f"{field}.apiGroup", group, f.dns_subdomain(group))
    if source.get("namespace"):
        wrong(errors, f"{field}.namespace", source["namespace"], f.dns_label(source["namespace"]))


def claim_spec(errors: Errors, field: str, spec: Object) -> None:
    why = "at least 1 access mode is required"
    modes = spec.get("accessModes") or []
    if not modes:
        errors.append(required(f"{field}.accessModes", why))
    metadata.label_selector(errors, f"{field}.selector", spec.get("selector"))
    if modes:
        _access_modes(errors, f"{field}.accessModes", modes)
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if asked is None:
        errors.append(required(f"{field}.resources[storage]"))
    else:
        _storage(errors, f"{field}.resources[storage]", asked)
    for key in ("storageClassName", "volumeAttributesClassName"):
        if name := spec.get(key):
            wrong(errors, f"{field}.{key}", name, f.dns_subdomain(name))
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in _VOLUME_MODES:
        errors.append(not_supported(f"{field}.volumeMode", spec["volumeMode"], _VOLUME_MODES))
    for key in ("dataSource", "dataSourceRef"):
        if spec.get(key) is not None:
            _data_source(errors, f"{field}.{key}", spec[key])


def claim_template(errors: Errors, field: str, template: Object) -> None:
    meta = template.get("metadata") or {}
    metadata.annotations(errors, f"{field}.metadata.annotations", meta.get("annotations"))
    metadata.labels(errors, f"{field}.metadata.labels", meta.get("labels"))
    claim_spec(errors, f"{field}.spec", template.get("spec") or {})


def claim(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        return
    spec = new.get("spec") or {}
    claim_spec(errors, "spec", spec)
    if old is None:
        return
    before, status = old.get("spec") or {}, new.get("status") or {}
    bound = status.get("phase") == "Bound"
    kept = dict(spec)
    if not before.get("volumeName"):
        before = {**before, "volumeName": spec.get("volumeName")}
    if bound:
        kept["resources"] = before.get("resources")
        kept["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
    if before.get("storageClassName") is None:
        kept["storageClassName"] = None
    if {k: v for k, v in kept.items() if v is not None} != {k: v for k, v in before.items() if v is not None}:
        free = "resources.requests and volumeAttributesClassName for bound claims"
        why = f"spec is immutable after creation except {free}"
        errors.append(forbidden_field("spec", f"{why}\n{unified(before, kept)}"))
    size, was = (((s.get("resources") or {}).get("requests") or {}).get("storage") or "0" for s in (spec, before))
    held = ((old.get("status") or {}).get("capacity") or {}).get("storage") or "0"
    if quantity.compare(size, was) < 0 and quantity.compare(size, held) <= 0:
        at = "spec.resources.requests.storage"
        errors.append(forbidden_field(at, "field can not be less than status.capacity"))
    immutable(errors, "volumeMode", spec.get("volumeMode"), before.get("volumeMode"))


def _source(spec: Object) -> Object:
    return {key: value for key, value in spec.items() if key not in _NOT_SOURCES and value is not None}


def volume(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        return
    spec = new.get("spec") or {}
    _access_modes(errors, "spec.accessModes", spec.get("accessModes") or [])
    capacity = spec.get("capacity") or {}
    if not capacity:
        errors.append(required("spec.capacity"))
    if "storage" not in capacity or len(capacity) > 1:
        errors.append(not_supported("spec.capacity", capacity, ("storage",)))
    for name, text in capacity.items():
        _storage(errors, f"spec.capacity[{name}]", text)
    reclaim = spec.get("persistentVolumeReclaimPolicy")
    if reclaim and reclaim not in _RECLAIM:
        errors.append(not_supported("spec.persistentVolumeReclaimPolicy", reclaim, _RECLAIM))
    affinity = (spec.get("nodeAffinity") or {}).get("required")
    if spec.get("nodeAffinity") is not None:
        if affinity is None:
            errors.append(required("spec.nodeAffinity.required", "must specify required node constraints"))
        else:
            scheduling.node_selector(errors, "spec.nodeAffinity.required", affinity)
    sources = list(_source(spec))
    if not sources:
        errors.append(required("spec", "must specify a volume type"))
    for extra in sources[1:]:
        errors.append(forbidden_field(f"spec.{extra}", "may not specify more than 1 volume type"))
    path = (spec.get("hostPath") or {}).get("path")
    if path and "/" in path and not path.strip("/") and reclaim == "Recycle":
        why = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(forbidden_field("spec.persistentVolumeReclaimPolicy", why))
    if name := spec.get("storageClassName"):
        wrong(errors, "spec.storageClassName", name, f.dns_subdomain(name))
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in _VOLUME_MODES:
        errors.append(not_supported("spec.volumeMode", spec["volumeMode"], _VOLUME_MODES))
    if old is not None:
        before = old.get("spec") or {}
        if _source(spec) != _source(before):
            why = f"spec.persistentvolumesource is immutable after creation\n{unified(_source(before), _source(spec))}"
            errors.append(forbidden_field("spec.persistentvolumesource", why))
        immutable(errors, "volumeMode", spec.get("volumeMode"), before.get("volumeMode"))


def storage_class(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    provisioner = new.get("provisioner")
    if old is None:
        if not provisioner:
            errors.append(required("provisioner"))
        else:
            wrong(errors, "provisioner", provisioner, f.label_key(provisioner.lower()))
        if len(new.get("parameters") or ()) > 512:
            errors.append(too_many("parameters", len(new["parameters"]), 512))
        one_of(errors, "reclaimPolicy", new.get("reclaimPolicy"), ("Delete", "Retain"))
        one_of(errors, "volumeBindingMode", new.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer"))
        return
    for key in ("parameters", "provisioner", "reclaimPolicy"):
        if (new.get(key) or None) != (old.get(key) or None):
            errors.append(forbidden_field(key, f"updates to {key} are forbidden."))
    immutable(errors, "volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))


def volume_attachment(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec = new.get("spec") or {}
    if not spec.get("attacher"):
        errors.append(required("spec.attacher"))
    source = spec.get("source") or {}
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and not name:
        why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors.append(required("spec.source", why))
    elif inline is not None and name:
        why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors.append(forbidden_field("spec.source", why))
    if not spec.get("nodeName"):
        errors.append(required("spec.nodeName"))
    if old is not None and spec != (old.get("spec") or {}):
        errors.append(invalid_value("spec", spec, "field is immutable"))
