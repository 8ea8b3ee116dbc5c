"""What goes when a node runs short, and what it is told."""

from __future__ import annotations

from typing import Any

from pinnace.kubelet import eviction
from pinnace.kubelet.configuration import EVICTION_HARD
from pinnace.kubelet.eviction import Consumption, Shortage
from pinnace.kubelet.stats import FileSystem, NodeUsage

MIB, GIB = 1 << 20, 1 << 30


def usage(memory: int = GIB, disk: int = 50 * GIB, inodes: int = 50, processes: int = 10) -> NodeUsage:
    nodefs = FileSystem(100 * GIB, disk, 100, inodes)
    return NodeUsage(0, 4 * GIB, memory, nodefs, FileSystem(100 * GIB, 50 * GIB), processes, 100)


def pod(name: str, memory: str = "", *, priority: int = 0, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "main"}
    if memory:
        container["resources"] = {"requests": {"memory": memory}}
    return {"metadata": {"name": name}, "spec": {"priority": priority, "containers": [container], **spec}}


def test_thresholds() -> None:
    assert eviction.shortages(usage(), EVICTION_HARD) == []
    assert eviction.shortages(usage(memory=100 * MIB), EVICTION_HARD) == []
    assert eviction.shortages(usage(memory=99 * MIB), EVICTION_HARD) == [
        Shortage("memory.available", 100 * MIB, 99 * MIB)
    ]
    (short,) = eviction.shortages(usage(disk=9 * GIB), EVICTION_HARD)
    assert (short.signal, short.condition, short.resource) == ("nodefs.available", "DiskPressure", "ephemeral-storage")
    assert eviction.shortages(usage(inodes=4), EVICTION_HARD)[0].resource == "inodes"
    both = eviction.shortages(usage(memory=0, disk=0), EVICTION_HARD)
    assert [short.condition for short in both] == ["MemoryPressure", "DiskPressure"], "memory comes first"
    assert eviction.shortages(usage(processes=95), EVICTION_HARD) == []
    assert eviction.shortages(usage(processes=95), {"pid.available": "10%"})[0].condition == "PIDPressure"


def test_conditions_hold_for_a_while() -> None:
    short = [Shortage("memory.available", 1, 0)]
    seen, held = eviction.conditions(short, {}, 1000.0, 300.0)
    assert held == ["MemoryPressure"]
    seen, held = eviction.conditions([], seen, 1299.0, 300.0)
    assert held == ["MemoryPressure"]
    assert eviction.conditions([], seen, 1300.0, 300.0) == ({}, [])


def test_the_order_in_which_pods_go() -> None:
    asked = pod("asked", "900Mi")
    important = pod("important", priority=5)
    pods = [asked, pod("small"), pod("large"), important, pod("vital", priority=2_000_000_000)]
    used = {"asked": 800 * MIB, "small": 1 * MIB, "large": 50 * MIB, "important": 500 * MIB, "vital": GIB}
    ranked = eviction.rank(pods, "memory", lambda p: Consumption(used[p["metadata"]["name"]]))
    assert [p["metadata"]["name"] for p in ranked] == ["large", "small", "important", "asked"]


def test_messages() -> None:
    short = Shortage("memory.available", 100 * MIB, 50 * MIB)
    assert eviction.message(short, pod("p"), Consumption(30 * MIB, {"main": 30 * MIB})) == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container main was using 30Mi, request is 0, has larger consumption of memory. "
    )
    assert eviction.message(short, pod("p", "1Gi"), Consumption(30 * MIB, {"main": 30 * MIB})).endswith("50Mi. ")


def test_a_pods_own_limits() -> None:
    volume = {"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}
    limited = pod("p", volumes=[volume])
    assert eviction.has_own_limits(limited) and not eviction.has_own_limits(pod("q"))
    assert eviction.over_own_limits(limited, Consumption(), {"scratch": MIB}) == ""
    text = 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". '
    assert eviction.over_own_limits(limited, Consumption(), {"scratch": MIB + 1}) == text
    spec = {"name": "main", "resources": {"limits": {"ephemeral-storage": "2Mi"}}}
    whole = pod("r", containers=[spec])
    text = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
    assert eviction.over_own_limits(whole, Consumption(3 * MIB, {"main": 3 * MIB}), {}) == text
    partly = pod("s", containers=[spec, {"name": "other"}])
    text = 'Container main exceeded its local ephemeral storage limit "2Mi". '
    assert eviction.over_own_limits(partly, Consumption(3 * MIB, {"main": 3 * MIB}), {}) == text
    assert eviction.over_own_limits(partly, Consumption(3 * MIB, {"other": 3 * MIB}), {}) == ""
