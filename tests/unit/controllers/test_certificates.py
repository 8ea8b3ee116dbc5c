"""Certificates on request, and tokens in Secrets."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pinnace.api import meta
from pinnace.api.resources import SECRETS, SERVICE_ACCOUNTS
from pinnace.api.types import Object
from pinnace.controllers import manager
from pinnace.controllers.certificates import REQUESTS

Cluster = Any
Key = ec.EllipticCurvePrivateKey


def name(common: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def authority() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime.fromtimestamp(1_600_000_000, UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name("ca"))
        .issuer_name(name("ca"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return made.public_bytes(encoding), key.private_bytes(encoding, form, serialization.NoEncryption())


def request(subject: x509.Name, signer: str = "kube-apiserver-client", usage: str = "client auth") -> Object:
    key = ec.generate_private_key(ec.SECP256R1())
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = asked.public_bytes(serialization.Encoding.PEM)
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "jane"},
        "spec": {
            "request": b64encode(pem).decode(),
            "signerName": f"kubernetes.io/{signer}",
            "usages": [usage],
            "expirationSeconds": 86400,
        },
    }


@pytest.fixture
async def signing(bare: Cluster) -> Cluster:
    pair = authority()
    bare.authority = pair[0]
    bare.controllers = manager.Controllers(bare.client_for, bare.clock, root_ca="CA", authority=lambda: pair)
    await bare.controllers.start()
    return bare


async def approve(cluster: Cluster) -> None:
    await cluster.settle()
    held = await cluster.get(REQUESTS, "jane", "")
    condition = {"type": "Approved", "status": "True", "reason": "Test", "message": "ok"}
    changed = {**held, "status": {**(held.get("status") or {}), "conditions": [condition]}}
    await cluster.client.update(REQUESTS, changed, subresource="approval")
    await cluster.settle()


async def test_an_approved_request_is_signed(signing: Cluster) -> None:
    await signing.client.create(REQUESTS, request(name("jane", "devs")))
    await signing.settle()
    assert "certificate" not in (await signing.get(REQUESTS, "jane", ""))["status"]
    await approve(signing)
    made = x509.load_pem_x509_certificate(b64decode((await signing.get(REQUESTS, "jane", ""))["status"]["certificate"]))
    assert made.subject == name("jane", "devs")
    usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert made.not_valid_after_utc.timestamp() == pytest.approx(signing.clock.now() + 86400, abs=5)
    with pytest.raises(x509.ExtensionNotFound):  # none was asked for
        made.extensions.get_extension_for_class(x509.KeyUsage)
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(signing.authority))


async def test_what_the_signer_does_not_sign_fails_with_the_reason(signing: Cluster) -> None:
    await signing.client.create(REQUESTS, request(name("jane"), usage="server auth"))
    await approve(signing)
    failed = meta.condition(await signing.get(REQUESTS, "jane", ""), "Failed")
    assert failed["reason"] == "SignerValidationFailure"


async def test_old_requests_are_cleared_away(signing: Cluster) -> None:
    await signing.client.create(REQUESTS, request(name("jane")))
    await signing.settle(86000)
    assert await signing.maybe(REQUESTS, "jane", "")
    await signing.settle(1000)
    assert await signing.maybe(REQUESTS, "jane", "") is None


async def test_a_secret_is_filled_with_a_token_and_goes_with_its_account(bare: Cluster) -> None:
    client = bare.client_for("")
    original = client.create

    async def with_tokens(gvr: Any, obj: Object, **kwargs: Any) -> Object:
        if kwargs.get("subresource") == "token":
            bound = obj["spec"]["boundObjectRef"]
            return {"status": {"token": f"token of {kwargs['name']} for {bound['name']}"}}
        return await original(gvr, obj, **kwargs)

    client.create = with_tokens
    await bare.start_controllers()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    made = await bare.create(SERVICE_ACCOUNTS, account)
    annotations = {"kubernetes.io/service-account.name": "robot"}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "robot-token", "annotations": annotations},
    }
    await bare.create(SECRETS, secret)
    await bare.settle()
    held = await bare.get(SECRETS, "robot-token")
    assert b64decode(held["data"]["token"]) == b"token of robot for robot-token"
    assert b64decode(held["data"]["namespace"]) == b"default"
    assert b64decode(held["data"]["ca.crt"]).startswith(b"-----BEGIN")
    assert meta.annotations(held)["kubernetes.io/service-account.uid"] == meta.uid(made)
    await bare.client.delete(SERVICE_ACCOUNTS, "robot", "default")
    await bare.settle()
    assert await bare.maybe(SECRETS, "robot-token") is None
