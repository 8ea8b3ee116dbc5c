"""From (resource, verb, subresource) to the handler."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from pinnace.api import errors
from pinnace.api.registry import Resource
from pinnace.apiserver.request import Request, RequestInfo
from pinnace.apiserver.resources import (
    apply_patch,
    consistency,
    create,
    delete,
    delete_collection,
    get,
    list,
    update,
    watch,
)
from pinnace.apiserver.resources.backend import Backend, unsupported
from pinnace.apiserver.response import Answer, text

Result = Answer | Coroutine[Any, Any, Answer]
Handler = Callable[[Backend, Request, Resource], Result]

#: Handlers of a resource itself, by verb.
VERBS: dict[str, Handler] = {
    "get": get.get,
    "list": list.list_objects,
    "watch": watch.watch,
    "create": create.create,
    "update": update.update,
    "patch": apply_patch.patch_or_apply,
    "delete": delete.delete,
    "deletecollection": delete_collection.delete_collection,
}
#: Verbs of one object, which the path names.
NAMED = frozenset(("get", "update", "patch", "delete"))
#: Handlers of subresources that keep the object's own form.
OWN_FORM: dict[str, Handler] = {"get": get.get, "update": update.update, "patch": apply_patch.patch_or_apply}

#: What every answer about a built-in resource warns of that is on its way out.
DEPRECATED = {
    ("", "endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ("", "componentstatuses"): "v1 ComponentStatus is deprecated in v1.19+",
}


class Router:
    """Knows every handler; others (subresources with a form of their own, reviews) are registered."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._special: dict[tuple[str, str, str], dict[str, Handler]] = {}
        #: Handlers of the subresources that a custom resource may have, if it does; by name and verb.
        self.custom: dict[str, dict[str, Handler]] = {}

    @property
    def revision(self) -> int:
        """Of the store's view: as long as it stays, nothing has been written."""
        return self._backend.store.revision

    @property
    def remote(self) -> bool:
        """Whether other API servers write to the store."""
        return self._backend.remote

    async def sync(self) -> None:
        """Have the view hold all that other API servers have answered. Raises StoreError."""
        await self._backend.store.sync()

    def knows(self, info: RequestInfo) -> bool:
        """Whether there is the resource that is asked for."""
        return self._backend.registry.get(info.group, info.version, info.resource) is not None

    def register(self, group: str, resource: str, subresource: str, handlers: dict[str, Handler]) -> None:
        """Handle ``verb``s of a resource (any version) or subresource by ``handlers`` instead."""
        self._special.setdefault((group, resource, subresource), {}).update(handlers)

    def route(self, request: Request) -> Result:
        """Raises ApiError 404 for an unknown resource, 405 for a verb it does not have."""
        info = request.info
        backend = self._backend
        row = backend.registry.get(info.group, info.version, info.resource)
        if row is None:
            if any(known.group == info.group and known.version == info.version for known in backend.registry):
                raise errors.path_not_found()
            return text(404, "404 page not found\n")
        subresource = info.subresource
        special = self._special.get((info.group, info.resource, subresource))
        if row.custom is not None:
            request.warnings += row.custom.warnings
            special = self.custom.get(subresource) if subresource in row.subresources else None
        elif (warning := DEPRECATED.get((info.group, info.resource))) is not None:
            request.warnings.append(warning)
        if special is not None and info.verb in special:
            handler = special[info.verb]
        elif not subresource:
            if (
                info.verb not in row.verbs
                or (info.verb in NAMED and not info.name)
                or (info.verb == "create" and info.name)
            ):
                raise unsupported(row, info.verb)
            if info.namespace and not row.namespaced and (info.group, info.resource) != ("", "namespaces"):
                raise errors.path_not_found()
            if row.namespaced and not info.namespace and info.verb not in ("list", "watch"):
                raise unsupported(row, info.verb)
            handler = VERBS[info.verb]
        else:
            own = row.subresources.get(subresource)
            if own is None:
                raise errors.path_not_found()
            if info.verb not in own.verbs or own.kind != row.gvk or info.verb not in OWN_FORM:
                raise unsupported(row, info.verb)
            handler = OWN_FORM[info.verb]
        if row.custom is not None and row.custom.webhook is not None:
            from pinnace.apiserver.crd import conversion

            handler = partial(conversion.served, handler)
        if backend.remote:
            return consistency.handle(handler, backend, request, row, creates=handler is create.create)
        return handler(backend, request, row)
