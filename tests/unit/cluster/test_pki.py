"""The private authority: what is made, used again, made anew, and refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from pinnace.cluster import pki, x509make
from pinnace.cluster.errors import ClusterError, Exit

NOW = 1_790_000_000.0
DAY = 86400.0


def ensure(directory: Path, *, now: float = NOW, listen: str = "127.0.0.1") -> pki.Pki:
    made = pki.Pki(directory / "pki", now=now)
    made.ensure(pki.api_server_names(listen))
    return made


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (directory / "pki").iterdir() if file.name != "facts.json"}


def names_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def test_first_start_makes_what_kubeadm_makes(tmp_path: Path) -> None:
    made = ensure(tmp_path, listen="192.0.2.7")
    for name in ("ca", "front-proxy-ca", "apiserver", "apiserver-kubelet-client", "front-proxy-client"):
        assert made.certificate(name).stat().st_mode & 0o777 == 0o644
        assert made.key(name).stat().st_mode & 0o777 == 0o600
    assert made.key("sa").stat().st_mode & 0o777 == 0o600
    server = x509make.load_certificate(made.certificate("apiserver"))
    assert {
        "kubernetes",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "127.0.0.1",
        "10.96.0.1",
        "192.0.2.7",
    } <= (names_of(server))
    assert x509make.is_signed_by(server, x509make.load_certificate(made.certificate("ca")))
    assert not list((tmp_path / "pki").glob(".*"))


def test_next_start_changes_nothing_and_needs_no_cryptography(tmp_path: Path) -> None:
    ensure(tmp_path)
    before = contents(tmp_path)
    code = (
        "import sys; from pathlib import Path; from pinnace.cluster import pki; "
        f"pki.Pki(Path({str(tmp_path / 'pki')!r}), now={NOW + DAY}).ensure(pki.api_server_names('127.0.0.1')); "
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert contents(tmp_path) == before


def test_without_its_facts_what_exists_is_checked_and_kept(tmp_path: Path) -> None:
    made = ensure(tmp_path)
    before = contents(tmp_path)
    (made.directory / "facts.json").write_text("{half")
    ensure(tmp_path)
    assert contents(tmp_path) == before


def test_changed_names_renew_only_the_servers_certificate(tmp_path: Path) -> None:
    made = ensure(tmp_path)
    before = contents(tmp_path)
    ensure(tmp_path, listen="192.0.2.9")
    after = contents(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"apiserver.crt"}
    assert "192.0.2.9" in names_of(x509make.load_certificate(made.certificate("apiserver")))


def test_renews_within_thirty_days_of_expiry_with_the_same_authority(tmp_path: Path) -> None:
    made = ensure(tmp_path)
    before = contents(tmp_path)
    ensure(tmp_path, now=NOW + 330 * DAY)
    assert contents(tmp_path) == before
    ensure(tmp_path, now=NOW + 336 * DAY)
    after = contents(tmp_path)
    assert after["ca.crt"] == before["ca.crt"]
    assert after["admin.crt"] != before["admin.crt"]
    assert after["admin.key"] == before["admin.key"]
    assert x509make.expires(x509make.load_certificate(made.certificate("admin"))) > NOW + 690 * DAY


def test_a_crash_between_key_and_certificate_is_mended(tmp_path: Path) -> None:
    made = ensure(tmp_path)
    made.certificate("apiserver").unlink()
    made.certificate("ca").unlink()
    ensure(tmp_path)
    authority = x509make.load_certificate(made.certificate("ca"))
    for name in ("apiserver", "admin"):
        assert x509make.is_signed_by(x509make.load_certificate(made.certificate(name)), authority)


def test_another_authority_renews_all_it_signed(tmp_path: Path) -> None:
    made = ensure(tmp_path)
    made.certificate("ca").unlink()
    made.key("ca").unlink()
    ensure(tmp_path)
    authority = x509make.load_certificate(made.certificate("ca"))
    assert x509make.is_signed_by(x509make.load_certificate(made.certificate("scheduler")), authority)


@pytest.mark.parametrize("name", ["ca.key", "ca.crt", "apiserver.key", "apiserver.crt", "sa.key"])
def test_a_damaged_file_is_an_error_and_stays(tmp_path: Path, name: str) -> None:
    made = ensure(tmp_path)
    (made.directory / name).write_bytes(b"-----BEGIN")
    with pytest.raises(ClusterError, match=f"{name} is damaged") as caught:
        ensure(tmp_path)
    assert caught.value.exit == Exit.DATA_DAMAGED
    assert (made.directory / name).read_bytes() == b"-----BEGIN"


def test_an_authority_without_its_key_is_an_error(tmp_path: Path) -> None:
    made = ensure(tmp_path)
    made.key("ca").unlink()
    with pytest.raises(ClusterError, match=r"ca\.key is missing"):
        ensure(tmp_path)


def test_a_nodes_certificates(tmp_path: Path) -> None:
    made = pki.Pki(tmp_path / "pki", now=NOW)
    made.ensure(pki.api_server_names("127.0.0.1"), pki.node_leaves("n1", ["192.0.2.5"]))
    client = x509make.load_certificate(made.certificate("nodes/n1/kubelet-client"))
    assert client.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
    assert names_of(x509make.load_certificate(made.certificate("nodes/n1/kubelet"))) == {"n1", "192.0.2.5"}


def test_a_link_laid_in_the_way_is_not_followed(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("")
    (tmp_path / f".secret.{os.getpid()}").symlink_to(theirs)
    pki.write_atomic(tmp_path / "secret", b"secret", 0o600)
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert theirs.read_bytes() == b""
