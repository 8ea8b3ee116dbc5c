"""The cluster's private certificate authority: keys and certificates in the data directory, as kubeadm lays them out.

Promises: every file appears whole or not at all (written aside, synced, renamed; a key before its certificate), so a
crash leaves at worst something missing, which the next start makes. What exists is used again; a certificate is
issued anew, for the key it has, when its names changed, when it has less than 30 days left, or when the authority is
another. A file that cannot be read as what it should be is never replaced: it is an error that says what to do.

``facts.json`` beside them holds what was last found in the certificates with the files' sizes and times. While those
hold, a start reads nothing else and does not import ``cryptography``.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from pinnace.cluster.errors import ClusterError, Exit

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

DAY = 86400.0
AUTHORITY_DAYS = 3650
LEAF_DAYS = 365
RENEW_DAYS = 30
SERVICE_IP = "10.96.0.1"
SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)


class Leaf(NamedTuple):
    """A certificate to have: its file name without suffix, its signer's, subject, names and uses."""

    name: str
    issuer: str
    common_name: str
    organizations: tuple[str, ...] = ()
    sans: frozenset[str] = frozenset()
    server: bool = False
    client: bool = False

    def wanted(self) -> dict[str, Any]:
        """What the certificate says, as ``facts.json`` keeps it."""
        return {
            "issuer": self.issuer,
            "commonName": self.common_name,
            "organizations": list(self.organizations),
            "sans": sorted(self.sans),
        }


def api_server_names(listen: str, extra: Iterable[str] = ()) -> frozenset[str]:
    """The names and addresses the API server's certificate is for, the machine's host name included."""
    import socket

    names = {*SERVICE_NAMES, "127.0.0.1", SERVICE_IP, socket.gethostname().lower(), *extra}
    if listen not in ("", "0.0.0.0", "::"):
        names.add(listen)
    else:
        names |= _own_addresses()
    return frozenset(name for name in names if name)


def _own_addresses() -> set[str]:
    """The address this machine has towards others, if it has one: what a listener on every address answers on."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address; nothing is sent
        except OSError:
            return set()
        return {str(probe.getsockname()[0])}


class Pki:
    """See the module's docstring. ``now`` is in seconds since the epoch, on the clock that TLS checks against."""

    def __init__(self, directory: Path, *, now: float) -> None:
        self.directory = directory
        self._now = now
        self._facts: dict[str, Any] = {}
        self._changed = False
        self._authorities: dict[str, tuple[x509.Certificate, ec.EllipticCurvePrivateKey]] = {}

    def certificate(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    def ensure(self, names: frozenset[str], nodes: Iterable[Leaf] = ()) -> None:
        """Have every file of a control plane for an API server reached by ``names``, and those of ``nodes``.
        Raises ClusterError."""
        leaves = (
            Leaf("apiserver", "ca", "kube-apiserver", sans=names, server=True),
            Leaf("apiserver-kubelet-client", "ca", "kube-apiserver-kubelet-client", ("system:masters",), client=True),
            Leaf("front-proxy-client", "front-proxy-ca", "front-proxy-client", client=True),
            Leaf("admin", "ca", "kubernetes-admin", ("system:masters",), client=True),
            Leaf("controller-manager", "ca", "system:kube-controller-manager", client=True),
            Leaf("scheduler", "ca", "system:kube-scheduler", client=True),
            Leaf("simulated-nodes", "ca", "system:pinnace:simulated-node-host", client=True),
            *nodes,
        )
        try:
            self._prepare_directories(leaves)
            self._load_facts()
            self._authority("ca", "kubernetes")
            self._authority("front-proxy-ca", "front-proxy-ca")
            self._signing_key()
            for leaf in leaves:
                self._leaf(leaf)
            self._save_facts()
        except PermissionError as error:
            raise ClusterError(
                Exit.NOT_PERMITTED, f"cannot use {error.filename}: {error.strerror}; run as its owner"
            ) from error

    def _prepare_directories(self, leaves: Iterable[Leaf]) -> None:
        for parent in {self.directory, *(self.certificate(leaf.name).parent for leaf in leaves)}:
            parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    # -- what is known without reading certificates

    def _load_facts(self) -> None:
        try:
            facts = orjson.loads((self.directory / "facts.json").read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):  # only a cache: made again from the files
            facts = {}
        self._facts = facts if isinstance(facts, dict) else {}

    def _save_facts(self) -> None:
        if self._changed:
            write_atomic(self.directory / "facts.json", orjson.dumps(self._facts, option=orjson.OPT_INDENT_2), 0o600)
            self._changed = False

    def _is_fresh(self, name: str, files: tuple[Path, ...], wanted: dict[str, Any]) -> bool:
        fact = self._facts.get(name)
        if not isinstance(fact, dict) or fact.get("files") != _stamps(files):
            return False
        if any(fact.get(key) != value for key, value in wanted.items()):
            return False
        expires = fact.get("notAfter")
        if expires is None:
            return True
        issuer = wanted.get("issuer")
        if issuer is not None and fact.get("issuerKey") != (self._facts.get(issuer) or {}).get("publicKey"):
            return False
        return bool(expires - self._now > RENEW_DAYS * DAY)

    def _record(self, name: str, files: tuple[Path, ...], **facts: Any) -> None:
        self._facts[name] = {"files": _stamps(files), **facts}
        self._changed = True

    # -- making and checking

    def _authority(self, name: str, common_name: str) -> None:
        files = (self.certificate(name), self.key(name))
        if self._is_fresh(name, files, {"commonName": common_name}):
            return
        from pinnace.cluster import x509make

        certificate_file, key_file = files
        if certificate_file.exists() and not key_file.exists():
            raise ClusterError(
                Exit.DATA_DAMAGED,
                f"{key_file} is missing, so {certificate_file} can sign nothing; restore the key, or delete "
                f"{self.directory} to have everything made again (clients then need new kubeconfigs)",
            )
        key = x509make.load_key(key_file) if key_file.exists() else x509make.new_key()
        if not key_file.exists():
            write_atomic(key_file, x509make.key_pem(key), 0o600)
        certificate = x509make.load_certificate(certificate_file) if certificate_file.exists() else None
        if certificate is not None and not x509make.belongs(certificate, key):
            raise ClusterError(
                Exit.DATA_DAMAGED, f"{certificate_file} and {key_file} do not belong together; restore them as a pair"
            )
        if certificate is None or x509make.expires(certificate) - self._now < RENEW_DAYS * DAY:
            certificate = x509make.make_authority(key, common_name, self._now, AUTHORITY_DAYS * DAY)
            write_atomic(certificate_file, x509make.certificate_pem(certificate), 0o644)
        self._authorities[name] = (certificate, key)
        self._record(
            name,
            files,
            commonName=common_name,
            notAfter=x509make.expires(certificate),
            publicKey=x509make.key_id(key.public_key()),
        )

    def _signer(self, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        if name not in self._authorities:
            from pinnace.cluster import x509make

            self._authorities[name] = (
                x509make.load_certificate(self.certificate(name)),
                x509make.load_key(self.key(name)),
            )
        return self._authorities[name]

    def _leaf(self, leaf: Leaf) -> None:
        files = (self.certificate(leaf.name), self.key(leaf.name))
        if self._is_fresh(leaf.name, files, leaf.wanted()):
            return
        from pinnace.cluster import x509make

        certificate_file, key_file = files
        signer, signer_key = self._signer(leaf.issuer)
        if key_file.exists():
            key = x509make.load_key(key_file)
        else:
            key = x509make.new_key()
            write_atomic(key_file, x509make.key_pem(key), 0o600)
        certificate = x509make.load_certificate(certificate_file) if certificate_file.exists() else None
        if certificate is None or not (
            x509make.belongs(certificate, key)
            and x509make.expires(certificate) - self._now > RENEW_DAYS * DAY
            and x509make.matches(certificate, leaf.common_name, leaf.organizations, leaf.sans)
            and x509make.is_signed_by(certificate, signer)
        ):
            certificate = x509make.make_leaf(
                key,
                signer,
                signer_key,
                common_name=leaf.common_name,
                organizations=leaf.organizations,
                sans=leaf.sans,
                server=leaf.server,
                client=leaf.client,
                now=self._now,
                lifetime=LEAF_DAYS * DAY,
            )
            write_atomic(certificate_file, x509make.certificate_pem(certificate), 0o644)
        self._record(
            leaf.name,
            files,
            **leaf.wanted(),
            notAfter=x509make.expires(certificate),
            issuerKey=x509make.key_id(signer_key.public_key()),
        )

    def _signing_key(self) -> None:
        """The pair that signs and verifies service-account tokens: ``sa.key``, ``sa.pub``."""
        files = (self.directory / "sa.pub", self.key("sa"))
        if self._is_fresh("sa", files, {}):
            return
        from pinnace.cluster import x509make

        public_file, key_file = files
        if public_file.exists() and not key_file.exists():
            raise ClusterError(
                Exit.DATA_DAMAGED,
                f"{key_file} is missing; restore it, or delete {public_file} too to have a new pair made "
                "(every service account's token is then invalid)",
            )
        if key_file.exists():
            key = x509make.load_key(key_file)
        else:
            key = x509make.new_key()
            write_atomic(key_file, x509make.key_pem(key), 0o600)
        if not public_file.exists():
            write_atomic(public_file, x509make.public_pem(key.public_key()), 0o644)
        self._record("sa", files)


def node_leaves(node: str, addresses: Iterable[str]) -> tuple[Leaf, Leaf]:
    """A kubelet's client certificate (``system:node:<node>``) and its server's, under ``pki/nodes/<node>/``."""
    user = f"system:node:{node}"
    return (
        Leaf(f"nodes/{node}/kubelet-client", "ca", user, ("system:nodes",), client=True),
        Leaf(f"nodes/{node}/kubelet", "ca", user, ("system:nodes",), sans=frozenset({node, *addresses}), server=True),
    )


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _stamps(files: Iterable[Path]) -> list[list[int]] | None:
    stamps = []
    for file in files:
        try:
            status = file.stat()
        except FileNotFoundError:
            return None
        stamps.append([status.st_size, status.st_mtime_ns])
    return stamps


def write_atomic(path: Path, content: bytes, mode: int) -> None:
    """Replace ``path`` in one step: a crash leaves the old file or the new one, never half of it."""
    unfinished = path.parent / f".{path.name}.{os.getpid()}"
    unfinished.unlink(missing_ok=True)
    # Its own file and no other's, which could be read by whoever made it: the directory may be open to all.
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # so that files appear in the order they were written, even after a power failure
    finally:
        os.close(directory)
