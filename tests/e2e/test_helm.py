"""Helm 4 and the chart that it makes, with real containers: the chart's own test fetches its page by name."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.machine import Machine, eventually
from tests.tools import Kubectl, helm_binary

#: The image of the test machine's registry instead of the tag that the chart names.
IMAGE = "--set=image.tag=latest"
WAITING = ("--wait", "--timeout=90s")

Helm = Callable[..., str]


@pytest.fixture
def helm(machine: Machine) -> Helm:
    return lambda *arguments: machine.run(helm_binary(), *arguments, timeout=120).stdout


def test_chart_installed_tested_upgraded_and_removed(helm: Helm, machine: Machine, kubectl: Kubectl) -> None:
    chart = str(machine.directory / "demo")
    helm("create", chart)
    helm("install", "demo", chart, IMAGE, *WAITING)
    assert "Phase:          Succeeded" in helm("test", "demo", "--timeout=90s")
    helm("upgrade", "demo", chart, IMAGE, "--set=replicaCount=2", *WAITING)
    found = json.loads(kubectl("get", "deployment", "demo", "-o", "json"))
    assert found["status"]["readyReplicas"] == 2
    helm("rollback", "demo", "1", *WAITING)
    assert json.loads(kubectl("get", "deployment", "demo", "-o", "json"))["spec"]["replicas"] == 1
    helm("uninstall", "demo", *WAITING)
    kubectl("delete", "pod", "demo-test-connection")
    of_it = ("get", "all", "-l", "app.kubernetes.io/instance=demo", "-o", "name")
    eventually(lambda: kubectl(*of_it) == "", what="the last of the chart, which helm does not wait for, to go")
