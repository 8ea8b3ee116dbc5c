"""The Service kube-system/kube-dns."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from pinnace.api import builtin, meta
from pinnace.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from pinnace.apiserver.server import LOOPBACK, ApiServer, stamp
from pinnace.client.client import Client
from pinnace.core.clock import RealClock
from pinnace.network.dns import service
from pinnace.store.open import open_store


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    store = await open_store("memory://", stamp=stamp, clock=RealClock())
    server = ApiServer(store, builtin.registry(), RealClock(), tls=None, listen=())
    client = Client(server.transport(LOOPBACK))
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}})
    yield client
    await server.stop()
    await store.close()


async def publish(client: Client, port: int = 53) -> None:
    await service.publish(client, cluster_ip="10.96.0.10", address="10.97.0.1", port=port)


async def test_published_again_it_follows_the_server(client: Client) -> None:
    await publish(client)
    before = meta.resource_version(await client.get(ENDPOINT_SLICES, "kube-dns", "kube-system"))
    await publish(client)
    assert meta.resource_version(await client.get(ENDPOINT_SLICES, "kube-dns", "kube-system")) == before
    await publish(client, port=10053)
    slice = await client.get(ENDPOINT_SLICES, "kube-dns", "kube-system")
    assert [port["port"] for port in slice["ports"]] == [10053, 10053]
    assert slice["endpoints"][0]["addresses"] == ["10.97.0.1"]


async def test_someones_own_dns_is_left_alone(client: Client) -> None:
    theirs = service.service("10.96.0.10")
    theirs["spec"]["selector"] = {"k8s-app": "kube-dns"}
    await client.create(SERVICES, theirs)
    await publish(client)
    assert (await client.list(ENDPOINT_SLICES, "kube-system"))["items"] == []
