"""Writing Pod statuses to the API server: the newest of each Pod only, in order, retried until they are there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from hashlib import blake2b

import orjson

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import PODS
from pinnace.api.types import Object
from pinnace.client.client import STRATEGIC_MERGE_PATCH, Client
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.core.workqueue import WorkQueue

log = logging.getLogger(__name__)

#: Lists that are owned whole by the kubelet although patches merge them by key.
_REPLACED = ("podIPs", "hostIPs")
#: What a status need not have: taken away where it is absent.
_OPTIONAL = (
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "podIP",
    "podIPs",
    "reason",
    "message",
)
WRITERS = 8


class StatusWriter:
    """Shared by all nodes of a process, each of which writes with ``client_of(name)``. Bounded by the number of
    Pods."""

    def __init__(self, client_of: Callable[[str], Client], clock: Clock, *, writers: int = WRITERS) -> None:
        self._client_of = client_of
        self._clock = clock
        self._pending: dict[str, tuple[Object, Object]] = {}  # Pod UID -> Pod, status to write
        self._written: dict[str, bytes] = {}  # Pod UID -> digest of its status
        self._after: dict[str, list[Callable[[], Awaitable[None]]]] = {}
        self._queue: WorkQueue[str] = WorkQueue(clock, base_delay=0.05, max_delay=10.0)
        self._tasks = Tasks("status", clock)
        self._writers = writers

    def start(self) -> None:
        for number in range(self._writers):
            self._tasks.forever(lambda: self._queue.run(self._write, self._failed), name=f"writer-{number}")

    async def stop(self) -> None:
        self._queue.close()
        await self._tasks.stop()

    def put(self, pod: Object, status: Object) -> bool:
        """Have ``status`` written; False if it is what was put last."""
        uid = meta.uid(pod)
        pending = self._pending.get(uid)
        if pending[1] == status if pending is not None else self._written.get(uid) == _digest(status):
            return False
        self._pending[uid] = (pod, status)
        self._queue.add(uid)
        return True

    def then(self, pod: Object, work: Callable[[], Awaitable[None]]) -> None:
        """Await ``work()`` once all that was put of ``pod`` is written; repeated while it raises."""
        uid = meta.uid(pod)
        self._after.setdefault(uid, []).append(work)
        self._queue.add(uid)

    async def written(self) -> None:
        """Return once nothing waits to be written."""
        while self._pending:
            await self._clock.sleep(0.02)

    def forget(self, uid: str) -> None:
        """The Pod is gone."""
        self._pending.pop(uid, None)
        self._written.pop(uid, None)

    async def _write(self, uid: str) -> None:
        entry = self._pending.get(uid)
        if entry is not None:
            pod, status = entry
            if await self._patch(pod, status):
                self._written[uid] = _digest(status)
            if self._pending.get(uid) is entry:
                del self._pending[uid]
        while works := self._after.get(uid):
            await works[0]()
            works.pop(0)
        self._after.pop(uid, None)

    async def _patch(self, pod: Object, status: Object) -> bool:
        change = {"metadata": {"uid": meta.uid(pod)}, "status": _patch_of(pod.get("status") or {}, status)}
        try:
            await self._client_of(pod["spec"]["nodeName"]).patch(
                PODS,
                meta.name(pod),
                change,
                meta.namespace(pod),
                subresource="status",
                content_type=STRATEGIC_MERGE_PATCH,
            )
        except ApiError as error:
            if is_reason(error, "NotFound") or (
                is_reason(error, "Conflict", "Invalid") and "uid" in str(error).lower()
            ):
                log.debug("status of %s not written, it is gone: %s", meta.key(pod), error)
                return False
            raise
        return True

    def _failed(self, uid: str, error: Exception, delay: float) -> None:
        pod = self._pending.get(uid)
        log.warning("cannot write the status of Pod %s: %s", meta.key(pod[0]) if pod else uid, error)


def _digest(status: Object) -> bytes:
    return blake2b(orjson.dumps(status, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _patch_of(old: Object, new: Object) -> Object:
    """A strategic merge patch that makes ``new`` of ``old`` but leaves other writers' conditions alone."""
    patch: Object = dict(new)
    for field in _REPLACED:
        if field in new and old.get(field) != new[field]:
            patch[field] = [{"$patch": "replace"}, *new[field]] if old.get(field) else new[field]
    patch.update({field: None for field in _OPTIONAL if field not in new})
    patch["conditions"] = [{"reason": None, "message": None, **condition} for condition in new["conditions"]]
    return patch
