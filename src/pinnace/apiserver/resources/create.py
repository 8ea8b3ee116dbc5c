"""POST a new object."""

from __future__ import annotations

from pinnace.api import errors, meta
from pinnace.api.errors import ApiError, bad_request
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.auth.authorize import refused
from pinnace.apiserver.request import Request, attributes_of
from pinnace.apiserver.resources import body, ownership, render
from pinnace.apiserver.resources.backend import Backend, dry_run, refuse_invalid
from pinnace.apiserver.response import Response
from pinnace.core.clock import timestamp
from pinnace.core.cooperate import aside

#: Tries to find a generated name that is free.
GENERATE_TRIES = 8


async def create(backend: Backend, request: Request, row: Resource) -> Response:
    ownership.check_options(request, "CreateOptions")
    dry = dry_run(request, "CreateOptions")
    obj = await aside(body.decode, request, row) if request.large else body.decode(request, row)
    place(obj, row, request.info.namespace)
    return await create_object(backend, request, row, obj, dry=dry)


def authorize(backend: Backend, request: Request) -> None:
    """Whether a request of another verb may create what it names. Raises ApiError 403."""
    if backend.authorizer is not None:
        attributes = attributes_of(request.user, request.info, "create")
        allowed, why = backend.authorizer.authorize(attributes)
        if not allowed:
            raise refused(attributes, why)


def place(obj: Object, row: Resource, namespace: str) -> None:
    """Put ``obj`` into the namespace of the request. Raises ApiError 400 if it says another one."""
    metadata = obj["metadata"]
    said = metadata.get("namespace") or ""
    if not row.namespaced:
        metadata.pop("namespace", None)
        return
    if said and said != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = namespace


async def create_object(
    backend: Backend, request: Request, row: Resource, obj: Object, *, dry: bool, applied: bool = False
) -> Response:
    """Write ``obj``, which is the caller's own, as a new object; generated names are tried until one is free. What was
    ``applied`` has its managed fields."""
    metadata = obj["metadata"]
    if row.custom is not None and row.custom.terminating:
        why = "create not allowed while custom resource definition is terminating"
        raise errors.forbidden(row.group, row.plural, str(metadata.get("name") or ""), why)
    if metadata.get("resourceVersion"):
        raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
    base = metadata.get("generateName") or ""
    generated = bool(base) and not metadata.get("name")
    for field in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
        metadata.pop(field, None)
    if not applied:
        metadata.pop("managedFields", None)
    for attempt in range(GENERATE_TRIES):
        if generated:
            metadata["name"] = meta.generate_name(str(base))
        mine = meta.copy(obj) if generated else obj
        answer = await _attempt(backend, request, row, mine, dry=dry, applied=applied, generated=generated)
        if answer is not None:
            return answer
        if not generated or attempt == GENERATE_TRIES - 1:
            break
    raise errors.already_exists(row.group, row.plural, metadata.get("name", ""))


async def _attempt(
    backend: Backend, request: Request, row: Resource, obj: Object, *, dry: bool, applied: bool, generated: bool
) -> Response | None:
    """None if the name is taken."""
    metadata = obj["metadata"]
    metadata["uid"] = meta.new_uid()
    now = backend.clock.now()
    metadata["creationTimestamp"] = timestamp(now)

    def complete() -> None:
        row.default(obj)
        if not applied:
            ownership.track_create(request, row, obj, now)

    await aside(complete) if request.large else complete()
    known = "" if generated else str(metadata.get("name") or "")
    async with backend.admitted(request, row, "CREATE", obj, None, name=known, dry_run=dry) as admitted:
        name = obj["metadata"].get("name") or ""
        row.prepare_create(obj)
        slow = request.large or (row.custom is not None and row.custom.rules())
        found = await aside(row.validate, obj, None, "") if slow else row.validate(obj, None, "")
        refuse_invalid(row, str(name), found)
        if row.warn is not None:
            request.warnings += row.warn(obj, None)
        if (looking := admitted.validate()) is not None:
            await looking
        key = row.key(request.info.namespace, str(name))
        if dry:
            admitted.charges()
            if backend.store.get(key) is not None:
                return None
            return render.one(request, 201, obj, row, backend.wanted(request), backend.clock.now())
        kv = await backend.write(row, key, obj, 0, admitted)
        if kv is None:
            return None
        admitted.committed = True
    return render.stored(request, 201, kv, row, backend.clock.now())
