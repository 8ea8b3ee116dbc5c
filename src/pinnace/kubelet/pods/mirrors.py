"""Mirror Pods: what the API server shows of a node's static Pods.

Each static Pod has one mirror, made anew when somebody deletes it; a mirror whose static Pod is another or gone is
deleted. Deleting a mirror ends no container.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import PODS
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.core.clock import Clock
from pinnace.core.workqueue import WorkQueue
from pinnace.kubelet.manifests import MIRROR
from pinnace.kubelet.node import NodeAgent

log = logging.getLogger(__name__)


def is_mirror(pod: Object) -> bool:
    return MIRROR in meta.annotations(pod)


class Mirrors:
    def __init__(self, client: Client, clock: Clock, agent: NodeAgent) -> None:
        self._client = client
        self._agent = agent
        self._wanted: Mapping[str, Object] = {}
        self._there: dict[str, Object] = {}  # by key
        self._queue: WorkQueue[str] = WorkQueue(clock, base_delay=0.2, max_delay=30.0)

    def want(self, pods: Mapping[str, Object]) -> None:
        """The static Pods are these, by key."""
        before, self._wanted = self._wanted, pods
        for key in {*before, *pods}:
            self._queue.add(key)

    def of(self, static: Object) -> Object | None:
        """The mirror that shows this static Pod, if there is one."""
        mirror = self._there.get(meta.key(static))
        return mirror if mirror is not None and meta.annotations(mirror)[MIRROR] == meta.uid(static) else None

    def seen(self, key: str, mirror: Object | None) -> None:
        """The API server has this mirror, or has it no more."""
        if mirror is None:
            self._there.pop(key, None)
        else:
            self._there[key] = mirror
        if mirror is None or self._is_wrong(key, mirror):
            self._queue.add(key)

    def _is_wrong(self, key: str, mirror: Object) -> bool:
        wanted = self._wanted.get(key)
        shown = meta.annotations(mirror)[MIRROR]
        return wanted is None or shown != meta.uid(wanted) or meta.is_deleting(mirror)

    async def run(self) -> None:
        """Never returns."""
        await self._queue.run(self._sync, self._failed)

    def close(self) -> None:
        self._queue.close()

    def _failed(self, key: str, error: Exception, delay: float) -> None:
        log.warning("cannot show static Pod %s at the API server: %s", key, error)

    async def _sync(self, key: str) -> None:
        wanted, there = self._wanted.get(key), self._there.get(key)
        if there is not None and self._is_wrong(key, there):
            await self._delete(there)
        elif there is None and wanted is not None:
            await self._create(wanted)

    async def _delete(self, mirror: Object) -> None:
        try:
            await self._client.delete(
                PODS, meta.name(mirror), meta.namespace(mirror), grace_period_seconds=0, uid=meta.uid(mirror)
            )
        except ApiError as error:
            if not is_reason(error, "NotFound", "Conflict"):
                raise

    async def _create(self, static: Object) -> None:
        owner = {
            "apiVersion": "v1",
            "kind": "Node",
            "name": self._agent.description.name,
            "uid": self._agent.uid,
            "controller": True,
        }
        mirror = meta.copy(static)
        metadata = meta.metadata(mirror)
        metadata.pop("uid")
        metadata["annotations"] = {**metadata["annotations"], MIRROR: meta.uid(static)}
        metadata["ownerReferences"] = [owner]
        await self._client.create(PODS, mirror)
