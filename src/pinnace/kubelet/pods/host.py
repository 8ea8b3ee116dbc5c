"""What the Pods of one node share, and what a Pod's start asks of the machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.recorder import Recorder
from pinnace.core.clock import Clock
from pinnace.kubelet.images import Puller
from pinnace.kubelet.lifecycle.situation import Waiting
from pinnace.kubelet.pods.statuses import StatusWriter
from pinnace.kubelet.probes.prober import Probers
from pinnace.kubelet.runtime.base import Config, Container, Image, PodState, Runtime

#: Pods of a real node that may be starting at the same time; more only slow each other down.
STARTS_AT_ONCE = 8


class Preparation(Protocol):
    """What the machine must have, and what the runtime is told, before a Pod's parts can run."""

    async def mount(self, pod: Object) -> None:
        """Set up directories, cgroups and volumes. Idempotent. Raises StartFailure."""

    async def sandbox(self, pod: Object, attempt: int) -> Config: ...

    async def container(
        self, pod: Object, spec: Object, kind: str, attempt: int, state: PodState, sandbox: Config, image: Image
    ) -> Config:
        """The configuration to create a container with, its image being there. Raises StartFailure."""

    def know_addresses(self, pod: Object, ips: tuple[str, ...]) -> None:
        """The Pod's sandbox has these addresses."""

    async def finished(self, container: Container) -> str:
        """What an ended container left as its termination message."""

    def forget(self, container: Container) -> None:
        """A dead container was removed: what it left goes too."""

    async def teardown(self, uid: str, *, keep_logs: bool = False) -> None:
        """Undo ``mount``, also when another process did it. Idempotent. Raises OSError."""

    async def left_behind(self) -> list[str]:
        """UIDs of Pods that this machine still has something of."""


@dataclass(slots=True)
class Host:
    client: Client
    clock: Clock
    runtime: Runtime
    recorder: Recorder
    statuses: StatusWriter
    preparation: Preparation
    probers: Probers
    node_name: str
    ips: tuple[str, ...]
    images: Puller
    #: Why the node does not take a Pod that is new to it; None if it does. Without it the node takes all.
    admit: Callable[[Object], Awaitable[Waiting | None]] | None = None
    starts: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STARTS_AT_ONCE))
