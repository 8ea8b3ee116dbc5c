"""Where Pods go, and what those that go nowhere are told; on nodes of the test's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.clusters import Cluster, wait_for
from tests.tools import Kubectl


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of three nodes."""
    made = Cluster(tmp_path_factory.mktemp("nodes"))
    made.up("--simulated-nodes", "3")
    made.kubectl()("wait", "--for=condition=Ready", "node", "--all", "--timeout=20s")
    made.kubectl()("wait", "--for=create", "serviceaccount/default", "--timeout=20s")
    yield made
    made.down("--purge")


@pytest.fixture
def kubectl(nodes: Cluster) -> Iterator[Kubectl]:
    kubectl = nodes.kubectl()
    yield kubectl
    kubectl("delete", "deployments,pods", "--all", "--force", "--grace-period=0")
    kubectl("patch", "node", *NODES, "--type=merge", "-p", '{"spec": {"taints": null, "unschedulable": null}}')


def run(kubectl: Kubectl, name: str, **spec: Any) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "x"}], **spec},
    }
    kubectl("create", "-f", "-", input=json.dumps(manifest))


def why_pending(kubectl: Kubectl, name: str) -> str:
    """The message of the Pod's PodScheduled condition, once there is one."""
    template = 'jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}'
    kubectl("wait", "--for=condition=PodScheduled=False", f"pod/{name}", "--timeout=20s")
    return kubectl("get", "pod", name, "-o", template)


def node_of(kubectl: Kubectl, name: str) -> str:
    kubectl("wait", "--for=condition=PodScheduled", f"pod/{name}", "--timeout=20s")
    return kubectl("get", "pod", name, "-o", "jsonpath={.spec.nodeName}")


NODES = tuple(f"simulated-{number}" for number in range(3))
NO_PREEMPTION = (
    "no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
)


def test_node_selector_until_a_node_is_labelled(kubectl: Kubectl) -> None:
    run(kubectl, "picky", nodeSelector={"disk": "ssd"})
    assert why_pending(kubectl, "picky") == (
        f"0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. {NO_PREEMPTION}"
    )
    shown = wait_for(lambda: "FailedScheduling" in (text := kubectl("describe", "pod", "picky")) and text, "the event")
    assert "Warning  FailedScheduling" in shown
    assert kubectl("get", "pod", "picky").splitlines()[1].split()[2] == "Pending"
    kubectl("label", "node", "simulated-1", "disk=ssd")
    kubectl("wait", "--for=condition=Ready", "pod/picky", "--timeout=20s")
    assert node_of(kubectl, "picky") == "simulated-1"
    kubectl("label", "node", "simulated-1", "disk-")


def test_taints_and_tolerations(kubectl: Kubectl) -> None:
    kubectl("taint", "node", "--all", "dedicated=db:NoSchedule")
    run(kubectl, "plain")
    assert why_pending(kubectl, "plain") == (
        f"0/3 nodes are available: 3 node(s) had untolerated taint(s). {NO_PREEMPTION}"
    )
    run(kubectl, "tolerant", tolerations=[{"key": "dedicated", "operator": "Exists"}])
    assert node_of(kubectl, "tolerant").startswith("simulated-")
    kubectl("taint", "node", "simulated-2", "dedicated-")
    assert node_of(kubectl, "plain") == "simulated-2"


def test_resources(kubectl: Kubectl) -> None:
    huge = {"requests": {"cpu": "10000"}}
    run(kubectl, "huge", containers=[{"name": "c", "image": "x", "resources": huge}])
    assert why_pending(kubectl, "huge").startswith("0/3 nodes are available: 3 Insufficient cpu. ")
    huge = {"requests": {"cpu": "10000", "memory": "100Ti"}}
    run(kubectl, "huger", containers=[{"name": "c", "image": "x", "resources": huge}])
    assert why_pending(kubectl, "huger").startswith(
        "0/3 nodes are available: 3 Insufficient cpu, 3 Insufficient memory. "
    )


def test_cordon(kubectl: Kubectl) -> None:
    kubectl("cordon", "simulated-0", "simulated-1")
    for name in ("a", "b", "c"):
        run(kubectl, name)
        assert node_of(kubectl, name) == "simulated-2"
    kubectl("cordon", "simulated-2")
    run(kubectl, "d")
    assert why_pending(kubectl, "d") == f"0/3 nodes are available: 3 node(s) were unschedulable. {NO_PREEMPTION}"
    kubectl("uncordon", "simulated-0", "simulated-1", "simulated-2")
    node_of(kubectl, "d")


def test_drain(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=6")
    kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    kubectl("drain", "simulated-0", "--timeout=40s")
    kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    where = kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    assert len(where) == 6
    assert "simulated-0" not in where


def test_node_name(kubectl: Kubectl) -> None:
    run(kubectl, "placed", nodeName="simulated-1")
    kubectl("wait", "--for=condition=Ready", "pod/placed", "--timeout=20s")


def test_host_ports(kubectl: Kubectl) -> None:
    port = [{"containerPort": 80, "hostPort": 8080}]
    for name in ("one", "two", "three"):
        run(kubectl, name, containers=[{"name": "c", "image": "x", "ports": port}])
    assert {node_of(kubectl, name) for name in ("one", "two", "three")} == set(NODES)
    run(kubectl, "four", containers=[{"name": "c", "image": "x", "ports": port}])
    expected = "0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports. "
    assert why_pending(kubectl, "four").startswith(expected)
    kubectl("delete", "pod", "two", "--force", "--grace-period=0")
    node_of(kubectl, "four")


def test_pods_are_spread(kubectl: Kubectl) -> None:
    for number in range(6):
        run(kubectl, f"p{number}", containers=[{"name": "c", "image": "x", "resources": {"requests": {"cpu": "100m"}}}])
    where = [node_of(kubectl, f"p{number}") for number in range(6)]
    assert {where.count(node) for node in NODES} == {2}


def test_another_scheduler_is_left_alone(kubectl: Kubectl) -> None:
    run(kubectl, "other", schedulerName="mine")
    run(kubectl, "ours")
    node_of(kubectl, "ours")
    assert kubectl("get", "pod", "other", "-o", "jsonpath={.spec.nodeName}{.status.conditions}") == ""
