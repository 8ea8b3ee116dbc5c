"""Small helpers of the defaulting functions: careful with parts that are missing, null or of a wrong type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pinnace.api import quantity
from pinnace.api.types import Object
from pinnace.core.memo import memo


def child(obj: Object, name: str) -> Object:
    """The object at ``name``, made empty if it is missing or null; a throw-away one if it is no object."""
    value = obj.get(name)
    if value is None:
        value = obj[name] = {}
    return value if isinstance(value, dict) else {}


def given(obj: Object, name: str) -> Object | None:
    """The object at ``name`` if there is one."""
    value = obj.get(name)
    return value if isinstance(value, dict) else None


def items(obj: Object, name: str) -> Iterator[Object]:
    """The objects in the list at ``name``."""
    value = obj.get(name)
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield item


def fill(obj: Object, **values: Any) -> None:
    """Set what is missing or null (Go: a nil pointer)."""
    for name, value in values.items():
        if obj.get(name) is None:
            obj[name] = value


def fill_empty(obj: Object, **values: Any) -> None:
    """Set what is missing, null or the zero value (Go: no pointer)."""
    for name, value in values.items():
        held = obj.get(name)
        if not held and held in (None, "", 0) and held is not False:
            obj[name] = value


def resource_list(obj: Object, name: str) -> None:
    """Round the quantities of a resource list up to thousandths, as upstream does."""
    listed = obj.get(name)
    if not isinstance(listed, dict):
        return
    for key, value in listed.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            try:
                listed[key] = _rounded(value)
            except quantity.QuantityError:
                continue


@memo(1024)
def _rounded(value: str | int | float) -> str:
    parsed = quantity.parse(value)
    return str(parsed if parsed.nano % 10**6 == 0 else quantity.Quantity(parsed.milli_value() * 10**6, parsed.format))


def resource_lists(obj: Object, *names: str) -> None:
    for name in names:
        resource_list(obj, name)
