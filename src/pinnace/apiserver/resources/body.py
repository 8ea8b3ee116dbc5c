"""Request bodies: from JSON or YAML bytes to an object of the right kind, or the error upstream would give."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from pinnace.api import errors, meta, schema, schema_table
from pinnace.api.codecs import yaml
from pinnace.api.errors import ApiError, bad_request
from pinnace.api.registry import Custom, Resource
from pinnace.api.types import GVK, Object, split_api_version
from pinnace.apiserver.request import Request

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
YAML = ("application/yaml", "application/x-yaml", "text/yaml")


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse(request: Request, kind: str) -> Any:
    """The body's data, the caller's own. ``kind`` is for the message. Raises ApiError 400, 415."""
    if request.shared:
        return meta.copy(request.body)
    body: bytes = request.body
    sent = media_type(request)
    if sent in ("", JSON) or sent.endswith("+json"):
        return parse_json(body, kind)
    if sent in YAML:
        return parse_yaml(body, kind)[0]
    if sent == PROTOBUF:
        return parse_protobuf(body, kind)
    raise errors.unsupported_media_type((JSON, "application/yaml", PROTOBUF))


def parse_protobuf(body: bytes, kind: str) -> Any:
    from pinnace.api.codecs import protobuf

    try:
        return protobuf.decode(body)
    except protobuf.DecodeError as error:
        raise unrecognized(body, kind, str(error)) from None


def parse_json(body: bytes, kind: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        why = f"couldn't get version/kind; json parse error: {go_json_error(body, error)}"
        raise unrecognized(body, kind, why) from None


#: What Go reads first of every object, as its errors name it.
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


def go_json_error(body: bytes, error: orjson.JSONDecodeError) -> str:
    """What Go's encoding/json says of a malformed document."""
    text = body.decode("utf-8", "replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as found:
        if found.pos >= len(text.rstrip()):
            return "unexpected end of JSON input"
        char = text[found.pos]
        shown = f"'\\{char}'" if char == "'" else f"'{char}'"
        message = found.msg.lower()
        where = "looking for beginning of value"
        if "delimiter" in message:
            where = "after object key:value pair" if "','" in message else "after object key"
        elif "property name" in message:
            where = "looking for beginning of object key string"
        elif "extra data" in message:
            where = "after top-level value"
        elif "escape" in message:
            where = "in string escape code"
        elif "control character" in message:
            where = "in string literal"
        return f"invalid character {shown} {where}"
    except RecursionError:
        return "exceeded max depth"
    return str(error)  # stricter than json: numbers, encodings


def unrecognized(body: bytes, kind: str, why: str) -> ApiError:
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(body)})")


def _summary(body: bytes) -> str:
    limit = 30
    if not body:
        return "<empty>"
    if body[:1] == b"{":
        cut = body[:limit].decode("utf-8", "replace")
        return f"{cut} ..." if len(body) > limit else cut
    return f"{body[:limit].hex()} ..." if len(body) > limit else body.hex()


def parse_yaml(body: bytes, kind: str) -> tuple[Any, list[tuple[int, str]]]:
    """What ``codecs.yaml.load`` finds. Raises ApiError 400."""
    try:
        return yaml.load(body)
    except yaml.YamlError as error:
        raise unrecognized(body, kind, f"error converting YAML to JSON: {error}") from None


def _as_yaml_says(twice: Sequence[tuple[int, str]], *, strictly: bool) -> list[str]:
    """Keys given twice in Go's words: one error that lists them, or a warning each."""
    lines = [f'line {line}: key "{key}" already set in map' for line, key in twice]
    return ["\n  ".join(["yaml: unmarshal errors:", *lines])] if lines and strictly else lines


def decode(request: Request, row: Resource, expected: GVK | None = None) -> Object:
    """The body as an object of ``expected`` (by default ``row``'s kind), which may leave kind and apiVersion out;
    fields it does not know are dropped, and told of as ``fieldValidation`` asks."""
    gvk = expected or row.gvk
    definition = row.definition if expected is None else schema_table.of_kind(expected)
    validation = field_validation(request)
    duplicates: list[str] = []
    if not request.shared and media_type(request) in YAML:
        data, twice = parse_yaml(request.body, gvk.kind)
        duplicates = _as_yaml_says(twice, strictly=validation == schema.STRICT)
    else:
        data = parse(request, gvk.kind)
        if validation != schema.IGNORE and not request.shared and media_type(request) in ("", JSON):
            duplicates = schema.duplicate_fields(request.body, data)
    custom = row.custom if expected is None else None
    return checked(request, data, gvk, definition, validation, duplicates, custom)


def field_validation(request: Request) -> str:
    """``Strict``, ``Warn`` (the default) or ``Ignore``. Raises ApiError 422 for anything else."""
    asked = request.query.get("fieldValidation", "") or schema.WARN
    if asked not in (schema.STRICT, schema.WARN, schema.IGNORE):
        problem = errors.not_supported("fieldValidation", asked, ("Ignore", "Strict", "Warn"))
        kind = {"POST": "CreateOptions", "PUT": "UpdateOptions"}.get(request.method, "PatchOptions")
        raise errors.invalid("meta.k8s.io", kind, "", [problem])
    return asked


def checked(
    request: Request,
    data: Any,
    gvk: GVK,
    definition: str,
    validation: str = schema.IGNORE,
    duplicates: Sequence[str] = (),
    custom: Custom | None = None,
) -> Object:
    """``data`` as a new object of ``gvk``: raises ApiError 400 if it is of another kind or of wrong types. ``custom``
    knows the schema if the tables do not."""
    if not isinstance(data, dict):
        raw = request.body if isinstance(request.body, bytes) else orjson.dumps(data)
        what = "null" if data is None else schema.json_type(data)
        why = f"json: cannot unmarshal {what} into Go value of type {_TYPE_META}"
        raise unrecognized(raw, gvk.kind, f"couldn't get version/kind; json parse error: {why}")
    kind, api_version = data.get("kind") or gvk.kind, data.get("apiVersion") or gvk.api_version
    if not isinstance(kind, str) or not isinstance(api_version, str):
        raise bad_request("couldn't get version/kind; json parse error: kind and apiVersion must be strings")
    if api_version != gvk.api_version:
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version ({gvk.api_version})"
        )
    if kind != gvk.kind:
        version = split_api_version(api_version)[1]
        raise bad_request(
            f'{kind} in version "{version}" cannot be handled as a {gvk.kind}: converting ({api_version}.{kind}) to '
            f"({gvk.api_version}.{gvk.kind}): unknown conversion"
        )
    metadata = data.get("metadata")
    if metadata is None:
        metadata = {}
    elif not isinstance(metadata, dict):
        raise bad_request(
            f'{kind} in version "{gvk.version}" cannot be handled as a {kind}: json: cannot unmarshal '
            f"{schema.json_type(metadata)} into Go struct field {kind}.metadata of type v1.ObjectMeta"
        )
    whole = {"kind": kind, "apiVersion": api_version, "metadata": metadata, **data}
    whole["kind"], whole["apiVersion"], whole["metadata"] = kind, api_version, metadata
    if custom is None and not definition:
        return whole
    if custom is not None:
        obj, warnings = custom.decode(whole, validation, duplicates)
    else:
        obj, warnings = schema.decode_object(gvk, definition, whole, validation, duplicates)
        obj.setdefault("metadata", {})
    if metadata.get("managedFields") == []:  # not the same as none: it asks to forget who owns what
        obj["metadata"]["managedFields"] = []
    request.warnings += warnings
    return obj


def options(request: Request, kind: str) -> Object:
    """DeleteOptions and the like: an optional body, else what the query says."""
    raw = request.body
    if raw:
        data = parse(request, kind)
        if data is None:
            return {}
        if not isinstance(data, dict):
            raise bad_request(f"expected a {kind} object")
        sent = data.get("kind")
        if sent not in (None, "", kind):
            raise bad_request(f"decoded object cannot be converted to {kind}")
        try:
            return schema.decode(f"io.k8s.apimachinery.pkg.apis.meta.v1.{kind}", data)
        except schema.DecodeError as error:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    query = request.query
    found: Object = {}
    if "gracePeriodSeconds" in query:
        try:
            found["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
        except ValueError:
            shown = errors.go_quote(query["gracePeriodSeconds"])
            raise bad_request(f"strconv.ParseInt: parsing {shown}: invalid syntax") from None
    if "propagationPolicy" in query:
        found["propagationPolicy"] = query["propagationPolicy"]
    if "orphanDependents" in query:
        found["orphanDependents"] = request.asks("orphanDependents")
    return found
