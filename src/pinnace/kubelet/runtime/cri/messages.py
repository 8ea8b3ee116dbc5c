"""CRI's protobuf messages, built at run time from the generated table ``cri_v1.json`` (``hack/update_cri.py``)."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "runtime.v1"
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
    streaming: bool


def _load() -> tuple[dict[str, Method], dict[str, Any]]:
    table = json.loads(resources.files(__package__).joinpath("cri_v1.json").read_text())
    file = descriptor_pb2.FileDescriptorProto(name="cri_v1.proto", package=_PACKAGE, syntax="proto3")
    for name, values in table["enums"].items():
        enum = file.enum_type.add(name=name)
        for value, number in sorted(values.items(), key=lambda item: item[1]):
            enum.value.add(name=f"{name}_{value}", number=number)  # enum values share one scope: keep them apart
    for name, fields in table["messages"].items():
        message = file.message_type.add(name=name)
        for number, field_name, type, repeated in fields:
            _add_field(message, table, number, field_name, type, repeated)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    classes = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in table["messages"]
    }
    methods = {
        name: Method(f"/{service}/{name}", classes[request], classes[response], streaming)
        for name, (service, request, response, streaming) in table["methods"].items()
    }
    return methods, table["enums"]


def _add_field(message: Any, table: Any, number: int, name: str, type: str, repeated: int) -> None:
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
        field.type_name = f".{_PACKAGE}.{message.name}.{entry.name}"
    else:
        field.type = _FIELD.TYPE_ENUM if type in table["enums"] else _FIELD.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{type}"


#: Method name -> how to call it; enum name -> value -> number.
METHODS, ENUMS = _load()


def number(enum: str, value: str) -> int:
    """The number of an enum's value. Raises KeyError."""
    return int(ENUMS[enum][value])
