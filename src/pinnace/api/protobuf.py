"""Kubernetes' protobuf bodies, decoded to the JSON form of the same object.

The media type is four magic bytes and a ``runtime.Unknown`` whose ``raw`` is the object's message. Messages follow the
generated table; what JSON writes differently (times, quantities, embedded structs) is translated. Go writes scalars
that are empty on the wire where JSON omits them, so empty strings, and zeros of the fields that are never pointers, are
left out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from pinnace.api import schema_table
from pinnace.api.types import Object

MAGIC = b"k8s\x00"
_META = "k8s.io.apimachinery.pkg.apis.meta.v1."
_UNKNOWN = "k8s.io.apimachinery.pkg.runtime.Unknown"
_DEPTH = 100
#: Strings that mean something else when they are there and empty.
_KEPT_EMPTY = frozenset(("storageClassName", "ingressClassName", "value", "volumeAttributesClassName"))
#: Numbers and booleans that Go always writes and JSON omits when zero.
_OMITTED_ZERO = frozenset(
    (
        "collisionCount",
        "generation",
        "observedGeneration",
        "minReadySeconds",
        "paused",
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "stdin",
        "stdinOnce",
        "tty",
        "hostPort",
        "nodePort",
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "fullyLabeledReplicas",
        "currentReplicas",
        "publishNotReadyAddresses",
        "healthCheckNodePort",
        "unschedulable",
        "remainingItemCount",
        "count",
        "active",
        "succeeded",
        "failed",
    )
)


class ProtobufError(ValueError):
    """The bytes are not what they should be; says what and where."""


@cache
def _messages() -> dict[str, dict[int, tuple[str, str]]]:
    table = orjson.loads((schema_table.GENERATED / "protobuf.json").read_bytes())
    return {message: {number: (name, type) for number, name, type in fields} for message, fields in table.items()}


def message_of(definition: str) -> str:
    """``io.k8s.api.apps.v1.Deployment`` -> ``k8s.io.api.apps.v1.Deployment``."""
    return definition.replace("io.k8s.", "k8s.io.", 1).replace("-", "_")


def decode(body: bytes, definition: str) -> Object:
    """The object of ``definition`` that ``body``, magic bytes included, carries. Raises ProtobufError."""
    if not body.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    message = message_of(definition)
    if message not in _messages():
        raise ProtobufError(f"no protobuf message is known for {definition}")
    try:
        envelope = _message(_UNKNOWN, memoryview(body)[len(MAGIC) :], 0)
        obj = _message(message, memoryview(envelope.get("raw", b"")), 0)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ProtobufError(f"malformed protobuf message: {error}") from None
    return {**(envelope.get("typeMeta") or {}), **obj}


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ProtobufError("malformed protobuf message: varint overflow")


def _fields(data: memoryview) -> list[tuple[int, int, Any]]:
    """(number, wire type, value) of every field."""
    found: list[tuple[int, int, Any]] = []
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: Any
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 2:
            size, at = _varint(data, at)
            if at + size > end:
                raise ProtobufError("malformed protobuf message: unexpected EOF")
            value, at = data[at : at + size], at + size
        elif wire == 1:
            value, at = struct.unpack("<d", data[at : at + 8])[0], at + 8
        elif wire == 5:
            value, at = struct.unpack("<f", data[at : at + 4])[0], at + 4
        else:
            raise ProtobufError(f"malformed protobuf message: wire type {wire}")
        found.append((number, wire, value))
    return found


def _message(name: str, data: memoryview, depth: int) -> Any:
    if depth > _DEPTH:
        raise ProtobufError("exceeded max depth")
    special = _SPECIAL.get(name)
    if special is not None:
        return special(data)
    known = _messages().get(name)
    if known is None:
        raise ProtobufError(f"unknown message {name}")
    made: Object = {}
    described = _described(name)
    for number, wire, value in _fields(data):
        field = known.get(number)
        if field is None:
            continue
        field_name, type = field
        if type.startswith("[]"):
            made.setdefault(field_name, []).append(_value(type[2:], wire, value, depth))
        elif type.startswith("map:"):
            key, item = _entry(type[4:], value, depth)
            made.setdefault(field_name, {})[key] = item
        else:
            item = _value(type, wire, value, depth)
            if described and field_name not in described and isinstance(item, dict):
                made.update(item)  # embedded in Go, so part of the outer object in JSON
            elif not _omitted(field_name, item, described):
                made[field_name] = item
    if "items" in made and len(known) == 1 and not described:
        return made["items"]
    return made


@cache
def _described(message: str) -> dict[str, bool]:
    """The JSON fields of a message and whether each is required; empty if the schema does not know it."""
    definition = message.replace("k8s.io.", "io.k8s.", 1).replace("_", "-")
    return {name: info.required for name, info in schema_table.fields(definition).items()}


def _omitted(name: str, value: Any, described: dict[str, bool]) -> bool:
    if value is None:
        return True
    if described.get(name):
        return False
    if value == "":
        return name not in _KEPT_EMPTY
    return value == 0 and not isinstance(value, str | list | dict) and name in _OMITTED_ZERO


def _entry(type: str, data: memoryview, depth: int) -> tuple[str, Any]:
    key: str = ""
    value: Any = b"" if type == "bytes" else "" if type == "string" else None
    for number, wire, item in _fields(data):
        if number == 1:
            key = bytes(item).decode()
        elif number == 2:
            value = _value(type, wire, item, depth)
    if value == b"":
        value = ""
    if value is None:
        value = _value(type, 2, memoryview(b""), depth) if "." in type else 0
    return key, value


def _value(type: str, wire: int, value: Any, depth: int) -> Any:
    match type:
        case "string":
            return bytes(value).decode()
        case "bool":
            return bool(value)
        case "int32" | "int64":
            return value - (1 << 64) if value >= 1 << 63 else value
        case "uint32" | "uint64" | "double" | "float":
            return value
        case "bytes":
            if depth == 0 and wire == 2:
                return bytes(value)  # the envelope's raw
            from base64 import b64encode

            return b64encode(value).decode()
    if wire != 2:
        raise ProtobufError(f"malformed protobuf message: wrong wire type {wire} for {type}")
    return _message(type, value, depth + 1)


def _numbers(data: memoryview) -> dict[int, Any]:
    return {number: value for number, _, value in _fields(data)}


def _time(data: memoryview) -> str | None:
    found = _numbers(data)
    if not found:
        return None
    return datetime.fromtimestamp(_signed(found.get(1, 0)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(data: memoryview) -> str | None:
    found = _numbers(data)
    if not found:
        return None
    text = datetime.fromtimestamp(_signed(found.get(1, 0)), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{found.get(2, 0) // 1000:06d}Z"


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _quantity(data: memoryview) -> str:
    return bytes(_numbers(data).get(1, b"0")).decode()


def _int_or_string(data: memoryview) -> int | str:
    found = _numbers(data)
    if found.get(1, 0) == 1:
        return bytes(found.get(3, b"")).decode()
    return _signed(found.get(2, 0))


def _raw(data: memoryview) -> Any:
    raw = bytes(_numbers(data).get(1, b""))
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ProtobufError(f"embedded object is not JSON: {error}") from None


def _duration(data: memoryview) -> str:
    nanos = _signed(_numbers(data).get(1, 0))
    if nanos % 1_000_000_000:
        return f"{nanos / 1e9:g}s"
    minutes, seconds = divmod(nanos // 1_000_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"


_SPECIAL: dict[str, Callable[[memoryview], Any]] = {
    _META + "Time": _time,
    _META + "MicroTime": _micro_time,
    _META + "FieldsV1": _raw,
    _META + "Duration": _duration,
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _raw,
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSON": _raw,
}
