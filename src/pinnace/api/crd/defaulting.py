"""A structural schema's defaults, filled in where a field is missing, or null without being nullable. In place."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.crd.structural import Structural


def default(value: Any, schema: Structural | None) -> None:
    if schema is None or not schema.has_defaults:
        return
    if isinstance(value, dict):
        for key, known in schema.defaulted:
            if key not in value or (value[key] is None and not known.nullable):
                value[key] = meta.copy(known.default)
        for key, member in value.items():
            child = schema.properties.get(key) or schema.additional
            if child is not None:
                if member is None and not child.nullable and child.default is not None:
                    value[key] = member = meta.copy(child.default)
                default(member, child)
    elif isinstance(value, list) and schema.items is not None:
        for index, element in enumerate(value):
            if element is None and not schema.items.nullable and schema.items.default is not None:
                value[index] = element = meta.copy(schema.items.default)
            default(element, schema.items)
