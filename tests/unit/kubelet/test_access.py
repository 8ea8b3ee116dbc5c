"""Who may ask a kubelet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.core.clock import VirtualClock
from pinnace.kubelet.server.access import Access
from pinnace.kubelet.server.http import Refusal


class Reviews:
    """Allows the group ``operators`` everything."""

    async def create(self, gvr: GVR, review: Object) -> Object:
        return {"status": {"allowed": "operators" in review["spec"]["groups"]}}


def certificate(user: str, *groups: str) -> Mapping[str, object]:
    names: list[Any] = [(("organizationName", group),) for group in groups]
    return {"subject": (*names, (("commonName", user),))}


async def refused(access: Access, shown: Mapping[str, object]) -> int:
    try:
        await access.check(shown, "POST", "/exec/default/web/main")
    except Refusal as refusal:
        return refusal.status
    return 0


async def test_a_certificate_and_the_right_are_needed_each_time() -> None:
    access = Access(cast(Client, Reviews()), VirtualClock(), "n1")
    assert await refused(access, {}) == 401
    assert await refused(access, certificate("ann")) == 403
    assert await refused(access, certificate("ann", "operators")) == 0
    assert await refused(access, certificate("ann")) == 403  # the same name, but without the group


@pytest.mark.parametrize("path", ["//exec/default/web/main", "/exec", "/run/x"])
async def test_whatever_is_no_finer_part_is_the_proxys(path: str) -> None:
    asked: list[Object] = []

    class Recording(Reviews):
        async def create(self, gvr: GVR, review: Object) -> Object:
            asked.append(review["spec"]["resourceAttributes"])
            return {"status": {"allowed": True}}

    await Access(cast(Client, Recording()), VirtualClock(), "n1").check(certificate("ann"), "GET", path)
    assert asked[0]["subresource"] == "proxy"


async def test_a_token_is_as_good_as_a_certificate() -> None:
    class Tokens(Reviews):
        async def create(self, gvr: GVR, review: Object) -> Object:
            if gvr.resource == "tokenreviews":
                user = {"username": "prometheus", "groups": ["operators"]}
                return {"status": {"authenticated": True, "user": user} if review["spec"]["token"] == "good" else {}}
            return await super().create(gvr, review)

    access = Access(cast(Client, Tokens()), VirtualClock(), "n1")
    await access.check({}, "GET", "/metrics/resource", "Bearer good")
    for header in ("Bearer bad", "Basic good", ""):
        with pytest.raises(Refusal) as caught:
            await access.check({}, "GET", "/metrics/resource", header)
        assert caught.value.status == 401


async def test_who_may_use_the_proxy_may_use_the_finer_parts_too() -> None:
    class Proxied:
        async def create(self, gvr: GVR, review: Object) -> Object:
            return {"status": {"allowed": review["spec"]["resourceAttributes"]["subresource"] == "proxy"}}

    access = Access(cast(Client, Proxied()), VirtualClock(), "n1")
    await access.check(certificate("ann"), "GET", "/pods")
    with pytest.raises(Refusal, match=r"resource=nodes, subresource\(s\)=\[metrics\]"):
        await access.check(certificate("ann"), "GET", "/metrics")
