"""Recording Events about objects, as ``kubectl describe`` shows them.

The same event again (same object, type, reason, message, component) raises the count of the one that exists; events
are written in the background, those of one object in order, by ``WRITERS`` side by side, which share the store's
commits; at most ``BACKLOG`` wait for each of them, the newest dropped beyond that: an event never holds up or fails the
work it tells of. As upstream's spam filter does, a component's events of one object beyond ``BURST`` are dropped, but
for one in ``REFILL`` seconds: a ReplicaSet of 5,000 Pods does not make 5,000 events.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from zlib import crc32

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import EVENTS
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.core.clock import Clock, timestamp
from pinnace.core.supervisor import Tasks

log = logging.getLogger(__name__)


BACKLOG = 1000
WRITERS = 8
BURST = 25
REFILL = 300.0
REMEMBERED = 4096
NORMAL = "Normal"
WARNING = "Warning"


class Recorder:
    """Events of one component (``kubelet``, ``default-scheduler``, ``deployment-controller``)."""

    def __init__(self, client: Client, clock: Clock, component: str, *, host: str = "") -> None:
        self._client = client
        self._clock = clock
        self._source: Object = {"component": component, **({"host": host} if host else {})}
        self._tasks = Tasks(f"events/{component}", clock)
        self._waiting: dict[int, asyncio.Queue[tuple[Object, str, str, str, float]]] = {}  # by writer
        self._known: OrderedDict[tuple[str, ...], tuple[str, int]] = OrderedDict()  # event -> its name and count
        self._budgets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # uid -> events left, at that time
        self._last_stamp = 0
        self._dropped = 0

    def event(self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that ``reason`` happened to ``obj``; ``field_path`` names a part (``spec.containers{web}``)."""
        if not self._may_tell(meta.uid(obj) or meta.key(obj)):
            return
        reference: Object = {
            "kind": obj["kind"],
            "apiVersion": obj["apiVersion"],
            "name": meta.name(obj),
            "uid": meta.uid(obj),
            "resourceVersion": meta.resource_version(obj),
        }
        if space := meta.namespace(obj):
            reference["namespace"] = space
        if field_path:
            reference["fieldPath"] = field_path
        writer = crc32((meta.uid(obj) or meta.key(obj)).encode()) % WRITERS
        queue = self._waiting.get(writer)
        if queue is None:
            queue = self._waiting[writer] = asyncio.Queue(BACKLOG)
            self._tasks.forever(lambda: self._write_all(queue), name="writer")
        try:
            queue.put_nowait((reference, type, reason, message[:1024], self._clock.now()))
        except asyncio.QueueFull:
            self._dropped += 1  # told once for all, by a writer

    def _may_tell(self, subject: str) -> bool:
        """Take one event from the object's budget, if there is one left."""
        now = self._clock.monotonic()
        left, since = self._budgets.get(subject, (float(BURST), now))
        left = min(left + (now - since) / REFILL, float(BURST))
        allowed = left >= 1.0
        self._budgets[subject] = (left - 1.0 if allowed else left, now)
        self._budgets.move_to_end(subject)
        if len(self._budgets) > REMEMBERED:
            self._budgets.popitem(last=False)
        return allowed

    async def _write_all(self, waiting: asyncio.Queue[tuple[Object, str, str, str, float]]) -> None:
        while True:
            reference, type, reason, message, when = await waiting.get()
            if self._dropped and all(queue.qsize() < BACKLOG // 2 for queue in self._waiting.values()):
                log.warning("%d events were dropped: more than %d were waiting", self._dropped, WRITERS * BACKLOG)
                self._dropped = 0
            try:
                await self._write(reference, type, reason, message, when)
            except (ApiError, OSError, TimeoutError) as error:
                # A namespace that is going away takes no new objects; everything else deserves a look.
                gone = is_namespace_terminating(error) or is_reason(error, "NotFound")
                level = logging.DEBUG if gone else logging.WARNING
                log.log(level, "cannot record event %s of %s: %s", reason, reference["name"], error)
            finally:
                waiting.task_done()

    async def _write(self, reference: Object, type: str, reason: str, message: str, when: float) -> None:
        space = str(reference.get("namespace") or "default")
        same = (reference["uid"], str(reference.get("fieldPath", "")), type, reason, message)
        known = self._known.get(same)
        if known is not None:
            event_name, count = known[0], known[1] + 1
            change = {"count": count, "lastTimestamp": timestamp(when)}
            try:
                await self._client.patch(EVENTS, event_name, change, space)
            except ApiError as error:
                if not is_reason(error, "NotFound"):
                    raise
            else:
                self._remember(same, event_name, count)
                return
        event: Object = {
            "kind": "Event",
            "apiVersion": "v1",
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "source": self._source,
            "firstTimestamp": timestamp(when),
            "lastTimestamp": timestamp(when),
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }
        self._remember(same, await self._create(event, str(reference["name"]), space, when), 1)

    async def _create(self, event: Object, subject: str, space: str, when: float) -> str:
        """The name it got: two of one moment need two, also if the other is another component's."""
        while True:
            self._last_stamp = max(int(when * 1e9), self._last_stamp + 1)
            name = f"{subject}.{self._last_stamp:x}"
            try:
                await self._client.create(EVENTS, {**event, "metadata": {"name": name, "namespace": space}})
            except ApiError as error:
                if not is_reason(error, "AlreadyExists"):
                    raise
            else:
                return name

    def _remember(self, same: tuple[str, ...], event_name: str, count: int) -> None:
        self._known[same] = (event_name, count)
        self._known.move_to_end(same)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def flush(self) -> None:
        """Wait until everything recorded so far is written."""
        for queue in list(self._waiting.values()):
            await queue.join()

    async def stop(self) -> None:
        await self._tasks.stop()
