"""Bootstrap tokens: good while their Secret says so, and only for what it says."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from pinnace.api.errors import ApiError
from pinnace.api.types import Object
from pinnace.apiserver.auth.bootstraptokens import BootstrapTokens
from pinnace.core.clock import VirtualClock, timestamp

GOOD = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
    "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
}
TOKEN = "abcdef.0123456789abcdef"


class World:
    def __init__(self, **changes: Any) -> None:
        self.clock = VirtualClock()
        data = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
        self.secret: Object = {
            "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token",
            "data": {name.replace("_", "-"): b64encode(value.encode()).decode() for name, value in data.items()},
        }
        self.tokens = BootstrapTokens(self.find, self.clock)

    def find(self, plural: str, namespace: str, name: str) -> Object | None:
        where = ("secrets", "kube-system", "bootstrap-token-abcdef")
        return self.secret if (plural, namespace, name) == where else None

    def refuses(self, token: str = TOKEN) -> bool:
        try:
            self.tokens.authenticate(token)
        except ApiError as error:
            return error.code == 401
        return False


def test_who_it_is() -> None:
    user = World().tokens.authenticate(TOKEN)
    assert user is not None
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == (
        "system:bootstrappers",
        "system:bootstrappers:kubeadm:default-node-token",
        "system:authenticated",
    )


@pytest.mark.parametrize("token", ["abcdef", "Abcdef.0123456789abcdef", "abcdef.0123456789abcde", "e.y.J", ""])
def test_other_kinds_of_tokens_are_left_to_others(token: str) -> None:
    assert World().tokens.authenticate(token) is None


def test_wrong_or_unknown_ones_are_refused() -> None:
    assert World().refuses("abcdef.0123456789abcdeX".lower())
    assert World().refuses("zzzzzz.0123456789abcdef")


@pytest.mark.parametrize(
    "changes",
    [
        {"usage-bootstrap-authentication": "false"},
        {"usage-bootstrap-authentication": None},
        {"token-id": "ghijkl"},
        {"token-secret": None},
        {"auth-extra-groups": "system:masters"},
        {"auth-extra-groups": "system:bootstrappers:ok,system:nodes"},
        {"expiration": "soon"},
        {"expiration": "2020-09-13T12:26:40Z"},  # now
    ],
)
def test_secrets_that_do_not_let_in(changes: dict[str, str | None]) -> None:
    assert World(**changes).refuses()


def test_secrets_of_another_type_or_on_their_way_out_do_not_either() -> None:
    world = World()
    world.secret["type"] = "Opaque"
    assert world.refuses()
    world = World()
    world.secret["metadata"]["deletionTimestamp"] = timestamp(world.clock.now())
    assert world.refuses()


async def test_it_ends_when_it_says() -> None:
    world = World(expiration="2020-09-13T12:27:40Z")
    await world.clock.advance(59)
    assert world.tokens.authenticate(TOKEN) is not None
    await world.clock.advance(1)
    assert world.refuses()
