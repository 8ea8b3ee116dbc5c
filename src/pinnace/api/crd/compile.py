"""From a CustomResourceDefinition to the registry rows of its served versions."""

from __future__ import annotations

import hashlib
from functools import cache

import orjson

from pinnace.api import meta
from pinnace.api.apply import typed
from pinnace.api.builtin import version_priority
from pinnace.api.crd import columns, scale, schemas, warnings
from pinnace.api.crd.kind import CustomKind
from pinnace.api.registry import Custom, Resource, Subresource
from pinnace.api.types import GVK, GVR, Object

VERBS = frozenset(("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"))
_SUBRESOURCE_VERBS = frozenset(("get", "patch", "update"))
_SCALE = GVK("autoscaling", "v1", "Scale")


def rows(definition: Object, revised: int) -> list[Resource]:
    """A row for each served version; ``revised`` is the revision at which the definition was last written."""
    spec = definition["spec"]
    versions = spec.get("versions") or ()
    stored = next(version["name"] for version in versions if version.get("storage"))
    storage = GVR(spec["group"], stored, spec["names"]["plural"])
    kinds = {version["name"]: _kind(spec, version) for version in versions}
    return [_row(definition, version, storage, kinds, revised) for version in versions if version.get("served")]


def _schema(version: Object) -> Object:
    found: Object = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return found or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _kind(spec: Object, version: Object) -> CustomKind:
    subresources = version.get("subresources") or {}
    described = subresources.get("scale")
    node = _schema(version)
    return CustomKind(
        GVK(spec["group"], version["name"], spec["names"]["kind"]),
        node,
        namespaced=spec.get("scope") == "Namespaced",
        status=subresources.get("status") is not None,
        paths=scale.paths(described) if described is not None else None,
        selectable=[field["jsonPath"] for field in version.get("selectableFields") or ()],
    )


def _row(definition: Object, version: Object, storage: GVR, kinds: dict[str, CustomKind], revised: int) -> Resource:
    spec = definition["spec"]
    accepted = (definition.get("status") or {}).get("acceptedNames") or spec["names"]
    kind, stored = kinds[version["name"]], kinds[storage.version]
    node = _schema(version)
    subresources = version.get("subresources") or {}
    known = {}
    if subresources.get("status") is not None:
        known["status"] = Subresource("status", kind.gvk, _SUBRESOURCE_VERBS)
    if subresources.get("scale") is not None:
        known["scale"] = Subresource("scale", _SCALE, _SUBRESOURCE_VERBS)
    asked = version.get("additionalPrinterColumns") or []
    terminating = meta.is_deleting(definition)
    conversion = spec.get("conversion") or {}
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=spec["names"]["plural"],
        singular=accepted.get("singular") or "",
        kind=spec["names"]["kind"],
        namespaced=spec.get("scope") == "Namespaced",
        verbs=VERBS,
        short_names=tuple(accepted.get("shortNames") or ()),
        categories=tuple(accepted.get("categories") or ()),
        columns=columns.columns(asked),
        subresources=known,
        definition="",
        storage=storage,
        default=kind.default,
        prepare_create=kind.prepare_create,
        prepare_update=kind.prepare_update,
        validate=kind.validate,
        selectable=kind.selectable,
        cells=columns.cells(asked),
        from_storage=kind.refresh,
        to_storage=stored.refresh,
        warn=warnings.custom,
        merges=cache(lambda: typed.of_structural(node)),
        custom=Custom(
            list_kind=accepted.get("listKind") or f"{kind.gvk.kind}List",
            schema=node,
            digest=cache(lambda: hashlib.sha256(orjson.dumps(node)).hexdigest()),
            decode=kind.decode,
            revised=revised,
            settled={},
            selectable=frozenset(f["jsonPath"].removeprefix(".") for f in version.get("selectableFields") or ()),
            scale=scale.paths(subresources["scale"]) if "scale" in known else None,
            warnings=_deprecation(spec, version),
            terminating=terminating,
            rules=cache(lambda: schemas.has_rules(node)),
            webhook=conversion.get("webhook") if conversion.get("strategy") == "Webhook" else None,
            converted={},
            translated={},
        ),
    )


def _deprecation(spec: Object, version: Object) -> tuple[str, ...]:
    if not version.get("deprecated"):
        return ()
    said = version.get("deprecationWarning")
    if said is not None:
        return (said,)
    group, kind, name = spec["group"], spec["names"]["kind"], version["name"]
    said = f"{group}/{name} {kind} is deprecated"
    current = [other["name"] for other in spec["versions"] if other.get("served") and not other.get("deprecated")]
    newest = max(current, key=version_priority, default=name)
    if version_priority(newest) > version_priority(name):
        said += f"; use {group}/{newest} {kind}"
    return (said,)
