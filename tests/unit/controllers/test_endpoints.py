"""EndpointSlices and Endpoints of Services."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnace.api import meta
from pinnace.api.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from pinnace.api.types import Object
from pinnace.controllers import selected, slices
from pinnace.controllers.addresses import Addresses

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


async def test_a_large_service_is_followed_change_by_change(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes to pass with Pods, and with slices behind the controller's back, it ends as if written anew."""
    monkeypatch.setattr(selected, "LARGE", 3)
    chance = random.Random(3)
    await cluster.add_node("n1", labels={"topology.kubernetes.io/zone": "z1"})
    await cluster.create(SERVICES, service())
    await cluster.create(SERVICES, service("small", selector={"app": "web", "only": "one"}))
    there: dict[str, bool] = {}

    async def step() -> None:
        name = f"p{chance.randrange(14)}"
        action = chance.random()
        if name not in there:
            there[name] = chance.random() < 0.7
            await pod(cluster, name, f"10.244.1.{name[1:]}", port=chance.choice([8080, 9090]), ready=there[name])
        elif action < 0.3:
            del there[name]
            await cluster.client.delete(PODS, name, "default", grace_period_seconds=0)
        elif action < 0.8:
            there[name] = not there[name]
            await cluster.set_status(await cluster.get(PODS, name), ready=str(there[name]))
        else:
            held = chance.choice(await cluster.list(ENDPOINT_SLICES, selector="kubernetes.io/service-name=web"))
            if action < 0.9:
                await cluster.client.delete(ENDPOINT_SLICES, meta.name(held), "default")
            else:
                strange = {"addresses": ["192.0.2.7"], "conditions": {"ready": True}}
                patch = {"endpoints": [strange, *(held.get("endpoints") or [])[1:]]}
                await cluster.patch(ENDPOINT_SLICES, meta.name(held), patch)

    for _ in range(30):
        for _ in range(chance.randrange(1, 6)):
            await step()
        await cluster.settle()
        found = await cluster.list(ENDPOINT_SLICES, selector="kubernetes.io/service-name=web")
        entries = [entry for one in found for entry in one.get("endpoints") or ()]
        assert {e["targetRef"]["name"]: e["conditions"]["ready"] for e in entries} == there
        assert len(entries) == len(there) and all(entry["zone"] == "z1" for entry in entries)
        for one in found:
            for entry in one.get("endpoints") or ():
                of = await cluster.get(PODS, entry["targetRef"]["name"])
                assert one["ports"][0]["port"] == of["spec"]["containers"][0]["ports"][0]["containerPort"]
                assert entry["targetRef"]["uid"] == meta.uid(of)
        legacy = (await cluster.get(ENDPOINTS, "web")).get("subsets") or []
        shown = {
            a["targetRef"]["name"]: kind == "addresses"
            for s in legacy
            for kind in s
            if kind != "ports"
            for a in s[kind]
        }
        assert shown == there


async def test_a_pods_change_does_not_look_at_the_others(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selected, "LARGE", 20)
    await cluster.add_node("n1")
    await cluster.create(SERVICES, service())
    made = [await pod(cluster, f"p{number}", f"10.244.1.{number}") for number in range(150)]
    await cluster.settle()
    looked: list[str] = []
    original = slices.ports_of

    def ports_of(of: Object, one: Object) -> list[Object]:
        looked.append(meta.name(one))
        return original(of, one)

    monkeypatch.setattr(slices, "ports_of", ports_of)
    await cluster.set_status(await cluster.get(PODS, "p7"), ready="False")
    await cluster.settle()
    assert "p7" in looked and len(set(looked)) <= 100, "its own slice at most, once that has been written"
    found = await cluster.list(ENDPOINT_SLICES, selector="kubernetes.io/service-name=web")
    assert len(found) == 2
    unready = [e["targetRef"]["name"] for one in found for e in one["endpoints"] if not e["conditions"]["ready"]]
    assert unready == ["p7"] and len(made) == sum(len(one["endpoints"]) for one in found)

    await pod(cluster, "another", "10.244.2.1")
    strange = {"addresses": ["192.0.2.7"], "conditions": {"ready": True}}
    await cluster.patch(ENDPOINT_SLICES, meta.name(found[0]), {"endpoints": [strange, *found[0]["endpoints"]]})
    await cluster.settle()
    found = await cluster.list(ENDPOINT_SLICES, selector="kubernetes.io/service-name=web")
    assert sorted(len(one["endpoints"]) for one in found) == [51, 100], "it goes where there is room"
    assert "192.0.2.7" not in str(found), "what someone wrote into a slice is taken out again"


# -- Endpoints, pure


def running(number: int, port: int = 8080, *, ready: bool = True) -> Object:
    return {
        "metadata": {"name": f"p{number}", "namespace": "default", "uid": str(number)},
        "spec": {"containers": [{"ports": [{"name": "web", "containerPort": port}]}]},
        "status": {
            "phase": "Running",
            "podIP": f"10.0.{number // 250}.{1 + number % 250}",
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def counts(pods: list[Object]) -> tuple[list[tuple[int, int]], bool]:
    addresses = Addresses(service())
    for one in pods:
        addresses.put(meta.key(one), one)
    found, over = addresses.subsets()
    return [(len(s.get("addresses", ())), len(s.get("notReadyAddresses", ()))) for s in found], over


def test_endpoints_hold_a_thousand_addresses_at_most() -> None:
    assert counts([running(n) for n in range(1000)]) == ([(1000, 0)], False)
    assert counts([running(n) for n in range(1001)]) == ([(1000, 0)], True)
    assert counts([running(n, ready=n < 900) for n in range(1500)]) == ([(900, 100)], True), "the ready ones first"
    assert counts([running(n, ready=n < 1100) for n in range(1500)]) == ([(1000, 0)], True)
    assert counts([running(n, 8080 if n % 4 else 9090) for n in range(2000)]) == ([(750, 0), (250, 0)], True)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([8080, 9090, None]), st.booleans()), max_size=30))
def test_endpoints_after_changes_are_those_of_a_fresh_start(changes: list[tuple[int, int | None, bool]]) -> None:
    followed = Addresses(service())
    now: dict[str, Object] = {}
    for number, port, ready in changes:
        one = running(number, port or 0, ready=ready)
        now.pop(meta.key(one), None)
        if port:
            now[meta.key(one)] = one
        followed.put(meta.key(one), one if port else None)
    fresh = Addresses(service())
    for key, one in now.items():
        fresh.put(key, one)
    assert followed.subsets() == fresh.subsets() and len(followed) == len(now)


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


@given(st.lists(st.dictionaries(st.integers(0, 30), st.sampled_from([0, 1, None]), max_size=8), max_size=8))
def test_plans_of_what_changed_end_where_plans_of_the_whole_do(rounds: list[dict[int, int | None]]) -> None:
    held: dict[str, Object] = {"s": {"metadata": {"name": "s", "labels": {"l": "1"}}, "ports": [], "endpoints": []}}
    there: dict[int, int] = {}
    limit = 5
    for changes in rounds:
        groups = [slices.Group(ports, []) for ports in PORTS]
        for number, kind in changes.items():
            there.pop(number, None)
            if kind is not None:
                there[number] = kind
                reference = {"kind": "Pod", "namespace": "d", "name": str(number), "uid": str(number)}
                groups[kind].endpoints.append({"addresses": [f"10.0.0.{number}"], "targetRef": reference})
        keys = {f"d/{number}" for number in changes}
        affected = [one for one in held.values() if keys & {slices.pod_of(entry) for entry in one["endpoints"]}]
        others = [one for one in held.values() if one not in affected]
        plan = slices.plan_part([g for g in groups if g.endpoints], affected, others, keys, {"l": "1"}, limit)
        for gone in plan.delete:
            del held[meta.name(gone)]
        for changed in plan.update:
            held[meta.name(changed)] = changed
        for group in plan.create:
            metadata = {"name": meta.random_suffix(12), "labels": {"l": "1"}}
            made: Object = {"metadata": metadata, "ports": group.ports, "endpoints": group.endpoints}
            held[meta.name(made)] = made
        shown = [(PORTS.index(one["ports"]), entry) for one in held.values() for entry in one["endpoints"]]
        assert sorted((int(entry["targetRef"]["name"]), kind) for kind, entry in shown) == sorted(there.items())
        assert all(len(one["endpoints"]) <= limit for one in held.values()) and held
