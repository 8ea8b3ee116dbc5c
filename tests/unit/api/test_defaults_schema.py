"""Defaults and first states of every kind, held against the schemas of Kubernetes 1.37."""

import copy
from random import Random
from typing import Any

import pytest

from pinnace.api import builtin, schema, schema_table
from pinnace.api.registry import Resource

ROWS = [row for row in builtin.registry() if row.definition and "create" in row.verbs]
_TEXTS = {schema_table.QUANTITY: "1", schema_table.TIME: "2026-01-01T00:00:00Z"}
_TEXTS[schema_table.MICRO_TIME] = "2026-01-01T00:00:00.000000Z"


def instance(node: dict[str, Any], random: Random, depth: int) -> Any:
    """Some value that the schema ``node`` allows; sparse, and free parts empty."""
    ref = node.get("$ref", "")
    if ref in _TEXTS:
        return _TEXTS[ref]
    if ref == schema_table.INT_OR_STRING:
        return random.choice([1, "1"])
    if ref in schema_table.OPAQUE:
        return {}
    if ref:
        return record(ref, random, depth - 1)
    match node.get("type"):
        case "array":
            return [instance(node["items"], random, depth - 1)] if depth > 0 else []
        case "object":
            values = node.get("additionalProperties")
            return {"k": instance(values, random, depth - 1)} if values and depth > 0 else {}
        case "integer" | "number":
            return random.choice([0, 1, 7])
        case "boolean":
            return random.random() < 0.5
        case _:
            return "" if random.random() < 0.3 else "Zm9v"


def record(definition: str, random: Random, depth: int) -> dict[str, Any]:
    described = schema_table.schema(definition)
    required = set(described.get("required", ()))
    return {
        name: instance(node, random, depth)
        for name, node in described.get("properties", {}).items()
        if name in required or (depth > 0 and random.random() < 0.6)
    }


def prepared(row: Resource, seed: int) -> dict[str, Any]:
    obj = schema.decode(row.definition, record(row.definition, Random(seed), 9))
    obj["metadata"] = {"name": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    obj["apiVersion"], obj["kind"] = row.api_version, row.kind
    return obj


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.group}/{row.version}/{row.kind}")
def test_defaults_and_first_state_are_of_the_schema(row: Resource) -> None:
    for seed in range(12):
        obj = prepared(row, seed)
        row.default(obj)
        again = copy.deepcopy(obj)
        row.default(again)
        assert again == obj
        row.prepare_create(obj)
        row.selectable(obj)
        problems: list[str] = []
        schema.decode(row.definition, obj, problems)
        assert problems == []
        changed = prepared(row, seed + 100)
        row.default(changed)
        before = copy.deepcopy(obj)
        for subresource in ("", *row.subresources):
            new = copy.deepcopy(changed)
            row.prepare_update(new, obj, subresource)
            assert obj == before
            schema.decode(row.definition, new, problems)
        assert problems == []
