"""OpenAPI 2.0 in gnostic's protobuf encoding (``openapi.v2.Document``), which client-go asks for.

Encodes only the parts of the schema that the documents use. Every message is a dict of JSON as the JSON document has
it, and a table tells which field it goes to and how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from pinnace.api.types import Object

#: What clients ask for, and what the answer is called: "@" is no token of a media type, and Go's parser refuses it.
ASKED_TYPE = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

Encoder = Callable[[Any], bytes]
#: JSON key -> (field number, how its value is encoded, whether each element of a list is a field of its own)
Table = dict[str, tuple[int, Encoder, bool]]


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _bytes_field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(value: str) -> bytes:
    return value.encode()


def _field(number: int, encode: Encoder, value: Any) -> bytes:
    if isinstance(value, bool):
        return _varint(number << 3) + (b"\x01" if value else b"\x00")
    return _bytes_field(number, encode(value))


def _message(table: Table, extensions: int) -> Encoder:
    """Encodes a dict by ``table``; keys that start with ``x-`` go to field ``extensions`` as NamedAny."""

    def encode(value: Object) -> bytes:
        parts = []
        for key, member in value.items():
            known = table.get(key)
            if known is None:
                if key.startswith("x-"):
                    parts.append(_bytes_field(extensions, _named(key, _any(member))))
                continue
            number, encoder, repeated = known
            parts += (
                [_field(number, encoder, item) for item in member] if repeated else [_field(number, encoder, member)]
            )
        return b"".join(parts)

    return encode


def _any(value: Any) -> bytes:
    """openapi.v2.Any: YAML, of which JSON is a part."""
    return _bytes_field(2, orjson.dumps(value) + b"\n")


def _named(name: str, value: bytes) -> bytes:
    return _bytes_field(1, name.encode()) + _bytes_field(2, value)


def _named_map(field: int, encode: Encoder) -> Encoder:
    """A message that holds named values in its repeated ``field``."""
    return lambda members: b"".join(
        _bytes_field(field, _named(name, encode(member))) for name, member in members.items()
    )


def _wrapped(field: int, encode: Encoder) -> Encoder:
    """A message that holds one value in ``field``."""
    return lambda value: _bytes_field(field, encode(value))


def _schema(value: Object) -> bytes:
    return _encode_schema(value)


_encode_schema = _message(
    {
        "$ref": (1, _text, False),
        "format": (2, _text, False),
        "description": (4, _text, False),
        "required": (19, _text, True),
        "enum": (20, _any, True),
        "additionalProperties": (21, _wrapped(1, _schema), False),
        "type": (22, _wrapped(1, _text), False),
        "items": (23, _wrapped(1, _schema), False),
        "properties": (25, _named_map(1, _schema), False),
    },
    31,
)
_encode_body = _message(
    {
        "description": (1, _text, False),
        "name": (2, _text, False),
        "in": (3, _text, False),
        "required": (4, _text, False),
        "schema": (5, _schema, False),
    },
    6,
)
_PARAMETER: Table = {
    "required": (1, _text, False),
    "in": (2, _text, False),
    "description": (3, _text, False),
    "name": (4, _text, False),
}
_encode_query = _message(_PARAMETER | {"type": (6, _text, False), "uniqueItems": (20, _text, False)}, 23)
_encode_path = _message(_PARAMETER | {"type": (5, _text, False), "uniqueItems": (19, _text, False)}, 22)


def _parameter(value: Object) -> bytes:
    """ParametersItem."""
    if value["in"] == "body":
        parameter = _bytes_field(1, _encode_body(value))
    elif value["in"] == "query":
        parameter = _bytes_field(2, _bytes_field(3, _encode_query(value)))
    else:
        parameter = _bytes_field(2, _bytes_field(4, _encode_path(value)))
    return _bytes_field(1, parameter)


_encode_response = _message({"description": (1, _text, False), "schema": (2, _wrapped(1, _schema), False)}, 5)
_encode_operation = _message(
    {
        "tags": (1, _text, True),
        "description": (3, _text, False),
        "operationId": (5, _text, False),
        "produces": (6, _text, True),
        "consumes": (7, _text, True),
        "parameters": (8, _parameter, True),
        "responses": (9, _named_map(1, _wrapped(1, _encode_response)), False),
    },
    13,
)
_encode_path_item = _message(
    {
        "get": (2, _encode_operation, False),
        "put": (3, _encode_operation, False),
        "post": (4, _encode_operation, False),
        "delete": (5, _encode_operation, False),
        "patch": (8, _encode_operation, False),
        "parameters": (9, _parameter, True),
    },
    10,
)
_encode_info = _message({"title": (1, _text, False), "version": (2, _text, False)}, 7)


def document(info: Object, paths: Iterable[tuple[str, Object]], definitions: Iterable[tuple[str, Object]]) -> bytes:
    """The whole document. Paths and definitions are encoded one by one."""
    path_items = b"".join(_bytes_field(2, _named(name, _encode_path_item(item))) for name, item in paths)
    schemas = b"".join(_bytes_field(1, _named(name, _schema(schema))) for name, schema in definitions)
    return b"".join(
        (
            _bytes_field(1, b"2.0"),
            _bytes_field(2, _encode_info(info)),
            _bytes_field(8, path_items),
            _bytes_field(9, schemas),
        )
    )
