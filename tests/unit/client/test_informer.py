"""Informers hold what the server holds, tell every change in order, and survive watches that break."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import pytest

from pinnace.api.errors import expired
from pinnace.api.resources import PODS
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.informer import Informer
from pinnace.client.transport import WatchEvent
from pinnace.core.clock import VirtualClock


def pod(name: str, version: int, uid: str = "", **labels: str) -> Object:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": uid or name,
            "resourceVersion": str(version),
            "labels": labels,
        },
    }


class FakeServer:
    """Lists ``objects``; each watch yields what is put into ``feed``, an exception ends it."""

    def __init__(self) -> None:
        self.objects: list[Object] = []
        self.version = 1
        self.lists = 0
        self.feed: asyncio.Queue[Any] = asyncio.Queue()
        self.watched_from: list[str] = []

    async def request(self, method: str, path: str, *, query: Mapping[str, str] = {}, **_: Any) -> Object:
        assert (method, path) == ("GET", "/api/v1/pods")
        self.lists += 1
        return {
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": str(self.version)},
            "items": [dict(o) for o in self.objects],
        }

    async def read(self, path: str, *, query: Mapping[str, str] = {}) -> bytes:
        raise AssertionError(path)

    async def watch(self, path: str, *, query: Mapping[str, str] = {}) -> AsyncGenerator[Sequence[WatchEvent], None]:
        self.watched_from.append(query["resourceVersion"])
        while True:
            item = await self.feed.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                return
            yield item

    async def close(self) -> None:
        return None


async def start(server: FakeServer) -> tuple[Informer, VirtualClock, list[tuple[str, str]], asyncio.Task[None]]:
    clock = VirtualClock()
    informer = Informer(Client(server), PODS, clock)
    informer.add_index("app", lambda obj: (obj["metadata"]["labels"].get("app", ""),))
    told: list[tuple[str, str]] = []

    def handler(old: Object | None, new: Object | None) -> None:
        kind = "add" if old is None else "delete" if new is None else "update"
        obj = new or old
        assert obj is not None
        told.append((kind, obj["metadata"]["name"] + obj["metadata"]["resourceVersion"]))

    informer.add_handler(handler)
    task = asyncio.create_task(informer.run())
    await clock.settle()
    return informer, clock, told, task


async def test_list_then_watch():
    server = FakeServer()
    server.objects = [pod("a", 1, app="x")]
    informer, clock, told, task = await start(server)
    assert informer.synced.is_set()
    await server.feed.put([WatchEvent("MODIFIED", pod("a", 2, app="y")), WatchEvent("ADDED", pod("b", 3, app="y"))])
    await clock.settle()
    assert [o["metadata"]["name"] for o in informer.indexed("app", "y")] == ["a", "b"]
    assert informer.indexed("app", "x") == []
    await server.feed.put([WatchEvent("DELETED", pod("a", 4, app="y"))])
    await clock.settle()
    assert informer.get("a", "n") is None
    assert told == [("add", "a1"), ("update", "a2"), ("add", "b3"), ("delete", "a2")]
    task.cancel()


@pytest.mark.parametrize("end", [None, ConnectionResetError("gone"), TimeoutError("too long")])
async def test_a_watch_that_ends_or_breaks_goes_on_from_where_it_was(end: Exception | None):
    server = FakeServer()
    _, clock, _, task = await start(server)
    await server.feed.put([WatchEvent("ADDED", pod("a", 7))])
    await server.feed.put(end)
    await clock.advance(1)
    assert server.watched_from == ["1", "7"]
    assert server.lists == 1
    task.cancel()


async def test_what_was_missed_while_the_watch_was_too_old_is_told_after_listing_again():
    server = FakeServer()
    server.objects = [pod("a", 1), pod("b", 1)]
    informer, clock, told, task = await start(server)
    server.objects = [pod("b", 5), pod("c", 6)]
    server.version = 9
    await server.feed.put(expired("too old"))
    await clock.advance(1)
    assert told == [("add", "a1"), ("add", "b1"), ("delete", "a1"), ("update", "b5"), ("add", "c6")]
    assert len(informer) == 2
    assert server.watched_from == ["1", "9"]
    task.cancel()


async def test_an_object_made_anew_unseen_is_told_as_deleted_and_added():
    server = FakeServer()
    server.objects = [pod("a", 1, uid="first")]
    _, clock, told, task = await start(server)
    await server.feed.put([WatchEvent("MODIFIED", pod("a", 2, uid="second"))])
    await clock.settle()
    assert told == [("add", "a1"), ("delete", "a1"), ("add", "a2")]
    task.cancel()


async def test_a_handler_that_fails_does_not_stop_the_others():
    server = FakeServer()
    informer, clock, told, task = await start(server)
    informer._handlers.insert(0, lambda old, new: 1 / 0)  # type: ignore[arg-type,return-value]
    await server.feed.put([WatchEvent("ADDED", pod("a", 2))])
    await clock.settle()
    assert told == [("add", "a2")]
    task.cancel()


async def test_what_fails_again_and_again_is_told_of_once(caplog: pytest.LogCaptureFixture):
    server = FakeServer()
    _, clock, _, task = await start(server)
    for _ in range(3):
        await server.feed.put(OSError("refused"))
        await clock.advance(31)
    assert [record.getMessage() for record in caplog.records] == ["cannot list or watch pods: refused"]
    await server.feed.put([WatchEvent("ADDED", pod("a", 7))])
    await server.feed.put(None)
    await server.feed.put(OSError("refused"))
    await clock.advance(31)
    assert len(caplog.records) == 2
    task.cancel()


async def test_a_cache_keeps_what_is_wanted_of_each_object() -> None:
    server, clock = FakeServer(), VirtualClock()
    server.objects = [pod("a", 1, app="x")]

    def named(obj: Object) -> Object:
        return {"metadata": {key: obj["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}}

    informer = Informer(Client(server), PODS, clock, keep=named)
    told: list[tuple[Object | None, Object | None]] = []
    informer.add_handler(lambda old, new: told.append((old, new)))
    task = asyncio.create_task(informer.run())
    await clock.settle()
    await server.feed.put([WatchEvent("MODIFIED", pod("a", 2)), WatchEvent("DELETED", pod("a", 3))])
    await clock.settle()
    states = [named(pod("a", 1)), named(pod("a", 2))]
    assert told == [(None, states[0]), (states[0], states[1]), (states[1], None)]
    task.cancel()
