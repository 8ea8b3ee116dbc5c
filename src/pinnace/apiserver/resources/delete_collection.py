"""DELETE a collection: everything selected, one after the other."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.registry import Resource
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import body, codec, delete, render, selection
from pinnace.apiserver.resources.backend import Backend, dry_run
from pinnace.apiserver.response import Response


async def delete_collection(backend: Backend, request: Request, row: Resource) -> Response:
    """Answered with the list of what was deleted, each as it was."""
    options = body.options(request, "DeleteOptions")
    dry = dry_run(request, "DeleteOptions", options)
    delete.check_options(options)
    chosen = selection.of(request, row)
    found = backend.store.range(chosen.start, chosen.end)
    objects = []
    for item in found.items:
        obj = codec.read(item, row)
        if not chosen.matches(obj):
            continue
        try:
            await delete.delete_object(backend, request, row, meta.namespace(obj), meta.name(obj), options, dry=dry)
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
        objects.append(obj)
    metadata = {"resourceVersion": str(backend.store.revision)}
    return render.plain(request, 200, {**render.list_head(row, metadata), "items": objects})
