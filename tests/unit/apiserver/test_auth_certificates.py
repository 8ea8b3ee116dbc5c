"""Who a client certificate names."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from pinnace.api.errors import ApiError
from pinnace.apiserver.auth import certificates
from pinnace.apiserver.auth.authenticate import Authenticators, anonymous
from pinnace.apiserver.request import User
from pinnace.cluster import x509make
from pinnace.core.clock import VirtualClock

NOW = VirtualClock().now()


def make(common_name: str, organizations: tuple[str, ...] = (), lifetime: float = 3600.0) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    key = x509make.new_key()
    authority = x509make.make_authority(key, "ca", NOW, 86400.0 * 3650)
    leaf = x509make.make_leaf(
        x509make.new_key(),
        authority,
        key,
        common_name=common_name,
        organizations=organizations,
        sans=frozenset(),
        server=False,
        client=True,
        now=NOW,
        lifetime=lifetime,
    )
    return leaf.public_bytes(Encoding.DER)


def test_common_name_and_organizations() -> None:
    der = make("kubernetes-admin", ("system:masters", "größe"))
    user = Authenticators(VirtualClock()).authenticate(der, {})
    assert user == User(
        "kubernetes-admin",
        groups=("system:masters", "größe", "system:authenticated"),
        extra={"authentication.kubernetes.io/credential-id": (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)},
    )


async def test_a_connection_does_not_outlive_its_certificate() -> None:
    clock = VirtualClock()
    authenticators = Authenticators(clock)
    der = make("a", lifetime=3600.0)
    assert authenticators.authenticate(der, {}) is not None
    await clock.advance(3700)
    with pytest.raises(ApiError) as caught:
        authenticators.authenticate(der, {})
    assert (caught.value.code, caught.value.message) == (401, "Unauthorized")


def test_every_cut_and_every_changed_byte_is_survived() -> None:
    der = make("kubernetes-admin", ("system:masters",))
    for end in range(0, len(der) - 1, 3):
        with pytest.raises(certificates.MalformedError):
            certificates.read_certificate(der[:end])
    for at in range(len(der)):
        changed = bytearray(der)
        changed[at] ^= 0xFF
        try:
            certificates.read_certificate(bytes(changed))
        except certificates.MalformedError:
            pass


def test_without_credentials_only_health_answers() -> None:
    assert Authenticators(VirtualClock()).authenticate(None, {}) is None
    assert anonymous("/readyz") == User("system:anonymous", groups=("system:unauthenticated",))
    assert anonymous("/version") is None
    assert anonymous("/readyz/ping") is None


class Known:
    def authenticate(self, token: str) -> User | None:
        return User("bob") if token == "good" else None


@pytest.mark.parametrize(
    ("header", "name"), [("Bearer good", "bob"), ("bearer  good ", "bob"), ("Basic eDp5", None), ("Bearer ", None)]
)
def test_bearer_tokens(header: str, name: str | None) -> None:
    user = Authenticators(VirtualClock(), (Known(),)).authenticate(None, {"authorization": header})
    assert (user.name if user else None) == name


def test_a_wrong_token_is_401_and_a_certificate_counts_first() -> None:
    authenticators: Any = Authenticators(VirtualClock(), (Known(),))
    with pytest.raises(ApiError):
        authenticators.authenticate(None, {"authorization": "Bearer bad"})
    assert authenticators.authenticate(make("ann"), {"authorization": "Bearer bad"}).name == "ann"
