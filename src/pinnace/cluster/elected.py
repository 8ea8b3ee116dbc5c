"""Parts of which one at a time works in the whole cluster, in a process that has other work besides.

Where API servers share a store, each process has controllers and a scheduler, and those that hold the Lease work.
"""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Awaitable, Callable

from pinnace.client.client import Client
from pinnace.client.informer import Informers
from pinnace.client.leader_election import LeaderElector
from pinnace.client.recorder import Recorder
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Part, Tasks

log = logging.getLogger(__name__)

CONTROLLERS_LEASE, SCHEDULER_LEASE = "kube-controller-manager", "kube-scheduler"


def process_identity() -> str:
    """This process's and no other's."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class Elected:
    """Part: has the parts that ``build`` makes started and stopped with the leadership. Its own start does not wait
    for that."""

    def __init__(
        self, lease: str, component: str, client: Client, clock: Clock, build: Callable[[], Awaitable[list[Part]]]
    ) -> None:
        self.name = lease
        self._build = build
        self._recorder = Recorder(client, clock, component)
        self._elector = LeaderElector(client, clock, self._recorder, name=lease, identity=process_identity())
        self._tasks = Tasks(lease, clock)

    async def start(self) -> None:
        self._tasks.forever(self._lead, name="election")

    async def _lead(self) -> None:
        while True:
            await self._elector.acquire()
            parts: list[Part] = []
            try:
                for part in await self._build():
                    parts.append(part)
                    await part.start()
                await self._elector.hold()
            finally:
                while parts:
                    await parts.pop().stop()
                await self._elector.release()

    async def stop(self) -> None:
        await self._tasks.stop()
        await self._recorder.stop()


class Watching:
    """Part: another with informers of its own, which end with it."""

    def __init__(self, client: Client, clock: Clock, make: Callable[[Informers], Part]) -> None:
        self._informers = Informers(client, clock)
        self._part = make(self._informers)
        self.name = self._part.name

    async def start(self) -> None:
        await self._part.start()

    async def stop(self) -> None:
        await self._part.stop()
        await self._informers.stop()
