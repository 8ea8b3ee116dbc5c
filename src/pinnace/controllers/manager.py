"""The part of a cluster that runs the controllers."""

from __future__ import annotations

from pinnace.client.client import Client
from pinnace.client.informer import Informers
from pinnace.controllers import kit
from pinnace.controllers.deployment import DeploymentController
from pinnace.controllers.namespace import NamespaceController
from pinnace.controllers.replicaset import ReplicaSetController, ReplicationController
from pinnace.controllers.rootca import RootCAPublisher
from pinnace.controllers.serviceaccount import ServiceAccountController
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks


class Controllers:
    """All controllers, as one ``Part``. ``client`` acts as ``system:kube-controller-manager``; ``root_ca`` is the PEM
    that Pods verify the API server with."""

    name = "controllers"

    def __init__(self, client: Client, clock: Clock, *, root_ca: str) -> None:
        self._client = client
        self._clock = clock
        self._root_ca = root_ca
        self._informers: Informers | None = None
        self._kit: kit.Kit | None = None
        self._tasks = Tasks(self.name, clock)
        self._running: list[kit.Controller] = []

    async def start(self) -> None:
        """Return once every informer has its first list and the controllers work."""
        self._informers = Informers(self._client, self._clock)
        self._kit = kit.Kit(self._client, self._clock, self._informers)
        self._running = self._build(self._kit)
        try:
            await self._informers.wait_synced()
        except BaseException:
            await self.stop()
            raise
        for controller in self._running:
            controller.start(self._tasks)

    def _build(self, tools: kit.Kit) -> list[kit.Controller]:
        return [
            NamespaceController(tools),
            ServiceAccountController(tools),
            RootCAPublisher(tools, self._root_ca),
            ReplicaSetController(tools),
            ReplicationController(tools),
            DeploymentController(tools),
        ]

    async def stop(self) -> None:
        await self._tasks.stop()
        for controller in self._running:
            await controller.stop()
        self._running = []
        if self._kit is not None:
            await self._kit.stop()
        if self._informers is not None:
            await self._informers.stop()
