"""PATCH: JSON patch, merge patch, strategic merge patch; an apply is ``apply_patch``'s."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from pinnace.api import errors, schema
from pinnace.api.errors import ApiError, bad_request
from pinnace.api.patches import json_patch, merge_patch, strategic
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import body, create, ownership, update
from pinnace.apiserver.resources.backend import Backend, dry_run
from pinnace.apiserver.response import Response
from pinnace.core.cooperate import aside

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
#: How bodies that cannot be read are introduced, which a patch is not.
_UNHANDLED = re.compile(r'^\w+ in version "\w*" cannot be handled as a \w+: (metadata: Invalid value: \{.*\}: )?')


async def patch(backend: Backend, request: Request, row: Resource) -> Response:
    ownership.check_options(request, "PatchOptions")
    dry = dry_run(request, "PatchOptions")
    kind, data = await aside(parse, request, row) if request.large else parse(request, row)
    insisted = insists(data)
    name = request.info.name
    validation = body.field_validation(request)

    def compute(old: Object) -> Object:
        made = apply(kind, data, old, row.definition)
        if row.custom is not None and isinstance(made, dict):
            _check_kind(made, row, name)
        new = decoded(kind, made, lambda: decode(request, made, old, row, validation))
        update.check_name(new, name, "")
        create.place(new, row, request.info.namespace)
        return new

    return await update.change(backend, request, row, compute, insisted=insisted, dry=dry)


def _check_kind(made: Object, row: Resource, name: str) -> None:
    """Raises ApiError 422 if a patch has made a custom resource one of another kind."""
    kind = made.get("kind")
    for field, wanted in (("kind", row.kind), ("apiVersion", row.api_version)):
        if made.get(field) != wanted:
            problem = errors.invalid_value(field, made.get(field), f"must be {wanted}")
            raise errors.invalid(row.group, str(kind), name, [problem])


def decoded(kind: str, made: Any, decode: Callable[[], Object]) -> Object:
    """What ``decode`` makes of a patched object; JSON and merge patches that make none are invalid themselves."""
    try:
        return decode()
    except ApiError as error:
        if kind == STRATEGIC or error.code != 400 or "strict decoding error" in error.message:
            raise
        text = orjson.dumps(made, option=orjson.OPT_SORT_KEYS).decode()
        why = _UNHANDLED.sub("", error.message)
        raise errors.invalid("", "", "", [errors.invalid_value("patch", text, why)]) from None


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
