"""Protobuf messages and gRPC methods, made at run time from a compact table (``hack/update_*.py`` make them).

A table has ``methods`` name -> [service, request, response, ...], ``enums`` name -> {value: number}, and ``messages``
name -> [[number, name, type, repeated]]. Names on the wire are those of the services only, so all messages of a table
share one package. Fields of a oneof are plain fields: a number that is 0 is not sent.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bool": _FIELD.TYPE_BOOL,
    "bytes": _FIELD.TYPE_BYTES,
    "double": _FIELD.TYPE_DOUBLE,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint32": _FIELD.TYPE_UINT32,
    "uint64": _FIELD.TYPE_UINT64,
}


class Method(NamedTuple):
    path: str  # gRPC's: /runtime.v1.RuntimeService/Version
    request: Any  # message classes
    response: Any
    streaming: bool  # the answers are a stream


class Messages(NamedTuple):
    methods: dict[str, Method]
    classes: dict[str, Any]
    enums: dict[str, dict[str, int]]


def load(text: str, package: str) -> Messages:
    """The messages of the table in ``text`` (JSON)."""
    table = json.loads(text)
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, values in table["enums"].items():
        enum = file.enum_type.add(name=name)
        for value, number in sorted(values.items(), key=lambda item: item[1]):
            enum.value.add(name=f"{name}_{value}", number=number)  # enum values share one scope: keep them apart
    for name, fields in table["messages"].items():
        message = file.message_type.add(name=name)
        for number, field_name, type, repeated in fields:
            _add_field(message, package, table["enums"], number, field_name, type, repeated)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    classes = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in table["messages"]
    }
    methods = {
        name: Method(f"/{service}/{name}", classes[request], classes[response], streaming)
        for name, (service, request, response, streaming) in table["methods"].items()
    }
    return Messages(methods, classes, table["enums"])


def _add_field(
    message: Any, package: str, enums: dict[str, Any], number: int, name: str, type: str, repeated: int
) -> None:
    label = _FIELD.LABEL_REPEATED if repeated or type.startswith("map<") else _FIELD.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if type in _SCALARS:
        field.type = _SCALARS[type]
    elif type == "map<string,string>":
        entry = message.nested_type.add(name="".join(part.capitalize() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        for position, part in enumerate(("key", "value"), start=1):
            entry.field.add(name=part, number=position, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = f".{package}.{message.name}.{entry.name}"
    else:
        field.type = _FIELD.TYPE_ENUM if type in enums else _FIELD.TYPE_MESSAGE
        field.type_name = f".{package}.{type}"
