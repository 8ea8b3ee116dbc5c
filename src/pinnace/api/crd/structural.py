"""Structural schemas: the part of a CRD's OpenAPI schema that gives each field a type.

``structural(node)`` reads a schema as the API holds it (a JSONSchemaProps as JSON data). What it makes is walked by
pruning, defaulting, list types, validation rules, tables, server-side apply and OpenAPI; it is shared and read-only.
"""

from __future__ import annotations

from typing import Any

from pinnace.api.types import Object

#: ``default`` of a node that has none (null is no default either, as in Go).
NONE: Any = None


class Structural:
    """One node. ``node`` is the schema's own JSON, for what is only validation."""

    __slots__ = (
        "additional",
        "additional_allowed",
        "default",
        "embedded",
        "has_defaults",
        "int_or_string",
        "items",
        "list_map_keys",
        "list_type",
        "map_type",
        "node",
        "nullable",
        "preserve",
        "properties",
        "type",
    )

    def __init__(self, node: Object) -> None:
        self.node = node
        self.type: str = node.get("type") or ""
        self.nullable: bool = bool(node.get("nullable"))
        self.default: Any = node.get("default")
        self.preserve: bool = bool(node.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded: bool = bool(node.get("x-kubernetes-embedded-resource"))
        self.int_or_string: bool = bool(node.get("x-kubernetes-int-or-string"))
        self.list_type: str = node.get("x-kubernetes-list-type") or ""
        self.list_map_keys: tuple[str, ...] = tuple(node.get("x-kubernetes-list-map-keys") or ())
        self.map_type: str = node.get("x-kubernetes-map-type") or ""
        self.properties: dict[str, Structural] = {
            name: Structural(child) for name, child in (node.get("properties") or {}).items()
        }
        items = node.get("items")
        self.items: Structural | None = Structural(items) if isinstance(items, dict) else None
        additional = node.get("additionalProperties")
        #: The schema of a map's values; None if there is none, or any value will do.
        self.additional: Structural | None = Structural(additional) if isinstance(additional, dict) else None
        #: Whether ``additionalProperties`` was given at all.
        self.additional_allowed: bool = additional is not None
        children = [*self.properties.values(), *filter(None, (self.items, self.additional))]
        self.has_defaults: bool = self.default is not None or any(child.has_defaults for child in children)


def structural(node: Object) -> Structural:
    return Structural(node)
