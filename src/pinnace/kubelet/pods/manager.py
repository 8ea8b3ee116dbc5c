"""All Pods of one node: a worker for each, begun when the API server binds it here, ended when it is gone.

At the start, and every ``RELIST`` seconds, what the runtime has is compared with what the API server knows: Pods that
are in neither are taken apart (they were deleted while no kubelet looked). Nothing is touched before the first list
of Pods is there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pinnace.api import meta
from pinnace.api.errors import ApiError
from pinnace.api.types import Object
from pinnace.client.informer import Informer
from pinnace.core.supervisor import Tasks
from pinnace.kubelet import log_rotation
from pinnace.kubelet.pods.admission import is_static
from pinnace.kubelet.pods.host import Host
from pinnace.kubelet.pods.mirrors import Mirrors, is_mirror
from pinnace.kubelet.pods.worker import PodWorker
from pinnace.kubelet.runtime.base import PodState, Runtime, RuntimeFailure
from pinnace.kubelet.stats import Stats

log = logging.getLogger(__name__)

#: Seconds between two comparisons; events tell of changes much sooner.
RELIST = 10.0


class PodManager:
    """Of one node. Feed it with ``handle`` (an informer's handler) for the Pods bound to it."""

    __slots__ = (
        "_host",
        "_mirrors",
        "_pods",
        "_static",
        "_tasks",
        "_workers",
        "log_files",
        "log_limit",
        "stats",
    )

    def __init__(self, host: Host, pods: Informer, mirrors: Mirrors | None = None, stats: Stats | None = None) -> None:
        self._host = host
        #: What its Pods use; None if nobody can tell.
        self.stats = stats
        #: Bytes that a container's log file may have, and how many of them there may be.
        self.log_limit, self.log_files = log_rotation.LIMIT, log_rotation.FILES
        self._mirrors = mirrors
        self._pods = pods
        self._workers: dict[str, PodWorker] = {}
        self._static: Mapping[str, Object] = {}
        self._tasks = Tasks(f"kubelet/{host.node_name}", host.clock)

    def start(self) -> None:
        self._host.runtime.listen(self._notified)
        if self._host.runtime.real:
            self._tasks.forever(self._housekeeping, name="housekeeping")

    async def stop(self) -> None:
        await self._tasks.stop()
        for worker in list(self._workers.values()):
            await worker.stop()
        await self._host.probers.stop()

    @property
    def runtime(self) -> Runtime:
        return self._host.runtime

    @property
    def node_name(self) -> str:
        return self._host.node_name

    def pods(self) -> list[Object]:
        return [worker.pod for worker in self._workers.values()]

    def taken(self) -> list[Object]:
        """The Pods that the node has agreed to run and that have not ended."""
        return [worker.pod for worker in self._workers.values() if worker.admitted and not worker.is_final]

    def workers(self) -> list[PodWorker]:
        return list(self._workers.values())

    def worker_of(self, uid: str) -> PodWorker | None:
        return self._workers.get(uid)

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        for worker in self._workers.values():
            if meta.name(worker.pod) == name and meta.namespace(worker.pod) == namespace:
                return worker
        return None

    def handle(self, old: Object | None, new: Object | None) -> None:
        """A Pod of this node is new, changed or gone."""
        either = new if new is not None else old
        if self._mirrors is not None and either is not None and is_mirror(either):
            self._mirror_changed(self._mirrors, meta.key(either), new)
            return
        if new is None:
            if old is not None and (gone := self._workers.get(meta.uid(old))) is not None:
                gone.remove()
            return
        worker = self._workers.get(meta.uid(new))
        if worker is not None:
            worker.update(new)
            return
        self._begin(PodWorker(self._host, new, self._ended))

    def _begin(self, worker: PodWorker) -> None:
        self._workers[meta.uid(worker.pod)] = worker
        worker.start()

    def _ended(self, worker: PodWorker) -> None:
        uid = meta.uid(worker.pod)
        self._workers.pop(uid, None)
        self._host.images.forget(uid)
        self._begin_static(meta.key(worker.pod))

    # -- static Pods

    def set_static(self, pods: Mapping[str, Object]) -> None:
        """The node's static Pods are these, by key; a Pod begins when the one of its name before it has ended."""
        self._static = pods
        wanted = {meta.uid(pod) for pod in pods.values()}
        for uid, worker in list(self._workers.items()):
            if is_static(worker.pod) and uid not in wanted:
                worker.remove()
        for key in pods:
            self._begin_static(key)
        if self._mirrors is not None:
            self._mirrors.want(pods)

    def _begin_static(self, key: str) -> None:
        pod = self._static.get(key)
        if pod is None or any(meta.key(worker.pod) == key for worker in self._workers.values()):
            return
        mirror = self._mirrors.of(pod) if self._mirrors is not None else None
        self._begin(PodWorker(self._host, _shown_by(pod, mirror), self._ended, shown=mirror, static=True))

    def _mirror_changed(self, mirrors: Mirrors, key: str, mirror: Object | None) -> None:
        mirrors.seen(key, mirror)
        pod = self._static.get(key)
        worker = self._workers.get(meta.uid(pod)) if pod is not None else None
        if pod is not None and worker is not None:
            shown = mirrors.of(pod)
            worker.show_as(shown, _shown_by(pod, shown))

    def _notified(self, uid: str) -> None:
        if uid:
            worker = self._workers.get(uid)
            if worker is not None:
                worker.wake()
            return
        for worker in self._workers.values():
            worker.wake()

    # -- looking after them

    def retry(self, uid: str) -> None:
        """What kept a Pod from starting may have changed."""
        worker = self._workers.get(uid)
        if worker is not None and not any(box.ready for box in worker.state.sandboxes):
            worker.retry()

    def retry_configuration(self, uid: str) -> None:
        """What a Pod's containers are configured with may have changed."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.retry_configuration()

    async def _housekeeping(self) -> None:
        await self._pods.synced.wait()
        seen: dict[str, PodState] = {}
        while True:
            try:
                seen = await self._compare(seen)
            except (RuntimeFailure, ApiError, OSError, TimeoutError) as error:
                log.warning("cannot look after what is left of Pods: %s", error)
            await self._host.clock.sleep(RELIST)

    async def _compare(self, seen: dict[str, PodState]) -> dict[str, PodState]:
        """Wake workers whose Pods changed unnoticed, and take apart what belongs to no Pod."""
        found = await self._host.runtime.pods()
        for uid, state in found.items():
            worker = self._workers.get(uid)
            if worker is not None:
                if seen.get(uid) != state:
                    worker.wake()
                await log_rotation.rotate(
                    self._host.runtime, state, self._host.clock, limit=self.log_limit, files=self.log_files
                )
            else:
                await self._take_apart(state)
        for uid, worker in self._workers.items():
            if uid in seen and uid not in found:
                worker.wake()
        for uid in await self._host.preparation.left_behind():
            if uid not in self._workers and uid not in found:
                await self._host.preparation.teardown(uid)
        return found

    async def _take_apart(self, state: PodState) -> None:
        log.info("Pod %s/%s (%s) is in no API server any more: ending it", state.namespace, state.name, state.uid)
        runtime = self._host.runtime
        for container in state.containers:
            await runtime.stop_container(container.id, 2.0)
        for box in state.sandboxes:
            await runtime.stop_sandbox(box.id)
            await runtime.remove_sandbox(box.id)
        await self._host.preparation.teardown(state.uid)


def _shown_by(static: Object, mirror: Object | None) -> Object:
    """A static Pod with the status that the API server has of it."""
    return {**static, "status": (mirror.get("status") or {}) if mirror is not None else {}}
