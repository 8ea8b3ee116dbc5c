"""Tables of custom resources: the columns that a definition asks for, and an object's cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from pinnace.api.crd import jsonpath
from pinnace.api.registry import Column
from pinnace.api.table import values as v
from pinnace.api.types import Object
from pinnace.core.clock import parse_timestamp

NAME = Column(
    "Name",
    "string",
    "name",
    0,
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
)
AGE = {
    "name": "Age",
    "type": "date",
    "description": "CreationTimestamp is a timestamp representing the server time when this object was created. It is "
    "not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It "
    "is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    "jsonPath": ".metadata.creationTimestamp",
}


def columns(asked: list[Object]) -> tuple[Column, ...]:
    """The table's columns; ``asked`` are the version's additionalPrinterColumns, the age if it has none."""
    made = [NAME]
    for column in _readable(asked or [AGE]):
        path = column.get("jsonPath") or ""
        text = column.get("description") or f"Custom resource definition column (in JSONPath format): {path}"
        made.append(
            Column(column["name"], column["type"], column.get("format") or "", column.get("priority") or 0, text)
        )
    return tuple(made)


def _readable(asked: list[Object]) -> Iterator[Object]:
    """The columns up to the first whose path does not parse."""
    for column in asked:
        try:
            jsonpath.compiled(column["jsonPath"])
        except jsonpath.PathError:
            return
        yield column


def cells(asked: list[Object]) -> Callable[[Object, float], list[Any]]:
    """``(object, now)`` -> its cells, in the order of ``columns``. Never raises, whatever the object holds."""
    readers = [(jsonpath.compiled(column["jsonPath"]), column["type"]) for column in _readable(asked or [AGE])]

    def read(obj: Object, now: float) -> list[Any]:
        row: list[Any] = [v.name(obj)]
        for find, kind in readers:
            found = find(obj)
            row.append(_cell(found[0], kind, now) if found else None)
        return row

    return read


def _cell(value: Any, kind: str, now: float) -> Any:
    if kind == "string":
        return _text(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer":
        return int(value) if number else None
    if kind == "number":
        return float(value) if number else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date" and isinstance(value, str):
        try:
            return v.since(now, parse_timestamp(value))
        except ValueError:
            return "<invalid>"
    return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
