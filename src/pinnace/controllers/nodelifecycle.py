"""The life of nodes: heartbeats that stop, taints that follow from conditions, Pods of dead nodes marked not ready.

A heartbeat is a renewed Lease in ``kube-node-lease`` or a new status; it counts from when it is seen here, not from
the time it bears, so clocks need not agree and a restart gives every node its grace anew. One timer per node waits for
the end of its grace; heartbeats only move a number.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import LEASES, NODES, PODS
from pinnace.api.types import Object
from pinnace.client.client import STRATEGIC_MERGE_PATCH
from pinnace.client.informer import Informer
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.controllers import kit, nodehealth, podstate
from pinnace.core.clock import timestamp

LEASE_NAMESPACE = "kube-node-lease"
NODE_INDEX = "node"


def index_by_node(pods: Informer) -> None:
    """Make ``pods.indexed("node", name)`` work."""
    pods.add_index(NODE_INDEX, lambda pod: (podstate.node_of(pod),))


@dataclass
class _Health:
    zone: str
    uid: str
    probed: float  # monotonic time of the last sign of life
    heartbeat: str = ""
    renewed: str = ""
    ready: bool = False  # as last acted on
    counted_ready: bool = False  # as in the zone's counts


def _renewal(lease: Object) -> Object:
    """All that matters of a Lease here: there may be thousands."""
    metadata = {field: lease["metadata"][field] for field in ("name", "namespace", "uid", "resourceVersion")}
    return {"metadata": metadata, "spec": {"renewTime": (lease.get("spec") or {}).get("renewTime")}}


class NodeLifecycleController(kit.Controller):
    """Watches over all nodes."""

    name = "node-controller"
    account = "node-controller"
    workers = 4

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder(self.name)
        self._health: dict[str, _Health] = {}
        self._zones: dict[str, list[int]] = {}  # zone -> [not ready, ready]
        self._next_eviction: dict[str, float] = {}  # zone -> monotonic time
        self._all_down = False
        self._nodes = tools.informer(NODES)
        self._leases = tools.informers.of(LEASES, namespace=LEASE_NAMESPACE, keep=_renewal)
        self._pods = tools.informer(PODS)
        index_by_node(self._pods)
        self._nodes.add_handler(self._node_changed)
        self._leases.add_handler(self._lease_changed)

    # -- signs of life

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        if obj is None:
            return
        name = meta.name(obj)
        if new is None:
            self._forget(name)
            self._record(obj, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")
            return
        health = self._health.get(name)
        if health is None:
            health = _Health(nodehealth.zone_of(new), meta.uid(new), self.clock.monotonic())
            health.ready = health.counted_ready = nodehealth.is_ready(new)
            self._health[name] = health
            self._count(health.zone, health.counted_ready, 1)
            self._record(new, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        heartbeat = str((meta.condition(new, "Ready") or {}).get("lastHeartbeatTime") or "")
        if heartbeat != health.heartbeat:
            health.heartbeat = heartbeat
            health.probed = self.clock.monotonic()
        zone, ready = nodehealth.zone_of(new), nodehealth.is_ready(new)
        if (zone, ready) != (health.zone, health.counted_ready):
            self._count(health.zone, health.counted_ready, -1)
            self._count(zone, ready, 1)
            health.zone, health.counted_ready = zone, ready
        self.queue.add(name)

    def _lease_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or (health := self._health.get(meta.name(new))) is None:
            return
        renewed = str(new["spec"].get("renewTime") or "")
        if renewed != health.renewed:
            health.renewed = renewed
            health.probed = self.clock.monotonic()

    def _forget(self, name: str) -> None:
        health = self._health.pop(name, None)
        if health is not None:
            self._count(health.zone, health.counted_ready, -1)

    def _count(self, zone: str, ready: bool, change: int) -> None:
        counts = self._zones.setdefault(zone, [0, 0])
        counts[ready] += change
        if counts == [0, 0]:
            del self._zones[zone]
        all_down = bool(self._zones) and not any(counts[True] for counts in self._zones.values())
        if all_down != self._all_down:
            self._all_down = all_down
            if not all_down:  # after an outage of everything, nobody is judged by the silence during it
                for health in self._health.values():
                    health.probed = self.clock.monotonic()
            for name in self._health:
                self.queue.add(name)

    def _record(self, node: Object, reason: str, message: str) -> None:
        self._events.event(node, NORMAL, reason, message)

    # -- one node

    async def sync(self, key: str) -> None:
        node, health = self._nodes.by_key(key), self._health.get(key)
        if node is None or health is None:
            return
        known = meta.condition(node, "Ready") is not None
        left = health.probed + (nodehealth.GRACE if known else nodehealth.STARTUP_GRACE) - self.clock.monotonic()
        if left > 0:
            self.queue.add_routinely(key, left + 0.001)
        else:
            node = await self._silence(node)
        ready = nodehealth.is_ready(node)
        if health.ready and not ready:
            self._record(node, "NodeNotReady", f"Node {key} status is now: NodeNotReady")
            await self._mark_pods(key)
        health.ready = ready
        await self._taint(node, health)

    async def _silence(self, node: Object) -> Object:
        conditions = nodehealth.silent_conditions(node, self.clock.now())
        status = node.get("status") or {}
        if conditions == list(status.get("conditions") or ()):
            return node
        changed = {**node, "status": {**status, "conditions": conditions}}
        return await self.client.update(NODES, changed, subresource="status")

    async def _mark_pods(self, name: str) -> None:
        """Take Pods of a node that is not ready out of Services."""
        stamp = timestamp(self.clock.now())

        async def mark(pod: Object) -> None:
            ready = {"type": "Ready", "status": "False", "lastTransitionTime": stamp}
            change: Object = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [ready]}}
            await patch_pod_status(self, pod, change)
            self._events.event(pod, WARNING, "NodeNotReady", "Node is not ready")

        pods = [pod for pod in self._pods.indexed(NODE_INDEX, name) if podstate.is_ready(pod)]
        await asyncio.gather(*map(mark, pods))

    async def _taint(self, node: Object, health: _Health) -> None:
        evict, wait = self._may_evict(node, health)
        taints = nodehealth.taints(node, evict=evict, now=self.clock.now())
        if wait is not None:
            self.queue.add_after(meta.name(node), wait)
        if taints == list(node["spec"].get("taints") or ()):
            return
        change: Object = {
            "metadata": {"resourceVersion": meta.resource_version(node)},
            "spec": {"taints": taints or None},
        }
        await self.client.patch(NODES, meta.name(node), change)

    def _may_evict(self, node: Object, health: _Health) -> tuple[bool | None, float | None]:
        """Whether Pods may be driven off this node now (None: leave as it is), and when to ask again, in seconds."""
        if nodehealth.is_ready(node):
            return True, None
        if self._all_down:
            return False, None
        status = nodehealth.ready_status(node)
        key = nodehealth.NOT_READY if status == "False" else nodehealth.UNREACHABLE
        if any(t["key"] == key and t["effect"] == "NoExecute" for t in node["spec"].get("taints") or ()):
            return True, None
        not_ready, ready = self._zones.get(health.zone, [0, 0])
        interval = nodehealth.ZoneState(ready, not_ready).eviction_interval
        if interval is None:
            return None, 10.0
        now = self.clock.monotonic()
        due = self._next_eviction.get(health.zone, now)
        if due > now:
            return None, due - now
        self._next_eviction[health.zone] = now + interval
        return True, None


async def patch_pod_status(controller: kit.Controller, pod: Object, change: Object) -> None:
    """Patch a Pod's status; one that is gone, or is another by now, is none of our business."""
    try:
        await controller.client.patch(
            PODS,
            meta.name(pod),
            change,
            meta.namespace(pod),
            subresource="status",
            content_type=STRATEGIC_MERGE_PATCH,
        )
    except ApiError as error:
        if not is_reason(error, "NotFound", "Conflict"):
            raise


def disruption(pod: Object, reason: str, message: str, now: float) -> Object:
    """The status patch that tells a Pod is about to be deleted from outside."""
    condition: Object = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": timestamp(now),
    }
    return {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
