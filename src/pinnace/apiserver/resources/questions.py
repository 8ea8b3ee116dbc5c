"""Create-only resources that are answered and stored nowhere: reviews and tokens; and what has no store of its own."""

from __future__ import annotations

from pinnace.api import errors
from pinnace.api.registry import Resource
from pinnace.api.types import GVK, Object
from pinnace.apiserver.auth.reviews import Handler as ReviewHandler
from pinnace.apiserver.auth.tokenrequest import TokenRequests
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import body, create, negotiation, ownership, render
from pinnace.apiserver.resources.backend import Backend
from pinnace.apiserver.resources.router import Handler
from pinnace.apiserver.response import Response

TOKEN_REQUEST = GVK("authentication.k8s.io", "v1", "TokenRequest")


def review(ask: ReviewHandler) -> Handler:
    """POST of a review that ``ask`` answers."""

    def handle(backend: Backend, request: Request, row: Resource) -> Response:
        _expect_object(backend, request)
        posted = body.decode(request, row)
        create.place(posted, row, request.info.namespace)
        ownership.track_create(request, row, posted, backend.clock.now())
        return render.plain(request, 201, ask(posted, request.user, request.info.namespace))

    return handle


def token(tokens: TokenRequests) -> Handler:
    """POST of serviceaccounts/token."""

    async def handle(backend: Backend, request: Request, row: Resource) -> Response:
        _expect_object(backend, request)
        info = request.info
        asked = body.decode(request, row, TOKEN_REQUEST)
        name = info.name
        async with backend.admitted(request, row, "CREATE", asked, None, name=name, subresource="token") as admitted:
            await admitted.validated()
            entries = ownership.entries_of_new(request, TOKEN_REQUEST, "token", asked, backend.clock.now())
            made = tokens.create(info.namespace, info.name, asked)
            if entries:
                made["metadata"]["managedFields"] = entries
            return render.plain(request, 201, made)

    return handle


def _expect_object(backend: Backend, request: Request) -> None:
    """Raises ApiError 406: these have no tables."""
    if backend.wanted(request).shape != negotiation.OBJECT:
        raise negotiation.not_acceptable(media_known=True)


def _component(name: str) -> Object:
    condition = {"type": "Healthy", "status": "True", "message": "ok"}
    return {
        "kind": "ComponentStatus",
        "apiVersion": "v1",
        "metadata": {"name": name, "creationTimestamp": None},
        "conditions": [condition],
    }


def list_components(backend: Backend, request: Request, row: Resource) -> Response:
    """The store is the one component that this process can vouch for."""
    wanted = backend.wanted(request)
    items = [_component("etcd-0")]
    if wanted.shape == "Table":
        return render.data(request, 200, render.table(items, row, {}, "None", backend.clock.now()), wanted)
    return render.data(request, 200, {**render.list_head(row, {}), "items": items}, wanted)


def get_component(backend: Backend, request: Request, row: Resource) -> Response:
    if request.info.name != "etcd-0":
        raise errors.not_found("", "componentstatuses", request.info.name)
    return render.one(request, 200, _component("etcd-0"), row, backend.wanted(request), backend.clock.now())
