"""Kubeconfigs: written new, merged into what a user has, refused where they are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pinnace.cluster import kubeconfig
from pinnace.cluster.errors import ClusterError


def write(path: Path, server: str = "https://127.0.0.1:6443", context: str = "pinnace") -> None:
    kubeconfig.write_kubeconfig(
        path, context=context, server=server, ca=b"the ca", certificate=b"the certificate", key=b"the key"
    )


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_new_file(tmp_path: Path) -> None:
    path = tmp_path / ".kube" / "config"
    write(path)
    assert read(path) == {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "current-context": "pinnace",
        "clusters": [
            {
                "name": "pinnace",
                "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": "dGhlIGNh"},
            }
        ],
        "contexts": [{"name": "pinnace", "context": {"cluster": "pinnace", "user": "pinnace"}}],
        "users": [
            {
                "name": "pinnace",
                "user": {"client-certificate-data": "dGhlIGNlcnRpZmljYXRl", "client-key-data": "dGhlIGtleQ=="},
            }
        ],
    }
    assert path.stat().st_mode & 0o777 == 0o600


EXISTING = """\
apiVersion: v1
kind: Config
current-context: work
contexts:
- name: work
  context: {cluster: work, user: me, namespace: team}
clusters:
- name: work
  cluster: {server: https://work.example, insecure-skip-tls-verify: true}
users:
- name: me
  user: {token: "0123", expiry: 2026-01-01T00:00:00Z}
"""


def test_merges_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(EXISTING)
    write(path)
    write(path, "https://127.0.0.1:7443")
    config = read(path)
    assert config["current-context"] == "pinnace"
    assert [c["name"] for c in config["contexts"]] == ["work", "pinnace"]
    assert config["clusters"][0]["cluster"]["insecure-skip-tls-verify"] is True
    assert config["clusters"][1]["cluster"]["server"] == "https://127.0.0.1:7443"
    assert "2026-01-01T00:00:00Z" in path.read_text()
    assert config["users"][0]["user"]["token"] == "0123"
    assert path.stat().st_mode & 0o777 == 0o600


def test_remove_takes_out_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(EXISTING)
    write(path)
    kubeconfig.remove_kubeconfig(path, context="pinnace", server="https://127.0.0.1:6443")
    config = read(path)
    assert [c["name"] for c in config["contexts"]] == ["work"]
    assert config["current-context"] == ""
    kubeconfig.remove_kubeconfig(tmp_path / "absent", context="pinnace", server="https://127.0.0.1:6443")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("text", ["a: [", "- list", "clusters: {a: 1}", "\x00"])
def test_refuses_what_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ClusterError, match="is no kubeconfig"):
        write(path)
    assert path.read_text() == text


def test_writes_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(EXISTING)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert read(tmp_path / "real")["current-context"] == "pinnace"


def test_undone_when_the_cluster_did_not_start(tmp_path: Path) -> None:
    path = tmp_path / "config"
    facts = {"context": "pinnace", "ca": b"a", "certificate": b"b", "key": b"c"}
    undo_first = kubeconfig.write_kubeconfig(path, server="https://127.0.0.1:6443", **facts)  # type: ignore[arg-type]
    first = path.read_bytes()
    undo_second = kubeconfig.write_kubeconfig(path, server="https://127.0.0.1:7000", **facts)  # type: ignore[arg-type]
    undo_first()  # another was written since
    assert path.read_bytes() != first
    undo_second()
    assert path.read_bytes() == first
    undo_first()
    assert not path.exists()
    undo_first()
