"""Definitions as OpenAPI writes them, with descriptions."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from pinnace.api import schema_table
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.openapi import custom, operations
from pinnace.apiserver.openapi.operations import PREFIX, Version

Descriptions = dict[str, tuple[str, dict[str, str]]]
_COPIED = ("type", "format", "required", "enum")
_TIME = {"type": "string", "format": "date-time"}
_SPECIAL: dict[str, dict[int, Object]] = {
    schema_table.INT_OR_STRING: {
        2: {"type": "string", "format": "int-or-string"},
        3: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    },
    schema_table.QUANTITY: {2: {"type": "string"}, 3: {"oneOf": [{"type": "string"}, {"type": "number"}]}},
    schema_table.TIME: {2: _TIME, 3: _TIME},
    schema_table.MICRO_TIME: {2: _TIME, 3: _TIME},
}
#: Always there: what errors and deletions look like.
_COMMON = (operations.DELETE_OPTIONS, operations.STATUS, operations.PATCH)
#: What the schemas of custom resources refer to.
_CUSTOM = [operations.META + "ObjectMeta", operations.META + "ListMeta"]


def descriptions() -> Descriptions:
    """Read anew on every call: large, and needed only while a document is made."""
    packed = (schema_table.GENERATED / "descriptions.json.gz").read_bytes()
    found: Descriptions = orjson.loads(gzip.decompress(packed))
    return found


def render(definition: str, version: Version, texts: Descriptions) -> Object:
    """One definition in OpenAPI's form."""
    own, of_fields = texts.get(definition, ("", {}))
    described: Object = {"description": own} if own else {}
    special = _SPECIAL.get(definition)
    if special is not None:
        return described | special[version]
    schema = schema_table.schema(definition)
    described |= _node(schema, version)
    properties = schema.get("properties")
    if properties:
        described["properties"] = {
            name: _field(node, of_fields.get(name, ""), version) for name, node in properties.items()
        }
    return described


def _field(node: Object, text: str, version: Version) -> Object:
    rendered = _node(node, version)
    if not text:
        return rendered
    if version == 3 and "$ref" in rendered:
        rendered = {"allOf": [rendered]}
    return {"description": text} | rendered


def _node(node: Object, version: Version) -> Object:
    ref = node.get("$ref")
    rest = {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    if ref:
        link: Object = {"$ref": PREFIX[version] + ref}
        if not rest:
            return link
        return {"allOf": [link]} | rest if version == 3 else link | rest
    rendered: Object = {key: node[key] for key in _COPIED if key in node}
    for nested in ("items", "additionalProperties"):
        if nested in node:
            rendered[nested] = _node(node[nested], version)
    return rendered | rest


def needed(rows: Iterable[Resource]) -> list[str]:
    """The known definitions that ``rows`` and their operations refer to, directly or not, by name."""
    waiting: list[str] = list(_COMMON)
    for row in rows:
        waiting += [row.definition] if row.definition else _CUSTOM
        if "list" in row.verbs:
            waiting.append(operations.list_definition_of(row))
        waiting += [schema_table.of_kind(subresource.kind) for subresource in row.subresources.values()]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or not schema_table.known(name):
            continue
        found.add(name)
        waiting += _references(schema_table.schema(name))
    return sorted(found)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)


def all_schemas(rows: list[Resource], version: Version) -> Iterator[tuple[str, Object]]:
    """Every schema that a document of ``rows`` needs, one at a time."""
    texts = descriptions()
    for name in needed(rows):
        yield name, render(name, version, texts)
    for row in rows:
        if not row.definition:
            yield from custom.schemas(row, version).items()
