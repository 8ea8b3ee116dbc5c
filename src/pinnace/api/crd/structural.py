"""Structural schemas: the part of a CRD's OpenAPI schema that gives each field a type.

``Structural(node)`` reads a schema as the API holds it (a JSONSchemaProps as JSON data). It is walked by pruning,
defaulting, list types, validation rules and embedded objects; it is shared and read-only. Nodes below are made when
they are first walked: definitions may be huge, and most of what they define is never used.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from pinnace.api.types import Object

#: What schemas call the types of JSON values.
TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def json_type(value: Any) -> str:
    return "null" if value is None else TYPES.get(type(value), "object")


class Structural:
    """One node. ``node`` is the schema's own JSON, for what is only validation."""

    def __init__(self, node: Object) -> None:
        self.node = node
        self.type: str = node.get("type") or ""
        self.nullable: bool = bool(node.get("nullable"))
        #: None if there is none: null is no default, as in Go.
        self.default: Any = node.get("default")
        self.preserve: bool = bool(node.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded: bool = bool(node.get("x-kubernetes-embedded-resource"))
        self.int_or_string: bool = bool(node.get("x-kubernetes-int-or-string"))
        self.list_type: str = node.get("x-kubernetes-list-type") or ""
        self.list_map_keys: tuple[str, ...] = tuple(node.get("x-kubernetes-list-map-keys") or ())
        self.map_type: str = node.get("x-kubernetes-map-type") or ""
        #: Whether ``additionalProperties`` was given at all.
        self.additional_allowed: bool = node.get("additionalProperties") is not None
        #: What others have derived from this node, by their name for it.
        self.derived: dict[str, Any] = {}

    @cached_property
    def properties(self) -> dict[str, Structural]:
        return {name: Structural(child) for name, child in (self.node.get("properties") or {}).items()}

    @cached_property
    def items(self) -> Structural | None:
        items = self.node.get("items")
        return Structural(items) if isinstance(items, dict) else None

    @cached_property
    def additional(self) -> Structural | None:
        """The schema of a map's values; None if there is none, or any value will do."""
        additional = self.node.get("additionalProperties")
        return Structural(additional) if isinstance(additional, dict) else None

    @cached_property
    def has_defaults(self) -> bool:
        """Whether there is a default here or below."""
        return has(self.node, "default")

    @cached_property
    def has_embedded(self) -> bool:
        """Whether there is an embedded object here or below."""
        return has(self.node, "x-kubernetes-embedded-resource")

    @cached_property
    def defaulted(self) -> tuple[tuple[str, Structural], ...]:
        """The properties that have a default themselves."""
        return tuple((name, child) for name, child in self.properties.items() if child.default is not None)


def has(node: Any, keyword: str) -> bool:
    """Whether a schema, or one that gives a type to something below it, has the keyword (and not as false or null)."""
    if not isinstance(node, dict):
        return False
    if node.get(keyword) not in (None, False):
        return True
    if has(node.get("items"), keyword) or has(node.get("additionalProperties"), keyword):
        return True
    return any(has(child, keyword) for child in (node.get("properties") or {}).values())
