"""Ownership that was written under an earlier schema."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api.apply import typed
from pinnace.api.apply.reconcile import reconciled

PART = {".": {}, "f:a": {}, "f:b": {}}


def schema(**keywords: Any) -> dict[str, Any]:
    text = {"type": "string"}
    struct = {"type": "object", "properties": {"a": text, "b": text}}
    lists = {"type": "array", "items": struct}
    return {
        "type": "object",
        "properties": {
            "struct": {**struct, **keywords.get("struct", {})},
            "list": {**lists, **keywords.get("list", {})},
            "deep": {"type": "object", "properties": {"inner": {**struct, **keywords.get("struct", {})}}},
        },
    }


ATOMIC = {"x-kubernetes-map-type": "atomic"}
KEYED = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]}
ELEMENT = {'k:{"a":"x"}': PART}


@pytest.mark.parametrize(
    ("keywords", "before", "after"),
    [
        ({}, {"f:struct": PART}, {"f:struct": PART}),
        ({"struct": ATOMIC}, {"f:struct": PART}, {"f:struct": {}}),
        ({"struct": ATOMIC}, {"f:struct": {"f:a": {}}}, {"f:struct": {}}),
        ({"struct": ATOMIC}, {"f:struct": {}}, {"f:struct": {}}),
        ({"struct": ATOMIC}, {"f:deep": {"f:inner": PART}}, {"f:deep": {"f:inner": {}}}),
        ({"list": KEYED}, {"f:list": ELEMENT}, {"f:list": ELEMENT}),
        ({}, {"f:list": ELEMENT}, {"f:list": {}}),
        ({}, {"f:list": {}, "f:struct": PART}, {"f:list": {}, "f:struct": PART}),
        ({}, {"f:unknown": PART}, {"f:unknown": PART}),
    ],
    ids=["same", "struct", "part", "leaf", "deep", "same-list", "list", "granular", "unknown"],
)
def test_what_became_atomic_is_one_field(keywords: Any, before: Any, after: Any) -> None:
    of = typed.of_structural(schema(**keywords))
    made = reconciled(of, before)
    assert made == after
    assert made is before or before != after
