"""Kubernetes' protobuf media type, decoded: what typed Go clients send for built-in kinds.

A body is the four bytes ``k8s\\0`` and a ``runtime.Unknown`` (its type, then the object's bytes). The table of messages
(``generated/protobuf.txt``, one a line, read when the first body comes in) holds for each field its number, its JSON
name, its type and flags:

``r`` repeated; ``i`` inline: its fields are the parent's in JSON; ``p`` a Go pointer: present means set, even to zero.
Other scalars are always on the wire, so zero means that they were not set. An absent message is absent, an empty one is
``{}``. Fields that the table does not know are skipped, as protobuf demands.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pinnace.api.types import Object, split_api_version
from pinnace.core import clock

MAGIC = b"k8s\0"
TABLE = Path(__file__).parent.parent / "generated" / "protobuf.txt"
META = "k8s.io.apimachinery.pkg.apis.meta.v1."
DEFINITIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1."
#: Deeper than any object of Kubernetes; a bound for hostile input.
MAX_DEPTH = 60


class DecodeError(ValueError):
    """The bytes are not what they should be; says where."""


class _Field(NamedTuple):
    name: str
    type: str
    repeated: bool
    inline: bool
    pointer: bool


@cache
def _lines() -> dict[str, bytes]:
    lines = {}
    for line in TABLE.read_bytes().splitlines():
        name, _, fields = line.partition(b" ")
        lines[name.decode()] = fields
    return lines


@cache
def _message(name: str) -> dict[int, _Field]:
    return {
        number: _Field(json_name, type, "r" in flags, "i" in flags, "p" in flags)
        for number, json_name, type, flags in orjson.loads(_lines()[name])
    }


def message_of(api_version: str, kind: str) -> str | None:
    """The name of a kind's message; None if it has none. Options (``DeleteOptions``) belong to every group."""
    group, version = split_api_version(api_version)
    package = "apiserverinternal" if group == "internal.apiserver.k8s.io" else group.partition(".")[0] or "core"
    name = f"k8s.io.api.{package}.{version}.{kind}"
    if (group, version) == ("apiextensions.k8s.io", "v1"):
        name = DEFINITIONS + kind
    if name in _lines():
        return name
    return META + kind if META + kind in _lines() else None


def decode(body: bytes) -> Object:
    """The object in ``body``, as its JSON form would have been. Raises DecodeError."""
    if not body.startswith(MAGIC):
        raise DecodeError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    type_meta: dict[str, str] = {}
    raw = b""
    for number, wire, value in _fields(memoryview(body)[4:]):
        if number == 1 and wire == 2:
            for inner, _, text in _fields(value):
                type_meta["apiVersion" if inner == 1 else "kind"] = _text(text)
        elif number == 2 and wire == 2:
            raw = value
        elif number == 3 and wire == 2 and len(value):
            raise DecodeError(f"content encoding {_text(value)!r} is not supported")
    api_version, kind = type_meta.get("apiVersion", ""), type_meta.get("kind", "")
    message = message_of(api_version, kind)
    if message is None:
        raise DecodeError(f"no kind {kind!r} is registered for version {api_version!r} in protobuf")
    return {"kind": kind, "apiVersion": api_version, **_decode_message(message, memoryview(raw), 0)}


def _fields(data: memoryview) -> Any:
    """``(number, wire type, value)`` of each field: an int for varints, bytes of the size for fixed ones, a view for
    length-delimited ones."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, wire, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise DecodeError(f"proto: illegal wireType {wire}")
        if size > end - position:
            raise DecodeError("unexpected EOF")
        yield number, wire, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if position >= len(data):
            raise DecodeError("unexpected EOF")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift > 63:
            raise DecodeError("proto: integer overflow")


def _text(view: memoryview) -> str:
    try:
        return str(view, "utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(f"proto: invalid UTF-8: {error}") from None


def _signed(value: Any) -> int:
    if not isinstance(value, int):
        raise DecodeError("proto: wrong wireType for an integer")
    return value - (1 << 64) if value >> 63 else value


def _bytes(value: Any) -> memoryview:
    if isinstance(value, int):
        raise DecodeError("proto: wrong wireType, expected length-delimited data")
    view: memoryview = value
    return view


def _decode_message(name: str, data: memoryview, depth: int) -> Object:
    if depth > MAX_DEPTH:
        raise DecodeError("exceeded max depth")
    table = _message(name)
    result: Object = {}
    for number, wire, value in _fields(data):
        field = table.get(number)
        if field is None:
            continue
        if field.type.startswith("map<"):
            key, item = _map_entry(field.type[4:-1], _bytes(value), depth)
            result.setdefault(field.name, {})[key] = item
        elif field.repeated:
            if wire == 2 and field.type in ("int32", "int64"):  # packed
                position, view = 0, _bytes(value)
                while position < len(view):
                    number_, position = _varint(view, position)
                    result.setdefault(field.name, []).append(_signed(number_))
            else:
                result.setdefault(field.name, []).append(_decode_value(field.type, value, depth))
        else:
            decoded = _decode_value(field.type, value, depth)
            if field.inline:
                result.update(decoded)
            elif decoded is not None and (decoded or field.pointer or isinstance(decoded, dict | list)):
                result[field.name] = decoded
    return result


def _map_entry(type: str, data: memoryview, depth: int) -> tuple[str, Any]:
    item_type = type.partition(",")[2]
    key, item = "", None
    for number, _, value in _fields(data):
        if number == 1:
            key = _text(_bytes(value))
        elif number == 2:
            item = _decode_value(item_type, value, depth)
    if item is None:
        item = "" if item_type in ("string", "bytes") else {}
    return key, item


def _decode_value(type: str, value: Any, depth: int) -> Any:
    scalar = _SCALARS.get(type)
    if scalar is not None:
        return scalar(value)
    special = _SPECIAL.get(type)
    if special is not None:
        return special(_bytes(value))
    if type in _UNIONS:
        return _union(type, _bytes(value), depth + 1)
    return _decode_message(type, _bytes(value), depth + 1)


def _double(value: Any) -> float:
    return float(struct.unpack("<d", _bytes(value))[0])


def _quantity(data: memoryview) -> str:
    return next((_text(_bytes(value)) for number, _, value in _fields(data) if number == 1), "0")


def _seconds(data: memoryview) -> tuple[int, int]:
    found = {number: _signed(value) for number, _, value in _fields(data)}
    return found.get(1, 0), found.get(2, 0)


def _time(data: memoryview) -> str | None:
    """The zero time is an empty message: it was not set."""
    seconds, _ = _seconds(data)
    return clock.timestamp(seconds) if len(data) else None


def _micro_time(data: memoryview) -> str | None:
    seconds, nanos = _seconds(data)
    return clock.timestamp_micro(seconds + nanos // 1000 / 1e6) if len(data) else None


def _int_or_string(data: memoryview) -> int | str:
    kind, number, text = 0, 0, ""
    for field, _, value in _fields(data):
        if field == 1:
            kind = _signed(value)
        elif field == 2:
            number = _signed(value)
        else:
            text = _text(_bytes(value))
    return text if kind == 1 else number


def _raw_json(data: memoryview) -> Any:
    raw = next((bytes(_bytes(value)) for number, _, value in _fields(data) if number == 1), b"")
    if not raw:
        return None
    if raw.startswith(MAGIC):
        return decode(raw)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"embedded JSON: {error}") from None


def _union(type: str, data: memoryview, depth: int) -> Any:
    """What JSON writes in one of two forms: a schema, or something else."""
    schema, other = _UNIONS[type]
    found: list[Any] = []
    for number, _, value in _fields(data):
        if number == schema:
            return _decode_value(_SCHEMA, value, depth)
        found.append(_decode_value(other, value, depth))
    return any(found) if other == "bool" else found


def _items(data: memoryview) -> list[str]:
    return [_text(_bytes(value)) for number, _, value in _fields(data) if number == 1]


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": lambda value: _text(_bytes(value)),
    "bytes": lambda value: base64.b64encode(_bytes(value)).decode(),
    "bool": lambda value: bool(_signed(value)),
    "int32": _signed,
    "int64": _signed,
    "double": _double,
}
_SPECIAL: dict[str, Callable[[memoryview], Any]] = {
    META + "Time": _time,
    META + "MicroTime": _micro_time,
    META + "FieldsV1": _raw_json,
    META + "Verbs": _items,
    DEFINITIONS + "JSON": _raw_json,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _raw_json,
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    **{
        f"k8s.io.api.{group}.{version}.ExtraValue": _items
        for group in ("authentication", "authorization", "certificates")
        for version in ("v1", "v1beta1")
    },
}
_SCHEMA = DEFINITIONS + "JSONSchemaProps"
#: Which field has the schema, and the type of the other one.
_UNIONS = {
    _SCHEMA + "OrArray": (1, _SCHEMA),
    _SCHEMA + "OrBool": (2, "bool"),
    _SCHEMA + "OrStringArray": (1, "string"),
}
