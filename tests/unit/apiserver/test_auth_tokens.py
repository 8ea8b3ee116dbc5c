"""Service-account tokens: made on request, good while what they stand for exists."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from pinnace.api.errors import ApiError
from pinnace.api.types import Object
from pinnace.apiserver.auth import discovery
from pinnace.apiserver.auth.jwt import Keys, TokenError, unverified_claims
from pinnace.apiserver.auth.tokenrequest import TokenRequests
from pinnace.apiserver.auth.tokens import ISSUER, ServiceAccountTokens
from pinnace.cluster import x509make
from pinnace.core.clock import VirtualClock


class World:
    def __init__(self, directory: Path) -> None:
        self.clock = VirtualClock()
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.add("serviceaccounts", "default", "web", "sa-uid")
        self.add("pods", "default", "p", "pod-uid", {"serviceAccountName": "web", "nodeName": "n1"})
        self.add("nodes", "", "n1", "node-uid")
        (directory / "sa.key").write_bytes(x509make.key_pem(x509make.new_key()))
        self.tokens = ServiceAccountTokens(Keys(directory / "sa.key"), self.find, self.clock)
        self.requests = TokenRequests(self.tokens, self.find, self.clock)

    def add(self, plural: str, namespace: str, name: str, uid: str, spec: Object | None = None) -> None:
        metadata = {"name": name, "namespace": namespace, "uid": uid}
        self.objects[plural, namespace, name] = {"metadata": metadata, "spec": spec or {}}

    def find(self, plural: str, namespace: str, name: str) -> Object | None:
        return self.objects.get((plural, namespace, name))

    def request(self, **spec: Any) -> Object:
        return self.requests.create("default", "web", {"spec": spec})

    def token(self, **spec: Any) -> str:
        return str(self.request(**spec)["status"]["token"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


POD: Object = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "pod-uid"}


def test_a_token_names_its_service_account(world: World) -> None:
    answer = world.request(expirationSeconds=600)
    assert answer["spec"] == {"audiences": [ISSUER], "expirationSeconds": 600, "boundObjectRef": None}
    assert answer["status"]["expirationTimestamp"] == "2020-09-13T12:36:40Z"
    user = world.tokens.authenticate(answer["status"]["token"])
    assert user is not None
    assert (user.name, user.uid) == ("system:serviceaccount:default:web", "sa-uid")
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


def test_the_token_is_a_jwt_with_kubernetes_claims(world: World) -> None:
    token = world.token(boundObjectRef=POD)
    header = orjson.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header == {"alg": "ES256", "kid": world.tokens.keys.public_jwk()["kid"]}
    claims = unverified_claims(token)
    assert claims is not None
    assert claims.pop("jti")
    assert claims == {
        "aud": [ISSUER],
        "exp": 1_600_003_600,
        "iat": 1_600_000_000,
        "iss": ISSUER,
        "kubernetes.io": {
            "namespace": "default",
            "serviceaccount": {"name": "web", "uid": "sa-uid"},
            "pod": {"name": "p", "uid": "pod-uid"},
            "node": {"name": "n1", "uid": "node-uid"},
        },
        "nbf": 1_600_000_000,
        "sub": "system:serviceaccount:default:web",
    }
    user = world.tokens.authenticate(token)
    assert user is not None
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)


def refused(world: World, token: str) -> str:
    with pytest.raises(ApiError) as caught:
        world.tokens.authenticate(token)
    assert caught.value.code == 401
    with pytest.raises(TokenError) as why:
        world.tokens.verify(token, world.tokens.audiences)
    return str(why.value)


async def test_expires_with_a_minutes_leeway(world: World) -> None:
    token = world.token(expirationSeconds=600)
    await world.clock.advance(655)
    assert world.tokens.authenticate(token)
    await world.clock.advance(10)
    assert "expired" in refused(world, token)


async def test_kubelets_tokens_go_on_for_a_year_and_say_when_to_renew(world: World) -> None:
    answer = world.request(expirationSeconds=3607, boundObjectRef=POD)
    claims = unverified_claims(answer["status"]["token"])
    assert claims is not None
    assert claims["exp"] == 1_600_000_000 + 365 * 86400
    assert claims["kubernetes.io"]["warnafter"] == 1_600_003_607
    assert answer["status"]["expirationTimestamp"] == "2020-09-13T13:26:47Z"


def test_ends_with_its_pod_and_its_account(world: World) -> None:
    token = world.token(boundObjectRef=POD)
    assert world.tokens.authenticate(token)
    del world.objects["pods", "default", "p"]
    assert "deleted" in refused(world, token)
    world.add("pods", "default", "p", "another-uid")
    assert "deleted" in refused(world, token)
    unbound = world.token()
    world.add("serviceaccounts", "default", "web", "another-uid")
    assert "deleted" in refused(world, unbound)


async def test_a_pod_being_deleted_keeps_its_token_for_a_minute(world: World) -> None:
    token = world.token(boundObjectRef=POD)
    world.objects["pods", "default", "p"]["metadata"]["deletionTimestamp"] = "2020-09-13T12:26:50Z"
    assert world.tokens.authenticate(token)
    await world.clock.advance(80)
    assert "being deleted" in refused(world, token)


def test_for_another_audience(world: World) -> None:
    token = world.token(audiences=["vault", "other"])
    assert "audiences" in refused(world, token)
    assert world.tokens.verify(token, ["x", "vault"]).audiences == ("vault",)


def test_tampered_and_foreign_tokens(world: World, tmp_path: Path) -> None:
    head, body, signature = world.token().split(".")
    claims = orjson.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "system:serviceaccount:kube-system:admin"
    forged = base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
    assert "signature" in refused(world, f"{head}.{forged}.{signature}")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    assert "signature" in refused(world, f"{none}.{body}.")
    (tmp_path / "other").mkdir()
    assert "signature" in refused(world, World(tmp_path / "other").token())
    assert world.tokens.authenticate("not-a-jwt") is None
    assert world.tokens.authenticate("a.b.c") is None


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        (
            {"expirationSeconds": 60},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: '
            "may not specify a duration less than 10 minutes",
        ),
        ({"boundObjectRef": {**POD, "name": "q"}}, 404, 'pods "q" not found'),
        ({"boundObjectRef": {**POD, "uid": "x"}}, 409, "does not match the UID in record"),
        ({"boundObjectRef": {**POD, "kind": "Job"}}, 400, "cannot bind token to object of type"),
    ],
)
def test_requests_that_are_refused(world: World, spec: Object, code: int, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        world.request(**spec)
    assert caught.value.code == code
    assert message in caught.value.message


def test_no_token_for_anothers_pod_or_an_absent_account(world: World) -> None:
    world.objects["pods", "default", "p"]["spec"]["serviceAccountName"] = "other"
    with pytest.raises(ApiError, match="different serviceaccount name"):
        world.request(boundObjectRef=POD)
    with pytest.raises(ApiError, match='serviceaccounts "none" not found'):
        world.requests.create("default", "none", {})


def test_others_can_verify(world: World) -> None:
    import jwt

    key = jwt.PyJWK(discovery.public_keys(world.tokens)["keys"][0])
    token = world.token(audiences=["vault"])
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    assert jwt.decode(token, key, ["ES256"], options, audience="vault")["iss"] == ISSUER
    configuration = discovery.openid_configuration(world.tokens)
    assert configuration["jwks_uri"] == f"{ISSUER}/openid/v1/jwks"
