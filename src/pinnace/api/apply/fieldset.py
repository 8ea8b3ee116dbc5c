"""Sets of fields, in the very form of ``fieldsV1``: a trie of plain dicts that needs no encoding.

A key is a path element: ``f:name`` a field, ``k:{"name":"c"}`` an element of a keyed list, ``v:"x"`` one of a set,
``i:0`` an index. A node belongs to the set if it is ``{}`` or has the key ``.``; the root never does::

    {"f:spec": {"f:replicas": {}, "f:ports": {".": {}, 'k:{"port":80}': {".": {}, "f:port": {}}}}}

Sets are shared and read-only: every operation returns a set that may share nodes with its arguments. Keys are in
upstream's order (fields, keys, values, indexes), and so is what the operations return. The empty set is ``{}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import orjson

from pinnace.core.memo import memo

Set: TypeAlias = "dict[str, Any]"

SELF = "."
#: In a pattern: any path element.
ANY = "*"
EMPTY: Set = {}
_RANKS = {".": 0, "f": 1, "k": 2, "v": 3, "i": 4}
_GO_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


class FieldsError(ValueError):
    """Not the form of ``fieldsV1``."""


@memo(8192)
def field_element(name: str) -> str:
    """The path element of a field: mostly the very same text for the same name."""
    return f"f:{name}"


def value_element(value: Any) -> str:
    """The path element of a scalar in a set."""
    return "v:" + _json(value)


def key_element(key: dict[str, Any]) -> str:
    """The path element of a keyed list's element; ``key`` holds its key fields in alphabetical order."""
    return "k:" + _json(key)


def _json(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text.translate(_GO_ESCAPES) if "<" in text or ">" in text or "&" in text or not text.isascii() else text


def is_member(node: Set) -> bool:
    return not node or SELF in node


@memo(4096)
def _order(element: str) -> tuple[Any, ...]:
    """A sort key: upstream compares the values of keys and sets, not their JSON."""
    kind = element[:1]
    rank = _RANKS.get(kind, 5)
    if kind == "i":
        return (rank, int(element[2:]))
    if kind == "k":
        key = orjson.loads(element[2:])
        return (rank, *[(name, *_value_order(value)) for name, value in sorted(key.items())])
    if kind == "v":
        return (rank, _value_order(orjson.loads(element[2:])))
    return (rank, element)


def _value_order(value: Any) -> tuple[int, Any]:
    """Numbers before texts before booleans."""
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    return (1, value) if isinstance(value, str) else (3, orjson.dumps(value))


def ordered(node: Set) -> Set:
    """``node`` with its keys (not its children's) in order."""
    if len(node) < 2:
        return node
    keys = list(node)
    # "." and fields sort as they are
    wanted = sorted(keys) if max(keys) < "g" else sorted(keys, key=_order)
    return node if wanted == keys else {key: node[key] for key in wanted}


def touches(fields: Set, other: Set) -> bool:
    """Whether the two have a member in common. Walks ``other``, which is the smaller one best."""
    for element, node in other.items():
        mine = fields.get(element)
        if mine is None or element == SELF:
            continue
        if not node:
            if not mine or SELF in mine:
                return True
        elif not mine:
            if SELF in node:
                return True
        elif (SELF in node and SELF in mine) or touches(mine, node):
            return True
    return False


def covers(fields: Set, other: Set) -> bool:
    """Whether every member of ``other`` is one of ``fields``. Walks ``other``."""
    for element, node in other.items():
        if element == SELF:
            continue
        mine = fields.get(element)
        if mine is None or (mine and (not node or SELF in node) and SELF not in mine):
            return False
        if node and not covers(mine, node):
            return False
    return True


def union(left: Set, right: Set) -> Set:
    """``left`` itself if nothing is added to it."""
    if not left:
        return right
    if not right or left is right or covers(left, right):
        return left
    return _union(left, right, root=True)


def _union(left: Set, right: Set, *, root: bool = False) -> Set:
    if left is right or left == right:
        return left
    out: Set = {}
    if not root and (is_member(left) or is_member(right)):
        out[SELF] = EMPTY
    for element, node in left.items():
        other = right.get(element)
        out[element] = node if other is None or element == SELF else _union(node, other)
    if len(left) == len(out) and all(element in left for element in right):
        return out
    for element, node in right.items():
        if element not in out:
            out[element] = node
    return EMPTY if len(out) == 1 and SELF in out else ordered(out)


def difference(left: Set, right: Set) -> Set:
    """What of ``left`` is not in ``right``, ``left`` itself if that is all; a field's children are told apart from the
    field itself."""
    if not left or not right:
        return left
    if not (touches(right, left) if len(left) < len(right) else touches(left, right)):
        return left
    return _difference(left, right, root=True) or EMPTY


def _difference(left: Set, right: Set, *, root: bool = False) -> Set | None:
    """None if nothing is left."""
    out: Set = {}
    member = not root and is_member(left) and not is_member(right)
    if member:
        out[SELF] = EMPTY
    for element, node in left.items():
        if element == SELF:
            continue
        other = right.get(element)
        rest = node if other is None else _difference(node, other)
        if rest is not None:
            out[element] = rest
    if len(out) == 1 and member:
        return EMPTY
    return out or None


def intersection(left: Set, right: Set) -> Set:
    if not left or not right:
        return EMPTY
    return _intersection(left, right, root=True) or EMPTY


def _intersection(left: Set, right: Set, *, root: bool = False) -> Set | None:
    out: Set = {}
    member = not root and is_member(left) and is_member(right)
    if member:
        out[SELF] = EMPTY
    for element, node in left.items():
        if element == SELF:
            continue
        other = right.get(element)
        if other is not None:
            both = _intersection(node, other)
            if both is not None:
                out[element] = both
    if len(out) == 1 and member:
        return EMPTY
    return out or None


def without(fields: Set, paths: Set) -> Set:
    """``fields`` without the members of ``paths`` and everything below them."""
    if fields.keys().isdisjoint(paths):
        return fields
    return _without(fields, paths) or EMPTY


def _without(fields: Set, paths: Set) -> Set | None:
    out: Set = {}
    for element, node in fields.items():
        below = paths.get(element) if element != SELF else None
        if below is None:
            out[element] = node
        elif not is_member(below):
            rest = _without(node, below) if node else node
            if rest is not None:
                out[element] = rest
    if not out:
        return None
    return EMPTY if len(out) == 1 and SELF in out else out


def matching(fields: Set, pattern: Set) -> Set:
    """The members of ``fields`` on the paths of ``pattern``, where ``ANY`` is any element, and those below them."""
    return _matching(fields, pattern) or EMPTY


def _matching(fields: Set, pattern: Set) -> Set | None:
    if not pattern:
        return fields
    out: Set = {}
    for element, node in fields.items():
        below = None if element == SELF else pattern.get(element, pattern.get(ANY))
        if below is None:
            continue
        rest = _matching(node, below)
        if is_member(node):
            out[element] = {SELF: EMPTY, **rest} if rest else EMPTY
        elif rest:
            out[element] = rest
    return out or None


def has(fields: Set, path: tuple[str, ...]) -> bool:
    node: Set | None = fields
    for element in path:
        node = node.get(element) if node is not None else None
    return node is not None and is_member(node)


def paths(fields: Set, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every member's path, in upstream's order: a node's members before what is below them."""
    for element, node in fields.items():
        if element != SELF and is_member(node):
            yield (*prefix, element)
    for element, node in fields.items():
        if element != SELF and node:
            yield from paths(node, (*prefix, element))


def of_paths(*members: tuple[str, ...]) -> Set:
    """A set from its members' paths."""
    out: Set = {}
    for path in members:
        made: Set = EMPTY
        for element in reversed(path):
            made = {element: made}
        out = union(out, made)
    return out


def shown(path: tuple[str, ...]) -> str:
    """``.spec.containers[name="c"].image``."""
    return "".join(_shown(element) for element in path)


def _shown(element: str) -> str:
    kind, text = element[:1], element[2:]
    if kind == "f":
        return f".{text}"
    if kind == "k":
        return "[" + ",".join(f"{name}={_text(value)}" for name, value in sorted(orjson.loads(text).items())) + "]"
    return f"[={_text(orjson.loads(text))}]" if kind == "v" else f"[{text}]"


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def decode(fields: Any) -> Set:
    """A set from ``fieldsV1`` as a client sent it, in canonical form. Raises FieldsError."""
    if fields is None:
        return EMPTY
    try:
        return _decode(fields, root=True)
    except RecursionError:
        raise FieldsError("exceeded max depth") from None


def _decode(fields: Any, *, root: bool = False) -> Set:
    if not isinstance(fields, dict):
        raise FieldsError(f"expected an object of fields, got {orjson.dumps(fields).decode()[:40]}")
    out: Set = {}
    for element, node in fields.items():
        if element == SELF:
            if not root:
                out[SELF] = EMPTY
            continue
        known = _canonical(element)
        if known is not None:
            out[known] = _decode(node)
    return EMPTY if len(out) == 1 and SELF in out else ordered(out)


def _canonical(element: str) -> str | None:
    """A path element as this module writes it; None for one of an unknown kind, which is ignored."""
    if len(element) < 2 or element[1] != ":":
        raise FieldsError(f"missing colon: {element}")
    kind, text = element[0], element[2:]
    if kind == "f":
        return element
    try:
        if kind == "v":
            return value_element(orjson.loads(text))
        if kind == "k":
            key = orjson.loads(text)
            if not isinstance(key, dict):
                raise FieldsError(f"a key must be an object: {element}")
            return key_element({name: key[name] for name in sorted(key)})
        return f"i:{int(text)}" if kind == "i" else None
    except ValueError as error:
        raise FieldsError(f"{element}: {error}") from None
