"""Services as real connections through real nftables: from Pods, from the node, from a neighbour on its LAN."""

from __future__ import annotations

import errno
import socket
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.networks import (
    GATEWAY,
    HOST_ADDRESS,
    NEIGHBOUR_IP,
    NODE_IP,
    Net,
    ask_on,
    eventually,
    ip,
    node_network,
)

from pinnace.api.resources import NODES, SERVICES
from pinnace.network import host
from pinnace.network.host import Host, HostError
from pinnace.network.proxy import proxy

pytestmark = pytest.mark.asyncio(loop_scope="module")
A, B = "10.244.0.2", "10.244.0.3"
#: A connection that must not come about is given this long, in seconds.
MOMENT = 0.3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Net]:
    async with node_network(tmp_path_factory.mktemp("network")) as started:
        for number, name in enumerate("AB"):
            for port in (8080, 8081):
                await started.servers.tcp(started.pods[number], started.pod_ip(number), port, name)
                await started.servers.udp(started.pods[number], started.pod_ip(number), port, name)
        yield started


async def test_a_cluster_ip_spreads_connections_over_its_endpoints(net: Net) -> None:
    await net.service("web", "10.96.1.1", 80)
    await net.endpoints("web", 8080, A, B)
    answers = Counter([(await net.node.ask("10.96.1.1", 80))[0] for _ in range(40)])
    assert set(answers) == {"A", "B"}


async def test_a_pod_is_seen_with_its_own_address(net: Net) -> None:
    await net.service("source", "10.96.1.2", 80)
    await net.endpoints("source", 8080, B)
    assert await net.pods[0].ask("10.96.1.2", 80) == ("B", A)


async def test_a_pod_reaches_itself_through_its_service(net: Net) -> None:
    await net.service("mirror", "10.96.1.3", 80)
    await net.endpoints("mirror", 8080, A)
    assert await net.pods[0].ask("10.96.1.3", 80) == ("A", GATEWAY)


async def test_a_node_port_is_reached_from_the_node_itself(net: Net) -> None:
    await net.service("local", "10.96.2.3", 80, node_port=30000)
    await net.endpoints("local", 8080, A)
    for address in (NODE_IP, "127.0.0.1", HOST_ADDRESS):
        assert (await net.node.ask(address, 30000))[0] == "A", address


async def test_a_node_port_is_reached_from_outside_and_from_pods(net: Net) -> None:
    await net.service("outside", "10.96.2.1", 80, node_port=30080)
    await net.endpoints("outside", 8080, A)
    assert await net.neighbour.ask(NODE_IP, 30080) == ("A", GATEWAY)
    assert (await net.pods[1].ask(NODE_IP, 30080))[0] == "A"
    assert (await net.pods[0].ask(NODE_IP, 30080))[0] == "A"


async def test_an_external_ip_leads_to_the_endpoints(net: Net) -> None:
    await net.service("external", "10.96.2.2", 80, externalIPs=["198.51.100.7"])
    await net.endpoints("external", 8080, B)
    assert (await net.pods[0].ask("198.51.100.7", 80))[0] == "B"


async def test_without_endpoints_connections_are_refused_until_there_are_some(net: Net) -> None:
    await net.service("empty", "10.96.3.1", 80, node_port=30081)
    await net.endpoints("empty", 8080)
    for space, address, port in (
        (net.node, "10.96.3.1", 80),
        (net.pods[0], "10.96.3.1", 80),
        (net.node, NODE_IP, 30081),
        (net.neighbour, NODE_IP, 30081),
    ):
        with pytest.raises(ConnectionRefusedError):
            await space.ask(address, port)
    await net.endpoints("empty", 8080, B)
    assert (await net.pods[0].ask("10.96.3.1", 80))[0] == "B"
    assert (await net.neighbour.ask(NODE_IP, 30081))[0] == "B"


async def test_ports_that_a_service_does_not_have_are_refused(net: Net) -> None:
    await net.service("narrow", "10.96.3.2", 80)
    await net.endpoints("narrow", 8080, B)
    with pytest.raises(ConnectionRefusedError):
        await net.pods[0].ask("10.96.3.2", 81)


async def test_a_deleted_service_is_gone(net: Net) -> None:
    await net.service("brief", "10.96.3.3", 80)
    await net.endpoints("brief", 8080, B)
    assert (await net.pods[0].ask("10.96.3.3", 80))[0] == "B"
    await net.client.delete(SERVICES, "brief", "default")
    await net.settled(SERVICES, "brief", None)
    with pytest.raises(TimeoutError):
        await net.pods[0].ask("10.96.3.3", 80, timeout=MOMENT)


async def test_more_endpoints_than_ever_before(net: Net) -> None:
    await net.service("many", "10.96.3.4", 80)
    await net.endpoints("many", 8080, A, *(f"10.244.1.{n}" for n in range(1, 40)))
    await net.endpoints("many", 8080, B)
    assert (await net.node.ask("10.96.3.4", 80))[0] == "B"


@pytest.mark.parametrize("node_port", [0, 30090])
async def test_a_client_stays_with_its_endpoint_until_that_goes(net: Net, node_port: int) -> None:
    name, vip = f"sticky{node_port}", f"10.96.7.{1 + bool(node_port)}"
    address, port = (NODE_IP, node_port) if node_port else (vip, 80)
    config = {"clientIP": {"timeoutSeconds": 60}}
    await net.service(name, vip, 80, node_port=node_port, sessionAffinity="ClientIP", sessionAffinityConfig=config)
    await net.endpoints(name, 8080, A, B)

    async def answers(count: int) -> set[str]:
        return {(await net.neighbour_or_node(node_port).ask(address, port))[0] for _ in range(count)}

    first = await answers(20)
    assert len(first) == 1
    stays, other = (A, B) if first == {"A"} else (B, A)
    await net.endpoints(name, 8080, "10.244.9.9", stays)
    assert await answers(10) == first, "whoever else comes"
    await net.endpoints(name, 8080, other)
    assert await answers(10) == {"A", "B"} - first
    await net.endpoints(name, 8080, A, B)
    assert await answers(10) == {"A", "B"} - first, "the new one is remembered"


async def test_other_clients_may_have_other_endpoints(net: Net) -> None:
    await net.service("sticky-many", "10.96.7.9", 80, sessionAffinity="ClientIP")
    await net.endpoints("sticky-many", 8080, A, B)
    seen = set()
    for last in range(20, 50):
        ip(f"addr add 10.244.0.{last}/32 dev lo\n")
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.bind((f"10.244.0.{last}", 0))
        seen.add((await ask_on(client, "10.96.7.9", 80))[0])
    assert seen == {"A", "B"}


async def test_external_traffic_that_stays_on_the_node_keeps_its_source(net: Net) -> None:
    await net.service("near", "10.96.7.3", 80, node_port=30091, externalTrafficPolicy="Local")
    await net.endpoints("near", 8080, A, nodeName="node")
    assert await net.neighbour.ask(NODE_IP, 30091) == ("A", NEIGHBOUR_IP)
    assert (await net.node.ask("127.0.0.1", 30091))[0] == "A"
    assert (await net.pods[0].ask(NODE_IP, 30091))[0] == "A"
    await net.endpoints("near", 8080, A, nodeName="other")
    with pytest.raises(TimeoutError):
        await net.neighbour.ask(NODE_IP, 30091, timeout=MOMENT)
    assert await net.pods[1].ask(NODE_IP, 30091) == ("A", B), "Pods and the node find those elsewhere"
    assert (await net.node.ask(NODE_IP, 30091))[0] == "A"
    assert (await net.pods[1].ask("10.96.7.3", 80))[0] == "A"
    await net.endpoints("near", 8080)
    with pytest.raises(ConnectionRefusedError):
        await net.neighbour.ask(NODE_IP, 30091)


async def test_udp_clients_follow_when_an_endpoint_goes(net: Net) -> None:
    await net.service("udp", "10.96.4.1", 53, protocol="UDP")
    await net.endpoints("udp", 8080, A, protocol="UDP")
    with net.pods[1].inside():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        assert (await ask_on(client, "10.96.4.1", 53, keep=True))[0] == "A"
        await net.endpoints("udp", 8080, B, protocol="UDP")

        async def asked_again() -> str:
            try:
                return (await ask_on(client, "10.96.4.1", 53, keep=True, timeout=MOMENT))[0]
            except TimeoutError:
                return ""

        answers = [await asked_again() for _ in range(3)]
        assert answers[-1] == "B"
    finally:
        client.close()


async def test_what_leaves_the_cluster_has_the_nodes_address(net: Net) -> None:
    await net.servers.tcp(net.neighbour, NEIGHBOUR_IP, 9000, "N")
    assert await net.pods[0].ask(NEIGHBOUR_IP, 9000) == ("N", NODE_IP)


async def test_the_hosts_address_is_for_pods_and_not_for_neighbours(net: Net) -> None:
    await net.servers.tcp(net.node, HOST_ADDRESS, 9001, "H")
    await net.service("api", "10.96.5.1", 443)
    await net.endpoints("api", 9001, HOST_ADDRESS)
    assert await net.pods[0].ask(HOST_ADDRESS, 9001) == ("H", A)
    assert await net.pods[0].ask("10.96.5.1", 443) == ("H", A)
    assert (await net.node.ask("10.96.5.1", 443))[0] == "H"
    with net.neighbour.inside():
        ip(f"route add {HOST_ADDRESS}/32 via {NODE_IP}\nroute add 10.96.0.0/16 via {NODE_IP}\n")
    for address, port in ((HOST_ADDRESS, 9001), ("10.96.5.1", 443)):
        with pytest.raises(TimeoutError):
            await net.neighbour.ask(address, port, timeout=MOMENT)


async def test_loopback_stays_closed_to_neighbours(net: Net) -> None:
    await net.servers.tcp(net.node, "127.9.9.9", 9002, "L")
    assert (await net.node.ask("127.9.9.9", 9002))[0] == "L"
    with net.neighbour.inside():
        Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text("1")
        ip(f"route del local 127.0.0.0/8 dev lo table local\nroute add 127.0.0.0/8 via {NODE_IP} src {NEIGHBOUR_IP}\n")
    with pytest.raises(TimeoutError):
        await net.neighbour.ask("127.9.9.9", 9002, timeout=MOMENT)


async def test_a_host_that_did_not_forward_goes_on_forwarding_for_nobody_else(net: Net) -> None:
    third = net.pods[1]
    with third.inside():
        ip("addr add 203.0.113.5/32 dev lo\n")
    await net.servers.tcp(third, "203.0.113.5", 9003, "T")
    ip("route add 203.0.113.5/32 dev veth1 scope link\n")
    with net.neighbour.inside():
        ip(f"route add 203.0.113.5/32 via {NODE_IP}\n")
    with third.inside():
        ip(f"route replace {NEIGHBOUR_IP}/32 via {GATEWAY} src 203.0.113.5\n")
    assert (await net.node.ask("203.0.113.5", 9003))[0] == "T"
    with pytest.raises(TimeoutError):
        await net.neighbour.ask("203.0.113.5", 9003, timeout=MOMENT)


async def test_rules_that_someone_emptied_come_back_with_the_next_change(net: Net) -> None:
    await net.service("again", "10.96.6.1", 80)
    await net.endpoints("again", 8080, A)
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    await net.endpoints("again", 8080, B)
    assert (await net.pods[0].ask("10.96.6.1", 80))[0] == "B"
    assert (await net.node.ask("10.96.1.1", 80))[0] in "AB"


async def test_rules_that_someone_emptied_come_back_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "CHECK", 0.01)
    async with node_network(tmp_path):
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        await eventually(table_there)


async def test_pods_get_through_the_firewalls_of_docker_and_ufw(tmp_path: Path) -> None:
    async with node_network(tmp_path) as net:
        await net.network.stop()
        chains = "".join(
            "add table ip filter\n"
            f"add chain ip filter {name} {{ type filter hook {name.lower()} priority 0; policy drop; }}\n"
            for name in ("FORWARD", "INPUT")
        )
        subprocess.run(["nft", "-f", "-"], input=chains, text=True, check=True)
        before = listed_filter()
        net.network = net.make_network()
        await net.network.start()
        await net.servers.tcp(net.pods[0], A, 8080, "A")
        await net.servers.tcp(net.node, HOST_ADDRESS, 9001, "H")
        assert await net.pods[1].ask(A, 8080) == ("A", B)
        assert await net.pods[1].ask(HOST_ADDRESS, 9001) == ("H", B)
        die(net.network)
        killed, net.network = net.network, net.make_network()
        assert killed._dns is not None
        await killed._dns.stop()
        await net.network.start()
        assert listed_filter().count('comment "pinnace"') == 3, "once, also after a crash"
        await net.network.stop()
        assert listed_filter() == before
        await killed.stop()


def listed_filter() -> str:
    return subprocess.run(["nft", "list", "table", "ip", "filter"], check=True, text=True, capture_output=True).stdout


async def test_forwarding_stays_on_for_those_who_came_to_rely_on_it(tmp_path: Path) -> None:
    docker = (
        "add table ip filter\n"
        "add chain ip filter FORWARD { type filter hook forward priority 0; }\n"
        "add chain ip filter DOCKER-USER\n"
    )
    async with node_network(tmp_path) as net:
        subprocess.run(["nft", "-f", "-"], input=docker, text=True, check=True)
        await net.network.stop()
        assert settings() == ("0", "0"), "an empty chain is nobody's"
        net.network = net.make_network()
        await net.network.start()
        subprocess.run(["nft", "insert", "rule", "ip", "filter", "FORWARD", "jump", "DOCKER-USER"], check=True)
        await net.network.stop()
        assert settings() == ("1", "0")


async def test_the_cni_configuration_appears_with_the_nodes_range(net: Net) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}, "spec": {"podCIDR": "10.244.3.0/24"}}
    await net.client.create(NODES, node)
    path = net._directory / "cni" / "10-pinnace.conflist"
    await eventually(path.exists)
    assert '"subnet": "10.244.3.0/24"' in path.read_text()
    assert '"mtu": 1500' in path.read_text()


async def test_a_second_cluster_on_the_same_host_is_told_so(net: Net) -> None:
    with pytest.raises(HostError, match="another Pinnace cluster runs the network of this machine"):
        await Host(address=HOST_ADDRESS, service_cidr="10.96.0.0/16").prepare()
    host.remove_leftovers()
    assert settings() == ("1", "1") and table_there() and interface_there(), "what a running cluster uses stays"


def settings() -> tuple[str, str]:
    proc = Path("/proc/sys/net/ipv4")
    return (proc / "ip_forward").read_text().strip(), (proc / "conf/all/route_localnet").read_text().strip()


def table_there() -> bool:
    return subprocess.run(["nft", "list", "table", "ip", "pinnace"], check=False, capture_output=True).returncode == 0


def interface_there() -> bool:
    return subprocess.run(["ip", "link", "show", host.INTERFACE], check=False, capture_output=True).returncode == 0


def die(network: object) -> None:
    """What the kernel does for a process that was killed."""
    network._host._lock.close()  # type: ignore[attr-defined]


async def test_stopping_restores_the_host_and_a_killed_start_is_taken_over(tmp_path: Path) -> None:
    async with node_network(tmp_path) as net:
        await net.servers.tcp(net.pods[0], A, 8080, "A")
        await net.service("web", "10.96.1.1", 80)
        await net.endpoints("web", 8080, A)
        assert settings() == ("1", "1") and table_there() and interface_there()

        die(net.network)
        killed, net.network = net.network, net.make_network()
        assert killed._dns is not None
        await killed._dns.stop()
        assert (await net.pods[1].ask("10.96.1.1", 80))[0] == "A", "traffic goes on without the process"
        await net.network.start()
        assert (await net.pods[1].ask("10.96.1.1", 80))[0] == "A"
        await net.network.stop()
        assert settings() == ("0", "0") and not table_there() and not interface_there()
        await killed.stop()

        net.network = net.make_network()
        await net.network.start()
        die(net.network)
        host.remove_leftovers()
        host.remove_leftovers()
        assert settings() == ("0", "0") and not table_there() and not interface_there()


async def test_a_network_that_takes_service_addresses_is_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with node_network(tmp_path) as net:
        assert "elsewhere" not in caplog.text
        await net.network.stop()
        ip(f"route add 10.96.64.0/20 via {NEIGHBOUR_IP}\nroute add 10.0.0.0/8 via {NEIGHBOUR_IP}\n")
        net.network = net.make_network()
        await net.network.start()
        assert "routes 10.96.64.0/20 elsewhere" in caplog.text


async def test_without_the_privilege_it_says_so(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(host, "_LOCK", b"\0pinnace/test")
    monkeypatch.setattr(host.links, "find", refuse)
    with pytest.raises(HostError, match="it needs root"):
        await Host(address=HOST_ADDRESS, service_cidr="10.96.0.0/16").prepare()
