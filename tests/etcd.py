"""Real etcd for tests: Debian's ``etcd`` as processes of their own, on ports and directories of the test's."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.clusters import wait_for
from tests.ports import unused_ports

from pinnace.store.backends.etcd_options import EtcdOptions

#: Seconds within which a member must answer.
PATIENCE = 40.0


class Member:
    """One etcd process. ``start`` and ``kill`` as often as wanted; its data stays."""

    def __init__(self, directory: Path, name: str, client_port: int, peer_port: int, *flags: str, tls: bool) -> None:
        self.directory = directory
        self.name = name
        self.address = f"127.0.0.1:{client_port}"
        scheme = "https" if tls else "http"
        self.client_url = f"{scheme}://{self.address}"
        self.peer_url = f"{scheme}://127.0.0.1:{peer_port}"
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, cluster: str) -> None:
        """Without waiting until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),  # it ends with the test, however that ends
                    *("etcd", "--name", self.name, "--data-dir", str(self.directory / "data")),
                    *("--listen-client-urls", self.client_url, "--advertise-client-urls", self.client_url),
                    *("--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url),
                    *("--initial-cluster", cluster, "--initial-cluster-state", "new", *self._flags),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"]},
            )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> None:
        """SIGTERM, and wait until it has ended."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")


class Etcd:
    """A cluster of one member, or of three that speak TLS with client and peer certificates."""

    def __init__(
        self, directory: Path, *flags: str, members: int = 1, tls: Certificates | None = None, durable: bool = True
    ) -> None:
        """Without ``durable`` nothing is synced to the disk: for speed."""
        if shutil.which("etcd") is None:
            raise FileNotFoundError("etcd is missing: run 'hack/install-components --tests' (Debian: etcd-server)")
        ports = unused_ports(2 * members)
        more = [*flags, *(tls.etcd_flags() if tls else ())]
        if not durable:
            more.append("--unsafe-no-fsync")
        if members > 1:
            more += ["--initial-cluster-token", "etcd-cluster-1"]
        self.directory = directory
        self.tls = tls
        self.members = [
            Member(directory / f"infra{i}", f"infra{i}", ports[2 * i], ports[2 * i + 1], *more, tls=tls is not None)
            for i in range(members)
        ]

    @property
    def url(self) -> str:
        """As ``--store`` takes it."""
        return "etcd://" + ",".join(member.address for member in self.members)

    def options(self, prefix: str = "/registry", root: str = "/registry") -> EtcdOptions:
        if self.tls is None:
            return EtcdOptions(prefix=prefix, root=root)
        return EtcdOptions(self.tls.ca, self.tls.certificate, self.tls.key, prefix, root)

    def start(self) -> Etcd:
        """All members that do not run; return when they answer."""
        try:
            self.start_only(*[member for member in self.members if not member.running])
        except BaseException:
            self.stop()
            raise
        return self

    def start_only(self, *members: Member) -> None:
        cluster = ",".join(f"{member.name}={member.peer_url}" for member in self.members)
        for member in members:
            member.start(cluster)
        for member in members:
            self.wait_healthy(member)

    def wait_healthy(self, member: Member) -> None:
        def healthy() -> bool:
            assert self.ctl("endpoint", "health", endpoints=[member.client_url]).returncode == 0, member.log()
            return True

        wait_for(healthy, patience=PATIENCE)

    def leader(self) -> Member:
        """The member that leads."""
        found: Member = wait_for(self._leader, "a member that leads", PATIENCE)
        return found

    def _leader(self) -> Member | None:
        for member in self.members:
            if member.running:
                done = self.ctl("endpoint", "status", endpoints=[member.client_url])
                if done.stdout.split(", ")[4:5] == ["true"]:
                    return member
        return None

    def ctl(self, *arguments: str, endpoints: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run etcdctl, whatever its exit code."""
        urls = endpoints or [member.client_url for member in self.members if member.running]
        tls = self.tls
        files = [f"--cacert={tls.ca}", f"--cert={tls.certificate}", f"--key={tls.key}"] if tls else []
        return subprocess.run(
            ["etcdctl", f"--endpoints={','.join(urls)}", *files, *arguments],
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "ETCDCTL_API": "3"},
            timeout=30,
            check=False,
        )

    def stop(self) -> None:
        for member in self.members:
            member.kill()


class Certificates:
    """An authority, and one certificate for 127.0.0.1 that servers, peers and clients share, as files in a directory.
    ``user`` is its common name, which etcd takes for the client's user. With ``authority`` it is that one's."""

    def __init__(self, directory: Path, user: str = "root", authority: Certificates | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.ca, self.certificate, self.key = (directory / name for name in ("ca.pem", "127.0.0.1.pem", "key.pem"))
        start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)

        def builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder()
                .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
                .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")]))
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(start)
                .not_valid_after(start + datetime.timedelta(days=1))
            )

        own = ec.generate_private_key(ec.SECP256R1())
        pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
        if authority is None:
            self.signer = ec.generate_private_key(ec.SECP256R1())
            root = builder("test authority", self.signer)
            root = root.add_extension(x509.BasicConstraints(True, None), critical=True)
            self.ca.write_bytes(root.sign(self.signer, hashes.SHA256()).public_bytes(pem))
        else:
            self.signer, self.ca = authority.signer, authority.ca
        leaf = builder(user, own).add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        self.certificate.write_bytes(leaf.sign(self.signer, hashes.SHA256()).public_bytes(pem))
        self.key.write_bytes(own.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))

    def etcd_flags(self) -> list[str]:
        return [
            *("--client-cert-auth", "--trusted-ca-file", str(self.ca)),
            *("--cert-file", str(self.certificate), "--key-file", str(self.key)),
            *("--peer-client-cert-auth", "--peer-trusted-ca-file", str(self.ca)),
            *("--peer-cert-file", str(self.certificate), "--peer-key-file", str(self.key)),
        ]
