"""Which node answers for a load balancer's address."""

from __future__ import annotations

from collections import Counter

from pinnace.api.types import Object
from pinnace.network.announce import addresses, elected


def node(name: str, address: str, ready: str = "True") -> Object:
    status = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "conditions": [{"type": "Ready", "status": ready}],
    }
    return {"metadata": {"name": name}, "spec": {}, "status": status}


NODES = [node(f"n{n}", f"192.0.2.{n}") for n in range(1, 4)]


def test_every_node_chooses_the_same_and_all_have_some() -> None:
    chosen = {f"192.0.2.{n}": elected(f"192.0.2.{n}", NODES) for n in range(100, 160)}
    assert chosen == {address: elected(address, NODES[::-1]) for address in chosen}
    assert len(Counter(chosen.values())) == 3


def test_when_a_node_goes_only_its_addresses_move() -> None:
    gone = [node("n1", "192.0.2.1", "Unknown"), *NODES[1:]]
    for n in range(100, 160):
        before, after = (elected(f"192.0.2.{n}", nodes) for nodes in (NODES, gone))
        assert after != "192.0.2.1"
        assert before == after or before == "192.0.2.1"
    assert elected("192.0.2.100", []) == ""


def test_the_addresses_of_load_balancers() -> None:
    ingress = [{"ip": "192.0.2.100"}, {"hostname": "x.test"}]
    balanced = {"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": ingress}}}
    assert addresses([balanced, {"spec": {"type": "ClusterIP"}}]) == {"192.0.2.100"}
