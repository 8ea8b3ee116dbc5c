"""ReplicaSets and ReplicationControllers: as many Pods as asked for.

Counts come from the cache, so a round begins only when the cache shows everything the round before asked for
(``expectations``): a ReplicaSet never has more Pods than it asked for, nor deletes more than it should.
"""

from __future__ import annotations

import asyncio

from pinnace.api import meta, selectors
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import PODS, REPLICA_SETS
from pinnace.api.types import GVR, Object
from pinnace.controllers import kit, ownership, podstate, replicas
from pinnace.controllers.expectations import Expectations
from pinnace.controllers.podcontrol import PodControl

REPLICATION_CONTROLLERS = GVR("", "v1", "replicationcontrollers")


class ReplicaSetController(kit.Controller):
    """Creates and deletes the Pods of ReplicaSets."""

    name = "replicaset-controller"
    account = "replicaset-controller"
    workers = 5
    gvr = REPLICA_SETS
    kind = "ReplicaSet"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._expectations = Expectations(self.clock)
        self._events = self.recorder(self.name)
        self._control = PodControl(self.client, self._events, self._expectations)
        self._pods = tools.informer(PODS)
        self._owners = tools.informer(self.gvr)
        self._claims = ownership.Claims(self.client, self.gvr, PODS, self._pods)
        self._pods.add_handler(self._pod_changed)
        self._owners.add_handler(self._owner_changed)
        ownership.index_by_controller(self._owners)

    def _match(self, owner: Object) -> ownership.Matcher:
        return selectors.label_selector(owner["spec"].get("selector")).matches

    def _owner_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        if obj is None:
            return
        if new is None:
            self._expectations.forget(meta.key(obj))
        self.enqueue(obj)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is None:
            return
        for other in ownership.others_concerned(self._owners, self.kind, old, new, self._match):
            self.enqueue(other)
        owner = ownership.controller_in(self._owners, pod, self.kind)
        if owner is None:
            return
        key = meta.key(owner)
        self._expectations.seen(key, old, new)
        self.queue.add(key)

    async def sync(self, key: str) -> None:
        owner = self._owners.by_key(key)
        if owner is None:
            self._expectations.forget(key)
            return
        settled = self._expectations.satisfied(key)
        claimed = await self._claims.claim(owner, self._match(owner), adoptable=podstate.is_active)
        active = [pod for pod in claimed if podstate.is_active(pod)]
        terminating = sum(1 for pod in claimed if podstate.is_terminating(pod))
        failure: tuple[str, BaseException] | None = None
        if settled and not meta.is_deleting(owner):
            failure = await self._manage(key, owner, active)
        now = self.clock.now()
        reported = (failure[0], str(failure[1])) if failure is not None else None
        has_terminating = terminating if self.gvr is REPLICA_SETS else None
        new_status = replicas.status(owner, active, has_terminating, reported, now)
        await self._write_status(owner, new_status)
        if failure is not None:
            raise failure[1]
        wait = podstate.next_availability(active, int(owner["spec"].get("minReadySeconds") or 0), now)
        if wait is not None:
            self.queue.add_after(key, wait)

    async def _write_status(self, owner: Object, new_status: Object) -> None:
        if new_status == (owner.get("status") or {}):
            return
        try:
            await self.client.update(self.gvr, {**owner, "status": new_status}, subresource="status")
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise

    async def _manage(self, key: str, owner: Object, active: list[Object]) -> tuple[str, BaseException] | None:
        count = replicas.difference(owner, active)
        if count > 0:
            return await self._create(key, owner, count)
        if count < 0:
            chosen = replicas.to_delete(active, self._siblings(owner), -count, self.clock.now())
            return await self._delete(key, owner, chosen)
        return None

    def _siblings(self, owner: Object) -> list[Object]:
        ref = meta.controller_of(owner)
        sets = self._owners.indexed(ownership.INDEX, ref["uid"]) if ref else [owner]
        return [pod for one in sets for pod in ownership.dependents(self._pods, one)]

    async def _create(self, key: str, owner: Object, count: int) -> tuple[str, BaseException] | None:
        self._expectations.expect(key, creations=count)

        async def create() -> None:
            pod = podstate.from_template(owner["spec"]["template"], owner)
            await self._control.create(owner, pod)

        succeeded, error = await kit.slow_start(count, create)
        if error is None:
            return None
        self._expectations.created(key, count - succeeded)  # they will never be seen
        return None if is_namespace_terminating(error) else ("FailedCreate", error)

    async def _delete(self, key: str, owner: Object, pods: list[Object]) -> tuple[str, BaseException] | None:
        self._expectations.expect(key, deletions=[meta.uid(pod) for pod in pods])

        async def delete(pod: Object) -> None:
            await self._control.delete(key, owner, pod)

        results = await asyncio.gather(*map(delete, pods), return_exceptions=True)
        error = next((result for result in results if isinstance(result, BaseException)), None)
        return None if error is None else ("FailedDelete", error)


class ReplicationController(ReplicaSetController):
    """The same for ReplicationControllers, whose selector is a plain map (by default the template's labels)."""

    name = "replication-controller"
    account = "replication-controller"
    workers = 1
    gvr = REPLICATION_CONTROLLERS
    kind = "ReplicationController"

    def _match(self, owner: Object) -> ownership.Matcher:
        selector = owner["spec"].get("selector") or {}
        return selectors.label_set(selector).matches if selector else selectors.NOTHING.matches
