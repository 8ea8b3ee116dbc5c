"""Addresses for Services of type LoadBalancer."""

from __future__ import annotations

from typing import Any

from tests.unit.controllers.conftest import Cluster

from pinnace.api import meta
from pinnace.api.resources import SERVICES
from pinnace.api.types import Object
from pinnace.controllers.loadbalancer import FINALIZER


def service(name: str, **spec: Any) -> Object:
    body = {"type": "LoadBalancer", "ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


async def addresses(cluster: Cluster, name: str) -> list[Object]:
    return list((await cluster.get(SERVICES, name))["status"]["loadBalancer"].get("ingress") or ())


async def reasons(cluster: Cluster, name: str) -> list[str]:
    return [reason for reason, _ in await cluster.events(name)]


async def test_each_service_gets_an_address_and_gives_it_back(cluster: Cluster) -> None:
    for name in "abc":
        await cluster.create(SERVICES, service(name))
        await cluster.settle()
    assert await addresses(cluster, "a") == [{"ip": "10.98.0.1", "ipMode": "VIP"}]
    assert await addresses(cluster, "b") == [{"ip": "10.98.0.2", "ipMode": "VIP"}]
    assert FINALIZER in meta.finalizers(await cluster.get(SERVICES, "a"))
    assert await cluster.events("a") == [
        ("EnsuringLoadBalancer", "Ensuring load balancer"),
        ("EnsuredLoadBalancer", "Ensured load balancer"),
    ]
    await cluster.client.delete(SERVICES, "a", "default")
    await cluster.settle()
    assert await cluster.maybe(SERVICES, "a") is None
    assert (await reasons(cluster, "a"))[2:] == ["DeletingLoadBalancer", "DeletedLoadBalancer"]

    await cluster.create(SERVICES, service("d"))
    await cluster.settle()
    assert (await addresses(cluster, "d"))[0]["ip"] == "10.98.0.1"


async def test_another_type_gives_the_address_back(cluster: Cluster) -> None:
    await cluster.create(SERVICES, service("a"))
    await cluster.settle()
    unused = {"allocateLoadBalancerNodePorts": None, "externalTrafficPolicy": None}
    await cluster.patch(SERVICES, "a", {"spec": {"type": "ClusterIP", **unused}})
    await cluster.settle()
    held = await cluster.get(SERVICES, "a")
    assert held["status"] == {"loadBalancer": {}}
    assert meta.finalizers(held) == []
    await cluster.patch(SERVICES, "a", {"spec": {"type": "LoadBalancer"}})
    await cluster.settle()
    assert (await addresses(cluster, "a"))[0]["ip"] == "10.98.0.1"


async def test_a_wanted_address(cluster: Cluster) -> None:
    await cluster.create(SERVICES, service("a", loadBalancerIP="10.98.0.7"))
    await cluster.settle()
    await cluster.create(SERVICES, service("late", loadBalancerIP="10.98.0.7"))
    await cluster.create(SERVICES, service("outside", loadBalancerIP="192.0.2.1"))
    await cluster.settle()
    assert (await addresses(cluster, "a"))[0]["ip"] == "10.98.0.7"
    assert await addresses(cluster, "late") == await addresses(cluster, "outside") == []
    why = "Error syncing load balancer: failed to ensure load balancer: "
    assert await cluster.events("late") == [
        ("SyncLoadBalancerFailed", why + "10.98.0.7 is the address of Service default/a")
    ]
    assert await cluster.events("outside") == [
        ("SyncLoadBalancerFailed", why + "192.0.2.1 is not in the cluster's pool 10.98.0.0/28")
    ]
    await cluster.patch(SERVICES, "a", {"spec": {"loadBalancerIP": "10.98.0.9"}})
    await cluster.settle()
    assert (await addresses(cluster, "a"))[0]["ip"] == "10.98.0.9"
    assert ("LoadbalancerIP", "10.98.0.7 -> 10.98.0.9") in await cluster.events("a")
    assert (await addresses(cluster, "late"))[0]["ip"] == "10.98.0.7"


async def test_when_none_is_free_the_next_release_serves_the_one_that_waits(cluster: Cluster) -> None:
    for number in range(15):
        await cluster.create(SERVICES, service(f"s{number}"))
    await cluster.settle()
    (waits,) = [n for n in range(15) if not await addresses(cluster, f"s{n}")]
    (event,) = await cluster.events(f"s{waits}")
    assert event[1].endswith("no address of the pool 10.98.0.0/28 is free")
    other = f"s{(waits + 1) % 15}"
    freed = (await addresses(cluster, other))[0]["ip"]
    await cluster.client.delete(SERVICES, other, "default")
    await cluster.settle()
    assert (await addresses(cluster, f"s{waits}"))[0]["ip"] == freed


async def test_whose_class_is_anothers_is_left_alone(cluster: Cluster) -> None:
    await cluster.create(SERVICES, service("a", loadBalancerClass="example.com/theirs"))
    await cluster.settle()
    assert await addresses(cluster, "a") == []
    assert await cluster.events("a") == []
    assert meta.finalizers(await cluster.get(SERVICES, "a")) == []


async def test_addresses_outlive_the_controllers(cluster: Cluster) -> None:
    for name in "ab":
        await cluster.create(SERVICES, service(name))
        await cluster.settle()
    await cluster.stop_controllers()
    await cluster.client.delete(SERVICES, "a", "default")
    await cluster.create(SERVICES, service("c"))
    await cluster.start_controllers()
    await cluster.settle()
    assert (await addresses(cluster, "b"))[0]["ip"] == "10.98.0.2"
    assert (await addresses(cluster, "c"))[0]["ip"] in ("10.98.0.1", "10.98.0.3")
    assert await cluster.maybe(SERVICES, "a") is None
    assert (await reasons(cluster, "b")).count("EnsuredLoadBalancer") == 1


async def test_what_others_write_into_the_status_stays(cluster: Cluster) -> None:
    await cluster.create(SERVICES, service("a"))
    await cluster.settle()
    theirs = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7", "ipMode": "VIP"}]}}}
    await cluster.patch(SERVICES, "a", theirs, subresource="status")
    await cluster.settle()
    assert (await addresses(cluster, "a"))[0]["ip"] == "203.0.113.7"
    await cluster.patch(SERVICES, "a", {"status": {"loadBalancer": None}}, subresource="status")
    await cluster.settle()
    assert (await addresses(cluster, "a"))[0]["ip"] == "10.98.0.1"
