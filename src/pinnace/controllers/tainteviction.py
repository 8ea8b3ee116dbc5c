"""Drives Pods off nodes with NoExecute taints that they do not tolerate, or tolerate only for a while.

The time that a Pod tolerates counts from when this controller first saw the taints; a taint that goes in time spares
it.
"""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import NODES, PODS
from pinnace.api.types import Object
from pinnace.client.recorder import NORMAL
from pinnace.controllers import kit, nodelifecycle, podstate


def no_execute(node: Object | None) -> list[Object]:
    if node is None:
        return []
    return [taint for taint in node["spec"].get("taints") or () if taint["effect"] == "NoExecute"]


def tolerates(toleration: Object, taint: Object) -> bool:
    """Whether one toleration covers one taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    held, wanted = str(taint.get("value") or ""), str(toleration.get("value") or "")
    if operator == "Exists":
        return True
    if operator == "Equal":
        return held == wanted
    try:
        return int(held) > int(wanted) if operator == "Gt" else int(held) < int(wanted)
    except ValueError:
        return False


def tolerated_for(pod: Object, taints: list[Object]) -> float | None:
    """Seconds that the Pod may stay: 0 if it does not tolerate some taint, None if it may stay for ever. Pure."""
    tolerations = pod["spec"].get("tolerations") or ()
    limits: list[float] = []
    for taint in taints:
        matching = [toleration for toleration in tolerations if tolerates(toleration, taint)]
        if not matching:
            return 0.0
        limits += [max(float(t["tolerationSeconds"]), 0.0) for t in matching if t.get("tolerationSeconds") is not None]
    return min(limits, default=None)


class TaintEvictionController(kit.Controller):
    """Deletes Pods whose time on a tainted node is up. Keys are Pods."""

    name = "taint-eviction-controller"
    account = "node-controller"
    workers = 8

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder(self.name)
        self._waiting: dict[str, tuple[str, float]] = {}  # pod key -> (uid, monotonic time when taints were seen)
        self._nodes = tools.informer(NODES)
        self._pods = tools.informer(PODS)
        nodelifecycle.index_by_node(self._pods)
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and no_execute(old) != no_execute(new):
            for pod in self._pods.indexed(nodelifecycle.NODE_INDEX, meta.name(new)):
                self.enqueue(pod)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._waiting.pop(meta.key(old), None)
            return
        before = (podstate.node_of(old), old["spec"].get("tolerations")) if old is not None else None
        if podstate.node_of(new) and before != (podstate.node_of(new), new["spec"].get("tolerations")):
            self.enqueue(new)

    async def sync(self, key: str) -> None:
        pod = self._pods.by_key(key)
        if pod is None or meta.is_deleting(pod):
            self._waiting.pop(key, None)
            return
        taints = no_execute(self._nodes.get(podstate.node_of(pod)))
        limit = tolerated_for(pod, taints) if taints else None
        if limit is None:
            if self._waiting.pop(key, None) is not None:
                self._events.event(pod, NORMAL, "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return
        now = self.clock.monotonic()
        uid, since = self._waiting.get(key, ("", now))
        if uid != meta.uid(pod):
            since = now
        if since + limit > now:
            self._waiting[key] = (meta.uid(pod), since)
            self.queue.add_after(key, since + limit - now)
            return
        await self._evict(key, pod)
        self._waiting.pop(key, None)

    async def _evict(self, key: str, pod: Object) -> None:
        self._events.event(pod, NORMAL, "TaintManagerEviction", f"Marking for deletion Pod {key}")
        message = "Taint manager: deleting due to NoExecute taint"
        change = nodelifecycle.disruption(pod, "DeletionByTaintManager", message, self.clock.now())
        await nodelifecycle.patch_pod_status(self, pod, change)
        try:
            await self.client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except ApiError as error:
            if not is_reason(error, "NotFound", "Conflict"):
                raise
