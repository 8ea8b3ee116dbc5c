"""Pods of several nodes reach each other with their own addresses; the neighbour on the LAN plays the other node."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.networks import NEIGHBOUR_IP, NODE_IP, Net, eventually, ip, node_network

from pinnace.api.resources import NODES
from pinnace.network import host

A, FAR = "10.244.0.2", "10.244.7.5"


async def make_node(net: Net, name: str, cidr: str, address: str) -> None:
    node = await net.client.create(
        NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": cidr}}
    )
    status = {"addresses": [{"type": "InternalIP", "address": address}]}
    await net.client.update(NODES, {**node, "status": status}, subresource="status")


def routes() -> str:
    return subprocess.run(["ip", "route"], check=True, capture_output=True, text=True).stdout


async def test_pods_of_two_nodes(tmp_path: Path) -> None:
    async with node_network(tmp_path, pods=1) as net:
        with net.neighbour.inside():
            ip(f"addr add {FAR}/32 dev lo\nroute add 10.244.0.0/24 via {NODE_IP} src {FAR}\n")
        await net.servers.tcp(net.pods[0], A, 8080, "near")
        await net.servers.tcp(net.neighbour, FAR, 8080, "far")
        await make_node(net, "node", "10.244.0.0/24", NODE_IP)
        await make_node(net, "other", "10.244.7.0/24", NEIGHBOUR_IP)
        await eventually(lambda: f"10.244.7.0/24 via {NEIGHBOUR_IP}" in routes())
        assert await net.pods[0].ask(FAR, 8080) == ("far", A)
        assert await net.neighbour.ask(A, 8080) == ("near", FAR)

        await net.service("both", "10.96.1.1", 80, node_port=30080)
        await net.endpoints("both", 8080, FAR)
        assert await net.pods[0].ask("10.96.1.1", 80) == ("far", A)
        assert await net.node.ask(NODE_IP, 30080) == ("far", NODE_IP)
        assert (await net.pods[0].ask(NODE_IP, 30080))[0] == "far"

        await net.service(
            "local", "10.96.1.2", 80, node_port=30081, externalTrafficPolicy="Local", externalIPs=["10.98.0.9"]
        )
        await net.endpoints("local", 8080, FAR, nodeName="other")
        assert await net.node.ask("10.98.0.9", 80) == ("far", NODE_IP), "with an address that the other node can answer"
        assert await net.node.ask("127.0.0.1", 30081) == ("far", NODE_IP)
        assert await net.pods[0].ask("10.98.0.9", 80) == ("far", A)

        await make_node(net, "unreachable", "10.244.8.0/24", "203.0.113.1")
        await net.client.delete(NODES, "other")
        await eventually(lambda: "10.244.7.0/24" not in routes())


async def test_routes_survive_a_kill_and_go_with_a_stop(tmp_path: Path) -> None:
    async with node_network(tmp_path, pods=0) as net:
        await make_node(net, "node", "10.244.0.0/24", NODE_IP)
        await make_node(net, "other", "10.244.7.0/24", NEIGHBOUR_IP)
        await eventually(lambda: "10.244.7.0/24" in routes())
        assert net.network._routes is not None
        await net.network._routes._tasks.stop()
        net.network._host._lock.close()  # type: ignore[union-attr]
        killed, net.network = net.network, net.make_network()
        assert killed._dns is not None
        await killed._dns.stop()
        assert "10.244.7.0/24" in routes()
        await net.network.start()
        await net.client.delete(NODES, "other")
        await eventually(lambda: "10.244.7.0/24" not in routes())
        await make_node(net, "third", "10.244.9.0/24", NEIGHBOUR_IP)
        await eventually(lambda: "10.244.9.0/24" in routes())
        await net.network.stop()
        assert "10.244.9.0/24" not in routes()
        killed._host._lock = None
        await killed.stop()


async def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    async with node_network(tmp_path, pods=0) as net:
        await make_node(net, "node", "10.244.0.0/24", NODE_IP)
        await make_node(net, "other", "10.244.7.0/24", NEIGHBOUR_IP)
        await eventually(lambda: "10.244.7.0/24" in routes())
        assert net.network._routes is not None
        await net.network._routes._tasks.stop()
        net.network._host._lock.close()  # type: ignore[union-attr]
        host.remove_leftovers()
        assert "10.244.7.0/24" not in routes()
