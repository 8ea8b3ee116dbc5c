"""The seeds' ConfigMaps, Secrets and resource limits as Pods get them: environment, arguments, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import MANIFESTS, SEEDS
from tests.machine import Machine, eventually
from tests.tools import Kubectl

NAMESPACE = "seeds-config"
ENVIRONMENT = [
    "DATABASE_HOST=db.example.com", "DATABASE_NAME=mydb", "DATABASE_PASSWORD=password", "DATABASE_PORT=3306",
    "DATABASE_USER=user",
]  # fmt: skip


@pytest.fixture(scope="module")
def seeds(kubectl: Kubectl) -> Iterator[Kubectl]:
    kubectl("create", "namespace", NAMESPACE)
    there = kubectl.within(NAMESPACE)
    there("apply", "-f", str(MANIFESTS / "configmap.yml"), "-f", str(SEEDS / "secret-db.yml"))
    yield there
    kubectl("delete", "namespace", NAMESPACE)


def run(seeds: Kubectl, name: str) -> str:
    """The seeds' ``app-pod`` as one manifest has it: what it logged. It is replaced by the next one's."""
    seeds("replace", "--force", "--grace-period=1", "-f", str(SEEDS / f"{name}.yml"), timeout=70)
    seeds("wait", "--for=condition=Ready", "pod/app-pod", "--timeout=60s", timeout=70)
    return eventually(lambda: seeds("logs", "app-pod"))


def test_a_config_map_as_environment(seeds: Kubectl) -> None:
    assert run(seeds, "app-pod-env").splitlines() == ["started with nothing", *ENVIRONMENT]


def test_a_config_map_as_arguments(seeds: Kubectl) -> None:
    assert run(seeds, "app-pod-args").splitlines() == [
        "started with --host db.example.com --port 3306", ENVIRONMENT[0], ENVIRONMENT[3],
    ]  # fmt: skip


def test_a_config_map_as_files(seeds: Kubectl) -> None:
    run(seeds, "app-pod-files")
    listed = seeds("exec", "app-pod", "--", "sh", "-c", "cd /etc/config; for f in *; do echo $f=$(cat $f); done")
    assert listed.split() == ENVIRONMENT


def test_a_secret_as_environment_and_as_files(seeds: Kubectl) -> None:
    assert run(seeds, "app-pod-secret-env").splitlines()[1:] == ["DB_PASSWORD=password", "DB_USERNAME=username"]
    run(seeds, "app-pod-secret-files")
    assert seeds("exec", "app-pod", "--", "cat", "/etc/secret/db-username", "/etc/secret/db-password") == (
        "usernamepassword"
    )
    described = seeds("describe", "secret", "db-credentials")
    assert "db-password:  8 bytes" in described and "cGFz" not in described


def test_config_maps_and_secrets_made_by_commands(seeds: Kubectl, tmp_path: Path) -> None:
    literals = [f"--from-literal={pair}" for pair in ENVIRONMENT]
    seeds("delete", "configmap", "app-config")
    seeds("create", "configmap", "app-config", *literals)
    shown = json.loads(seeds("get", "configmap", "app-config", "-o", "json"))["data"]
    assert [f"{key}={value}" for key, value in sorted(shown.items())] == ENVIRONMENT
    (tmp_path / "config.json").write_text('{"a": 1}')
    seeds("create", "configmap", "from-file", f"--from-file={tmp_path / 'config.json'}")
    assert seeds("get", "configmap", "from-file", "-o", r"jsonpath={.data.config\.json}") == '{"a": 1}'
    seeds("create", "secret", "generic", "typed", "--from-literal=db-username=admin", "--from-literal=db-password=x")
    assert seeds("get", "secret", "typed", "-o", "jsonpath={.data.db-username}") == "YWRtaW4="


def test_an_immutable_secret_stays_as_it_is(seeds: Kubectl) -> None:
    manifest = (SEEDS / "secret-db.yml").read_text().replace("db-credentials", "fixed") + "immutable: true\n"
    seeds("apply", "-f", "-", input=manifest)
    refused = seeds.run("apply", "-f", "-", input=manifest.replace("dXNlcm5hbWU=", "b3RoZXI="))
    assert refused.returncode == 1
    assert "data: Forbidden: field is immutable when `immutable` is set" in refused.stderr


def test_a_config_file_for_nginx(seeds: Kubectl, machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "vhost.conf").write_text(
        "server {\n  listen 8080;\n  server_name www.example.org;\n  root /data/www;\n}\n"
    )
    seeds("create", "configmap", "nginx-config", f"--from-file={tmp_path / 'vhost.conf'}")
    refused = seeds.run("apply", "-f", str(SEEDS / "nginx-pod.yml"))
    assert refused.returncode == 1
    assert 'strict decoding error: unknown field "volumes"' in refused.stderr
    seeds("apply", "-f", str(SEEDS / "nginx-pod-mended.yml"))
    seeds("wait", "--for=condition=Ready", "pod/nginx-pod", "--timeout=60s", timeout=70)
    assert seeds("exec", "nginx-pod", "--", "ls", "/etc/nginx/conf.d").split() == ["sulao.cn.conf"]
    fetch = "wget -S -O- http://127.0.0.1:8080/ 2>&1; true"
    answer = eventually(lambda: seeds("exec", "nginx-pod", "--", "sh", "-c", fetch))
    assert "404 Not Found" in answer, "its root directory is not in the image"


def test_limits_by_default(seeds: Kubectl) -> None:
    seeds("apply", "-f", str(SEEDS / "limitrange.yml"))
    try:
        run(seeds, "app-pod-env")
        resources = json.loads(seeds("get", "pod", "app-pod", "-o", "jsonpath={.spec.containers[0].resources}"))
        assert resources == {"limits": {"memory": "512Mi"}, "requests": {"memory": "256Mi"}}
        limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
        assert seeds("exec", "app-pod", "--", "sh", "-c", limit).strip() == str(512 * 2**20)
    finally:
        seeds("delete", "-f", str(SEEDS / "limitrange.yml"))
