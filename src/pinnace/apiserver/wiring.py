"""Which handler serves which subresource or resource that the common verbs do not."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping

from pinnace.apiserver.auth.stack import Auth
from pinnace.apiserver.resources import binding, eviction, questions, scale, streams
from pinnace.apiserver.resources.router import Router


def register(
    router: Router,
    auth: Auth | None,
    kubelet_tls: Callable[[], ssl.SSLContext] | None,
    near: Mapping[str, tuple[str, int]] | None = None,
) -> None:
    router.custom["scale"] = {"get": scale.get, "update": scale.put, "patch": scale.patch_scale}
    for group, plural in scale.SCALED:
        router.register(group, plural, "scale", router.custom["scale"])
    router.register("", "pods", "binding", {"create": binding.bind})
    router.register("", "bindings", "", {"create": binding.bind_by_body})
    router.register("", "pods", "eviction", {"create": eviction.evict})
    router.register("", "componentstatuses", "", {"get": questions.get_component, "list": questions.list_components})
    for plural, subresource, served in streams.handlers(
        streams.Streams(kubelet_tls, near, auth.authorizer if auth is not None else None)
    ):
        router.register("", plural, subresource, served)
    if auth is not None:
        router.register("", "serviceaccounts", "token", {"create": questions.token(auth.token_requests)})
        for (group, plural), ask in auth.reviews.handlers.items():
            router.register(group, plural, "", {"create": questions.review(ask)})
