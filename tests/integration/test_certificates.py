"""Who the server is and who clients are, by certificates: the private CA, strangers, files and their modes."""

from __future__ import annotations

import base64
import json
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.clusters import Api, Cluster
from tests.tools import Kubectl


def issue(folder: Path, *, user: str, group: str, authority: Path | None = None, days: int = 1) -> tuple[Path, Path]:
    """A client certificate and its key: signed by the CA in ``authority`` (ca.crt, ca.key), else by one of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, user)]
    )
    issuer, signer = name, key
    if authority is not None:
        issuer = x509.load_pem_x509_certificate((authority / "ca.crt").read_bytes()).subject
        loaded = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
    now = datetime.now(UTC)
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(usage, critical=False)
        .sign(signer, hashes.SHA256())
    )
    crt, pem = folder / f"{user}.crt", folder / f"{user}.key"
    crt.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return crt, pem


def as_bearer_of(cluster: Cluster, certificate: tuple[Path, Path]) -> Api:
    api = cluster.api(anonymous=True)
    api.tls.load_cert_chain(*certificate)
    return api


def test_certificate_of_the_clusters_ca(bare: Cluster, tmp_path: Path) -> None:
    """Common name and organization are user and group."""
    ann = as_bearer_of(bare, issue(tmp_path, user="ann", group="devs", authority=bare.data_dir / "pki"))
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    found = ann("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review).json["status"]["userInfo"]
    assert found["username"] == "ann"
    assert found["groups"] == ["devs", "system:authenticated"]
    answer = ann("GET", "/api/v1/secrets")
    assert answer.status == 403
    assert 'User "ann" cannot list resource "secrets" in API group "" at the cluster scope' in answer.json["message"]


@pytest.mark.parametrize(
    ("stranger", "why"), [("another CA", "unknown certificate authority"), ("expired", "expired certificate")]
)
def test_strangers_are_told_why_they_are_refused(
    bare: Cluster, tmp_path: Path, stranger: str, why: str, version: str
) -> None:
    """In the handshake, by the alert that TLS has for it."""
    authority, days = (bare.data_dir / "pki", -1) if stranger == "expired" else (None, 1)
    certificate, key = issue(tmp_path, user="root", group="system:masters", authority=authority, days=days)
    ca = f"--certificate-authority={bare.data_dir / 'pki' / 'ca.crt'}"
    shown = (f"--server={bare.server}", ca, f"--client-certificate={certificate}", f"--client-key={key}")
    done = bare.kubectl(version).run("--kubeconfig=/dev/null", *shown, "get", "nodes")
    assert done.returncode == 1
    assert f"Unable to connect to the server: remote error: tls: {why}" in done.stderr
    assert bare.api()("GET", "/readyz").status == 200


def test_the_server_shows_who_it_is(bare: Cluster) -> None:
    """Nobody has to skip verification: its certificate is of the kubeconfig's CA, for the address in it."""
    config = json.loads(bare.kubectl()("config", "view", "--raw", "-o", "json"))
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    api = bare.api(anonymous=True)
    api.tls = context
    assert api("GET", "/livez").status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        api.tls = ssl.create_default_context()
        api("GET", "/livez")


def test_secrets_are_for_their_owner_alone(bare: Cluster) -> None:
    for file in (bare.kubeconfig, *bare.data_dir.glob("pki/*.key"), *bare.data_dir.glob("store/*")):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    assert stat.S_IMODE(bare.data_dir.stat().st_mode) == 0o700


def test_secrets_do_not_reach_the_log(cluster: Cluster, kubectl37: Kubectl) -> None:
    kubectl37("create", "secret", "generic", "s", "--from-literal=password=hunter2hunter2")
    token = kubectl37("create", "token", "default").strip()
    cluster.api(token=token)("GET", "/api/v1/nodes")
    cluster.api(token=token[:-5] + "wrong")("GET", "/api/v1/nodes")
    log = cluster.log()
    assert "hunter2" not in log
    assert token.rpartition(".")[2][:20] not in log


def test_the_same_identity_after_a_restart(tmp_path: Path) -> None:
    """Certificates and token keys are kept: kubeconfigs and tokens made before go on working."""
    cluster = Cluster(tmp_path).up("--parts", "apiserver,controllers")
    try:
        cluster.kubectl()("wait", "--for=create", "serviceaccount/default", "--timeout=10s")
        token = cluster.kubectl()("create", "token", "default").strip()
        files = {file: file.read_bytes() for file in cluster.data_dir.glob("pki/*")}
        cluster.down()
        cluster.up("--parts", "apiserver,controllers")
        assert {file: file.read_bytes() for file in cluster.data_dir.glob("pki/*")} == files
        assert cluster.api(token=token)("GET", "/api/v1/nodes").status == 403
    finally:
        cluster.stop_if_running()
