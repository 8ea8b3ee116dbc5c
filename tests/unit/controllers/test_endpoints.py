"""EndpointSlices and Endpoints of Services."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pinnace.api import meta
from pinnace.api.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from pinnace.api.types import Object
from pinnace.controllers import slices

Cluster = Any


def service(name: str = "web", **spec: Any) -> Object:
    port = {"name": "http", "port": 80, "targetPort": "web"}
    base = {"selector": {"app": "web"}, "ports": [port], "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {**base, **spec}}


async def pod(cluster: Cluster, name: str, ip: str, *, port: int = 8080, ready: bool = True, **spec: Any) -> Object:
    container = {"name": "main", "image": "x", "ports": [{"name": "web", "containerPort": port}]}
    metadata = {"name": name, "labels": {"app": "web"}}
    wanted = {"nodeName": "n1", "containers": [container], **spec}
    made: Object = await cluster.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": wanted})
    await cluster.set_status(made, phase="Running", podIP=ip, podIPs=[{"ip": ip}], ready=str(ready))
    return made


async def the_slice(cluster: Cluster) -> Object:
    (only,) = await cluster.list(ENDPOINT_SLICES, selector="kubernetes.io/service-name=web")
    found: Object = only
    return found


async def test_a_service_and_its_pods(cluster: Cluster) -> None:
    await cluster.add_node("n1", labels={"topology.kubernetes.io/zone": "z1"})
    owner = await cluster.create(SERVICES, service())
    await cluster.settle()
    empty = await the_slice(cluster)
    assert not empty.get("endpoints")
    made = await pod(cluster, "a", "10.244.0.5")
    await pod(cluster, "b", "10.244.0.6", ready=False)
    await cluster.settle()
    found = await the_slice(cluster)
    assert meta.name(found).startswith("web-")
    assert found["addressType"] == "IPv4"
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert meta.labels(found) == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert meta.controller_of(found) == meta.owner_reference(owner)
    assert "endpoints.kubernetes.io/last-change-trigger-time" in meta.annotations(found)
    first, second = sorted(found["endpoints"], key=lambda entry: entry["addresses"])
    assert first == {
        "addresses": ["10.244.0.5"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": meta.uid(made)},
        "nodeName": "n1",
        "zone": "z1",
    }
    assert second["conditions"] == {"ready": False, "serving": False, "terminating": False}
    legacy = await cluster.get(ENDPOINTS, "web")
    (subset,) = legacy["subsets"]
    assert [address["ip"] for address in subset["addresses"]] == ["10.244.0.5"]
    assert [address["ip"] for address in subset["notReadyAddresses"]] == ["10.244.0.6"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


async def test_a_pod_that_ends_is_serving_but_not_ready_until_it_is_gone(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.create(SERVICES, service())
    await pod(cluster, "a", "10.244.0.5")
    await cluster.settle()
    await cluster.client.delete(PODS, "a", "default")
    await cluster.settle()
    (entry,) = (await the_slice(cluster))["endpoints"]
    assert entry["conditions"] == {"ready": False, "serving": True, "terminating": True}
    assert not (await cluster.get(ENDPOINTS, "web")).get("subsets")
    await cluster.client.delete(PODS, "a", "default", grace_period_seconds=0)
    await cluster.settle()
    assert not (await the_slice(cluster)).get("endpoints")


async def test_ports_named_differently_make_slices_of_their_own(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.create(SERVICES, service())
    await pod(cluster, "a", "10.244.0.5", port=8080)
    await pod(cluster, "b", "10.244.0.6", port=9090)
    await cluster.settle()
    found = await cluster.list(ENDPOINT_SLICES, selector="kubernetes.io/service-name=web")
    assert sorted(one["ports"][0]["port"] for one in found) == [8080, 9090]
    assert [len(one["endpoints"]) for one in found] == [1, 1]


async def test_headless_with_host_names_and_not_ready_addresses(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    headless = service(clusterIP="None", clusterIPs=["None"], publishNotReadyAddresses=True)
    await cluster.create(SERVICES, headless)
    await pod(cluster, "a", "10.244.0.5", ready=False, hostname="db-0", subdomain="web")
    await cluster.settle()
    found = await the_slice(cluster)
    assert meta.labels(found)["service.kubernetes.io/headless"] == ""
    (entry,) = found["endpoints"]
    assert entry["hostname"] == "db-0"
    assert entry["conditions"] == {"ready": True, "serving": False, "terminating": False}
    legacy = await cluster.get(ENDPOINTS, "web")
    assert legacy["subsets"][0]["addresses"][0]["hostname"] == "db-0"


async def test_services_without_selector_or_with_an_external_name_are_left_alone(cluster: Cluster) -> None:
    await cluster.create(SERVICES, service("manual", selector=None))
    await cluster.create(
        SERVICES, service("away", type="ExternalName", externalName="example.com", clusterIP=None, clusterIPs=None)
    )
    await cluster.settle()
    assert await cluster.list(ENDPOINT_SLICES) == []
    assert await cluster.list(ENDPOINTS) == []


async def test_endpoints_kept_by_hand_are_mirrored(cluster: Cluster) -> None:
    await cluster.create(SERVICES, service("manual", selector=None))
    subset = {"addresses": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}], "ports": [{"name": "http", "port": 80}]}
    by_hand = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "manual"}, "subsets": [subset]}
    await cluster.create(ENDPOINTS, by_hand)
    await cluster.settle()
    (found,) = await cluster.list(ENDPOINT_SLICES)
    assert meta.labels(found)["endpointslice.kubernetes.io/managed-by"] == ("endpointslicemirroring-controller.k8s.io")
    assert [entry["addresses"] for entry in found["endpoints"]] == [["192.0.2.1"], ["192.0.2.2"]]
    await cluster.patch(ENDPOINTS, "manual", {"subsets": [{**subset, "addresses": [{"ip": "192.0.2.3"}]}]})
    await cluster.settle()
    (found,) = await cluster.list(ENDPOINT_SLICES)
    assert [entry["addresses"] for entry in found["endpoints"]] == [["192.0.2.3"]]
    await cluster.client.delete(ENDPOINTS, "manual", "default")
    await cluster.settle(5)
    assert await cluster.list(ENDPOINT_SLICES) == []


async def test_a_deleted_service_takes_its_slices_and_endpoints_along(cluster: Cluster) -> None:
    await cluster.create(SERVICES, service())
    await cluster.settle()
    await cluster.client.delete(SERVICES, "web", "default")
    await cluster.settle(5)
    assert await cluster.list(ENDPOINT_SLICES) == []
    assert await cluster.list(ENDPOINTS) == []


async def test_more_pods_than_one_slice_holds(cluster: Cluster) -> None:
    await cluster.add_node("n1")
    await cluster.create(SERVICES, service())
    for number in range(120):
        await pod(cluster, f"p{number}", f"10.244.1.{number}")
    await cluster.settle()
    found = await cluster.list(ENDPOINT_SLICES, selector="kubernetes.io/service-name=web")
    assert all(len(one["endpoints"]) <= 100 for one in found)
    assert sum(len(one["endpoints"]) for one in found) == 120


# -- the plan


def entries(numbers: set[int]) -> list[Object]:
    return [{"addresses": [f"10.0.0.{n}"], "targetRef": {"uid": str(n)}} for n in sorted(numbers)]


PORTS = [[{"name": "a", "port": 1, "protocol": "TCP"}], [{"name": "a", "port": 2, "protocol": "TCP"}]]
WANTED = st.lists(st.sets(st.integers(0, 40)), min_size=2, max_size=2)


@given(st.lists(WANTED, min_size=1, max_size=6))
def test_any_sequence_of_plans_ends_where_it_should(rounds: list[list[set[int]]]) -> None:
    """Every endpoint is in one slice of its ports, no slice is over-full, one slice is left where there are none."""
    held: dict[str, Object] = {}
    limit = 5
    for wanted in rounds:
        groups = [slices.Group(ports, entries(ns)) for ports, ns in zip(PORTS, wanted, strict=True) if ns]
        plan = slices.plan(groups, list(held.values()), {"l": "1"}, limit)
        before = len(held)
        for gone in plan.delete:
            del held[meta.name(gone)]
        for changed in plan.update:
            held[meta.name(changed)] = changed
        for group in plan.create:
            metadata = {"name": meta.random_suffix(12), "labels": {"l": "1"}}
            made: Object = {"metadata": metadata, "ports": group.ports, "endpoints": group.endpoints}
            held[meta.name(made)] = made
        assert not (plan.create and plan.delete)
        for ports, numbers in zip(PORTS, wanted, strict=True):
            found = [
                entry["addresses"][0] for one in held.values() if one["ports"] == ports for entry in one["endpoints"]
            ]
            assert sorted(found) == sorted(entry["addresses"][0] for entry in entries(numbers))
        assert all(len(one["endpoints"]) <= limit for one in held.values())
        assert held
        again = slices.plan(groups, list(held.values()), {"l": "1"}, limit)
        assert (again.create, again.update, again.delete) == ([], [], []), before
