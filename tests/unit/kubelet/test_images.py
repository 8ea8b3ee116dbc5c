"""Images that are there are found before they are needed."""

from __future__ import annotations

from typing import Any, cast

from pinnace.client.recorder import Recorder
from pinnace.core.clock import RealClock
from pinnace.kubelet.images import Puller
from pinnace.kubelet.runtime.base import Image, Runtime, RuntimeFailure


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web-0", "namespace": "shop", "uid": "u1"}, "spec": {"containers": [], **spec}}


class Machine:
    """A runtime that has some images and counts what it is asked."""

    real = True

    def __init__(self, *names: str) -> None:
        self._names = names
        self.asked: list[str] = []

    async def image(self, name: str) -> Image | None:
        self.asked.append(name)
        if name.startswith("broken"):
            raise RuntimeFailure("not now")
        return Image(f"sha256:{name}") if name in self._names else None


class Told:
    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, pod: object, kind: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.events.append(reason)


class TestLookingAhead:
    async def test_images_of_the_containers_that_start_first_are_asked_for_once(self) -> None:
        machine = Machine("docker.io/library/x:1")
        puller = Puller(cast(Runtime, machine), cast(Recorder, Told()), RealClock())
        containers = [
            {"name": "a", "image": "x:1"},
            {"name": "b", "image": "x:1"},
            {"name": "other", "image": "y:1"},
            {"name": "broken", "image": "broken.example/z:1"},
            {"name": "unnameable", "image": "Z"},
            {"name": "newest", "image": "x"},
        ]
        found = await puller.look(pod(containers=containers))
        assert {name: image.id for name, image in found.items()} == dict.fromkeys("ab", "sha256:docker.io/library/x:1")
        assert machine.asked == ["docker.io/library/x:1", "docker.io/library/y:1", "broken.example/z:1"]

        machine.asked.clear()
        assert await puller.look(pod(containers=containers[:1], initContainers=[{"name": "i", "image": "y:1"}])) == {}
        assert machine.asked == ["docker.io/library/y:1"]

    async def test_what_was_seen_is_not_asked_for_again_but_told(self) -> None:
        machine, told = Machine("docker.io/library/x:1"), Told()
        puller = Puller(cast(Runtime, machine), cast(Recorder, told), RealClock())
        spec = {"name": "a", "image": "x:1"}
        known = (await puller.look(pod(containers=[spec])))["a"]
        machine.asked.clear()
        assert await puller.ensure(pod(), spec, {}, field_path="", known=known) is known
        assert machine.asked == []
        assert told.events == ["Pulled"]
        assert await puller.ensure(pod(), spec, {}, field_path="") == known
        assert machine.asked == ["docker.io/library/x:1"]
