"""Load balancers' addresses, traffic policies and UDP as clients on a node, in its Pods and on its LAN meet them."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.e2e.test_network_services import MOMENT, A, B
from tests.networks import NEIGHBOUR_IP, NODE_IP, Net, ask_on, eventually, ip, node_network

from pinnace.api import meta
from pinnace.api.resources import NODES, PODS, SERVICES
from pinnace.network import links

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Net]:
    async with node_network(tmp_path_factory.mktemp("network")) as started:
        for number, name in enumerate("AB"):
            await started.servers.tcp(started.pods[number], started.pod_ip(number), 8080, name)
            await started.servers.udp(started.pods[number], started.pod_ip(number), 8080, name)
        yield started


async def balanced(net: Net, name: str, cluster_ip: str, address: str, **spec: Any) -> None:
    """A Service of type LoadBalancer that has its address."""
    service = await net.service(name, cluster_ip, 80, type="LoadBalancer", **spec)
    status = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}
    written = await net.client.update(SERVICES, {**service, "status": status}, subresource="status")
    await net.settled(SERVICES, name, meta.resource_version(written))


async def test_an_address_leads_to_the_endpoints_from_everywhere_on_the_machine(net: Net) -> None:
    await balanced(net, "web", "10.96.8.1", "10.98.0.1")
    with pytest.raises(ConnectionRefusedError):
        await net.node.ask("10.98.0.1", 80)
    await net.endpoints("web", 8080, A)
    for space in (net.node, *net.pods):
        assert (await space.ask("10.98.0.1", 80))[0] == "A"
    for address, port in (("10.98.0.1", 81), ("10.98.0.2", 80)):
        for space in (net.node, net.pods[0]):
            with pytest.raises(ConnectionRefusedError):
                await space.ask(address, port)


async def test_an_address_on_the_lan_is_reached_from_there(net: Net) -> None:
    ready = [{"type": "Ready", "status": "True"}]
    for name, address in (("node", NODE_IP), ("simulated", NODE_IP)):
        node = await net.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        status = {"addresses": [{"type": "InternalIP", "address": address}], "conditions": ready}
        await net.client.update(NODES, {**node, "status": status}, subresource="status")
    await balanced(net, "lan", "10.96.8.2", "192.0.2.100", externalTrafficPolicy="Local", healthCheckNodePort=32000)
    await net.endpoints("lan", 8080, B, nodeName="node")

    def answered() -> set[str]:
        return {neighbour.address for neighbour in links.answered_for()}

    await eventually(lambda: answered() == {"192.0.2.100"})
    assert await net.neighbour.ask("192.0.2.100", 80) == ("B", NEIGHBOUR_IP)
    assert (await net.node.ask("192.0.2.100", 80))[0] == "B"
    assert await net.pods[0].ask("192.0.2.100", 80) == ("B", A)
    await net.client.delete(SERVICES, "lan", "default")
    await eventually(lambda: not answered())


async def test_source_ranges(net: Net) -> None:
    await balanced(net, "narrow", "10.96.8.3", "10.98.0.3", loadBalancerSourceRanges=[f"{A}/32", "10.244.0.0/31"])
    await net.endpoints("narrow", 8080, B)
    assert (await net.pods[0].ask("10.98.0.3", 80))[0] == "B"
    for space in (net.pods[1], net.node):
        with pytest.raises(TimeoutError):
            await space.ask("10.98.0.3", 80, timeout=MOMENT)
    assert (await net.pods[1].ask("10.96.8.3", 80))[0] == "B", "the Service's own address is for all"

    held = meta.copy(await net.client.get(SERVICES, "narrow", "default"))
    held["spec"]["loadBalancerSourceRanges"] = ["192.0.2.0/24", f"{B}/32"]
    written = await net.client.update(SERVICES, held)
    await net.settled(SERVICES, "narrow", meta.resource_version(written))
    assert (await net.node.ask("10.98.0.3", 80))[0] == "B"
    assert (await net.pods[1].ask("10.98.0.3", 80))[0] == "B"
    with pytest.raises(TimeoutError):
        await net.pods[0].ask("10.98.0.3", 80, timeout=MOMENT)


async def test_health_checks_of_traffic_that_stays_on_the_node(net: Net) -> None:
    await balanced(net, "checked", "10.96.8.4", "10.98.0.4", externalTrafficPolicy="Local", healthCheckNodePort=32001)

    def ask() -> tuple[int, dict[str, Any], str]:
        with net.neighbour.inside():
            try:
                with urllib.request.urlopen(f"http://{NODE_IP}:32001/healthz", timeout=5) as answer:
                    return answer.status, json.load(answer), answer.headers["X-Load-Balancing-Endpoint-Weight"]
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error), error.headers["X-Load-Balancing-Endpoint-Weight"]

    service = {"namespace": "default", "name": "checked"}
    await net.endpoints("checked", 8080, A, nodeName="other")
    found = await asyncio.to_thread(ask)
    assert found == (503, {"service": service, "localEndpoints": 0, "serviceProxyHealthy": True}, "0")
    with net.neighbour.inside():
        ip(f"route add 10.98.0.0/24 via {NODE_IP}\n")
    with pytest.raises(TimeoutError):
        await net.neighbour.ask("10.98.0.4", 80, timeout=MOMENT)
    assert await net.pods[1].ask("10.98.0.4", 80) == ("A", B)

    await net.endpoints("checked", 8080, A, B, nodeName="node")
    found = await asyncio.to_thread(ask)
    assert found == (200, {"service": service, "localEndpoints": 2, "serviceProxyHealthy": True}, "2")
    assert (await net.neighbour.ask("10.98.0.4", 80))[1] == NEIGHBOUR_IP
    await net.client.delete(SERVICES, "checked", "default")
    await net.settled(SERVICES, "checked", None)
    with pytest.raises(ConnectionRefusedError):
        await net.neighbour.ask(NODE_IP, 32001)


async def test_internal_traffic_that_stays_on_the_node(net: Net) -> None:
    await net.service("own", "10.96.8.5", 80, internalTrafficPolicy="Local")
    await net.endpoints("own", 8080, A, nodeName="node")
    assert (await net.pods[1].ask("10.96.8.5", 80))[0] == "A"
    await net.endpoints("own", 8080, A, nodeName="other")
    with pytest.raises(TimeoutError):
        await net.pods[1].ask("10.96.8.5", 80, timeout=MOMENT)
    await net.endpoints("own", 8080)
    with pytest.raises(ConnectionRefusedError):
        await net.pods[1].ask("10.96.8.5", 80)


async def test_endpoints_that_terminate_serve_while_nobody_else_does(net: Net) -> None:
    await net.service("ending", "10.96.8.6", 80, node_port=30095, externalTrafficPolicy="Local")
    states = {"ready": False, "serving": True, "terminating": True}
    await net.endpoints("ending", 8080, A, nodeName="node", conditions=states)
    assert (await net.pods[1].ask("10.96.8.6", 80))[0] == "A"
    assert (await net.neighbour.ask(NODE_IP, 30095))[0] == "A"
    await net.endpoints("ending", 8080, A, nodeName="node", conditions={**states, "serving": False})
    with pytest.raises(ConnectionRefusedError):
        await net.pods[1].ask("10.96.8.6", 80)


async def test_a_udp_client_that_was_there_first_finds_the_service(net: Net) -> None:
    """Its packets to a port of the node that nobody served have made a connection that goes nowhere."""
    with net.neighbour.inside():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.setblocking(False)
    try:
        for _ in range(2):
            client.sendto(b"who?", (NODE_IP, 30096))
        await net.service("late", "10.96.8.7", 80, protocol="UDP", node_port=30096)
        await net.endpoints("late", 8080, A, protocol="UDP")
        assert (await ask_on(client, NODE_IP, 30096, keep=True))[0] == "A"
    finally:
        client.close()


async def test_one_port_for_tcp_and_udp(net: Net) -> None:
    ports = [{"name": p.lower(), "port": 53, "protocol": p, "targetPort": 8080} for p in ("TCP", "UDP")]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "both", "namespace": "default"},
        "spec": {"ports": ports, "clusterIP": "10.96.8.8", "clusterIPs": ["10.96.8.8"]},
    }
    await net.client.create(SERVICES, service)
    for name, address in (("tcp", A), ("udp", B)):
        await net.slice("both", f"both-{name}", [{"name": name, "port": 8080, "protocol": name.upper()}], address)
    assert (await net.pods[0].ask("10.96.8.8", 53))[0] == "A"
    assert (await net.pods[0].ask("10.96.8.8", 53, udp=True))[0] == "B"


async def test_a_port_of_the_node_that_leads_to_a_pod(net: Net) -> None:
    ports = [
        {"containerPort": 8080, "hostPort": 18080},
        {"containerPort": 8080, "hostPort": 18081, "hostIP": "127.0.0.1"},
        {"containerPort": 8080, "hostPort": 18082, "protocol": "UDP"},
    ]
    spec = {"nodeName": "node", "containers": [{"name": "main", "image": "x", "ports": ports}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "front", "namespace": "default"}, "spec": spec}
    made = await net.client.create(PODS, pod)
    status = {"phase": "Running", "podIP": A, "podIPs": [{"ip": A}]}
    written = await net.client.update(PODS, {**made, "status": status}, subresource="status")

    async def reached(address: str, port: int) -> bool:
        try:
            return (await net.node.ask(address, port, timeout=MOMENT))[0] == "A"
        except (OSError, TimeoutError):
            return False

    while not await reached(NODE_IP, 18080):
        await asyncio.sleep(0.01)
    assert await net.neighbour.ask(NODE_IP, 18080) == ("A", NEIGHBOUR_IP), "as who it is"
    assert await net.neighbour.ask(NODE_IP, 18082, udp=True) == ("A", NEIGHBOUR_IP)
    assert await net.pods[1].ask(NODE_IP, 18080) == ("A", B)
    assert (await net.pods[0].ask(NODE_IP, 18080))[0] == "A"
    assert await reached("127.0.0.1", 18080) and await reached("127.0.0.1", 18081)
    with pytest.raises(ConnectionRefusedError):
        await net.neighbour.ask(NODE_IP, 18081)
    await net.client.update(PODS, {**written, "status": {**status, "phase": "Succeeded"}}, subresource="status")
    while await reached(NODE_IP, 18080):
        await asyncio.sleep(0.01)
    with pytest.raises(ConnectionRefusedError):
        await net.neighbour.ask(NODE_IP, 18080)
