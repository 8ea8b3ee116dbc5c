"""The DNS server on loopback, with little behind it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest
import pytest_asyncio

from pinnace.api.types import Object
from pinnace.core.clock import RealClock
from pinnace.network.dns import server
from pinnace.network.dns.forward import Forwarder, Upstreams
from pinnace.network.dns.records import Zone
from pinnace.network.dns.server import DnsServer

Maker = Callable[..., Object]


class View:
    """One namespace, one Service."""

    serial = 7

    def __init__(self) -> None:
        self.held: Object | None = None
        self.of_it: list[Object] = []

    def namespace_exists(self, name: str) -> bool:
        return name == "shop"

    def service(self, namespace: str, name: str) -> Object | None:
        return self.held

    def slices(self, namespace: str, name: str) -> Iterable[Object]:
        return self.of_it

    def services_at(self, address: str) -> Iterable[Object]:
        return ()

    def slices_with(self, address: str) -> Iterable[Object]:
        return ()


class Case:
    def __init__(self, directory: Path) -> None:
        clock = RealClock()
        self.view = View()
        forwarder = Forwarder(Upstreams(directory / "resolv.conf", ()), clock)
        self.server = DnsServer(self.view, Zone("cluster.local", "10.96.0.10"), forwarder, clock)

    async def ask(self, name: str, type: str = "A") -> dns.message.Message:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(client, ("127.0.0.1", self.server.port))
            await loop.sock_sendall(client, dns.message.make_query(name, type).to_wire())
            async with asyncio.timeout(5.0):
                return dns.message.from_wire(await loop.sock_recv(client, 4096))
        finally:
            client.close()


@pytest_asyncio.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    made = Case(tmp_path)
    await made.server.start("127.0.0.1", 0)
    yield made
    await made.server.stop()
    await made.server.stop()


async def test_an_object_that_cannot_be_answered_for_hurts_nobody_else(
    case: Case, service: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    case.view.held = service(cluster_ip="not an address")
    assert (await case.ask("web.shop.svc.cluster.local")).rcode() == dns.rcode.SERVFAIL
    case.view.held = service()
    assert (await case.ask("web.shop.svc.cluster.local")).answer[0][0].to_text() == "10.96.0.20"


async def test_everybody_is_told_of_some_of_very_many(case: Case, service: Maker, slice: Maker) -> None:
    case.view.held = service(cluster_ip="None", ports=[])
    case.view.of_it = [slice(*(f"10.244.{s}.{n}" for n in range(100)), ports=[]) for s in range(100)]
    name = "web.shop.svc.cluster.local"
    first, second = [await case.ask(name) for _ in range(2)]
    assert all(answer.flags & dns.flags.TC and len(answer.answer[0]) == 29 for answer in (first, second))
    assert set(first.answer[0]) != set(second.answer[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", case.server.port)
    writer.write(dns.message.make_query(name, "A").to_wire(prepend_length=True))
    whole = dns.message.from_wire(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
    writer.close()
    assert whole.flags & dns.flags.TC and len(whole.answer[0]) > 4000, "as many as a message of TCP holds"


async def test_without_name_servers_other_names_fail_at_once(case: Case) -> None:
    assert (await case.ask("www.example.org")).rcode() == dns.rcode.SERVFAIL


async def test_a_taken_port_is_no_obstacle(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "OTHER_PORT", 0)
    second = Case(tmp_path)
    await second.server.start("127.0.0.1", case.server.port)
    try:
        assert second.server.port not in (0, case.server.port)
    finally:
        await second.server.stop()
