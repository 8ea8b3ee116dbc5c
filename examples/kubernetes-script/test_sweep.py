"""The script against a cluster in this process; hours of Pods' lives take no time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import kubernetes
import pytest
import sweep

from pinnace.testing import Pinnace

HOUR = timedelta(hours=1)


def pod(name: str, **annotations: str) -> dict[str, object]:
    """One that simulated nodes let run, and end, as the annotations say."""
    metadata = {"name": name, "annotations": {f"pinnace.dev/{key}": value for key, value in annotations.items()}}
    spec = {"restartPolicy": "Never", "containers": [{"name": "build", "image": "make"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@pytest.fixture
def api(pinnace: Pinnace) -> Iterator[kubernetes.client.CoreV1Api]:
    kubernetes.config.load_kube_config()  # KUBECONFIG leads to the cluster
    with kubernetes.client.ApiClient() as connection:
        yield kubernetes.client.CoreV1Api(connection)


@pytest.mark.pinnace(virtual_time=True)
def test_only_what_ended_long_ago_goes(pinnace: Pinnace, namespace: str, api: kubernetes.client.CoreV1Api) -> None:
    client = pinnace.client(namespace=namespace)
    client.create(pod("quick", **{"run-for": "5m"}))
    client.create(pod("failed", **{"run-for": "5m", "exit-code": "1"}))
    client.create(pod("long", **{"run-for": "90m"}))
    client.create(pod("server", **{"run-for": "forever"}))
    pinnace.advance("64m")
    assert sweep.sweep(api, namespace, HOUR, pinnace.now()) == []
    pinnace.advance("2m")
    assert sorted(sweep.sweep(api, namespace, HOUR, pinnace.now())) == ["failed", "quick"]
    pinnace.advance("1d")
    assert sweep.sweep(api, namespace, HOUR, pinnace.now()) == ["long"]
    assert [found["metadata"]["name"] for found in client.list("pods")] == ["server"]


@pytest.mark.pinnace(virtual_time=True)
def test_somebody_else_may_be_quicker(pinnace: Pinnace, namespace: str, api: kubernetes.client.CoreV1Api) -> None:
    pinnace.client(namespace=namespace).create(pod("done", **{"exit-code": "0"}))
    pinnace.advance("2h")
    with pinnace.faults.fail(404, verb="delete", resource="pods"):
        assert sweep.sweep(api, namespace, HOUR, pinnace.now()) == ["done"]
    with (
        pinnace.faults.fail(403, verb="delete", resource="pods"),
        pytest.raises(kubernetes.client.ApiException, match="Forbidden"),
    ):
        sweep.sweep(api, namespace, HOUR, pinnace.now())


def test_the_command(pinnace: Pinnace, namespace: str) -> None:
    client = pinnace.client(namespace=namespace)
    client.create(pod("done", **{"exit-code": "0"}))
    client.wait("pods", "done", lambda found: found and found["status"]["phase"] == "Succeeded")
    command = [sys.executable, str(Path(sweep.__file__)), "--namespace", namespace, "--older-than", "0"]
    done = subprocess.run(command, env=pinnace.env, capture_output=True, text=True, check=True)
    assert done.stdout == "deleted done\n"
