"""The recorder's limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

from pinnace.api.types import Object
from pinnace.client import recorder
from pinnace.client.client import Client
from pinnace.client.transport import WatchEvent
from pinnace.core.clock import VirtualClock


class Server:
    """Takes everything and remembers the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        body: Object | list[Object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        assert isinstance(body, dict)
        if method == "POST":
            self.messages.append(body["message"])
        return body

    async def read(self, path: str, *, query: Mapping[str, str] = {}) -> bytes:
        raise AssertionError(path)

    def watch(self, path: str, *, query: Mapping[str, str] = {}) -> AsyncGenerator[Sequence[WatchEvent], None]:
        raise AssertionError(path)

    async def close(self) -> None: ...


def subject(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "uid": name}}


async def test_one_object_does_not_flood_the_events() -> None:
    clock, server = VirtualClock(), Server()
    events = recorder.Recorder(Client(server), clock, "test")
    for number in range(100):
        events.event(subject("loud"), recorder.NORMAL, "Again", f"number {number}")
    events.event(subject("quiet"), recorder.NORMAL, "Once", "quiet")
    await clock.settle()
    assert server.messages == [*(f"number {number}" for number in range(recorder.BURST)), "quiet"]
    await clock.advance(recorder.REFILL + 1)
    for number in range(5):
        events.event(subject("loud"), recorder.NORMAL, "Again", f"later {number}")
    await clock.settle()
    assert server.messages[-1] == "later 0"
    await events.stop()
