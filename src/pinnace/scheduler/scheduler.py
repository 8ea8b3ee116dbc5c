"""The shell: feeds the table and the queue from informers, binds what was placed, says why what was not.

A Pod is counted on its node from the moment it is placed, before the binding is written; if the write fails it is taken
off again and retried. Between taking a Pod from the queue and placing it nothing else runs, so an event cannot fall
between a rejection and the parking of the Pod.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import NODES, PODS
from pinnace.api.types import Object
from pinnace.client.client import STRATEGIC_MERGE_PATCH, Client
from pinnace.client.informer import Informers
from pinnace.client.recorder import NORMAL, WARNING, Recorder
from pinnace.core.clock import Clock, timestamp
from pinnace.core.supervisor import Tasks
from pinnace.scheduler.diagnosis import Diagnosis
from pinnace.scheduler.nodes import NodeTable, PodInfo
from pinnace.scheduler.placement import Placer
from pinnace.scheduler.plugins import default_filters, default_scores
from pinnace.scheduler.queue import ClusterEvent, SchedulingQueue

log = logging.getLogger(__name__)

NAME = "default-scheduler"
#: Bindings being written at once; placing waits beyond that.
MAX_BINDINGS = 256
#: Pods placed before the event loop gets its turn.
BURST = 16


class Scheduler:
    """The default scheduler (a ``core.supervisor.Part``)."""

    name = "scheduler"

    def __init__(self, client: Client, informers: Informers, clock: Clock, *, random: Random | None = None) -> None:
        self._client = client
        self._informers = informers
        self._clock = clock
        self._tasks = Tasks(self.name, clock)
        self._recorder = Recorder(client, clock, NAME)
        self._table = NodeTable()
        self._queue = SchedulingQueue(clock)
        self._placer = Placer(self._table, default_filters(), default_scores(), random or Random())
        self._bindings = asyncio.Semaphore(MAX_BINDINGS)

    async def start(self) -> None:
        nodes, pods = self._informers.of(NODES), self._informers.of(PODS)
        nodes.add_handler(self._node_changed)
        pods.add_handler(self._pod_changed)
        await nodes.synced.wait()
        await pods.synced.wait()
        self._tasks.forever(self._run, name="schedule")

    async def stop(self) -> None:
        self._queue.close()
        await self._tasks.stop()
        await self._recorder.stop()

    # -- events

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self._table.remove_node(meta.name(old))
        elif old is None or _scheduling_view(old) != _scheduling_view(new):
            self._table.set_node(new)
            self._queue.happened(ClusterEvent.NODE_CHANGED)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or (new.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            pod = new or old
            assert pod is not None
            uid = meta.uid(pod)
            self._queue.remove(uid)
            if pod["spec"].get("nodeName"):
                self._table.remove_pod(uid)
                self._queue.happened(ClusterEvent.POD_GONE)
            return
        spec = new["spec"]
        if spec.get("nodeName"):
            self._queue.done(meta.uid(new))
            self._table.add_pod(PodInfo(new), spec["nodeName"])
        elif meta.is_deleting(new):
            self._queue.remove(meta.uid(new))
        elif spec.get("schedulerName", NAME) == NAME and not spec.get("schedulingGates"):
            if not self._table.node_of(meta.uid(new)):  # else placed already, the binding is on its way
                self._queue.add(PodInfo(new))

    # -- scheduling

    async def _run(self) -> None:
        while True:
            await self._schedule(await self._queue.pop())
            for _ in range(BURST):
                following = self._queue.pop_ready()
                if following is None:
                    break
                await self._schedule(following)
            await asyncio.sleep(0)

    async def _schedule(self, info: PodInfo) -> None:
        placement = self._placer.place(info)
        if placement.diagnosis is not None:
            self._queue.unschedulable(info.uid, frozenset(placement.diagnosis.dropped) or frozenset({""}))
            self._tasks.spawn(self._tell(info, placement.diagnosis), name="status")
            return
        await self._bindings.acquire()
        self._tasks.spawn(self._bind(info, placement.node), name="bind")

    async def _bind(self, info: PodInfo, node: str) -> None:
        try:
            await self._client.create(
                PODS,
                {
                    "kind": "Binding",
                    "apiVersion": "v1",
                    "metadata": {"name": meta.name(info.pod), "namespace": meta.namespace(info.pod), "uid": info.uid},
                    "target": {"kind": "Node", "name": node},
                },
                name=meta.name(info.pod),
                subresource="binding",
            )
        except (ApiError, OSError, TimeoutError) as error:
            self._table.remove_pod(info.uid)
            self._queue.happened(ClusterEvent.POD_GONE)
            if is_reason(error, "NotFound"):
                self._queue.remove(info.uid)
                return
            log.warning("cannot bind %s to %s: %s", info.key, node, error)
            self._recorder.event(info.pod, WARNING, "FailedScheduling", f"binding rejected: {error}")
            self._queue.failed(info.uid)
        else:
            self._queue.done(info.uid)
            self._recorder.event(info.pod, NORMAL, "Scheduled", f"Successfully assigned {info.key} to {node}")
        finally:
            self._bindings.release()

    async def _tell(self, info: PodInfo, diagnosis: Diagnosis) -> None:
        """Record why a Pod waits: an event each time, the condition if it changed."""
        message = diagnosis.message()
        self._recorder.event(info.pod, WARNING, "FailedScheduling", message)
        known = meta.condition(info.pod, "PodScheduled")
        if known is not None and known.get("status") == "False" and known.get("message") == message:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
        }
        if known is None or known.get("status") != "False":
            condition["lastTransitionTime"] = timestamp(self._clock.now())
        try:
            await self._client.patch(
                PODS,
                meta.name(info.pod),
                {"status": {"conditions": [condition]}},
                meta.namespace(info.pod),
                subresource="status",
                content_type=STRATEGIC_MERGE_PATCH,
            )
        except (ApiError, OSError, TimeoutError) as error:
            if not is_reason(error, "NotFound"):
                log.warning("cannot say that %s is unschedulable: %s", info.key, error)


def _scheduling_view(node: Object) -> tuple[object, ...]:
    """What of a node its rules look at: heartbeats change none of it."""
    spec = node.get("spec") or {}
    allocatable = (node.get("status") or {}).get("allocatable")
    return (spec.get("unschedulable"), spec.get("taints"), allocatable, node["metadata"].get("labels"))
