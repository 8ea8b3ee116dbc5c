"""How large values of a schema may be, as far as one request can carry them: what a rule may cost follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pinnace.api.crd.structural import Structural
from pinnace.api.types import Object

#: The largest request, in bytes.
REQUEST = 3 * 1024 * 1024
#: The longest JSON texts of these formats, and the shortest.
_LONGEST = {"duration": 32, "date": 12, "date-time": 32}
_SHORTEST = {"duration": 3, "date": 12, "date-time": 21}
_SCALARS = {"boolean": 4, "number": 1, "integer": 1}


class Size(NamedTuple):
    """``most``: characters, elements or entries; ``bytes``: of the shortest JSON text."""

    most: int
    bytes: int
    fields: Mapping[str, Size] = {}
    element: Size | None = None
    key: Size | None = None


_TEXT = Size(REQUEST - 2, 2)
_KEY = Size(0, 2)
#: The longest names, in characters; a schema may say less.
_NAMES = {"name": 253, "generateName": 252}
_ENVELOPE = ("apiVersion", "kind", "metadata")


def of(schema: Structural, *, root: bool = False) -> Size | None:
    """None if rules cannot look at the values. Fields are named as rules write them."""
    key = "root size" if root else "size"
    if key not in schema.derived:
        schema.derived[key] = _of(schema, root=root or schema.embedded)
    found: Size | None = schema.derived[key]
    return found


def at(size: Size | None, path: tuple[str, ...]) -> int | None:
    """How many characters, elements or entries there are at most at a path below ``size`` (its first step is the
    variable); None where that is not known."""
    for step in path[1:]:
        if size is None:
            return None
        if step in ("@items", "@values"):
            size = size.element
        elif step == "@keys":
            size = size.key
        else:
            size = size.fields.get(step)
    return None if size is None else size.most


def repeated(schema: Structural, times: int | None) -> int | None:
    """How often what is below a node may be there at most, which itself is there ``times``; None: without bound."""
    if times is None:
        return None
    limit: int | None = 1
    if schema.type == "object" and schema.additional_allowed:
        limit = schema.node.get("maxProperties")
    elif schema.type == "array":
        limit = schema.node.get("maxItems")
    return None if limit is None else times * max(limit, 0)


def _of(schema: Structural, *, root: bool) -> Size | None:
    node = schema.node
    if schema.int_or_string:
        return Size(_length(node, REQUEST - 2), 1)
    if schema.type == "array":
        return _array(schema)
    if schema.type == "object":
        return _object(schema, root=root)
    if schema.type == "string":
        return _text(node)
    shortest = _SCALARS.get(schema.type)
    return None if shortest is None else Size(0, shortest)


def _length(node: Object, otherwise: int) -> int:
    """``maxLength`` counts characters, of up to four bytes each."""
    limit = node.get("maxLength")
    return otherwise if limit is None else max(limit, 0) * 4


def _text(node: Object) -> Size:
    form = node.get("format") or ""
    if form in _LONGEST:
        return Size(_LONGEST[form], _SHORTEST[form])
    if form == "byte":
        limit = node.get("maxLength")
        return Size(REQUEST - 2 if limit is None else max(limit, 0), 2)
    longest = REQUEST - 2
    if node.get("enum"):
        longest = max((len(value.encode()) for value in node["enum"] if isinstance(value, str)), default=0)
    return Size(_length(node, longest), 2)


def _array(schema: Structural) -> Size | None:
    element = of(schema.items) if schema.items is not None else None
    if element is None:
        return None
    limit = schema.node.get("maxItems")
    return Size((REQUEST - 2) // (element.bytes + 1) if limit is None else max(limit, 0), 2, element=element)


def _object(schema: Structural, *, root: bool) -> Size | None:
    from pinnace.api.crd.rules import escaped

    if schema.additional is not None:
        value = of(schema.additional)
        if value is None:
            return None
        limit = schema.node.get("maxProperties")
        most = (REQUEST - 2) // (value.bytes + 6) if limit is None else max(limit, 0)
        return Size(most, 2, element=value, key=_KEY)
    needed = frozenset(schema.node.get("required") or ())
    fields: dict[str, Size] = {}
    shortest = 2
    members = [(name, of(child), child.default) for name, child in schema.properties.items()]
    if root:
        members = [member for member in members if member[0] not in _ENVELOPE]
        members += [(name, _TEXT, None) for name in ("apiVersion", "kind")]
        members.append(("metadata", _metadata(schema.properties.get("metadata")), None))
    for name, size, default in members:
        if size is None:
            continue
        if written := escaped(name):
            fields[written] = size
        if name in needed and default is None:
            shortest += len(name.encode()) + size.bytes + 4
    return Size(0, shortest, fields)


def _metadata(schema: Structural | None) -> Size:
    fields = {}
    for name, longest in _NAMES.items():
        child = schema.properties.get(name) if schema is not None else None
        limit = child.node.get("maxLength") if child is not None else None
        fields[name] = Size(4 * (longest if limit is None else min(limit, longest)), 2)
    return Size(0, 2, fields)
