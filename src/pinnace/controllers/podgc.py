"""Removes Pods that nobody else will: those of nodes that are gone, deleted ones that never had a node, those on nodes
out of service, and ended ones beyond a limit."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import NODES, PODS
from pinnace.api.types import Object
from pinnace.controllers import kit, nodehealth, nodelifecycle, podstate

#: Seconds that a node is missing before its Pods are.
QUARANTINE = 40.0
#: Ended Pods that may stay.
TERMINATED_LIMIT = 12_500
_SURPLUS = "\0surplus"  # the key of the look at ended Pods; no Pod's key has a NUL


class PodGarbageCollector(kit.Controller):
    """Deletes Pods by force (grace 0). Keys are Pods."""

    name = "pod-garbage-collector-controller"
    account = "pod-garbage-collector"

    def __init__(self, tools: kit.Kit, *, terminated_limit: int = TERMINATED_LIMIT) -> None:
        super().__init__(tools)
        self._limit = terminated_limit
        self._ended: set[str] = set()
        self._nodes = tools.informer(NODES)
        self._pods = tools.informer(PODS)
        nodelifecycle.index_by_node(self._pods)
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        if obj is None or (new is not None and not _is_out_of_service(new)):
            return
        delay = QUARANTINE if new is None else 0.0
        for pod in self._pods.indexed(nodelifecycle.NODE_INDEX, meta.name(obj)):
            self.queue.add_after(meta.key(pod), delay)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._ended.discard(meta.key(old))
            return
        key, node = meta.key(new), podstate.node_of(new)
        if podstate.is_terminal(new):
            self._ended.add(key)
            if len(self._ended) > self._limit:
                self.queue.add(_SURPLUS)
        if node and self._nodes.get(node) is None:
            self.queue.add_after(key, QUARANTINE)
        elif meta.is_deleting(new) and (not node or _is_out_of_service(self._nodes.get(node))):
            self.queue.add(key)

    async def sync(self, key: str) -> None:
        if key == _SURPLUS:
            await self._delete_surplus()
            return
        pod = self._pods.by_key(key)
        if pod is None:
            return
        name = podstate.node_of(pod)
        node = self._nodes.get(name) if name else None
        if not name:
            if meta.is_deleting(pod):
                await self._delete(pod, "PodGC: unscheduled terminating pod", mark=False)
        elif node is None:
            if not await self._exists(name):
                await self._delete(pod, "PodGC: node no longer exists", mark=True)
        elif meta.is_deleting(pod) and _is_out_of_service(node):
            await self._delete(pod, "PodGC: node is out of service", mark=False)

    async def _exists(self, node: str) -> bool:
        try:
            await self.client.get(NODES, node)
        except ApiError as error:
            if is_reason(error, "NotFound"):
                return False
            raise
        return True

    async def _delete(self, pod: Object, message: str, *, mark: bool) -> None:
        """Mark it failed, so that whoever counts Pods sees it end, and remove it."""
        change: Object = {"metadata": {"uid": meta.uid(pod)}, "status": {}}
        if mark:
            change = nodelifecycle.disruption(pod, "DeletionByPodGC", message, self.clock.now())
        if not podstate.is_terminal(pod):
            change["status"]["phase"] = "Failed"
            await nodelifecycle.patch_pod_status(self, pod, change)
        await self._remove(pod)

    async def _remove(self, pod: Object) -> None:
        try:
            await self.client.delete(
                PODS, meta.name(pod), meta.namespace(pod), grace_period_seconds=0, uid=meta.uid(pod)
            )
        except ApiError as error:
            if not is_reason(error, "NotFound", "Conflict"):
                raise

    async def _delete_surplus(self) -> None:
        ended = [pod for key in self._ended if (pod := self._pods.by_key(key)) is not None]
        surplus = len(ended) - self._limit
        ended.sort(key=lambda pod: (not _is_evicted(pod), pod["metadata"]["creationTimestamp"], meta.name(pod)))
        for pod in ended[: max(surplus, 0)]:
            await self._remove(pod)


def _is_evicted(pod: Object) -> bool:
    return (pod.get("status") or {}).get("reason") == "Evicted"


def _is_out_of_service(node: Object | None) -> bool:
    if node is None or nodehealth.is_ready(node):
        return False
    return any(taint["key"] == nodehealth.OUT_OF_SERVICE for taint in node["spec"].get("taints") or ())
