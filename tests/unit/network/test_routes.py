"""Which routes lead to other nodes' Pods."""

from __future__ import annotations

import pytest

from pinnace.api.types import Object
from pinnace.network.routes import wanted

CLUSTER = "10.244.0.0/16"


def node(name: str, cidr: str | None, address: str | None) -> Object:
    addresses = [{"type": "Hostname", "address": name}]
    if address is not None:
        addresses.append({"type": "InternalIP", "address": address})
    spec = {} if cidr is None else {"podCIDR": cidr, "podCIDRs": [cidr]}
    return {"metadata": {"name": name}, "spec": spec, "status": {"addresses": addresses}}


ME = node("me", "10.244.0.0/24", "192.0.2.1")


def test_each_other_node_is_the_way_to_its_range() -> None:
    nodes = [ME, node("b", "10.244.1.0/24", "192.0.2.2"), node("c", "10.244.2.0/24", "192.0.2.3")]
    assert wanted(nodes, "me", CLUSTER) == {"10.244.1.0/24": "192.0.2.2", "10.244.2.0/24": "192.0.2.3"}


@pytest.mark.parametrize(
    "other",
    [
        node("new", None, "192.0.2.2"),
        node("new", "10.244.1.0/24", None),
        node("new", "10.244.1.0/24", "fd00::1"),
        node("new", "no range", "192.0.2.2"),
        node("simulated", "10.244.1.0/24", "192.0.2.1"),
        node("greedy", "0.0.0.0/0", "192.0.2.2"),
        node("elsewhere", "192.0.2.0/24", "192.0.2.2"),
        node("thief", "10.244.0.0/25", "192.0.2.2"),
    ],
)
def test_no_route_for(other: Object) -> None:
    assert wanted([ME, other], "me", CLUSTER) == {}


def test_of_two_nodes_with_one_range_the_first_has_it() -> None:
    nodes = [node("c", "10.244.1.0/24", "192.0.2.3"), node("b", "10.244.1.0/24", "192.0.2.2"), ME]
    assert wanted(nodes, "me", CLUSTER) == {"10.244.1.0/24": "192.0.2.2"}


def test_nothing_before_the_node_itself_is_known() -> None:
    assert wanted([node("b", "10.244.1.0/24", "192.0.2.2")], "me", CLUSTER) == {}
