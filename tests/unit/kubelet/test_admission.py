"""Which Pods a node takes."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.kubelet.lifecycle.situation import Waiting
from pinnace.kubelet.pods.admission import NodeState, dotted, refusal

NODE = {"metadata": {"name": "node", "labels": {"disk": "ssd"}}}
FREE = {"cpu": "2", "memory": "1Gi", "pods": "3", "ephemeral-storage": "1Gi"}


def pod(requests: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "main", "image": "x"}
    if requests:
        container["resources"] = {"requests": requests}
    return {"metadata": {"name": "p", "namespace": "d"}, "spec": {"containers": [container], **spec}}


def decide(new: dict[str, Any], *others: dict[str, Any], **state: Any) -> tuple[str, str] | None:
    found = refusal(new, NodeState(NODE, FREE, others, **state))
    return None if found is None else (found.reason, found.message)


def test_resources() -> None:
    assert decide(pod({"cpu": "2"})) is None
    assert decide(pod({"cpu": "1500m"}), pod({"cpu": "600m"})) == (
        "OutOfcpu",
        "Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000",
    )
    assert decide(pod(), pod(), pod(), pod()) == (
        "OutOfpods",
        "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
    )
    assert decide(pod({"memory": "1Gi"}, overhead={"memory": "1Mi"}))[0] == "OutOfmemory"  # type: ignore[index]
    assert decide(pod({"example.com/gpu": "1"})) is None, "what a device plugin would know of"


def test_node_affinity_and_ports() -> None:
    assert decide(pod(nodeSelector={"disk": "ssd"})) is None
    assert decide(pod(nodeSelector={"disk": "hdd"})) == ("NodeAffinity", "Predicate NodeAffinity failed")
    port: dict[str, Any] = {"containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}]}
    assert decide(pod(**port)) is None
    assert decide(pod(**port), pod(**port)) == ("NodePorts", "Predicate NodePorts failed")


@pytest.mark.parametrize(
    ("name", "spec", "why"),
    [
        ("net.ipv4.tcp_syncookies", {}, None),
        ("net/ipv4/tcp_syncookies", {}, None),
        ("kernel.shm_rmid_forced", {}, None),
        ("net.core.somaxconn", {}, '"net.core.somaxconn" not allowlisted'),
        (
            "net.ipv4.tcp_syncookies",
            {"hostNetwork": True},
            '"net.ipv4.tcp_syncookies" not allowed with host net enabled',
        ),
        ("kernel.shm_rmid_forced", {"hostIPC": True}, '"kernel.shm_rmid_forced" not allowed with host ipc enabled'),
        ("kernel.msgmax", {}, None),
        ("kernel.msgmax", {"hostIPC": True}, '"kernel.msgmax" not allowed with host ipc enabled'),
    ],
)
def test_sysctls(name: str, spec: dict[str, Any], why: str | None) -> None:
    wanted = pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)
    expected = None if why is None else ("SysctlForbidden", f"forbidden sysctl: {why}")
    assert decide(wanted, unsafe_sysctls=["kernel.msg*"]) == expected


def test_names_of_sysctls() -> None:
    assert dotted("net/ipv4/conf/eth0.1/forwarding") == "net.ipv4.conf.eth0/1.forwarding"
    assert dotted("net.ipv4.conf.eth0/1.forwarding") == "net.ipv4.conf.eth0/1.forwarding"


def test_apparmor() -> None:
    profiled = pod(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}})
    text = "Cannot enforce AppArmor: AppArmor is not enabled on the host"
    assert decide(profiled) == ("AppArmor", text)
    assert decide(profiled, apparmor=True) is None
    assert decide(pod(securityContext={"appArmorProfile": {"type": "Unconfined"}})) is None


def test_pressure() -> None:
    memory = ("Evicted", "The node had condition: [MemoryPressure]. ")
    assert decide(pod(), pressure=["MemoryPressure"]) == memory
    assert decide(pod({"cpu": "1m"}), pressure=["MemoryPressure"]) is None, "only those that promise nothing"
    tolerant = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}
    assert decide(pod(tolerations=[tolerant]), pressure=["MemoryPressure"]) is None
    disk = ("Evicted", "The node had condition: [DiskPressure]. ")
    assert decide(pod({"cpu": "1m"}), pressure=["DiskPressure"]) == disk
    assert decide(pod(priority=2_000_000_000), pressure=["DiskPressure"]) is None, "critical Pods run all the same"


def test_shutdown() -> None:
    assert refusal(pod(), NodeState(NODE, FREE, (), shutting_down=True)) == Waiting(
        "NodeShutdown", "Pod was rejected as the node is shutting down."
    )
