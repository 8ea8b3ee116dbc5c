"""Informers: a local, indexed copy of a resource kept current by list and watch, shared by all who ask for it.

Promises: handlers see each object's states in order, never an older one after a newer one, every object's deletion
(with its last known state) even if it happened while the watch was down, and the cache already holds what they are
told. Objects are shared and read-only. Handlers are synchronous and short: they put keys on work queues.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from random import Random

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.core.backoff import Backoff, jitter
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks

log = logging.getLogger(__name__)

#: ``handler(old, new)``: old is None for an object that is new to the cache, new is None for one that is gone.
Handler = Callable[[Object | None, Object | None], None]
IndexFunction = Callable[[Object], Iterable[str]]
#: What a cache keeps of an object, and tells its handlers of; it has at least what tells it from others: its
#: name, namespace, uid and resourceVersion.
Keep = Callable[[Object], Object]
#: Objects asked for per page while listing.
PAGE = 500
#: Seconds that a watch without events lasts at least; after one that the server ended sooner the next waits.
SHORT_WATCH = 1.0


class Informer:
    """The cache of one resource (of one namespace, selection) and its feed."""

    def __init__(
        self,
        client: Client,
        gvr: GVR,
        clock: Clock,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        keep: Keep | None = None,
    ) -> None:
        self.gvr = gvr
        self._keep = keep
        self._version = ""  # what the cache has reached; a watch that begins earlier would turn time back
        self.synced = asyncio.Event()  # set once the first list is in the cache
        self._client = client
        self._clock = clock
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._namespace = namespace
        self._objects: dict[str, Object] = {}
        self._handlers: list[Handler] = []
        self._index_functions: dict[str, IndexFunction] = {"namespace": lambda obj: (meta.namespace(obj),)}
        self._indexes: dict[str, dict[str, dict[str, Object]]] = {"namespace": {}}

    # -- reading

    def get(self, name: str, namespace: str = "") -> Object | None:
        return self._objects.get(f"{namespace}/{name}" if namespace else name)

    def by_key(self, key: str) -> Object | None:
        return self._objects.get(key)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    def in_namespace(self, namespace: str) -> list[Object]:
        return self.indexed("namespace", namespace)

    def indexed(self, index: str, value: str) -> list[Object]:
        """Objects whose index function named ``value`` (see ``add_index``)."""
        return list(self._indexes[index].get(value, {}).values())

    # -- setting up

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Keep objects findable by ``indexed(name, value)``. A name stands for one function."""
        if name in self._indexes:
            return
        self._index_functions[name] = function
        index = self._indexes[name] = {}
        for key, obj in self._objects.items():
            for value in function(obj):
                index.setdefault(value, {})[key] = obj

    def add_handler(self, handler: Handler) -> None:
        """Tell ``handler`` of every change from now on, and first of everything that is in the cache."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            handler(None, obj)

    # -- feeding

    async def run(self) -> None:
        """List, then watch, for ever; after a failure again with a back-off of 0.1 to 30 s. What fails again and again
        is told of once."""
        backoff = Backoff(base=0.1, cap=30.0)
        random = Random()
        told = ""
        while True:
            try:
                if not self._version:
                    self._version = await self._list()
                    backoff.forget(self.gvr)
                    told = ""
                before, began = self._version, self._clock.monotonic()
                await self._watch(backoff)
                told = ""
                if self._version == before and self._clock.monotonic() - began < SHORT_WATCH:
                    await self._clock.sleep(jitter(backoff.next(self.gvr), 0.5, random))
            except (ApiError, OSError, TimeoutError) as error:
                if is_reason(error, "Expired", "Gone"):
                    self._version = ""
                    log.debug("watch of %s is too old, listing again", self.gvr.group_resource)
                elif str(error) != told:
                    told = str(error)
                    log.warning("cannot list or watch %s: %s", self.gvr.group_resource, error)
                await self._clock.sleep(jitter(backoff.next(self.gvr), 0.5, random))

    async def _list(self) -> str:
        found: dict[str, Object] = {}
        token = ""
        while True:
            page = await self._client.list(
                self.gvr,
                self._namespace,
                limit=PAGE,
                continue_token=token,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
            )
            kind = str(page.get("kind", "")).removesuffix("List")
            for obj in page.get("items") or ():
                if "kind" not in obj:  # items of a list do not repeat their type
                    obj = {"kind": kind, "apiVersion": page.get("apiVersion", ""), **obj}
                found[meta.key(obj)] = obj
            token = page["metadata"].get("continue") or ""
            if not token:
                break
        for key in [key for key in self._objects if key not in found]:
            self._apply(key, None)
        for key, obj in found.items():
            old = self._objects.get(key)
            if old is None or meta.resource_version(old) != meta.resource_version(obj):
                self._apply(key, obj)
        self.synced.set()
        return str(page["metadata"]["resourceVersion"])

    async def _watch(self, backoff: Backoff) -> None:
        """Follow changes after the version reached until the server ends the watch, or it breaks off."""
        async with aclosing(
            self._client.watch(
                self.gvr,
                self._namespace,
                resource_version=self._version,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
            )
        ) as batches:
            async for batch in batches:
                backoff.forget(self.gvr)
                for event in batch:
                    if event.type != "BOOKMARK":
                        key = meta.key(event.object)
                        self._apply(key, None if event.type == "DELETED" else event.object)
                    self._version = meta.resource_version(event.object)

    def _apply(self, key: str, new: Object | None) -> None:
        old = self._objects.get(key)
        if new is None:
            if old is None:
                return
            del self._objects[key]
        else:
            if self._keep is not None:
                new = self._keep(new)
            if old is not None and meta.uid(old) != meta.uid(new):  # deleted and made anew unseen
                self._apply(key, None)
                old = None
            self._objects[key] = new
        for name, function in self._index_functions.items():
            index = self._indexes[name]
            if old is not None:
                for value in function(old):
                    members = index.get(value, {})
                    members.pop(key, None)
                    if not members:
                        index.pop(value, None)
            if new is not None:
                for value in function(new):
                    index.setdefault(value, {})[key] = new
        for handler in self._handlers:
            try:
                handler(old, new)
            except Exception:
                log.exception("a handler of %s failed on %s", self.gvr.group_resource, key)


class Informers:
    """One shared informer per resource and selection, for the parts of one process."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tasks = Tasks("informers", clock)
        self._informers: dict[tuple[GVR, str, str, str, Keep | None], Informer] = {}

    def of(
        self,
        gvr: GVR,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        keep: Keep | None = None,
    ) -> Informer:
        """The informer of that selection, started if it is new. Call in the event loop."""
        wanted = (gvr, namespace, label_selector, field_selector, keep)
        informer = self._informers.get(wanted)
        if informer is None:
            informer = Informer(
                self._client,
                gvr,
                self._clock,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                keep=keep,
            )
            self._informers[wanted] = informer
            self._tasks.forever(informer.run, name=gvr.group_resource)
        return informer

    async def wait_synced(self) -> None:
        """Return once every informer has its first list."""
        for informer in list(self._informers.values()):
            await informer.synced.wait()

    async def stop(self) -> None:
        await self._tasks.stop()
