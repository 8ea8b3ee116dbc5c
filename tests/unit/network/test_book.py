"""What the kernel holds after many changes, one after the other, is what a fresh start would give it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnace.api.types import Object
from pinnace.network.proxy import pools, slots
from pinnace.network.proxy.book import Book
from pinnace.network.proxy.fronts import Place
from pinnace.network.proxy.table import Change, Element

Maker = Callable[..., Object]
PLACE = Place("node", "192.0.2.1", "10.97.0.1")


class Kernel:
    """As the kernel does it: it refuses to remove what is not there, and to add what is."""

    def __init__(self) -> None:
        self.held: dict[Element, str] = {}

    def apply(self, change: Change) -> None:
        for element, value in change.remove.items():
            assert self.held.pop(element) == value
        for element, value in change.add.items():
            assert element not in self.held
            self.held[element] = value


class World:
    """Services, their slices and Pods at random, told to a book, whose changes reach the kernel in batches."""

    def __init__(self, seed: random.Random) -> None:
        self.random = seed
        self.services: dict[str, Object] = {}
        self.slices: dict[str, dict[str, Object]] = {}
        self.pods: dict[str, Object] = {}
        self.book, self.kernel, self.waiting = Book(PLACE), Kernel(), Change()

    def step(self) -> None:
        name = self.random.choice("abc")
        kind = self.random.random()
        if kind < 0.7:
            change = self._slice(name, f"{name}-{self.random.randrange(3)}")
        elif kind < 0.95:
            change = self._service(name)
        else:
            change = self._pod(f"shop/pod-{name}")
        self.waiting.extend(change)
        if self.random.random() < 0.5:
            self.flush()

    def flush(self) -> None:
        self.kernel.apply(self.waiting)
        self.waiting = Change()

    def _slice(self, owner: str, name: str) -> Change:
        held = self.slices.setdefault(owner, {})
        slice = None if self.random.random() < 0.1 else self._new_slice()
        if slice is None:
            held.pop(name, None)
        else:
            held[name] = slice
        return self.book.slices(owner, {name: slice})

    def _new_slice(self) -> Object:
        def condition() -> Object:
            ready = self.random.random() < 0.7
            return {"ready": ready, "serving": self.random.random() < 0.7, "terminating": not ready}

        numbers = self.random.sample(range(2, 14), self.random.randrange(8))
        return {
            "addressType": "IPv4",
            "ports": [
                {"name": "web", "port": self.random.choice([8080, 8081]), "protocol": "TCP"},
                {"name": "dns", "port": 5353, "protocol": "UDP"},
            ][: self.random.randrange(3)],
            "endpoints": [
                {
                    "addresses": [f"10.244.0.{number}"],
                    "conditions": condition(),
                    "nodeName": self.random.choice(["node", "other"]),
                }
                for number in numbers
            ],
        }

    def _service(self, name: str) -> Change:
        if self.random.random() < 0.2:
            self.services.pop(name, None)
            return self.book.service(name, None, {})
        pick = self.random.choice
        spec: dict[str, Any] = {
            "clusterIP": pick(["10.96.0.1", "10.96.0.2", "10.96.0.3", "None"]),
            "type": "LoadBalancer",
            "ports": [
                {"name": "web", "port": 80, "protocol": "TCP", "nodePort": pick([30080, 30081])},
                {"name": "dns", "port": 53, "protocol": "UDP"},
            ][: self.random.randrange(3)],
            "externalIPs": pick([[], ["198.51.100.7"]]),
            "externalTrafficPolicy": pick(["Cluster", "Local"]),
            "internalTrafficPolicy": pick(["Cluster", "Local"]),
            "sessionAffinity": pick(["None", "ClientIP"]),
            "loadBalancerSourceRanges": pick([[], ["10.0.0.0/8"]]),
        }
        balancer = {"ingress": [{"ip": "198.51.100.8"}]} if pick([True, False]) else {}
        service = {"metadata": {"name": name}, "spec": spec, "status": {"loadBalancer": balancer}}
        self.services[name] = service
        return self.book.service(name, service, self.slices.get(name, {}))

    def _pod(self, key: str) -> Change:
        ports = [{"containerPort": 80, "hostPort": self.random.choice([9000, 9001])}]
        pod = {"spec": {"containers": [{"ports": ports}]}, "status": {"podIP": "10.244.0.2", "phase": "Running"}}
        found = self.random.choice([pod, None])
        self.pods[key] = found or {}
        return self.book.pod(key, found)

    def from_scratch(self) -> dict[Element, str]:
        fresh = Book(PLACE)
        for key, pod in self.pods.items():
            fresh.pod(key, pod or None)
        for key, service in self.services.items():
            fresh.service(key, service, self.slices.get(key, {}))
        return fresh.elements()


def without_slots(held: Mapping[Element, str]) -> list[tuple[str, str, str]]:
    """Whoever has which of the slots, which are without gaps and as many as the chain chooses among."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    rest: list[tuple[str, str, str]] = []
    for (of, key), value in held.items():
        if of.endswith(("endpoints", "slots")):
            front, _, slot = key.rpartition(" . ")
            found.setdefault((of, front), {})[int(slot)] = value
        else:
            rest.append((of, key, value))
    for (of, front), by_slot in found.items():
        assert sorted(by_slot) == list(range(len(by_slot)))
        assert len(set(by_slot.values())) == len(by_slot)
        rest += [(of, front, value) for value in by_slot.values()]
        lead = {"": "services", "nodeport_": "nodeports", "inside_": "inside", "inside_nodeport_": "inside_nodeports"}
        verdict = held[Element(lead[of.removesuffix("endpoints").removesuffix("slots")], front)]
        assert int(verdict.split("_")[1]) == slots.size(len(by_slot)), "it chooses among those there are"
    return sorted(rest)


@given(st.integers(0, 1 << 32), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_few_changes_lead_to_the_whole(seed: int, count: int) -> None:
    world = World(random.Random(seed))
    for _ in range(count):
        world.step()
    world.flush()
    assert world.kernel.held == world.book.elements()
    assert without_slots(world.kernel.held) == without_slots(world.from_scratch())


def test_a_thousand_changes_lead_to_the_whole() -> None:
    world = World(random.Random(7))
    for number in range(1000):
        world.step()
        if number % 25 == 24:
            world.flush()
            assert without_slots(world.kernel.held) == without_slots(world.from_scratch())


def many(count: int, slice: Maker, per_slice: int = 100, **more: Any) -> dict[str, Object]:
    addresses = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(count)]
    return {f"s{start}": slice(*addresses[start : start + per_slice], **more) for start in range(0, count, per_slice)}


@pytest.mark.parametrize("affinity", ["None", "ClientIP"])
def test_one_endpoint_of_ten_thousand_is_a_handful_of_elements(service: Maker, slice: Maker, affinity: str) -> None:
    book, held = Book(PLACE), many(10000, slice)
    ports = [{"port": 80, "nodePort": 30080}]
    first = book.service("web", service(type="NodePort", ports=ports, sessionAffinity=affinity), held)
    each = 2 if affinity == "None" else 4  # a slot for either front, and what leads clients back
    assert len(first.add) == 10000 * (each + 1) + 3
    fewer = {**held["s4200"], "endpoints": held["s4200"]["endpoints"][1:]}
    gone = book.slices("web", {"s4200": fewer})
    assert len(gone.remove) == each + 3 and len(gone.add) == 2, "the last takes its slots"
    assert not any("10.0.16.104" in value for value in book.elements().values())
    back = book.slices("web", {"s4200": held["s4200"]})
    assert len(back.add) == each + 1 and not back.remove


def test_a_change_does_not_look_at_other_slices(service: Maker, slice: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: addresses read of a Service of 10,000 endpoints when one slice of 100 changes."""
    book, held = Book(PLACE), many(10000, slice)
    book.service("web", service(), held)
    read: list[object] = []

    def ipv4(value: str) -> str:
        read.append(value)
        return value

    monkeypatch.setattr(pools, "ipv4", ipv4)
    book.slices("web", {"s0": {**held["s0"], "endpoints": held["s0"]["endpoints"][1:]}})
    assert read == ["10.0.0.0"]
    read.clear()
    renamed = service()
    renamed["metadata"]["annotations"] = {"note": "x"}
    assert not book.service("web", renamed, {}) and not read, "nor does a Service's change that asks for no other rules"


def test_an_endpoint_that_ends_goes_and_the_last_ones_serve(service: Maker, slice: Maker) -> None:
    def told(name: str, **conditions: bool) -> Object:
        return slice({"addresses": [f"10.244.0.{name}"], "conditions": conditions})

    ending = {"ready": False, "serving": True, "terminating": True}
    book = Book(PLACE)
    book.service("web", service(), {"a": told("2", ready=True), "b": told("3", ready=True)})
    change = book.slices("web", {"a": told("2", **ending)})
    assert "10.244.0.2 . 8080" in change.remove.values()
    change = book.slices("web", {"b": told("3", **ending)})
    assert "10.244.0.2 . 8080" in change.add.values(), "nobody is ready: those that still serve"
    change = book.slices("web", {"b": told("3", ready=True)})
    assert "10.244.0.2 . 8080" in change.remove.values()


def test_two_services_that_want_one_element(service: Maker, slice: Maker) -> None:
    first, second = service("a", "10.96.0.1"), service("b", "10.96.0.2")
    for one in (first, second):
        one["spec"]["externalIPs"] = ["198.51.100.7"]
    book = Book(PLACE)
    key = Element("endpoints", "198.51.100.7 . tcp . 80 . 0")
    book.service("shop/b", second, {"b": slice("10.244.0.3")})
    assert book.elements()[key] == "10.244.0.3 . 8080"
    book.service("shop/a", first, {"a": slice("10.244.0.2")})
    assert book.elements()[key] == "10.244.0.2 . 8080", "the first by name"
    book.service("shop/a", None, {})
    assert book.elements()[key] == "10.244.0.3 . 8080"
