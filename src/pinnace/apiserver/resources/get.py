"""GET one object."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from pinnace.api.registry import Resource
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import negotiation, render
from pinnace.apiserver.resources.backend import Backend
from pinnace.apiserver.response import Response
from pinnace.core.cooperate import LARGE_YAML, aside


def get(backend: Backend, request: Request, row: Resource) -> Response | Coroutine[Any, Any, Response]:
    """Answered without waiting for anything, but for a large object as YAML."""
    info = request.info
    kv = backend.get(row, info.namespace, info.name)
    if request.query_string and "resourceVersion" in request.query_string:
        from pinnace.apiserver.resources.list import check_not_newer, parse_version

        check_not_newer(backend, parse_version(request.query.get("resourceVersion", "")))
    now = backend.clock.now()
    if len(kv.value) > LARGE_YAML and not request.shared and negotiation.of(request).yaml:
        return aside(render.stored, request, 200, kv, row, now)
    return render.stored(request, 200, kv, row, now)
