"""GET one object."""

from __future__ import annotations

from pinnace.api.registry import Resource
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import render
from pinnace.apiserver.resources.backend import Backend
from pinnace.apiserver.response import Response


def get(backend: Backend, request: Request, row: Resource) -> Response:
    """Answered without waiting for anything."""
    info = request.info
    kv = backend.get(row, info.namespace, info.name)
    if request.query_string and "resourceVersion" in request.query_string:
        from pinnace.apiserver.resources.list import check_not_newer, parse_version

        check_not_newer(backend, parse_version(request.query.get("resourceVersion", "")))
    return render.stored(request, 200, kv, row, backend.clock.now())
