"""DaemonSets: a Pod on every node that should have one."""

from __future__ import annotations

import asyncio

from pinnace.api import meta, selectors
from pinnace.api.errors import is_namespace_terminating
from pinnace.api.resources import DAEMON_SETS, NODES, PODS
from pinnace.api.types import Object
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.controllers import daemons, kit, ownership, podstate, revisions
from pinnace.controllers.expectations import Expectations
from pinnace.controllers.podcontrol import PodControl
from pinnace.core.backoff import Backoff

#: Pods made or deleted in one round at most.
BURST = 250


class DaemonSetController(kit.Controller):
    """Carries out what ``daemons`` computes."""

    name = "daemonset-controller"
    account = "daemon-set-controller"
    workers = 2

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder(self.name)
        self._expectations = Expectations(self.clock)
        self._control = PodControl(self.client, self._events, self._expectations)
        self._backoff = Backoff(base=1.0, cap=900.0)  # of Pods that end, per DaemonSet and node
        self._due: dict[tuple[str, str], float] = {}
        self._sets = tools.informer(DAEMON_SETS)
        self._pods = tools.informer(PODS)
        self._nodes = tools.informer(NODES)
        self._claims = ownership.Claims(self.client, DAEMON_SETS, PODS, self._pods)
        self._revisions = revisions.Revisions(tools, self.client, DAEMON_SETS, hash_label=revisions.HASH_LABEL)
        self.watch(self._sets)
        self._pods.add_handler(self._pod_changed)
        self._nodes.add_handler(self._node_changed)

    @staticmethod
    def _match(daemon_set: Object) -> ownership.Matcher:
        return selectors.label_selector(daemon_set["spec"].get("selector")).matches

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is None:
            return
        for other in ownership.others_concerned(self._sets, "DaemonSet", old, new, self._match):
            self.enqueue(other)
        owner = ownership.controller_in(self._sets, pod, "DaemonSet")
        if owner is None:
            return
        key = meta.key(owner)
        self._expectations.seen(key, old, new)
        self.queue.add(key)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        """Labels, taints and existence decide; heartbeats do not."""
        if old is not None and new is not None:
            same = meta.labels(old) == meta.labels(new) and old["spec"].get("taints") == new["spec"].get("taints")
            if same:
                return
        for daemon_set in self._sets:
            self.enqueue(daemon_set)

    async def sync(self, key: str) -> None:
        daemon_set = self._sets.by_key(key)
        if daemon_set is None:
            self._expectations.forget(key)
            return
        selector = daemon_set["spec"].get("selector") or {}
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            message = "This daemon set is selecting all pods. A non-empty selector is required."
            self._events.event(daemon_set, WARNING, "SelectingAll", message)
            return
        if meta.is_deleting(daemon_set):
            return
        match = self._match(daemon_set)
        current, history, collisions = await self._revisions.bring_up_to_date(daemon_set, match)
        digest = revisions.digest(current)
        claimed = await self._claims.claim(daemon_set, match, adoptable=podstate.is_active)
        pods, nodes = daemons.by_node(claimed), list(self._nodes)
        if self._expectations.satisfied(key):
            plan = daemons.placement(daemon_set, nodes, pods, digest)
            if not (plan.create or plan.delete or plan.ended) and daemons.is_rolling(daemon_set):
                plan = daemons.update(daemon_set, nodes, pods, digest, self.clock.now())
            await self._carry_out(key, daemon_set, plan, digest)
        used = {f"{meta.name(daemon_set)}-{meta.labels(pod).get(revisions.HASH_LABEL)}" for pod in claimed}
        limit = daemon_set["spec"].get("revisionHistoryLimit")
        await self._revisions.clean_up(history, used | {meta.name(current)}, limit)
        await self._write_status(daemon_set, nodes, pods, digest, collisions)

    async def _write_status(
        self,
        daemon_set: Object,
        nodes: list[Object],
        pods: dict[str, list[Object]],
        digest: str,
        collisions: int | None,
    ) -> None:
        now = self.clock.now()
        status = daemons.status(daemon_set, nodes, pods, digest, collisions, now)
        if status != (daemon_set.get("status") or {}):
            await self.client.update(DAEMON_SETS, {**daemon_set, "status": status}, subresource="status")
        every = [pod for there in pods.values() for pod in there]
        wait = podstate.next_availability(every, int(daemon_set["spec"].get("minReadySeconds") or 0), now)
        if wait is not None:
            self.queue.add_after(meta.key(daemon_set), wait)

    async def _carry_out(self, key: str, daemon_set: Object, plan: daemons.Plan, digest: str) -> None:
        doomed = list(plan.delete)
        doomed += [pod for pod in plan.ended if self._may_replace(key, daemon_set, pod)]
        create, doomed = plan.create[:BURST], doomed[:BURST]
        if not create and not doomed:
            return
        self._expectations.expect(key, creations=len(create), deletions=[meta.uid(pod) for pod in doomed])
        waiting = iter(create)

        async def make() -> None:
            await self._control.create(daemon_set, daemons.new_pod(daemon_set, next(waiting), digest))

        async def delete(pod: Object) -> None:
            await self._control.delete(key, daemon_set, pod)

        succeeded, failure = await kit.slow_start(len(create), make)
        self._expectations.created(key, len(create) - succeeded)
        results = await asyncio.gather(*map(delete, doomed), return_exceptions=True)
        failure = next((result for result in results if isinstance(result, BaseException)), failure)
        if failure is not None and not is_namespace_terminating(failure):
            raise failure

    def _may_replace(self, key: str, daemon_set: Object, pod: Object) -> bool:
        """Whether a Pod that ended may go now; one that ends over and over is replaced less and less often."""
        node, now = daemons.target_node(pod), self.clock.monotonic()
        mark = (key, node)
        due = self._due.get(mark, 0.0)
        if due > now:
            self.queue.add_after(key, due - now)
            return False
        self._due[mark] = now + self._backoff.next(mark)
        where = f"{meta.namespace(pod)}/{meta.name(pod)} on node {node}"
        if podstate.phase(pod) == "Failed":
            message = f"Found failed daemon pod {where}, will try to kill it"
            self._events.event(daemon_set, WARNING, "FailedDaemonPod", message)
        else:
            message = f"Found succeeded daemon pod {where}, will try to delete it"
            self._events.event(daemon_set, NORMAL, "SucceededDaemonPod", message)
        return True
