"""Two machines on a wire, each with a node as a process of its own; the control plane on the first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Process
from tests.machine import Machine, eventually
from tests.tools import Kubectl

ADDRESSES = ("172.31.77.10", "172.31.77.11")
SERVE = "mkdir /www; echo $NODE/$HOSTNAME >/www/index.html; exec httpd -f -p 8080 -h /www"


def manifests() -> str:
    container: dict[str, Any] = {
        "name": "web",
        "image": "busybox",
        "command": ["sh", "-c", SERVE],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
    }
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    spec = {"replicas": 4, "selector": {"matchLabels": labels}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    ports = {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": ports}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [deployment, service]})


class Two:
    """``first`` and ``second`` are the machines, ``nodes`` their node processes."""

    def __init__(self, archives: list[Path], stack: ExitStack) -> None:
        self._stack = stack
        self.first = Machine(address=ADDRESSES[0])
        stack.callback(self.first.remove)
        self.second = Machine(address=ADDRESSES[1], neighbour=self.first)
        stack.callback(self.second.remove)
        self.machines = (self.first, self.second)
        self.plane = self.first.directory / "cp"
        stack.callback(lambda: self.first.run(self._pinnace, "down", "--data-dir", self.plane, check=False))
        self.first.run(
            *(self._pinnace, "up", "--data-dir", self.plane, "--kubeconfig", self.first.kubeconfig, "--detach"),
            *("--listen", f"{ADDRESSES[0]}:6443", "--parts", "apiserver,controllers,scheduler"),
        )
        token = self.first.run(self._pinnace, "token", "create", "--data-dir", self.plane).stdout
        for machine in self.machines:
            machine.serve_images(archives[0])
            (machine.directory / "bootstrap-kubelet.conf").write_text(token)
        self.nodes = [self.start(number) for number in (0, 1)]
        for number in (0, 1):
            self.nodes[number].wait_told(f"node node-{number} works")
        self.kubectl = self.first.kubectl()

    @property
    def _pinnace(self) -> str:
        from tests.clusters import PINNACE

        return str(PINNACE)

    def start(self, number: int) -> Process:
        machine = self.machines[number]
        process = Process(
            machine.directory / "node.log",
            *("node", "--data-dir", str(machine.data), "--node-name", f"node-{number}", "--runtime", "containerd"),
            *("--bootstrap-kubeconfig", str(machine.directory / "bootstrap-kubelet.conf")),
            prefix=machine.prefix,
        )
        self._stack.callback(process.kill)
        return process

    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
        return found


@pytest.fixture(scope="module")
def two(archives: list[Path]) -> Iterator[Two]:
    with ExitStack() as stack:
        yield Two(archives, stack)


@pytest.fixture(scope="module")
def kubectl(two: Two) -> Kubectl:
    two.kubectl("apply", "-f", "-", input=manifests())
    two.kubectl("rollout", "status", "deploy/web", "--timeout=40s", timeout=50)
    return two.kubectl


def answers(machine: Machine, url: str, number: int = 24) -> set[str]:
    """Who answered: the nodes."""
    return {machine.get(url).partition("/")[0] for _ in range(number)}


def test_a_service_is_reached_from_both_nodes_and_from_their_pods(two: Two, kubectl: Kubectl) -> None:
    pods = two.pods()
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node-0", "node-1"}
    assert len({pod["status"]["podIP"].rpartition(".")[0] for pod in pods}) == 2  # a range of addresses for each node
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    for machine in two.machines:
        eventually(lambda machine=machine: answers(machine, f"http://{address}") == {"node-0", "node-1"})
    for node in ("node-0", "node-1"):
        here = next(pod for pod in pods if pod["spec"]["nodeName"] == node)
        there = next(pod for pod in pods if pod["spec"]["nodeName"] != node)
        urls = f"http://{there['status']['podIP']}:8080 http://web.default.svc.cluster.local"
        shown = kubectl("exec", here["metadata"]["name"], "--", "sh", "-c", f"for u in {urls}; do wget -qO- $u; done")
        lines = shown.splitlines()
        assert lines[0] == f"{there['spec']['nodeName']}/{there['metadata']['name']}"
        assert lines[1].startswith("node-")
        kubectl("exec", here["metadata"]["name"], "--", "nc", "-w", "5", "kubernetes.default", "443", "-e", "true")


def test_a_node_that_is_killed_leaves_its_pods_running_and_carries_on(two: Two, kubectl: Kubectl) -> None:
    machine = two.second
    before = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"] for pod in two.pods()}
    theirs = [pod["status"]["podIP"] for pod in two.pods() if pod["spec"]["nodeName"] == "node-1"]
    two.nodes[1].kill()
    for address in theirs:
        assert two.first.get(f"http://{address}:8080").startswith("node-1/")
    status = machine.pinnace("status", check=False)
    assert f"but {len(theirs)} containers of it still run; 'pinnace node' carries on with them" in status
    two.nodes[1] = two.start(1).wait_told("node node-1 works", 2)
    kubectl("scale", "deploy/web", "--replicas=6")
    kubectl("rollout", "status", "deploy/web", "--timeout=30s", timeout=40)
    after = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"] for pod in two.pods()}
    assert len(after) == 6
    assert {uid: after.get(uid) for uid in before} == before


def test_a_node_that_is_stopped_leaves_them_too_and_down_ends_them(two: Two, kubectl: Kubectl) -> None:
    theirs = [pod["status"]["podIP"] for pod in two.pods() if pod["spec"]["nodeName"] == "node-1"]
    assert two.nodes[1].stop() == 0
    assert two.first.get(f"http://{theirs[0]}:8080").startswith("node-1/")
    assert "stopped the containers" in two.second.pinnace("down")
    assert "containers of it still run" not in two.second.pinnace("status", check=False)
    logs = [(machine.directory / "node.log").read_text() for machine in two.machines]
    assert not [line for log in logs for line in log.splitlines() if " is forbidden: User " in line]
