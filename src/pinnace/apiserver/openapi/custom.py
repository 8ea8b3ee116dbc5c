"""Schemas of custom resources, as the two versions of OpenAPI write them.

Version 3 says all that the definition says. Version 2 cannot: what it has no words for (nullable, alternatives, unknown
fields that are kept, integer or string) is left open, so that clients which validate by it refuse nothing valid.
"""

from __future__ import annotations

from typing import Any

from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.openapi import operations
from pinnace.apiserver.openapi.operations import META, PREFIX, Version

_DOCS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_API_VERSION: Object = {
    "description": "APIVersion defines the versioned schema of this representation of an object. Servers should "
    "convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: "
    f"{_DOCS}#resources",
    "type": "string",
}
_KIND: Object = {
    "description": "Kind is a string value representing the REST resource this object represents. Servers may infer "
    "this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    f"{_DOCS}#types-kinds",
    "type": "string",
}
_METADATA = f"Standard object's metadata. More info: {_DOCS}#metadata"
_LIST_METADATA = f"Standard list metadata. More info: {_DOCS}#types-kinds"
_EITHER, _KEEP = "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_ALTERNATIVES = ("allOf", "anyOf", "oneOf", "not")


def schemas(row: Resource, version: Version) -> dict[str, Object]:
    """The schemas of a custom resource and of its list, by name."""
    name = operations.definition_of(row)
    gvk = {"group": row.group, "version": row.version, "kind": row.kind}
    list_kind = row.custom.list_kind if row.custom is not None else f"{row.kind}List"
    described = row.custom.schema if row.custom is not None else row.described
    node: Object = described if described is not None else {"type": "object", _KEEP: True}
    body = _node({"type": "object"} if version == 2 and node.get(_KEEP) else node, version)
    if version == 3 or not (node.get(_KEEP) or node.get("nullable")):
        body["properties"] = _envelope(body.get("properties") or {}, version)
    return {
        name: body | {"x-kubernetes-group-version-kind": [gvk]},
        f"{name}List": {
            "description": f"{list_kind} is a list of {row.kind}",
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": _API_VERSION,
                "items": {
                    "description": f"List of {row.plural}. More info: {_DOCS}",
                    "type": "array",
                    "items": {"$ref": PREFIX[version] + name},
                },
                "kind": _KIND,
                "metadata": _link("ListMeta", _LIST_METADATA, version),
            },
            "x-kubernetes-group-version-kind": [gvk | {"kind": list_kind}],
        },
    }


def _link(definition: str, description: str, version: Version) -> Object:
    link: Object = {"$ref": PREFIX[version] + META + definition}
    return {"description": description} | ({"allOf": [link]} if version == 3 else link)


def _envelope(properties: Object, version: Version) -> Object:
    return {
        **properties,
        "apiVersion": _API_VERSION,
        "kind": _KIND,
        "metadata": _link("ObjectMeta", _METADATA, version),
    }


def _node(node: Object, version: Version) -> Object:
    """One node and those below it."""
    if version == 2 and (node.get("nullable") or node.get(_EITHER) or node.get(_KEEP)):
        kept = ("description", "title", _EITHER, _KEEP, _EMBEDDED)
        return {key: node[key] for key in kept if key in node}
    made: Object = {}
    for key, value in node.items():
        if key in ("items", "additionalProperties") and isinstance(value, dict):
            made[key] = _node(value, version)
        elif key == "properties":
            made[key] = {name: _node(child, version) for name, child in value.items()}
        elif key in _ALTERNATIVES:
            if version == 3:
                made[key] = _alternatives(value)
        elif version == 3 or key != "default":
            made[key] = value
    if node.get(_EMBEDDED) and version == 3:
        made["properties"] = _envelope(made.get("properties") or {}, version)
    return made


def _alternatives(value: Any) -> Any:
    if isinstance(value, list):
        return [_node(child, 3) for child in value]
    return _node(value, 3)
