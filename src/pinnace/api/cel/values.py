"""Values of expressions in Python, their equality and order, and what can go wrong with them.

int, double, string, bytes, bool, null, list and map are Python's own; unsigned integers are ``UInt``; timestamps and
durations are ``datetime`` and ``timedelta``; objects are dicts of their (escaped) fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any


class CelError(Exception):
    """An evaluation that failed, as cel-go words it."""


class CostError(Exception):
    """An evaluation that cost more than it may."""


class UInt(int):
    """An unsigned integer."""


class SetList(list[Any]):
    """A list whose order does not count."""


class MapList(list[Any]):
    """A list whose items are told apart by ``keys``, and whose order does not count."""

    keys: tuple[str, ...] = ()

    def key_of(self, item: Any) -> tuple[Any, ...]:
        return tuple(item.get(key) if isinstance(item, dict) else None for key in self.keys)


class ObjectValue(dict[str, Any]):
    """An object that an expression has made, of the type of that name."""

    __slots__ = ("cel_type",)

    def __init__(self, type_name: str) -> None:
        super().__init__()
        self.cel_type = type_name


class Optional:
    """A value that may be absent."""

    __slots__ = ("present", "value")

    def __init__(self, value: Any = None, *, present: bool = False) -> None:
        self.value = value
        self.present = present


NOTHING = Optional()


class TypeValue:
    """A type as a value: what ``type(x)`` gives."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def no_overload() -> CelError:
    return CelError("no such overload")


def type_name(value: Any) -> str:
    if value is None:
        return "null_type"
    for kind, name in _NAMES:
        if isinstance(value, kind):
            return name
    return str(getattr(value, "cel_type", type(value).__name__))


_NAMES: Sequence[tuple[type, str]] = (
    (bool, "bool"),
    (UInt, "uint"),
    (int, "int"),
    (float, "double"),
    (str, "string"),
    (bytes, "bytes"),
    (list, "list"),
    (dict, "map"),
    (datetime, "google.protobuf.Timestamp"),
    (timedelta, "google.protobuf.Duration"),
    (Optional, "optional_type"),
    (TypeValue, "type"),
)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equals(left: Any, right: Any) -> bool:
    """CEL's ``==``: numbers by value across their types, other types never equal each other."""
    if is_number(left) and is_number(right):
        return bool(left == right)
    if isinstance(left, list) and isinstance(right, list):
        return _lists_equal(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equals(value, right[key]) for key, value in left.items())
    if isinstance(left, Optional) and isinstance(right, Optional):
        return left.present == right.present and (not left.present or equals(left.value, right.value))
    if isinstance(left, TypeValue) and isinstance(right, TypeValue):
        return left.name == right.name
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return type(left) is type(right) and bool(left == right)


def _lists_equal(left: list[Any], right: list[Any]) -> bool:
    if len(left) != len(right):
        return False
    unordered = left if isinstance(left, SetList | MapList) else right
    if isinstance(unordered, MapList):
        ours = {repr(unordered.key_of(item)): item for item in left}
        theirs = {repr(unordered.key_of(item)): item for item in right}
        return ours.keys() == theirs.keys() and all(equals(item, theirs[key]) for key, item in ours.items())
    if isinstance(unordered, SetList):
        return all(any(equals(item, other) for other in right) for item in left)
    return all(equals(ours, theirs) for ours, theirs in zip(left, right, strict=True))


def compare(left: Any, right: Any) -> int:
    """Negative, zero or positive. Raises CelError for values that have no order."""
    same = type(left) is type(right) and isinstance(left, str | bytes | bool | datetime | timedelta)
    if not same and not (is_number(left) and is_number(right)):
        ordered = getattr(left, "cel_compare", None)
        if ordered is None or type(left) is not type(right):
            raise no_overload()
        return int(ordered(right))
    return int(left > right) - int(left < right)
