"""ConfigMaps and Secrets that Pods refer to: one watch for each object in use, and none for any other.

A kubelet may read only what its Pods name, so it watches single objects. Users take and release by Pod UID; the last
release ends the watch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pinnace.api import meta
from pinnace.api.errors import not_found
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.client.informer import Informer
from pinnace.core import clock as clocks
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks

#: Seconds that a first read waits for its watch.
PATIENCE = 10.0


class _Watched:
    def __init__(self, informer: Informer, task: asyncio.Task[object]) -> None:
        self.informer = informer
        self.task = task
        self.users: dict[str, Callable[[], None]] = {}


class ObjectCache:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tasks = Tasks("objects", clock)
        self._watched: dict[tuple[GVR, str, str], _Watched] = {}

    async def get(self, gvr: GVR, namespace: str, name: str, user: str, changed: Callable[[], None]) -> Object | None:
        """The newest version, None if there is none. Until ``release(user)``, ``changed()`` is called after every
        change. Raises TimeoutError if the API server does not answer."""
        key = gvr, namespace, name
        watched = self._watched.get(key)
        if watched is None:
            informer = Informer(
                self._client, gvr, self._clock, namespace=namespace, field_selector=f"metadata.name={name}"
            )
            task = self._tasks.forever(informer.run, name=f"{gvr.resource}/{namespace}/{name}")
            watched = self._watched[key] = _Watched(informer, task)
            informer.add_handler(lambda old, new, key=key: self._changed(key, old, new))  # type: ignore[misc]
        watched.users[user] = changed
        async with clocks.timeout(self._clock, PATIENCE):
            await watched.informer.synced.wait()
        return watched.informer.get(name, namespace)

    async def need(self, gvr: GVR, namespace: str, name: str, user: str, changed: Callable[[], None]) -> Object:
        """As ``get``. Raises ApiError NotFound."""
        found = await self.get(gvr, namespace, name, user, changed)
        if found is None:
            raise not_found(gvr.group, gvr.resource, name)
        return found

    def _changed(self, key: tuple[GVR, str, str], old: Object | None, new: Object | None) -> None:
        watched = self._watched.get(key)
        if watched is None or (old and new and meta.resource_version(old) == meta.resource_version(new)):
            return
        for changed in list(watched.users.values()):
            changed()

    def release(self, user: str) -> None:
        for key, watched in list(self._watched.items()):
            watched.users.pop(user, None)
            if not watched.users:
                watched.task.cancel()
                del self._watched[key]

    async def stop(self) -> None:
        await self._tasks.stop()
        self._watched.clear()
