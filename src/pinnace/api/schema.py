"""Schemas of the built-in kinds: decoding objects against them, and what is known of each field.

``decode_object`` is what a request's body goes through::

    obj, warnings = schema.decode_object(row.gvk, row.definition, data, schema.STRICT, schema.duplicate_fields(body))

``fields`` is for those who walk objects by schema (patches, apply). Everything is compiled when it is first needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pinnace.api import schema_duplicates, schema_table, schema_walk
from pinnace.api.errors import ApiError, bad_request
from pinnace.api.schema_table import FieldInfo
from pinnace.api.schema_walk import DecodeError, json_type
from pinnace.api.types import GVK, Object

__all__ = [
    "IGNORE",
    "STRICT",
    "WARN",
    "DecodeError",
    "FieldInfo",
    "decode",
    "decode_object",
    "duplicate_fields",
    "field",
    "fields",
    "json_type",
    "unhandled",
]

#: The values of the query parameter ``fieldValidation``; WARN is what its absence means.
STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"


def fields(definition: str) -> Mapping[str, FieldInfo]:
    """The fields of ``definition``; none if it is unknown, scalar or free in content."""
    return schema_table.fields(definition)


def field(definition: str, name: str) -> FieldInfo | None:
    return schema_table.fields(definition).get(name)


def decode(definition: str, value: Any, problems: list[str] | None = None) -> Object:
    """A new object: ``value`` as ``definition`` has it, without unknown fields, nulls, empty optional lists and maps
    and the zero values that Go leaves out (``paused: false``), with quantities and times in canonical form.

    Appends ``unknown field "spec.foo"`` to ``problems`` for each field dropped. Opaque parts (RawExtension) are shared
    with ``value``. Raises DecodeError for a wrong type, KeyError for an unknown definition.
    """
    try:
        return cast(Object, schema_walk.walker(definition)(value, None, problems))
    except RecursionError:
        raise DecodeError("exceeded max depth") from None


def decode_object(
    gvk: GVK, definition: str, value: Any, validation: str = WARN, duplicates: Sequence[str] = ()
) -> tuple[Object, list[str]]:
    """A request's object decoded, and the warnings to answer with. ``duplicates`` is what ``duplicate_fields`` found.

    Raises ApiError 400, worded as upstream's, for wrong types and, with STRICT, for unknown or duplicate fields.
    """
    problems: list[str] | None = None if validation == IGNORE else list(duplicates)
    try:
        obj = decode(definition, value, problems)
    except DecodeError as error:
        raise unhandled(gvk, str(error)) from None
    if not problems:
        return obj, []
    if duplicates and len(problems) > len(duplicates):
        problems = _in_order(value, problems)
    if validation == STRICT:
        raise unhandled(gvk, "strict decoding error: " + ", ".join(problems))
    return obj, problems


def _in_order(value: Any, problems: list[str]) -> list[str]:
    """As their fields first come in the document: ``value``, and each problem has its field in quotes."""
    places: dict[str, int] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, member in value.items():
                here = f"{path}.{key}" if path else key
                places[here] = len(places)
                walk(member, here)
        elif isinstance(value, list):
            for index, member in enumerate(value):
                walk(member, f"{path}[{index}]")

    walk(value, "")
    return sorted(problems, key=lambda problem: places.get(problem.split('"')[1], len(places)))


def unhandled(gvk: GVK, why: str) -> ApiError:
    """400 for a body that does not decode as its kind."""
    return bad_request(f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: {why}')


def duplicate_fields(body: bytes, parsed: Any = None) -> list[str]:
    """``duplicate field "spec.x"`` for each field that the JSON document ``body``, which parses (to ``parsed``, if that
    is given), names twice.

    Raises ApiError 400 for a document that is nested too deeply to be looked through.
    """
    try:
        return [f'duplicate field "{path}"' for path in schema_duplicates.find(body, parsed)]
    except RecursionError:
        raise bad_request("the object is nested too deeply: exceeded max depth") from None
