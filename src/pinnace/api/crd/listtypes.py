"""What ``x-kubernetes-list-type`` promises: the items of a set, and the keys of a map's items, are unique."""

from __future__ import annotations

from typing import Any

import orjson

from pinnace.api.crd.structural import Structural
from pinnace.api.errors import FieldError, duplicate, invalid_value


def validate(errors: list[FieldError], value: Any, schema: Structural | None, path: str = "") -> None:
    if schema is None:
        return
    if isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(member, dict | list):
                continue
            known = schema.properties.get(key)
            if known is not None:
                validate(errors, member, known, f"{path}.{key}" if path else key)
            elif schema.additional is not None:
                validate(errors, member, schema.additional, f"{path}[{key}]")
    elif isinstance(value, list):
        if schema.list_type == "set":
            errors += [duplicate(f"{path}[{index}]", value[index]) for index in repeated(value)]
        elif schema.list_type == "map":
            _map(errors, value, schema, path)
        if schema.items is not None:
            for index, element in enumerate(value):
                validate(errors, element, schema.items, f"{path}[{index}]")


def _map(errors: list[FieldError], items: list[Any], schema: Structural, path: str) -> None:
    for index, item in enumerate(items):
        if item is not None and not isinstance(item, dict):
            why = "must be an object for an array of list-type map"
            errors.append(invalid_value(f"{path}[{index}]", item, why))
            return
    keys = [key_of(item, schema) for item in items]
    errors += [duplicate(f"{path}[{index}]", keys[index]) for index in repeated(keys)]


def key_of(item: Any, schema: Structural) -> dict[str, Any]:
    """The keys of a list-map's item, those that it has."""
    return {key: item[key] for key in schema.list_map_keys if key in item} if isinstance(item, dict) else {}


def repeated(values: list[Any]) -> list[int]:
    """The index of the second occurrence of each value that is there more than once."""
    if len(values) <= 1:
        return []
    seen: dict[bytes, int] = {}
    found = []
    for index, value in enumerate(values):
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            found.append(index)
    return found
