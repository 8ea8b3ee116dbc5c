"""Cluster DNS through its Service address, asked by Pods; a name server on the LAN stands for the world outside."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import pytest_asyncio
from tests.networks import CLUSTER_DNS, NEIGHBOUR_IP, Net, Space, eventually, node_network

from pinnace.api import meta
from pinnace.api.resources import ENDPOINT_SLICES, SERVICES
from pinnace.api.types import GVR

pytestmark = pytest.mark.asyncio(loop_scope="module")


class World(asyncio.DatagramProtocol):
    """Knows www.example.org and nothing else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        response = dns.message.make_response(query)
        name = query.question[0].name
        if name.to_text().lower() == "www.example.org.":
            response.answer = [dns.rrset.from_text(name, 60, "IN", "A", "198.51.100.9")]
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), addr)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Net]:
    async with node_network(tmp_path_factory.mktemp("dns"), pods=1) as started:
        await started.servers.datagrams(started.neighbour, NEIGHBOUR_IP, 53, World)
        await started.service("web", "10.96.1.1", 80)
        await started.endpoints("web", 8080, "10.244.0.2")
        await started.service("many", "None", 80)
        await started.endpoints_unseen("many", 80, *(f"10.244.1.{n}" for n in range(1, 101)))
        await started.service("out", "", 80, type="ExternalName", externalName="www.example.org")
        yield started


async def ask(space: Space, name: str, type: str = "A", *, tcp: bool = False, **options: Any) -> dns.message.Message:
    query = dns.message.make_query(name, type, **options)
    with space.inside():
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(5.0):
            await loop.sock_connect(client, (CLUSTER_DNS, 53))
            data = query.to_wire()
            await loop.sock_sendall(client, struct.pack("!H", len(data)) + data if tcp else data)
            answer = b""
            while len(answer) < 2 or (tcp and len(answer) < 2 + struct.unpack("!H", answer[:2])[0]):
                answer += await loop.sock_recv(client, 65535)
    finally:
        client.close()
    response = dns.message.from_wire(answer[2:] if tcp else answer)
    assert query.is_response(response)
    return response


def addresses(response: dns.message.Message) -> list[str]:
    return [item.to_text() for rrset in response.answer for item in rrset]


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_service_by_its_name(net: Net, tcp: bool) -> None:
    response = await ask(net.pods[0], "web.default.svc.cluster.local", tcp=tcp)
    assert addresses(response) == ["10.96.1.1"]
    assert response.flags & dns.flags.AA


async def test_the_host_can_ask_too(net: Net) -> None:
    assert addresses(await ask(net.node, "web.default.svc.cluster.local")) == ["10.96.1.1"]


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_name_that_does_not_exist(net: Net, tcp: bool) -> None:
    response = await ask(net.pods[0], "nope.default.svc.cluster.local", tcp=tcp)
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert response.authority[0].name.to_text() == "cluster.local."


async def test_many_endpoints_need_tcp(net: Net) -> None:
    short = await ask(net.pods[0], "many.default.svc.cluster.local")
    assert short.flags & dns.flags.TC and addresses(short)
    whole = await ask(net.pods[0], "many.default.svc.cluster.local", tcp=True)
    assert len(addresses(whole)) == 100 and not whole.flags & dns.flags.TC
    again = await ask(net.pods[0], "many.default.svc.cluster.local", tcp=True)
    assert addresses(again) != addresses(whole), "in any order"


async def test_other_names_are_asked_outside(net: Net) -> None:
    assert addresses(await ask(net.pods[0], "www.example.org")) == ["198.51.100.9"]
    assert (await ask(net.pods[0], "nope.example.org")).rcode() == dns.rcode.NXDOMAIN


async def test_an_external_name_is_followed(net: Net) -> None:
    response = await ask(net.pods[0], "out.default.svc.cluster.local")
    assert addresses(response) == ["www.example.org.", "198.51.100.9"]


async def test_noise_does_no_harm(net: Net) -> None:
    with net.pods[0].inside():
        noisy = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    stream.setblocking(False)
    try:
        for size in (0, 1, 11, 12, 100, 8000):
            noisy.sendto(b"\xff" * size, (CLUSTER_DNS, 53))
        loop = asyncio.get_running_loop()
        await loop.sock_connect(stream, (CLUSTER_DNS, 53))
        await loop.sock_sendall(stream, b"\xff" * 10)
        async with asyncio.timeout(5.0):
            assert await loop.sock_recv(stream, 10) == b"", "closed: the question would be too long"
    finally:
        noisy.close()
        stream.close()
    assert addresses(await ask(net.pods[0], "web.default.svc.cluster.local")) == ["10.96.1.1"]


@pytest.mark.parametrize("gvr", [SERVICES, ENDPOINT_SLICES])
async def test_the_service_comes_back_when_it_is_deleted(net: Net, gvr: GVR) -> None:
    before = (await net.client.get(gvr, "kube-dns", "kube-system"))["metadata"]["uid"]
    await net.client.delete(gvr, "kube-dns", "kube-system")
    informer = net.network._informers.of(gvr)

    def is_back() -> bool:
        held = informer.get("kube-dns", "kube-system")
        return held is not None and held["metadata"]["uid"] != before

    await eventually(is_back)
    await net.settled(
        gvr, "kube-dns", meta.resource_version(informer.get("kube-dns", "kube-system") or {}), "kube-system"
    )
    assert addresses(await ask(net.pods[0], "web.default.svc.cluster.local")) == ["10.96.1.1"]


async def test_the_service_is_as_clients_know_it(net: Net) -> None:
    service = await net.client.get(SERVICES, "kube-dns", "kube-system")
    assert service["spec"]["clusterIP"] == CLUSTER_DNS
    assert service["metadata"]["labels"]["k8s-app"] == "kube-dns"
    assert [(port["name"], port["protocol"], port["port"]) for port in service["spec"]["ports"]] == [
        ("dns", "UDP", 53),
        ("dns-tcp", "TCP", 53),
    ]
    slice = await net.client.get(ENDPOINT_SLICES, "kube-dns", "kube-system")
    assert slice["endpoints"][0]["addresses"] == ["10.97.0.1"]
