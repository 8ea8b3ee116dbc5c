"""Resources that are stored nowhere: a source computes their objects when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pinnace.api import errors
from pinnace.api.registry import Resource
from pinnace.api.types import Object
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import render, selection
from pinnace.apiserver.resources.backend import Backend
from pinnace.apiserver.resources.negotiation import PARTIAL, TABLE
from pinnace.apiserver.resources.router import Handler
from pinnace.apiserver.response import Response


class Source(Protocol):
    """Who computes. What it is asked has been authorized; it has an identity of its own for what it needs to know."""

    async def get(self, plural: str, namespace: str, name: str) -> Object:
        """Raises ApiError."""

    async def list(self, plural: str, namespace: str, labels: str, fields: str) -> Sequence[Object]:
        """In the order in which they are answered. Raises ApiError."""


def handlers(source: Source) -> dict[str, Handler]:
    """What serves a resource of ``source``, by verb."""

    async def get(backend: Backend, request: Request, row: Resource) -> Response:
        wanted, info = backend.wanted(request), request.info
        obj = await source.get(row.plural, info.namespace, info.name)
        return render.one(request, 200, obj, row, wanted, backend.clock.now())

    async def list_objects(backend: Backend, request: Request, row: Resource) -> Response:
        wanted, info, query = backend.wanted(request), request.info, request.query
        if info.namespace and not row.namespaced:
            raise errors.path_not_found()
        selection.of(request, row)  # refuses what cannot be understood in the words of every list
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        items = await source.list(row.plural, info.namespace, labels, fields)
        if wanted.shape == TABLE:
            table = render.table(items, row, {}, render.include_object(request), backend.clock.now())
            return render.data(request, 200, table, wanted)
        if wanted.shape == PARTIAL:
            head: Object = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}}
            return render.data(request, 200, {**head, "items": [render.partial(obj) for obj in items]}, wanted)
        return render.data(request, 200, {**render.list_head(row, {}), "items": items}, wanted)

    return {"get": get, "list": list_objects}
