"""Cluster IPs and node ports: chosen, named, kept, given back."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest

from pinnace.api.errors import ApiError
from pinnace.api.types import Object
from pinnace.apiserver.allocation.pool import FullError, Pool, TakenError
from pinnace.apiserver.allocation.services import ServiceAllocator
from pinnace.apiserver.resources import codec
from pinnace.core.clock import VirtualClock
from pinnace.store.backends.memory import open_memory
from pinnace.store.protocol import Delete, Put, Store, Txn


class Api:
    """Creates and updates as the pipeline does: reserve, then commit or undo."""

    def __init__(self, store: Store, **options: Any) -> None:
        self.store = store
        self.allocator = ServiceAllocator(**options)
        self.allocator.follow(store)

    def admit(
        self, name: str, old: Object | None = None, *, dry_run: bool = False, **spec: Any
    ) -> tuple[Object, list[Callable[[], None]]]:
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("selector", {"app": "x"})
        new: Object = {
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "d"},
            "spec": spec,
        }
        undo: list[Callable[[], None]] = []
        try:
            self.allocator.allocate(new, old, undo, dry_run=dry_run)
        except ApiError:
            for give_back in undo:
                give_back()
            raise
        return new, undo

    async def write(self, name: str, old: Object | None = None, **spec: Any) -> Object:
        new, _ = self.admit(name, old, **spec)
        await self.store.commit(Txn((), (Put(f"/registry/services/d/{name}", codec.encode(new)),)))
        return new

    async def delete(self, name: str) -> None:
        await self.store.commit(Txn((), (Delete(f"/registry/services/d/{name}"),)))


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    store = open_memory(stamp=codec.stamp, clock=VirtualClock())
    yield Api(store)
    await store.close()


def port(number: int = 80, node_port: int = 0, protocol: str = "TCP") -> Object:
    made: Object = {"port": number, "protocol": protocol}
    if node_port:
        made["nodePort"] = node_port
    return made


async def test_a_cluster_ip_from_the_upper_band(api: Api) -> None:
    spec = (await api.write("a"))["spec"]
    assert (
        ipaddress.ip_address("10.96.1.1")
        <= ipaddress.ip_address(spec["clusterIP"])
        <= ipaddress.ip_address("10.96.255.254")
    )
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")


async def test_a_named_ip_once(api: Api) -> None:
    await api.write("a", clusterIP="10.96.0.10")
    with pytest.raises(ApiError) as caught:
        await api.write("b", clusterIP="10.96.0.10")
    assert caught.value.code == 422
    assert caught.value.message == (
        'Service "b" is invalid: spec.clusterIPs: Invalid value: []string{"10.96.0.10"}: failed to allocate IP '
        "10.96.0.10: provided IP is already allocated"
    )
    with pytest.raises(ApiError, match=r"is not in the valid range\. The range of valid IPs is 10\.96\.0\.0/16"):
        await api.write("b", clusterIP="192.0.2.1")
    await api.delete("a")
    assert (await api.write("b", clusterIP="10.96.0.10"))["spec"]["clusterIPs"] == ["10.96.0.10"]


async def test_a_named_node_port_once(api: Api) -> None:
    await api.write("a", type="NodePort", ports=[port(node_port=30000)])
    with pytest.raises(ApiError) as caught:
        await api.write("b", type="NodePort", ports=[port(node_port=30000)])
    assert caught.value.message == (
        'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated'
    )
    with pytest.raises(ApiError) as caught:
        await api.write("b", type="NodePort", ports=[port(), port(81, 40000)])
    assert caught.value.message == (
        'Service "b" is invalid: spec.ports[1].nodePort: Invalid value: 40000: provided port is not in the valid '
        "range. The range of valid ports is 30000-32767"
    )


async def test_node_ports_are_chosen_and_shared_by_protocols(api: Api) -> None:
    ports = (await api.write("a", type="NodePort", ports=[port(53), port(53, protocol="UDP"), port(80)]))["spec"][
        "ports"
    ]
    chosen = [entry["nodePort"] for entry in ports]
    assert chosen[0] == chosen[1] != chosen[2]
    assert all(30086 <= number <= 32767 for number in chosen)


async def test_what_was_not_committed_is_given_back(api: Api) -> None:
    _, undo = api.admit("a", clusterIP="10.96.0.10", type="NodePort", ports=[port(node_port=30001)])
    with pytest.raises(ApiError):
        api.admit("b", clusterIP="10.96.0.10")
    for give_back in undo:
        give_back()
    await api.write("b", clusterIP="10.96.0.10", type="NodePort", ports=[port(node_port=30001)])
    for give_back in undo:  # what is committed by now is not lost
        give_back()
    with pytest.raises(ApiError):
        api.admit("c", clusterIP="10.96.0.10")


async def test_a_dry_run_takes_nothing(api: Api) -> None:
    new, undo = api.admit("a", dry_run=True, clusterIP="10.96.0.10")
    assert (new["spec"]["clusterIPs"], undo) == (["10.96.0.10"], [])
    await api.write("b", clusterIP="10.96.0.10")


async def test_a_new_process_knows_what_is_held(api: Api) -> None:
    await api.write("a", clusterIP="10.96.0.10", type="NodePort", ports=[port(node_port=30001)])
    again = Api(api.store)
    with pytest.raises(ApiError):
        again.admit("b", clusterIP="10.96.0.10")
    with pytest.raises(ApiError):
        again.admit("b", type="NodePort", ports=[port(node_port=30001)])


async def test_headless_and_external_name_take_nothing(api: Api) -> None:
    spec = (await api.write("a", clusterIP="None"))["spec"]
    assert (spec["clusterIPs"], spec["ipFamilies"]) == (["None"], ["IPv4"])
    spec = (await api.write("s", clusterIP="None", selector={}))["spec"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")
    spec = (await api.write("e", type="ExternalName", externalName="example.com"))["spec"]
    assert "clusterIP" not in spec
    assert "ipFamilies" not in spec


async def test_updates_keep_what_they_leave_out(api: Api) -> None:
    old = await api.write("a", type="NodePort", ports=[port(80), port(81)])
    new = await api.write("a", old, type="NodePort", ports=[port(81), port(82)])
    assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
    assert new["spec"]["ports"][0]["nodePort"] == old["spec"]["ports"][1]["nodePort"]
    dropped = old["spec"]["ports"][0]["nodePort"]
    assert (await api.write("b", type="NodePort", ports=[port(node_port=dropped)]))["spec"]["ports"][0][
        "nodePort"
    ] == dropped


async def test_changes_of_type(api: Api) -> None:
    old = await api.write("a", type="NodePort", ports=[port(80, 30005)])
    same = {"clusterIP": old["spec"]["clusterIP"], "clusterIPs": old["spec"]["clusterIPs"]}
    plain = await api.write("a", old, ports=[port(80, 30005)], **same)
    assert "nodePort" not in plain["spec"]["ports"][0]
    await api.write("b", type="NodePort", ports=[port(80, 30005)])
    name = await api.write("a", plain, type="ExternalName", externalName="x.example", **same)
    assert "clusterIP" not in name["spec"]
    await api.write("c", clusterIP=old["spec"]["clusterIP"])


async def test_a_load_balancer(api: Api) -> None:
    spec = (await api.write("a", type="LoadBalancer", externalTrafficPolicy="Local", ports=[port()]))["spec"]
    assert spec["healthCheckNodePort"]
    assert spec["ports"][0]["nodePort"]
    spec = (await api.write("b", type="LoadBalancer", allocateLoadBalancerNodePorts=False, ports=[port()]))["spec"]
    assert "nodePort" not in spec["ports"][0]


async def test_families_this_cluster_does_not_have(api: Api) -> None:
    with pytest.raises(ApiError, match="this cluster is not configured for dual-stack services"):
        api.admit("a", ipFamilyPolicy="RequireDualStack")
    with pytest.raises(
        ApiError, match=r"spec\.ipFamilies\[0\]: Invalid value: \"IPv6\": not configured on this cluster"
    ):
        api.admit("a", ipFamilies=["IPv6"])
    assert api.admit("a", ipFamilyPolicy="PreferDualStack")[0]["spec"]["ipFamilies"] == ["IPv4"]


async def test_a_full_range_says_so(api: Api) -> None:
    small = Api(api.store, cidr="10.97.0.0/29", node_ports=(30000, 30001))
    taken = {(await small.write(f"s{i}"))["spec"]["clusterIP"] for i in range(6)}
    assert taken == {f"10.97.0.{i}" for i in range(1, 7)}
    with pytest.raises(ApiError, match="failed to allocate a serviceIP: range is full"):
        small.admit("x")
    with pytest.raises(ApiError, match="failed to allocate a nodePort: range is full"):
        small.admit("x", clusterIP="None", type="NodePort", ports=[port(1), port(2), port(3)])


def test_the_pool_against_a_model() -> None:
    random = Random(7)
    pool = Pool(0, 19, lower=4, random=random)
    held: dict[str, set[int]] = {}
    reserved: list[tuple[int, str]] = []
    for _ in range(5000):
        owner = random.choice("abcde")
        others = {n for o, ns in held.items() if o != owner for n in ns} | {n for n, o in reserved if o != owner}
        action = random.randrange(4)
        if action == 0:
            number = random.randrange(20)
            if number in others:
                with pytest.raises(TakenError):
                    pool.reserve(number, owner)
            else:
                pool.reserve(number, owner)
                reserved.append((number, owner))
        elif action == 1:
            everything = others | held.get(owner, set()) | {n for n, _ in reserved}
            if len(everything) == 20:
                with pytest.raises(FullError):
                    pool.choose(owner)
            else:
                number = pool.choose(owner)
                assert number not in everything
                assert number >= 4 or everything >= set(range(4, 20))
                reserved.append((number, owner))
        elif action == 2 and reserved:
            number, owner = reserved.pop(random.randrange(len(reserved)))
            pool.release(number, owner)
        else:
            settled = {n for n, o in reserved if o == owner and random.random() < 0.7}
            reserved = [(n, o) for n, o in reserved if not (o == owner and n in settled)]
            held[owner] = settled
            pool.set_held(owner, settled)
