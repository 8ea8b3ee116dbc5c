"""Images go when their disk gets full, and only those that may."""

from __future__ import annotations

from typing import Any, cast

from pinnace.client.recorder import Recorder
from pinnace.core.clock import VirtualClock
from pinnace.kubelet.configuration import Configuration
from pinnace.kubelet.image_gc import EVERY, ImageCollector
from pinnace.kubelet.runtime.base import EXITED, Container, Image, PodState, Runtime
from pinnace.kubelet.stats import FileSystem

GIB = 1 << 30


class Events:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def event(self, obj: Any, type: str, reason: str, message: str, **_: Any) -> None:
        self.told.append((reason, message))


class Machine:
    """A disk of 100 GiB with images of 10 GiB each, and 40 GiB of other things."""

    def __init__(self, **chosen: Any) -> None:
        self.clock = VirtualClock()
        self.events = Events()
        self.there: dict[str, Image] = {}
        self.used: set[str] = set()
        self.other = 40
        self.collector = ImageCollector(
            cast(Runtime, self),
            cast(Recorder, self.events),
            self.clock,
            Configuration(**chosen),
            disk=lambda: FileSystem(100 * GIB, (100 - self.other - 10 * len(self.there)) * GIB),
            node={},
            kept=("pause:1",),
        )

    def add(self, *names: str) -> None:
        for name in names:
            self.there[name] = Image(name, (f"{name}:1",), (f"{name}@sha256:0",), 10 * GIB)

    async def images(self) -> list[Image]:
        return list(self.there.values())

    async def pods(self) -> dict[str, PodState]:
        containers = tuple(Container(n, n, "s", 0, EXITED, 1.0, image=f"{n}:1") for n in self.used)
        return {"u": PodState("u", containers=containers)}

    async def remove_image(self, image_id: str) -> None:
        del self.there[image_id]


async def test_nothing_goes_below_the_high_threshold() -> None:
    machine = Machine()
    machine.add("a", "b", "c", "d")  # 80 %
    await machine.collector.collect()
    assert len(machine.there) == 4


async def test_what_was_unused_for_longest_goes_first_until_the_low_threshold() -> None:
    machine = Machine()
    machine.add("pause", "a", "b", "c")
    machine.used = {"a", "b"}
    await machine.collector.collect()
    await machine.clock.advance(EVERY)
    machine.used = {"b"}
    await machine.collector.collect()
    machine.used = set()
    await machine.clock.advance(EVERY)
    machine.add("d")
    await machine.collector.collect()  # 90 %: c was never used; 80 % is enough
    assert list(machine.there) == ["pause", "a", "b", "d"]
    machine.other = 55
    await machine.collector.collect()
    assert list(machine.there) == ["pause", "d"], "a before b, never what sandboxes run, and d is too young"
    assert not machine.events.told


async def test_what_containers_use_stays_and_it_is_told() -> None:
    machine = Machine()
    machine.add("a", "b", "c", "d", "e")
    machine.used = {"a", "b", "c", "d", "e"}
    await machine.collector.collect()
    assert len(machine.there) == 5
    text = (
        f"Failed to garbage collect required amount of images. Attempted to free {10 * GIB} bytes, "
        "but only found 0 bytes eligible to free."
    )
    assert machine.events.told == [("FreeDiskSpaceFailed", text)]


async def test_a_new_image_has_two_minutes() -> None:
    machine = Machine()
    await machine.collector.collect()
    machine.add("a", "b", "c", "d", "e")
    await machine.collector.collect()
    await machine.clock.advance(119)
    await machine.collector.collect()
    assert len(machine.there) == 5
    await machine.clock.advance(1)
    await machine.collector.collect()
    assert len(machine.there) == 4


async def test_age_alone_is_enough_where_it_is_limited() -> None:
    machine = Machine(imageMaximumGCAge=3600.0)
    await machine.collector.collect()
    machine.add("a", "b")
    machine.used = {"b"}
    await machine.collector.collect()
    await machine.clock.advance(3601)
    await machine.collector.collect()
    assert list(machine.there) == ["b"]


async def test_under_pressure_all_that_is_unused_goes() -> None:
    machine = Machine()
    machine.add("pause", "a", "b")
    machine.used = {"b"}
    assert await machine.collector.remove_unused() == 10 * GIB
    assert list(machine.there) == ["pause", "b"]


async def test_what_no_registry_can_bring_back_stays() -> None:
    machine = Machine()
    machine.there = {"loaded": Image("loaded", ("loaded:1",), (), 10 * GIB)}
    assert await machine.collector.remove_unused() == 0
