"""What every controller is handed, and the shape of a controller.

A controller turns changes that informers tell of into keys on its ``WorkQueue`` and works on one key at a time with
``sync``. A ``sync`` that raises is run again after the key's back-off (5 ms, doubling, at most 1,000 s); one that
returns is done until something changes. Nothing is written before every informer of the process has its first list.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.client.informer import Informer, Informers
from pinnace.client.recorder import Recorder
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.core.workqueue import WorkQueue

log = logging.getLogger(__name__)


#: The client that acts as a service account of ``kube-system``, or for "" as the controller manager itself.
ClientFor = Callable[[str], Client]


class Kit:
    """The tools that the controllers of one process share."""

    def __init__(self, client_for: ClientFor, clock: Clock, informers: Informers) -> None:
        self.client_for = client_for
        self.clock = clock
        self.informers = informers
        self._recorders: dict[str, Recorder] = {}

    def informer(self, gvr: GVR) -> Informer:
        """The shared informer of all objects of a resource."""
        return self.informers.of(gvr)

    def recorder(self, component: str, client: Client) -> Recorder:
        """The recorder of events of ``component`` (``replicaset-controller``)."""
        if component not in self._recorders:
            self._recorders[component] = Recorder(client, self.clock, component)
        return self._recorders[component]

    async def stop(self) -> None:
        for recorder in self._recorders.values():
            await recorder.stop()


class Controller(ABC):
    """One reconciliation loop. Subclasses add informer handlers in ``__init__`` and do their work in ``sync``.

    It reads what the shared informers hold and does everything else with ``client``, as ``account``: the service
    account that a ClusterRole ``system:controller:...`` is bound to.
    """

    name: ClassVar[str]
    account: ClassVar[str]
    workers: ClassVar[int] = 1

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.client = kit.client_for(self.account)
        self.clock = kit.clock
        self.queue: WorkQueue[str] = WorkQueue(kit.clock)

    def recorder(self, component: str) -> Recorder:
        """Records events as ``component``."""
        return self.kit.recorder(component, self.client)

    @abstractmethod
    async def sync(self, key: str) -> None:
        """Bring one key to its wanted state, or raise to be called again later."""

    def start(self, tasks: Tasks) -> None:
        """Begin to work; the informers are synced."""
        for number in range(self.workers):
            tasks.forever(self._work, name=f"{self.name}-{number}")

    async def _work(self) -> None:
        await self.queue.run(self.sync, self._failed)

    def _failed(self, key: str, error: Exception, delay: float) -> None:
        if is_reason(error, "Conflict", "NotFound", "AlreadyExists") or is_namespace_terminating(error):
            log.debug("%s: %s: %s (again in %.3f s)", self.name, key, error, delay)
        elif isinstance(error, ApiError | OSError | TimeoutError):
            log.warning("%s: %s: %s (again in %.3f s)", self.name, key, error, delay)
        else:
            log.error("%s: %s failed (again in %.3f s)", self.name, key, delay, exc_info=error)

    def enqueue(self, obj: Object) -> None:
        self.queue.add(meta.key(obj))

    def watch(self, informer: Informer) -> None:
        """Put every object of ``informer`` that changes on the queue."""

        def changed(old: Object | None, new: Object | None) -> None:
            obj = new if new is not None else old
            if obj is not None:
                self.enqueue(obj)

        informer.add_handler(changed)

    async def stop(self) -> None:
        """Cancel timers; the tasks are ended by their owner."""
        self.queue.close()


async def slow_start(count: int, work: Callable[[], Awaitable[object]]) -> tuple[int, BaseException | None]:
    """Call ``work`` up to ``count`` times in batches of 1, 2, 4, ..., stopping after a batch with a failure.

    Returns how often it succeeded and the first error: a quota that is used up costs one call, not ``count``.
    """
    succeeded = 0
    batch = min(count, 1)
    remaining = count
    while batch > 0:
        results = await asyncio.gather(*(work() for _ in range(batch)), return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        succeeded += batch - len(errors)
        if errors:
            return succeeded, errors[0]
        remaining -= batch
        batch = min(2 * batch, remaining)
    return succeeded, None
