"""Types of expressions, and which values fit which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


class Type:
    """``kind`` and, of lists, maps, optionals and types, parameters; of objects, their fields."""

    __slots__ = ("fields", "kind", "name", "params")

    def __init__(
        self, kind: str, params: tuple[Type, ...] = (), fields: Mapping[str, Type] | None = None, name: str = ""
    ) -> None:
        self.kind = kind
        self.params = params
        self.fields: Mapping[str, Type] = fields or {}
        self.name = name or kind

    def __str__(self) -> str:
        if self.kind == "optional":
            return f"optional_type({self.params[0]})"
        if self.kind == "param":
            return self.name
        return f"{self.name}({', '.join(map(str, self.params))})" if self.params else self.name

    def __repr__(self) -> str:
        return f"Type({self})"


DYN: Final = Type("dyn")
NULL: Final = Type("null_type")
BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES = Type("string"), Type("bytes")
TIMESTAMP = Type("timestamp", name="google.protobuf.Timestamp")
DURATION = Type("duration", name="google.protobuf.Duration")
PRIMITIVES = {type.kind: type for type in (DYN, NULL, BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)}
NUMBERS = frozenset(("int", "uint", "double"))


def list_of(element: Type) -> Type:
    return Type("list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    return Type("optional", (value,))


def object_of(name: str, fields: Mapping[str, Type]) -> Type:
    return Type("object", fields=fields, name=name)


Bindings = dict[str, Type]


def bound(type: Type, bindings: Bindings) -> Type:
    """``type`` with its parameters replaced by what they stand for; dyn if by nothing."""
    if type.kind == "param":
        return bindings.get(type.name, DYN)
    if not type.params:
        return type
    return Type(type.kind, tuple(bound(param, bindings) for param in type.params), type.fields, type.name)


def fits(actual: Type, wanted: Type, bindings: Bindings | None = None) -> bool:
    """Whether a value of type ``actual`` may stand where ``wanted`` is; parameters of ``wanted`` are bound."""
    if wanted.kind == "param" and bindings is not None:
        held = bindings.get(wanted.name)
        if held is None or held.kind == "dyn":
            bindings[wanted.name] = actual
            return True
        return fits(actual, held, None) or fits(held, actual, None)
    if actual.kind == "dyn" or wanted.kind == "dyn":
        return True
    if actual.kind == "null_type" or wanted.kind == "null_type":
        other = wanted if actual.kind == "null_type" else actual
        return other.kind not in ("bool", "int", "uint", "double", "string", "bytes", "list", "map")
    if actual.kind != wanted.kind:
        return False
    if actual.kind == "object":
        return actual.fields is wanted.fields or actual.name == wanted.name
    if len(actual.params) != len(wanted.params):
        return actual.kind == "type"
    return all(fits(ours, theirs, bindings) for ours, theirs in zip(actual.params, wanted.params, strict=True))


def joined(types: list[Type]) -> Type | None:
    """The one type of several values; None if they have none but dyn."""
    if not types:
        return DYN
    first = types[0]
    for other in types[1:]:
        if not fits(other, first):
            return None
        if first.kind in ("dyn", "null_type"):
            first = other
    return first


def parsed(text: str) -> Type:
    """A type from a signature: ``list(A)``, ``map(string, int)``, ``A``, ``kubernetes.URL``."""
    head, paren, rest = text.strip().partition("(")
    if paren:
        params = tuple(parsed(part) for part in _split(rest[:-1]))
        return Type("optional" if head == "optional" else head, params)
    if len(head) == 1 and head.isupper():
        return Type("param", name=head)
    return PRIMITIVES.get(head) or Type(head)


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return parts
