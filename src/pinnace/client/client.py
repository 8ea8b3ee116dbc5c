"""The API client: verbs on resources, the same over every transport."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast

from pinnace.api import meta
from pinnace.api.types import GVR, Object
from pinnace.client.transport import Transport, WatchEvent

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"


def path_of(gvr: GVR, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """``/apis/apps/v1/namespaces/default/deployments/web/scale``; every part but the resource may be left out."""
    path = f"/apis/{gvr.group}/{gvr.version}" if gvr.group else f"/api/{gvr.version}"
    if namespace:
        path += f"/namespaces/{namespace}"
    path += f"/{gvr.resource}"
    if name:
        path += f"/{name}"
    if subresource:
        path += f"/{subresource}"
    return path


def _query(**params: str | int | bool | None) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in params.items():
        if value is None or value == "" or value is False:
            continue
        query[name] = "true" if value is True else str(value)
    return query


class Client:
    """Objects it returns may be shared: read-only. Every call raises what ``Transport.request`` raises."""

    def __init__(self, transport: Transport, *, field_manager: str = "") -> None:
        self.transport = transport
        self.field_manager = field_manager

    async def get(self, gvr: GVR, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return await self.transport.request("GET", path_of(gvr, namespace, name, subresource))

    async def list(
        self,
        gvr: GVR,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Object:
        """The List object: ``items`` and ``metadata.resourceVersion``/``continue``."""
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=limit or None,
            resourceVersion=resource_version,
            **{"continue": continue_token},
        )
        return await self.transport.request("GET", path_of(gvr, namespace), query=query)

    def watch(
        self,
        gvr: GVR,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_seconds: int = 0,
    ) -> AsyncGenerator[Sequence[WatchEvent], None]:
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            allowWatchBookmarks=bookmarks,
            timeoutSeconds=timeout_seconds or None,
        )
        return self.transport.watch(path_of(gvr, namespace), query=query)

    async def create(
        self, gvr: GVR, obj: Object, *, name: str = "", subresource: str = "", namespace: str = ""
    ) -> Object:
        """POST ``obj`` to its namespace; with ``name`` and ``subresource`` to that subresource (``binding``, ...)."""
        path = path_of(gvr, namespace or meta.namespace(obj), name, subresource)
        return await self.transport.request("POST", path, query=_query(fieldManager=self.field_manager), body=obj)

    async def update(self, gvr: GVR, obj: Object, *, subresource: str = "") -> Object:
        """PUT ``obj``; with a resourceVersion in it, a Conflict is raised if that is not the newest."""
        path = path_of(gvr, meta.namespace(obj), meta.name(obj), subresource)
        return await self.transport.request("PUT", path, query=_query(fieldManager=self.field_manager), body=obj)

    async def patch(
        self,
        gvr: GVR,
        name: str,
        patch: Object | Sequence[Object],
        namespace: str = "",
        *,
        subresource: str = "",
        content_type: str = MERGE_PATCH,
    ) -> Object:
        return await self.transport.request(
            "PATCH",
            path_of(gvr, namespace, name, subresource),
            query=_query(fieldManager=self.field_manager),
            body=cast(Any, patch),
            content_type=content_type,
        )

    async def delete(
        self,
        gvr: GVR,
        name: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        propagation: str = "",
        uid: str = "",
        resource_version: str = "",
    ) -> Object:
        """DELETE; ``propagation`` is Orphan, Background or Foreground; ``uid`` and ``resource_version`` are
        preconditions."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation:
            options["propagationPolicy"] = propagation
        preconditions = _query(uid=uid, resourceVersion=resource_version)
        if preconditions:
            options["preconditions"] = preconditions
        return await self.transport.request("DELETE", path_of(gvr, namespace, name), body=options)

    async def delete_collection(
        self,
        gvr: GVR,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        propagation: str = "",
    ) -> Object:
        query = _query(labelSelector=label_selector, fieldSelector=field_selector, propagationPolicy=propagation)
        return await self.transport.request("DELETE", path_of(gvr, namespace), query=query)

    async def read(self, path: str, *, query: Mapping[str, str] = {}) -> bytes:
        return await self.transport.read(path, query=query)

    async def close(self) -> None:
        await self.transport.close()
