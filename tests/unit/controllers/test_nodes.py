"""Nodes: heartbeats, taints, eviction, address ranges, and what becomes of the Pods of nodes that are gone."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import meta
from pinnace.api.resources import LEASES, NODES, PODS
from pinnace.api.types import Object
from pinnace.controllers import nodehealth, nodeipam, tainteviction
from pinnace.core.clock import timestamp_micro

Cluster = Any


async def renew(cluster: Cluster, name: str) -> None:
    spec = {"holderIdentity": name, "renewTime": timestamp_micro(cluster.clock.now())}
    if await cluster.maybe(LEASES, name, "kube-node-lease") is None:
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
        await cluster.create(LEASES, lease, "kube-node-lease")
    else:
        await cluster.patch(LEASES, name, {"spec": spec}, "kube-node-lease")


async def live(cluster: Cluster, seconds: int, *names: str) -> None:
    """Time passes while these nodes send heartbeats."""
    for _ in range(0, seconds, 10):
        for name in names:
            await renew(cluster, name)
        await cluster.settle(10)


async def pod(cluster: Cluster, name: str, node: str, **spec: Any) -> None:
    wanted = {"nodeName": node, "containers": [{"name": "main", "image": "x"}], **spec}
    made = await cluster.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": wanted})
    await cluster.set_status(made, phase="Running", ready="True")


async def taints(cluster: Cluster, name: str) -> set[tuple[str, str]]:
    node = await cluster.get(NODES, name, "")
    return {
        (taint["key"].removeprefix("node.kubernetes.io/"), taint["effect"]) for taint in node["spec"].get("taints", ())
    }


async def test_a_node_gets_a_range_of_addresses_of_its_own(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.add_node("n2")
    await cluster.settle()
    ranges = [(await cluster.get(NODES, name, ""))["spec"]["podCIDR"] for name in ("n1", "n2")]
    assert ranges == ["10.244.0.0/24", "10.244.1.0/24"]
    assert (await cluster.get(NODES, "n1", ""))["spec"]["podCIDRs"] == ["10.244.0.0/24"]
    await cluster.stop_controllers()
    await cluster.start_controllers()
    await cluster.add_node("n3")
    await cluster.settle()
    assert (await cluster.get(NODES, "n3", ""))["spec"]["podCIDR"] == "10.244.2.0/24"


async def test_a_lease_keeps_a_node_ready(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await live(cluster, 300, "n1")
    assert meta.has_condition(await cluster.get(NODES, "n1", ""), "Ready")
    assert await taints(cluster, "n1") == set()


async def test_a_silent_node_is_unknown_after_its_grace(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.add_node("n2")
    await pod(cluster, "p", "n1")
    await live(cluster, 20, "n1", "n2")
    await live(cluster, 40, "n2")
    assert meta.has_condition(await cluster.get(NODES, "n1", ""), "Ready")
    await live(cluster, 20, "n2")
    node = await cluster.get(NODES, "n1", "")
    ready = meta.condition(node, "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == (
        "Unknown",
        "NodeStatusUnknown",
        "Kubelet stopped posting node status.",
    )
    assert meta.condition(node, "MemoryPressure")["status"] == "Unknown"
    assert await taints(cluster, "n1") == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
    assert not meta.has_condition(await cluster.get(PODS, "p"), "Ready")
    assert ("NodeNotReady", "Node n1 status is now: NodeNotReady") in await cluster.events("n1")
    assert ("NodeNotReady", "Node is not ready") in await cluster.events("p")
    await cluster.node_status("n1", "True")
    await live(cluster, 10, "n1", "n2")
    assert await taints(cluster, "n1") == set()


async def test_a_node_that_never_told(cluster: Cluster) -> None:
    await cluster.add_node("n2")
    await cluster.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mute"}})
    await live(cluster, 100, "n2")
    ready = meta.condition(await cluster.get(NODES, "mute", ""), "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusNeverUpdated")


async def test_pods_are_evicted_after_the_time_they_tolerate(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.add_node("n2")
    for_a_while = [
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 100}
    ]
    for_ever = [{"operator": "Exists"}]
    await pod(cluster, "patient", "n1", tolerations=for_a_while)
    await pod(cluster, "daemon", "n1", tolerations=for_ever)
    await pod(cluster, "touchy", "n1")
    await cluster.node_status("n1", "False")
    await live(cluster, 10, "n1", "n2")
    assert await taints(cluster, "n1") == {("not-ready", "NoSchedule"), ("not-ready", "NoExecute")}
    touchy = await cluster.get(PODS, "touchy")
    assert meta.is_deleting(touchy)
    condition = meta.condition(touchy, "DisruptionTarget")
    assert (condition["reason"], condition["message"]) == (
        "DeletionByTaintManager",
        "Taint manager: deleting due to NoExecute taint",
    )
    assert ("TaintManagerEviction", "Marking for deletion Pod default/touchy") in await cluster.events("touchy")
    await live(cluster, 60, "n1", "n2")
    assert not meta.is_deleting(await cluster.get(PODS, "patient"))
    await live(cluster, 60, "n1", "n2")
    assert meta.is_deleting(await cluster.get(PODS, "patient"))
    assert not meta.is_deleting(await cluster.get(PODS, "daemon"))


async def test_a_taint_that_goes_in_time_spares_the_pod(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.add_node("n2")
    await pod(cluster, "p", "n1", tolerations=[{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 100}])
    await cluster.node_status("n1", "False")
    await live(cluster, 50, "n1", "n2")
    await cluster.node_status("n1", "True")
    await live(cluster, 100, "n1", "n2")
    assert not meta.is_deleting(await cluster.get(PODS, "p"))
    assert ("TaintManagerEviction", "Cancelling deletion of Pod default/p") in await cluster.events("p")


async def test_nobody_is_evicted_where_everything_is_down(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await pod(cluster, "p", "n1")
    await cluster.settle(200)
    assert await taints(cluster, "n1") == {("unreachable", "NoSchedule")}
    assert not meta.is_deleting(await cluster.get(PODS, "p"))


async def test_cordon_and_pressure_become_taints(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.patch(NODES, "n1", {"spec": {"unschedulable": True}}, "")
    await cluster.settle()
    assert await taints(cluster, "n1") == {("unschedulable", "NoSchedule")}
    node = await cluster.get(NODES, "n1", "")
    conditions = [{**c, "status": "True"} if c["type"] == "DiskPressure" else c for c in node["status"]["conditions"]]
    await cluster.patch(NODES, "n1", {"status": {"conditions": conditions}}, "", subresource="status")
    await cluster.patch(NODES, "n1", {"spec": {"unschedulable": None}}, "")
    await cluster.settle()
    assert await taints(cluster, "n1") == {("disk-pressure", "NoSchedule")}


async def test_pods_of_a_node_that_is_gone_go_too(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await pod(cluster, "p", "n1")
    await pod(cluster, "q", "never-was")
    await cluster.client.delete(NODES, "n1")
    await cluster.settle(30)
    assert await cluster.get(PODS, "p")
    await cluster.settle(15)
    assert await cluster.maybe(PODS, "p") is None
    assert await cluster.maybe(PODS, "q") is None


async def test_registered_and_removed_are_recorded(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.settle()
    assert ("RegisteredNode", "Node n1 event: Registered Node n1 in Controller") in await cluster.events("n1")
    await cluster.client.delete(NODES, "n1")
    await cluster.settle()
    assert ("RemovingNode", "Node n1 event: Removing Node n1 from Controller") in await cluster.events("n1")


# -- pure parts


def test_ranges_are_handed_out_once_and_taken_back() -> None:
    ranges = nodeipam.Ranges("10.0.0.0/22", 24)
    assert [ranges.take(f"n{n}") for n in range(5)] == [
        "10.0.0.0/24",
        "10.0.1.0/24",
        "10.0.2.0/24",
        "10.0.3.0/24",
        None,
    ]
    ranges.release("10.0.1.0/24", "n1")
    ranges.release("10.0.2.0/24", "somebody else")
    assert (ranges.take("n9"), ranges.take("n10")) == ("10.0.1.0/24", None)
    with pytest.raises(ValueError, match="does not fit"):
        nodeipam.Ranges("10.0.0.0/24", 16)


def test_zone_states() -> None:
    assert nodehealth.ZoneState(10, 1).eviction_interval == 10.0
    assert nodehealth.ZoneState(2, 3).eviction_interval is None
    assert nodehealth.ZoneState(40, 60).eviction_interval == 100.0
    assert nodehealth.ZoneState(0, 2).all_down


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration: Object, expected: bool) -> None:
    assert tainteviction.tolerates(toleration, {"key": "k", "value": "v", "effect": "NoExecute"}) is expected
