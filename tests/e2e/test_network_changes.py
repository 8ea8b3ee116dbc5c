"""Services that people change while they are in use, and the less usual kinds of ports."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
from tests.networks import NODE_IP, Net, Space, ask_on, eventually, node_network

from pinnace.api import meta
from pinnace.api.errors import ApiError
from pinnace.api.resources import ENDPOINT_SLICES, SERVICES
from pinnace.api.types import Object

pytestmark = pytest.mark.asyncio(loop_scope="module")
A, B = "10.244.0.2", "10.244.0.3"
#: A connection that must not come about is given this long, in seconds.
MOMENT = 0.3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Net]:
    async with node_network(tmp_path_factory.mktemp("network")) as started:
        for number, name in enumerate("AB"):
            for port in (8080, 8081):
                await started.servers.tcp(started.pods[number], started.pod_ip(number), port, f"{name}{port}")
                await started.servers.udp(started.pods[number], started.pod_ip(number), port, f"{name}{port}")
        yield started


async def change(net: Net, name: str, **spec: object) -> None:
    """The Service's spec with these fields set (None: without them), in the kernel."""
    held = await net.client.get(SERVICES, name, "default")
    changed = {key: value for key, value in {**held["spec"], **spec}.items() if value is not None}
    written = await net.client.update(SERVICES, {**held, "spec": changed})
    await net.settled(SERVICES, name, meta.resource_version(written))


async def test_a_service_changes_its_type(net: Net) -> None:
    await net.service("typed", "10.96.1.1", 80)
    await net.endpoints("typed", 8080, A)
    port = {"port": 80, "protocol": "TCP", "targetPort": 80}
    assert (await net.node.ask("10.96.1.1", 80))[0] == "A8080"
    await change(net, "typed", type="NodePort", ports=[{**port, "nodePort": 30080}])
    assert (await net.neighbour.ask(NODE_IP, 30080))[0] == "A8080"
    assert (await net.node.ask("127.0.0.1", 30080))[0] == "A8080"
    await change(net, "typed", type="ClusterIP", ports=[port], externalTrafficPolicy=None)
    for space, address in ((net.neighbour, NODE_IP), (net.node, "127.0.0.1")):
        with pytest.raises(ConnectionRefusedError):
            await space.ask(address, 30080)
    assert (await net.node.ask("10.96.1.1", 80))[0] == "A8080"
    await change(net, "typed", type="ExternalName", externalName="example.org", clusterIP=None, clusterIPs=None)
    with pytest.raises(TimeoutError):
        await net.node.ask("10.96.1.1", 80, timeout=MOMENT)
    await change(net, "typed", type="ClusterIP", externalName=None, clusterIP="10.96.1.9", clusterIPs=["10.96.1.9"])
    assert (await net.node.ask("10.96.1.9", 80))[0] == "A8080", "its endpoints were there all the time"


async def test_a_service_changes_its_ports(net: Net) -> None:
    await net.service("ported", "10.96.1.2", 80)
    await net.endpoints("ported", 8080, A)
    await change(net, "ported", ports=[{"port": 81, "protocol": "TCP", "targetPort": 8080}])
    assert (await net.node.ask("10.96.1.2", 81))[0] == "A8080"
    with pytest.raises(ConnectionRefusedError):
        await net.node.ask("10.96.1.2", 80)
    named: list[Object] = [
        {"name": "one", "port": 81, "protocol": "TCP"},
        {"name": "two", "port": 82, "protocol": "TCP"},
    ]
    await change(net, "ported", ports=named)
    with pytest.raises(ConnectionRefusedError):
        await net.node.ask("10.96.1.2", 81)
    ports = [{"name": name, "port": port, "protocol": "TCP"} for name, port in (("one", 8080), ("two", 8081))]
    await net.slice("ported", "ported-named", ports, B)
    assert (await net.node.ask("10.96.1.2", 81))[0] == "B8080"
    assert (await net.node.ask("10.96.1.2", 82))[0] == "B8081"


async def test_clients_stay_from_when_the_service_says_so_and_no_longer(net: Net) -> None:
    await net.service("held", "10.96.1.3", 80)
    await net.endpoints("held", 8080, A, B)

    async def answers() -> set[str]:
        return {(await net.node.ask("10.96.1.3", 80))[0] for _ in range(30)}

    assert len(await answers()) == 2
    config = {"clientIP": {"timeoutSeconds": 7}}
    await change(net, "held", sessionAffinity="ClientIP", sessionAffinityConfig=config)
    assert len(await answers()) == 1
    await change(net, "held", sessionAffinity="None", sessionAffinityConfig=None)
    assert len(await answers()) == 2


async def test_a_client_is_forgotten_when_its_time_is_over(net: Net) -> None:
    config = {"clientIP": {"timeoutSeconds": 1}}
    await net.service("short", "10.96.1.4", 80, sessionAffinity="ClientIP", sessionAffinityConfig=config)
    await net.endpoints("short", 8080, A, B)

    def forgotten() -> bool:
        command = ["nft", "list", "map", "ip", "pinnace", "clients"]
        return "10.96.1.4" not in subprocess.run(command, check=True, text=True, capture_output=True).stdout

    seen = {(await net.node.ask("10.96.1.4", 80))[0]}
    assert not forgotten()
    for _ in range(12):
        await eventually(forgotten)
        seen.add((await net.node.ask("10.96.1.4", 80))[0])
        if len(seen) == 2:
            break
    assert seen == {"A8080", "B8080"}


async def test_an_address_passes_from_one_service_to_the_next(net: Net) -> None:
    """Deleted and made again, under another name too, with a client of UDP that goes on sending."""
    with net.pods[1].inside():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def asked() -> str:
        try:
            return (await ask_on(client, "10.96.1.5", 53, keep=True, timeout=MOMENT))[0]
        except (TimeoutError, ConnectionRefusedError):
            return ""

    try:
        for name, address, expected in (("first", A, "A8080"), ("first", B, "B8080"), ("second", A, "A8080")):
            await net.service(name, "10.96.1.5", 53, protocol="UDP")
            await net.endpoints(name, 8080, address, protocol="UDP")
            answers = [await asked() for _ in range(3)]
            assert answers[-1] == expected
            for gvr in (SERVICES, ENDPOINT_SLICES):
                await net.client.delete(gvr, name, "default")
                await net.settled(gvr, name, None)
    finally:
        client.close()


async def test_a_change_that_failed_half_way_reaches_the_kernel(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = net.network._proxy
    assert proxy is not None
    update, failures = proxy._health.update, [OSError("no more sockets")]

    async def fail_once(changed: Any) -> None:
        if failures:
            raise failures.pop()
        await update(changed)

    await net.service("half-way", "10.96.1.8", 80)
    monkeypatch.setattr(proxy._health, "update", fail_once)
    await net.endpoints("half-way", 8080, A)
    assert (await net.node.ask("10.96.1.8", 80))[0] == "A8080" and not failures


async def test_one_number_for_two_protocols(net: Net) -> None:
    both: list[Object] = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    body: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "both", "namespace": "default"},
        "spec": {"ports": both, "clusterIP": "10.96.1.6", "clusterIPs": ["10.96.1.6"]},
    }
    await net.client.create(SERVICES, body)
    slices = [{"name": "dns", "port": 8080, "protocol": "UDP"}, {"name": "dns-tcp", "port": 8081, "protocol": "TCP"}]
    await net.slice("both", "both-x", slices, A)
    assert (await net.pods[1].ask("10.96.1.6", 53, udp=True))[0] == "A8080"
    assert (await net.pods[1].ask("10.96.1.6", 53))[0] == "A8081"
    twice = {
        **body,
        "metadata": {"name": "twice", "namespace": "default"},
        "spec": {"ports": [both[0], {**both[1], "name": "dns"}]},
    }
    with pytest.raises(ApiError, match=re.escape('spec.ports[1].name: Duplicate value: "dns"')):
        await net.client.create(SERVICES, twice)


# -- SCTP, as packets: this needs nothing of it in the kernel but what translates addresses


def crc32c(data: bytes) -> int:
    """RFC 9260, appendix A."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sctp(source: int, target: int, tag: int, chunk: int, own: int) -> bytes:
    """A packet with one INIT (1) or INIT ACK (2)."""
    body = struct.pack("!BBHIIHHI", chunk, 0, 20, own, 65536, 1, 1, 1)
    whole = struct.pack("!HHII", source, target, tag, 0) + body
    return whole[:8] + struct.pack("<I", crc32c(whole)) + whole[12:]


@contextmanager
def raw(space: Space) -> Iterator[socket.socket]:
    with space.inside():
        opened = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
    opened.setblocking(False)
    try:
        yield opened
    finally:
        opened.close()


async def received(on: socket.socket) -> tuple[str, str, bytes]:
    """Source, target and payload of the next packet, whose checksum is right."""
    async with asyncio.timeout(5.0):
        data = await asyncio.get_running_loop().sock_recv(on, 2048)
    packet = data[(data[0] & 0xF) * 4 :]
    (checksum,) = struct.unpack("<I", packet[8:12])
    assert checksum == crc32c(packet[:8] + bytes(4) + packet[12:])
    return socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20]), packet


async def test_sctp_reaches_an_endpoint_and_its_answer_comes_back(net: Net) -> None:
    await net.service("sctp", "10.96.1.7", 9000, protocol="SCTP")
    await net.endpoints("sctp", 8080, A, protocol="SCTP")
    with raw(net.pods[1]) as client, raw(net.pods[0]) as server:
        client.sendto(sctp(40000, 9000, 0, 1, own=7), ("10.96.1.7", 0))
        source, target, packet = await received(server)
        assert (source, target, struct.unpack("!HH", packet[:4])) == (B, A, (40000, 8080))
        server.sendto(sctp(8080, 40000, 7, 2, own=9), (B, 0))
        source, target, packet = await received(client)
        assert (source, target, struct.unpack("!HH", packet[:4])) == ("10.96.1.7", B, (9000, 40000))
