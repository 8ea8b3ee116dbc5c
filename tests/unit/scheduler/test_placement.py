"""Where Pods are placed, and in which words it is said that they cannot be."""

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnace.scheduler.nodes import CPU, MEMORY, PODS, NodeTable, PodInfo
from pinnace.scheduler.placement import Placement, Placer
from pinnace.scheduler.plugins import default_filters, default_scores


def node(name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", **more: Any) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": name, **more.pop("labels", {})}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": more,
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}},
    }


COUNTER = iter(range(10**9))


def pod(*, cpu: str = "", memory: str = "", **spec: Any) -> PodInfo:
    number = next(COUNTER)
    requests = {name: amount for name, amount in (("cpu", cpu), ("memory", memory)) if amount}
    container = {"name": "c", "image": "i", "resources": {"requests": requests}, "ports": spec.pop("ports", [])}
    return PodInfo(
        {
            "kind": "Pod",
            "metadata": {"name": f"p{number}", "namespace": "n", "uid": f"u{number}"},
            "spec": {"containers": [container], **spec},
        }
    )


def placer(*nodes: dict[str, Any]) -> tuple[NodeTable, Placer]:
    table = NodeTable(capacity=2)
    for each in nodes:
        table.set_node(each)
    return table, Placer(table, default_filters(), default_scores(), Random(1))


def why(placement: Placement) -> str:
    assert placement.diagnosis is not None
    return placement.diagnosis.message()


def test_the_emptier_node_is_chosen_and_takes_the_pod():
    table, place = placer(node("a"), node("b"))
    first = place.place(pod(cpu="1", memory="1Gi"))
    second = place.place(pod(cpu="1", memory="1Gi"))
    assert {first.node, second.node} == {"a", "b"}
    assert table.requested[table.rows["a"], CPU] == 1000
    assert table.requested[table.rows["b"], MEMORY] == 2**30


def test_no_nodes():
    _, place = placer()
    assert why(place.place(pod())) == "no nodes available to schedule pods"


def test_every_reason_is_counted_in_upstream_words():
    _, place = placer(
        node("tainted", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]),
        node("cordoned", unschedulable=True),
        node("small", cpu="1", memory="1Gi"),
        node("other", labels={"disk": "hdd"}),
    )
    message = why(place.place(pod(cpu="2", memory="2Gi", nodeSelector={"disk": "ssd"})))
    assert message == (
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, "
        "2 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: "
        "0/4 nodes are available: 4 Preemption is not helpful for scheduling."
    )


def test_full_nodes_and_nodes_that_are_too_small_differ():
    _, place = placer(node("full", cpu="2", pods="1"), node("small", cpu="1"))
    assert place.place(pod(cpu="2")).node == "full"
    message = why(place.place(pod(cpu="2")))
    assert message == (
        "0/2 nodes are available: 1 Too many pods, 2 Insufficient cpu. no new claims to deallocate, preemption: "
        "0/2 nodes are available: 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling."
    )


@pytest.mark.parametrize(
    ("toleration", "passes"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], passes: bool):
    _, place = placer(node("a", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]))
    assert bool(place.place(pod(tolerations=[toleration])).node) is passes


def affinity(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["4", "16"], {"a", "c"}),
        ("NotIn", ["4"], {"b", "c", "none"}),
        ("Exists", [], {"a", "b", "c"}),
        ("DoesNotExist", [], {"none"}),
        ("Gt", ["5"], {"b", "c"}),
        ("Lt", ["9"], {"a", "b"}),
    ],
)
def test_node_affinity_operators(operator: str, values: list[str], expected: set[str]):
    nodes = [node("a", labels={"n": "4"}), node("b", labels={"n": "8"}), node("c", labels={"n": "16"}), node("none")]
    _, place = placer(*nodes)
    wanted = affinity({"key": "n", "operator": operator, "values": values})
    found = {place.place(pod(affinity=wanted, cpu="1", memory="1Gi")).node for _ in range(4)}
    assert found == expected


def test_a_label_that_changes_counts_at_once():
    table, place = placer(node("a"))
    selecting = {"nodeSelector": {"disktype": "ssd"}}
    assert "node affinity/selector" in why(place.place(pod(**selecting)))
    table.set_node(node("a", labels={"disktype": "ssd"}))
    assert place.place(pod(**selecting)).node == "a"
    table.set_node(node("a"))
    assert not place.place(pod(**selecting)).node


def test_host_ports_of_one_address_exclude_each_other():
    _, place = placer(node("a"))
    port = {"containerPort": 80, "hostPort": 8080}
    assert place.place(pod(ports=[{**port, "hostIP": "10.0.0.1"}])).node == "a"
    assert place.place(pod(ports=[{**port, "hostIP": "10.0.0.2"}])).node == "a"
    assert "didn't have free ports" in why(place.place(pod(ports=[port])))
    assert place.place(pod(ports=[{**port, "protocol": "UDP"}])).node == "a"


def test_a_pod_seen_before_its_node_counts_when_the_node_comes():
    table, place = placer()
    early = pod(cpu="3")
    table.add_pod(early, "a")
    table.set_node(node("a"))
    assert "Insufficient cpu" in why(place.place(pod(cpu="2")))
    table.remove_pod(early.uid)
    assert place.place(pod(cpu="2")).node == "a"


def test_preferred_affinity_and_soft_taints_weigh():
    preferred = [{"weight": 1, "preference": {"matchExpressions": [{"key": "d", "operator": "Exists"}]}}]
    wanted = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    _, place = placer(node("a"), node("b", labels={"d": ""}))
    assert place.place(pod(affinity=wanted)).node == "b"
    _, place = placer(node("a", taints=[{"key": "k", "effect": "PreferNoSchedule"}]), node("b"))
    assert [place.place(pod()).node for _ in range(3)] == ["b", "b", "b"]


@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 5)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=40),
    st.lists(st.integers(0, 39), max_size=10),
)
def test_no_node_ever_holds_more_than_it_has(
    nodes: list[tuple[int, int, int]], pods: list[tuple[int, int]], removed: list[int]
):
    """Whatever comes and goes, and whether answers are shared between Pods or worked out anew."""
    table, place = placer(
        *(node(f"n{i}", cpu=str(c), memory=f"{m}Gi", pods=str(p)) for i, (c, m, p) in enumerate(nodes))
    )
    infos = [pod(cpu=str(c), memory=f"{m}Gi") for c, m in pods]
    for number, info in enumerate(infos):
        shared = place.place(info)
        if not shared.node:  # then an evaluation from scratch agrees
            assert not Placer(table, default_filters(), default_scores(), Random(2)).place(info).node
        if number in removed:
            table.remove_pod(info.uid)
    columns = [CPU, MEMORY, PODS]
    assert np.all(table.requested[:, columns] <= table.allocatable[:, columns])
    assert np.all(table.requested >= 0)
