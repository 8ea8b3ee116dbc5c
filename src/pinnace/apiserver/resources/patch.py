"""PATCH: JSON patch, merge patch, strategic merge patch; an apply is ``apply_patch``'s."""

from __future__ import annotations

from typing import Any

import orjson

from pinnace.api import meta, schema
from pinnace.api.errors import ApiError, bad_request
from pinnace.api.patches import json_patch, merge_patch, strategic
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import body, ownership, update
from pinnace.apiserver.resources.backend import Backend, dry_run
from pinnace.apiserver.response import Response
from pinnace.core.cooperate import aside

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


async def patch(backend: Backend, request: Request, row: Resource) -> Response:
    ownership.check_options(request, "PatchOptions")
    dry = dry_run(request, "PatchOptions")
    kind, data = await aside(parse, request, row) if request.large else parse(request, row)
    insisted = insists(data)
    name = request.info.name
    validation = body.field_validation(request)

    def compute(old: Object) -> Object:
        new = decode(request, apply(kind, data, old, row.definition), old, row, validation)
        update.check_name(new, name, meta.namespace(old))
        return new

    return await update.change(backend, request, row, compute, insisted=insisted, dry=dry)


def insists(data: Any) -> bool:
    """Whether a patch names the resourceVersion that it is for."""
    metadata = data.get("metadata") if isinstance(data, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("resourceVersion"))


def decode(request: Request, new: Any, old: Object, row: Resource, validation: str) -> Object:
    """``new`` checked against the schema; its fields that are ``old``'s own were checked before, and stay shared."""
    if not isinstance(new, dict):
        return body.checked(request, new, row.gvk, row.definition, validation, custom=row.custom)
    kept = {name: value for name, value in new.items() if value is old.get(name) and isinstance(value, dict | list)}
    if not kept:
        return body.checked(request, new, row.gvk, row.definition, validation, custom=row.custom)
    kept.pop("metadata", None)  # changed in place later
    changed = {name: value for name, value in new.items() if name not in kept}
    entries, metadata = old["metadata"].get("managedFields"), new.get("metadata")
    unclaimed = False
    if entries is not None and isinstance(metadata, dict) and metadata.get("managedFields") is entries:
        unclaimed = True
        changed["metadata"] = {name: value for name, value in metadata.items() if name != "managedFields"}
    made = body.checked(request, changed, row.gvk, row.definition, validation, custom=row.custom)
    made.update(kept)
    if unclaimed:
        made["metadata"]["managedFields"] = entries
    return made


def parse(request: Request, row: Resource) -> tuple[str, Any]:
    """The kind of patch and its data. Raises ApiError 400, 415, 422."""
    kind = body.media_type(request)
    supported = [JSON_PATCH, MERGE_PATCH] + ([STRATEGIC] if row.definition else [])
    if kind not in supported:
        raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
    if request.shared:
        return kind, request.body
    raw: bytes = request.body
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"error decoding patch: {body.go_json_error(raw, error)}") from None
    if kind != JSON_PATCH and not isinstance(data, dict):
        where = "error decoding patch: " if kind == MERGE_PATCH else ""
        raise bad_request(
            f"{where}json: cannot unmarshal {schema.json_type(data)} into Go value of type map[string]interface {{}}"
        )
    return kind, data


def apply(kind: str, data: Any, old: Object, definition: str) -> Object:
    """``old``, which is left alone, with the patch applied: a copy of its own where it changes."""
    made: Any
    if kind == JSON_PATCH:
        made = json_patch.apply(old, data)
    elif kind == MERGE_PATCH:
        made = merge_patch.apply(old, data)
    else:
        made = strategic.apply(old, data, definition)
    return made  # type: ignore[no-any-return]
