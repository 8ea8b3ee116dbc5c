"""Walkers: one compiled function per definition that takes a JSON value and returns it as that definition has it.

They do what decoding into the Go type and encoding again does: unknown fields go (and are told of); nulls, empty
optional lists and maps, and zero values that Go leaves out go; quantities and times take their canonical form; and a
value of the wrong type is refused in the words of Go's JSON decoder. Field names are case-sensitive. A walker never
changes its argument. Walkers are compiled when first needed and kept.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeAlias

import orjson

from pinnace.api import meta, quantity, schema_table
from pinnace.core.memo import Remembered, written

#: Upstream stops telling after this many unknown fields.
MAX_PROBLEMS = 100

_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MICROS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")
_INTEGER_BITS = {"int32": 31, "int64": 63}
_GO_SCALARS = {"string": "string", "boolean": "bool", "number": "float64"}


#: Where a value is: its parent's place, the field, key or index there, and the Go struct whose field it is ("" in lists
#: and maps). A bare tuple: one is made for every value that is no plain text, and read only if something is wrong.
Path: TypeAlias = "tuple[Path | None, str | int, str]"


class DecodeError(ValueError):
    """A value of the wrong type; ``str(error)`` is what Go's decoder says of it."""


Walker = Callable[[Any, "Path | None", list[str] | None], Any]

_DROP: Any = object()  # returned by a walker: leave the field out


def walker(definition: str) -> Walker:
    """The compiled walker of ``definition``. Raises KeyError for an unknown one."""
    return _of_definition(definition)


def strict_path(path: Path | None, field: str) -> str:
    """``spec.containers[0].foo``: a field's path as strict decoding tells it."""
    parts = [field]
    while path is not None:
        segment = path[1]
        parts.append(f"[{segment}]" if isinstance(segment, int) else segment)
        path = path[0]
    text = parts[-1]
    for part in reversed(parts[:-1]):
        text += part if part.startswith("[") else f".{part}"
    return text


def json_type(value: Any) -> str:
    """What Go's decoder calls a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "number"


def mismatch(value: Any, go_type: str, path: Path | None, *, shown: str = "") -> DecodeError:
    """The error of Go's decoder for ``value`` where a ``go_type`` belongs."""
    struct, parts, at = "", [], path
    while at is not None:
        if at[2]:
            struct = struct or at[2]
            parts.append(str(at[1]))
        at = at[0]
    what = shown or json_type(value)
    if not struct:
        return DecodeError(f"json: cannot unmarshal {what} into Go value of type {go_type}")
    field = ".".join(reversed(parts))
    return DecodeError(f"json: cannot unmarshal {what} into Go struct field {struct}.{field} of type {go_type}")


def _go_type(node: dict[str, Any]) -> str:
    ref = node.get("$ref")
    if ref:
        return go_struct(ref)
    kind = node.get("type", "")
    if kind == "array":
        return "[]" + _go_type(node["items"])
    if "goType" in node:
        return str(node["goType"])
    if kind == "object" and "additionalProperties" in node:
        if node["additionalProperties"].get("$ref") == schema_table.QUANTITY:
            return "v1.ResourceList"
        return "map[string]" + _go_type(node["additionalProperties"])
    if kind == "string" and node.get("format") == "byte":
        return "[]uint8"
    if kind == "integer":
        return str(node.get("format", "int64"))
    return _GO_SCALARS.get(kind, "interface {}")


def go_struct(definition: str) -> str:
    """``v1.DeploymentSpec``."""
    return ".".join(definition.rsplit(".", 2)[-2:])


@cache
def _string(go_type: str) -> Walker:
    def walk(value: Any, path: Path | None, problems: list[str] | None) -> Any:
        if type(value) is str:
            return value
        raise mismatch(value, go_type, path)

    return walk


def _boolean(value: Any, path: Path | None, problems: list[str] | None) -> Any:
    if type(value) is bool:
        return value
    raise mismatch(value, "bool", path)


def _number(value: Any, path: Path | None, problems: list[str] | None) -> Any:
    if type(value) is float or type(value) is int:
        return value
    raise mismatch(value, "float64", path)


@cache
def _integer(go_type: str) -> Walker:
    limit = 1 << _INTEGER_BITS.get(go_type, 63)

    def walk(value: Any, path: Path | None, problems: list[str] | None) -> Any:
        if type(value) is int and -limit <= value < limit:
            return value
        shown = f"number {value}" if type(value) in (int, float) else ""
        raise mismatch(value, go_type, path, shown=shown)

    return walk


def _bytes(value: Any, path: Path | None, problems: list[str] | None) -> Any:
    if type(value) is not str:
        raise mismatch(value, "[]uint8", path)
    text = value.replace("\n", "").replace("\r", "") if "\n" in value or "\r" in value else value
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        wrong = re.search(r"[^A-Za-z0-9+/]", text.rstrip("="))
        at = wrong.start() if wrong else max(len(text) - len(text) % 4, 0)
        raise DecodeError(f"illegal base64 data at input byte {at}") from None
    return text


def _quantity(value: Any, path: Path | None, problems: list[str] | None) -> Any:
    if type(value) not in (str, int, float):
        raise DecodeError(quantity.WRONG_FORMAT)
    try:
        return quantity.canonical(value.strip() if type(value) is str else value)
    except quantity.QuantityError as error:
        raise DecodeError(str(error)) from None


def _int_or_string(value: Any, path: Path | None, problems: list[str] | None) -> Any:
    if type(value) is str:
        return value
    return _integer("int32")(value, path, problems)


def _time(value: Any, path: Path | None, problems: list[str] | None) -> Any:
    if type(value) is str and _SECONDS.fullmatch(value):
        return value
    if value == "":
        return _DROP
    return _moment(value, path).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(value: Any, path: Path | None, problems: list[str] | None) -> Any:
    if type(value) is str and _MICROS.fullmatch(value):
        return value
    if value == "":
        return _DROP
    return _moment(value, path).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(value: Any, path: Path | None) -> datetime:
    if type(value) is not str:
        raise mismatch(value, "string", path)
    shape = _RFC3339.fullmatch(value)
    if shape is not None:
        fraction = (shape[2] or ".0")[:7]
        try:
            return datetime.fromisoformat(shape[1] + fraction.ljust(7, "0") + shape[3]).astimezone(UTC)
        except (ValueError, OverflowError):
            shape = None
    layout, rest = "2006", value
    for part, prefix in (("2006", 4), ("-", 1), ("01", 2), ("-", 1), ("02", 2), ("T", 1), ("15", 2), (":", 1)):
        layout = part
        if not (rest[:prefix].isdigit() if part.isdigit() else rest[:1] == part):
            break
        rest = rest[prefix:]
    raise DecodeError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{rest}" as "{layout}"')


def _any(value: Any, path: Path | None, problems: list[str] | None) -> Any:
    return value


_SPECIAL: dict[str, Walker] = {
    schema_table.QUANTITY: _quantity,
    schema_table.INT_OR_STRING: _int_or_string,
    schema_table.TIME: _time,
    schema_table.MICRO_TIME: _micro_time,
}
_SCALARS: dict[str, Walker] = {"boolean": _boolean, "number": _number}


def _plain(node: dict[str, Any]) -> type | None:
    """The Python type of which every value fits ``node`` as it is."""
    if node.get("format") == "byte" or "$ref" in node:
        return None
    return {"string": str, "boolean": bool}.get(node.get("type", ""))


def _of_node(node: dict[str, Any]) -> Walker:
    ref = node.get("$ref")
    if ref:
        return _of_definition(ref)
    kind = node.get("type", "")
    if kind == "array":
        return _list(node)
    if kind == "object" and "additionalProperties" in node:
        return _map(node)
    if kind == "integer":
        return _integer(node.get("format", "int64"))
    if kind == "string":
        return _bytes if node.get("format") == "byte" else _string(node.get("goType", "string"))
    return _SCALARS.get(kind, _any)


def _zero(node: dict[str, Any]) -> Any:
    """What null is in a list or map of such values: Go's zero value."""
    ref = node.get("$ref")
    if ref:
        return "0" if ref == schema_table.QUANTITY else None if ref in _SPECIAL or ref in schema_table.OPAQUE else {}
    return {"string": "", "boolean": False, "integer": 0, "number": 0}.get(node.get("type", ""))


def _list(node: dict[str, Any]) -> Walker:
    item = _of_node(node["items"])
    zero, go_type, plain = _zero(node["items"]), _go_type(node), _plain(node["items"])

    def walk(value: Any, path: Path | None, problems: list[str] | None) -> Any:
        if type(value) is not list:
            raise mismatch(value, go_type, path)
        result = []
        for index, element in enumerate(value):
            if type(element) is plain:
                result.append(element)
            elif element is None:
                result.append(meta.copy(zero))
            else:
                result.append(item(element, (path, index, ""), problems))
        return result

    return walk


def _map(node: dict[str, Any]) -> Walker:
    values = node["additionalProperties"]
    member = _of_node(values)
    zero, go_type, plain = _zero(values), _go_type(node), _plain(values)

    def walk(value: Any, path: Path | None, problems: list[str] | None) -> Any:
        if type(value) is not dict:
            raise mismatch(value, go_type, path)
        result = {}
        for key, element in value.items():
            if type(element) is plain:
                result[key] = element
            elif element is None:
                result[key] = meta.copy(zero)
            else:
                result[key] = member(element, (path, key, ""), problems)
        return result

    return walk


def _alternatives(definition: str) -> Walker:
    """A schema, or what may stand in its place: a list of schemas, true and false, a list of strings."""

    def walk(value: Any, path: Path | None, problems: list[str] | None) -> Any:
        if type(value) is dict:
            return _of_definition(schema_table.JSON_SCHEMA)(value, path, problems)
        if type(value) is list and definition != schema_table.SCHEMA_OR_BOOL:
            return [
                walk(element, (path, index, ""), problems) if type(element) is dict else element
                for index, element in enumerate(value)
            ]
        if type(value) is bool and definition == schema_table.SCHEMA_OR_BOOL:
            return value
        raise mismatch(value, go_struct(definition), path)

    return walk


@cache
def _of_definition(definition: str) -> Walker:
    if definition in _SPECIAL:
        return _SPECIAL[definition]
    if definition in schema_table.ALTERNATIVES:
        return _alternatives(definition)
    if definition in schema_table.OPAQUE:
        return _any
    schema = schema_table.schema(definition)
    go_type, struct = go_struct(definition), definition.rsplit(".", 1)[1]
    table: dict[str, tuple[type | None, Walker, bool]] = {}
    compiled = False

    def compile_fields() -> None:
        # Not before the first object: definitions refer to each other in circles.
        required = frozenset(schema.get("required", ()))
        for name, node in schema.get("properties", {}).items():
            member = _of_node(node)
            collection = node.get("type") in ("array", "object")
            omit = node.get("omitZero", False) or (collection and name not in required)
            table[name] = (_plain(node), member, omit)
        schema.clear()

    def walk(value: Any, path: Path | None, problems: list[str] | None) -> Any:
        nonlocal compiled
        if type(value) is not dict:
            raise mismatch(value, go_type, path)
        if not compiled:
            compile_fields()
            compiled = True
        result = {}
        find = table.get
        for key, element in value.items():
            known = find(key)
            if known is None:
                _report(problems, path, key)
                continue
            plain, member, omit = known
            if type(element) is plain:
                if element or not omit:
                    result[key] = element
            elif element is not None:
                made = member(element, (path, key, struct), problems)
                if made is not _DROP and (made or not omit):
                    result[key] = made
        return result

    return _remembering(walk) if definition in _TEMPLATES else walk


#: Definitions whose values come again and again in many objects.
_TEMPLATES = frozenset(("io.k8s.api.core.v1.PodSpec",))


def _remembering(walk: Walker) -> Walker:
    """``walk``, with what it made of sound data remembered."""
    known: Remembered[bytes] = Remembered(512)

    def walk_once(value: Any, path: Path | None, problems: list[str] | None) -> Any:
        came = written(value)
        made = known.get(came)
        if made:
            return orjson.loads(made)
        before = len(problems) if problems is not None else -1
        result = walk(value, path, problems)
        if problems is not None and len(problems) == before:
            known.keep(came, written(result))
        return result

    return walk_once


def _report(problems: list[str] | None, path: Path | None, key: str) -> None:
    if problems is not None and len(problems) < MAX_PROBLEMS:
        problems.append(f"unknown field {_quoted(strict_path(path, key))}")


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
