"""A node that nobody hears of any more, on a whole cluster in real time: after its grace it is not ready."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Cluster, wait_for
from tests.tools import Kubectl

LOST = "simulated-1"


def pod(name: str, **spec: Any) -> str:
    spec["containers"] = [{"name": "main", "image": "app:1"}]
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


@pytest.fixture
def halved(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of two nodes whose second has run a Pod, started again without that one."""
    made = Cluster(tmp_path)
    try:
        made.up("--simulated-nodes", "2")
        made.kubectl()("apply", "-f", "-", input=pod("stays", nodeName=LOST))
        made.kubectl()("wait", "--for=condition=Ready", "pod/stays", "--timeout=20s")
        made.down()
        yield made.up("--simulated-nodes", "1")
    finally:
        made.stop_if_running()


def get(kubectl: Kubectl, *what: str) -> Any:
    return json.loads(kubectl("get", *what, "-o", "json"))


def test_a_node_without_heartbeats(halved: Cluster) -> None:
    kubectl = halved.kubectl()
    assert "taints" not in get(kubectl, "node", LOST)["spec"], "it has its grace"
    kubectl("wait", "--for=condition=Ready=Unknown", f"node/{LOST}", "--timeout=70s", timeout=80)
    assert [line.split()[1] for line in kubectl("get", "nodes", "--no-headers").splitlines()] == ["Ready", "NotReady"]
    wait_for(lambda: len(get(kubectl, "node", LOST)["spec"].get("taints", ())) == 2, "both taints")
    assert {(taint["key"], taint["effect"]) for taint in get(kubectl, "node", LOST)["spec"]["taints"]} == {
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    }
    kubectl("wait", "--for=condition=Ready=False", "pod/stays", "--timeout=20s")
    told = kubectl("describe", "node", LOST)
    assert "NodeStatusUnknown" in told and "Kubelet stopped posting node status." in told
    assert f"Node {LOST} status is now: NodeNotReady" in kubectl("events")
    kubectl("apply", "-f", "-", input=pod("waits", nodeSelector={"kubernetes.io/hostname": LOST}))
    kubectl("wait", "--for=condition=PodScheduled=False", "pod/waits", "--timeout=20s")
    assert "1 node(s) had untolerated taint(s)" in kubectl("describe", "pod", "waits")

    halved.down()
    halved.up("--simulated-nodes", "2")  # it is heard of again
    kubectl = halved.kubectl()
    kubectl("wait", "--for=condition=Ready", "pod/stays", "pod/waits", "--timeout=20s")
    wait_for(lambda: "taints" not in get(kubectl, "node", LOST)["spec"], "the taints to go")
