"""Dropping what a structural schema does not know, and nulls that it does not allow. In place."""

from __future__ import annotations

from typing import Any

from pinnace.api.crd.structural import Structural

META = frozenset(("apiVersion", "kind", "metadata"))


def prune(obj: Any, schema: Structural, unknown: list[str] | None = None) -> None:
    """Prune a whole object; its apiVersion, kind and metadata stay. Appends the paths of dropped fields to
    ``unknown``."""
    found: list[str] | None = None if unknown is None else []
    _prune(obj, schema, "", found, root=True)
    if unknown is not None and found:
        unknown += sorted(found)


def prune_value(value: Any, schema: Structural) -> None:
    """Prune a part of an object (a default, a status)."""
    _prune(value, schema, "", None, root=schema.embedded)


def _prune(
    value: Any,
    schema: Structural | None,
    path: str,
    unknown: list[str] | None,
    *,
    root: bool = False,
    keep: bool = False,
) -> None:
    """``keep``: in a list of a schema that preserves unknown fields, its items do so too."""
    keep = schema is not None and (keep or schema.preserve)
    if isinstance(value, dict):
        _prune_map(value, schema, path, unknown, root=root, keep=keep)
    elif isinstance(value, list):
        items = None if schema is None else schema.items
        if keep and items is None:
            return
        for index, element in enumerate(value):
            if isinstance(element, dict | list):
                _prune(element, items, "" if unknown is None else f"{path}[{index}]", unknown, keep=keep)


def _prune_map(
    value: dict[str, Any], schema: Structural | None, path: str, unknown: list[str] | None, *, root: bool, keep: bool
) -> None:
    keep_meta = root or (schema is not None and schema.embedded)
    dropped = []
    for key, member in value.items():
        if keep_meta and key in META:
            continue
        known = None
        if schema is not None:
            known = schema.properties.get(key, schema.additional)
        if known is None and not keep and not (schema is not None and schema.additional_allowed):
            dropped.append(key)
        elif isinstance(member, dict | list) and (known is not None or not keep):
            _prune(member, known, "" if unknown is None else _join(path, key), unknown)
    for key in dropped:
        del value[key]
        if unknown is not None and (path or key not in META):
            unknown.append(_join(path, key))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def prune_nulls(value: Any, schema: Structural | None) -> None:
    """Drop nulls of fields that are not nullable and have no default to take their place."""
    if isinstance(value, dict):
        dropped = []
        for key, member in value.items():
            known = None if schema is None else schema.properties.get(key) or schema.additional
            if member is None:
                if known is not None and not known.nullable and known.default is None:
                    dropped.append(key)
            elif isinstance(member, dict | list):
                prune_nulls(member, known)
        for key in dropped:
            del value[key]
    elif isinstance(value, list):
        items = None if schema is None else schema.items
        for element in value:
            if isinstance(element, dict | list):
                prune_nulls(element, items)
