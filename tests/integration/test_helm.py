"""Helm 4, which applies on the server's side: the life of a chart as ``helm create`` makes it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Cluster, wait_for
from tests.integration.test_server_side_apply import scale
from tests.tools import Kubectl, helm_binary


class Helm:
    def __init__(self, cluster: Cluster, namespace: str, home: Path) -> None:
        kubeconfig = cluster.kubectl().kubeconfig
        self._home = home
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KUBECONFIG": str(kubeconfig),
            "HELM_NAMESPACE": namespace,
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(helm_binary()), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=90, env=self._environment, cwd=self._home, check=False
        )

    def __call__(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, f"helm {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def helm(cluster: Cluster, namespace: str, tmp_path: Path) -> Helm:
    """With the chart ``demo``, as it is."""
    made = Helm(cluster, namespace, tmp_path)
    made("create", "demo")
    return made


def deployment(kubectl: Kubectl) -> Any:
    return json.loads(kubectl("get", "deployment", "demo", "-o", "json", "--show-managed-fields"))


def test_life_of_a_chart(helm: Helm, kubectl37: Kubectl) -> None:
    waiting = ("--wait", "--timeout=60s")
    helm("install", "demo", "./demo", *waiting)
    found = deployment(kubectl37)
    assert {(e["manager"], e["operation"]) for e in found["metadata"]["managedFields"]} == {
        ("helm", "Apply"),
        ("kube-controller-manager", "Update"),
    }
    assert found["status"]["availableReplicas"] == 1
    assert "Phase:          Succeeded" in helm("test", "demo", "--timeout=60s")

    helm("upgrade", "demo", "./demo", "--set=replicaCount=2,podAnnotations.a=b", *waiting)
    found = deployment(kubectl37)
    assert found["status"]["availableReplicas"] == 2
    assert found["spec"]["template"]["metadata"]["annotations"] == {"a": "b"}

    helm("rollback", "demo", "1", *waiting)
    found = deployment(kubectl37)
    assert found["spec"]["replicas"] == 1
    assert "annotations" not in found["spec"]["template"]["metadata"]
    history = json.loads(helm("history", "demo", "-o", "json"))
    assert [(entry["revision"], entry["status"]) for entry in history] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]

    helm("uninstall", "demo", *waiting)
    kinds = ("get", "deployments,services,serviceaccounts,pods", "-o", "name")
    left = {"serviceaccount/default", "pod/demo-test-connection"}
    wait_for(
        lambda: set(kubectl37(*kinds).split()) == left, "the last of the chart, which helm does not wait for, to go"
    )


def test_what_somebody_else_changed_is_a_conflict(helm: Helm, kubectl37: Kubectl) -> None:
    helm("install", "demo", "./demo")
    scale(kubectl37, "demo", 3)
    done = helm.run("upgrade", "demo", "./demo", "--set=replicaCount=2")
    assert done.returncode == 1
    assert 'conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas' in done.stderr
    helm("upgrade", "demo", "./demo", "--set=replicaCount=2", "--force-conflicts")
    assert deployment(kubectl37)["spec"]["replicas"] == 2
