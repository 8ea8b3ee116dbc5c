"""PATCH with ``application/apply-patch+yaml``: server-side apply. An object that is not there yet is created."""

from __future__ import annotations

from typing import Any

import orjson

from pinnace.api import errors, meta, schema
from pinnace.api.apply import apply as applying
from pinnace.api.apply import managers
from pinnace.api.codecs import yaml
from pinnace.api.errors import bad_request
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import body, create, ownership, patch, update
from pinnace.apiserver.resources.backend import Backend, dry_run
from pinnace.apiserver.response import Response
from pinnace.core.clock import timestamp
from pinnace.core.cooperate import aside

APPLY = "application/apply-patch+yaml"
#: Times that an object is looked for again that was made, or went, in between.
TRIES = 8


async def patch_or_apply(backend: Backend, request: Request, row: Resource) -> Response:
    """Any PATCH of an object."""
    handler = apply if asked(request) else patch.patch
    return await handler(backend, request, row)


def asked(request: Request) -> bool:
    return body.media_type(request) == APPLY


def parse(request: Request) -> Object:
    """The configuration. Raises ApiError 400, 422."""
    ownership.check_options(request, "PatchOptions", applies=True)
    data = meta.copy(request.body) if request.shared else _load(request)
    if data is None:
        return {}
    if not isinstance(data, dict):
        what = schema.json_type(data)
        why = f"error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {what}"
        raise bad_request(f"error decoding patch: {why} into Go value of type map[string]interface {{}}")
    return data


def _load(request: Request) -> Any:
    raw: bytes = request.body
    if not raw.strip():
        return None
    validation = body.field_validation(request)
    try:
        data = orjson.loads(raw)  # what kubectl and client libraries send
    except orjson.JSONDecodeError:
        try:
            data, twice = yaml.load(raw)
        except yaml.YamlError as error:
            raise bad_request(f"error encoding patch: {error}") from None
    else:
        twice = [] if validation == schema.IGNORE else _named_twice(raw, data)
    if twice and validation != schema.IGNORE:
        lines = "\n".join(f'  line {line}: key "{key}" already set in map' for line, key in twice)
        why = f"error converting YAML to JSON: yaml: unmarshal errors:\n{lines}"
        if validation == schema.STRICT:
            raise bad_request(f"error strict decoding patch: {why}")
        request.warnings.append(why)
    return data


def _named_twice(raw: bytes, data: Any) -> list[tuple[int, str]]:
    found = schema.duplicate_fields(raw, data)
    return [(1, said.removeprefix('duplicate field "').removesuffix('"').rpartition(".")[2]) for said in found]


def forced(request: Request) -> bool:
    return request.asks("force")


async def apply(backend: Backend, request: Request, row: Resource) -> Response:
    config = await aside(parse, request) if request.large else parse(request)
    dry = dry_run(request, "PatchOptions")
    info = request.info
    key = row.key(info.namespace, info.name)

    def compute(old: Object) -> Object:
        new = merged(backend, request, row, old, config)
        update.check_name(new, info.name, info.namespace if row.namespaced else "")
        create.place(new, row, info.namespace)
        return new

    insisted = patch.insists(config)
    for _ in range(TRIES):
        if backend.store.get(key) is None and not info.subresource:
            answer = await _create(backend, request, row, config, dry=dry)
            if answer is not None:
                return answer
            continue
        return await update.change(backend, request, row, compute, insisted=insisted, dry=dry, owned=True)
    raise errors.conflict(row.group, row.plural, info.name)


async def _create(backend: Backend, request: Request, row: Resource, config: Object, *, dry: bool) -> Response | None:
    """None if somebody else has made the object meanwhile."""
    info = request.info
    create.authorize(backend, request)
    nothing: Object = {"kind": row.kind, "apiVersion": row.api_version, "metadata": {}}
    whole = backend, request, row, nothing, config
    new = await aside(merged, *whole) if request.large else merged(*whole)
    metadata = new["metadata"]
    if metadata.get("uid"):
        why = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
        raise errors.conflict(row.group, row.plural, info.name, why)
    update.check_name(new, info.name, info.namespace if row.namespaced else "")
    create.place(new, row, info.namespace)
    metadata.pop("resourceVersion", None)
    try:
        return await create.create_object(backend, request, row, new, dry=dry, applied=True)
    except errors.ApiError as error:
        if errors.is_reason(error, "AlreadyExists"):
            return None
        raise


def merged(backend: Backend, request: Request, row: Resource, live: Object, config: Object) -> Object:
    """``live`` with ``config`` applied, an object of ``row``'s kind with its managed fields."""
    subresource = request.info.subresource
    who = managers.identity(request.query.get("fieldManager", ""), managers.APPLY, row.api_version, subresource)
    new = applying.apply(
        ownership.RowVersions(backend.registry, row),
        row.gvk,
        live,
        config,
        who,
        timestamp(backend.clock.now()),
        ownership.ignored(row, subresource),
        force=forced(request),
    )
    entries = new["metadata"].pop("managedFields", None)
    if row.custom is not None:
        new = row.custom.decode(new, schema.IGNORE, (), nulls=True)[0]
    else:
        new = patch.decode(request, new, live, row, schema.IGNORE)
    if entries:
        new["metadata"]["managedFields"] = entries
    return new
