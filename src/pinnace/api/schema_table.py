"""The generated schemas: definitions by name, decoded one by one when they are first asked for.

Owns the text of ``generated/schemas.txt`` (one definition a line) and what was decoded of it. Schemas handed out are
shared: do not change them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import orjson

from pinnace.api.types import GVK

GENERATED = Path(__file__).with_name("generated")

INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
#: Definitions whose content is free: anything in them is kept.
OPAQUE = frozenset(
    {
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
        _APIEXTENSIONS + "JSON",
        _APIEXTENSIONS + "JSONSchemaPropsOrArray",
        _APIEXTENSIONS + "JSONSchemaPropsOrBool",
        _APIEXTENSIONS + "JSONSchemaPropsOrStringArray",
    }
)
JSON_SCHEMA = _APIEXTENSIONS + "JSONSchemaProps"
SCHEMA_OR_BOOL = _APIEXTENSIONS + "JSONSchemaPropsOrBool"
#: Of these the ones that are a schema or something else: free to whoever walks them by fields, but decoded.
ALTERNATIVES = frozenset(
    {
        _APIEXTENSIONS + "JSONSchemaPropsOrArray",
        _APIEXTENSIONS + "JSONSchemaPropsOrStringArray",
        SCHEMA_OR_BOOL,
    }
)
_SCALAR_REFS = {QUANTITY: "string", TIME: "string", MICRO_TIME: "string", INT_OR_STRING: "any"}


class FieldInfo(NamedTuple):
    """One field of a definition.

    ``kind`` is string, integer, number, boolean, object (of definition ``ref``), map (values of ``ref``, or scalars if
    that is ""), array (items of ``ref``, or scalars) or any. Quantities and times are strings; int-or-string is any.
    """

    kind: str
    ref: str = ""
    patch_strategy: frozenset[str] = frozenset()
    merge_key: str = ""
    list_type: str = ""
    list_map_keys: tuple[str, ...] = ()
    map_type: str = ""
    required: bool = False


@cache
def _lines() -> dict[str, bytes]:
    lines = {}
    for line in (GENERATED / "schemas.txt").read_bytes().splitlines():
        name, _, schema = line.partition(b" ")
        lines[name.decode()] = schema
    return lines


def names() -> Iterator[str]:
    """Every definition, sorted."""
    return iter(_lines())


def known(definition: str) -> bool:
    return definition in _lines()


def schema(definition: str) -> dict[str, Any]:
    """The JSON schema of ``definition``, decoded anew. Raises KeyError for an unknown one."""
    return cast(dict[str, Any], orjson.loads(_lines()[definition]))


@cache
def _kinds() -> dict[GVK, str]:
    marker = b'"x-kubernetes-group-version-kind"'
    return {
        GVK(gvk["group"], gvk["version"], gvk["kind"]): name
        for name, text in _lines().items()
        if marker in text
        for gvk in orjson.loads(text)["x-kubernetes-group-version-kind"]
    }


def of_kind(gvk: GVK) -> str:
    """The definition of a kind, "" if there is none."""
    return _kinds().get(gvk, "")


@cache
def fields(definition: str) -> Mapping[str, FieldInfo]:
    """The fields of ``definition``; none for a definition that is unknown, scalar or free in content."""
    if definition in OPAQUE or not known(definition):
        return MappingProxyType({})
    described = schema(definition)
    required = frozenset(described.get("required", ()))
    found = {name: _field(node, name in required) for name, node in described.get("properties", {}).items()}
    return MappingProxyType(found)


def _field(node: dict[str, Any], required: bool) -> FieldInfo:
    kind, ref = kind_of(node)
    strategy = node.get("x-kubernetes-patch-strategy", "")
    return FieldInfo(
        kind=kind,
        ref=ref,
        patch_strategy=frozenset(strategy.split(",")) if strategy else frozenset(),
        merge_key=node.get("x-kubernetes-patch-merge-key", ""),
        list_type=node.get("x-kubernetes-list-type", ""),
        list_map_keys=tuple(node.get("x-kubernetes-list-map-keys", ())),
        map_type=node.get("x-kubernetes-map-type", ""),
        required=required,
    )


def kind_of(node: dict[str, Any]) -> tuple[str, str]:
    """``(kind, ref)`` of a schema node, as in FieldInfo."""
    ref = node.get("$ref", "")
    if ref:
        if ref in _SCALAR_REFS:
            return _SCALAR_REFS[ref], ""
        return ("any", "") if ref in OPAQUE else ("object", ref)
    kind = node.get("type", "any")
    if kind == "array":
        return "array", kind_of(node["items"])[1]
    if kind == "object":
        values = node.get("additionalProperties")
        return ("map", kind_of(values)[1]) if values else ("any", "")
    return kind, ""
