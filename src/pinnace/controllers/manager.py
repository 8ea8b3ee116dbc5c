"""The part of a cluster that runs the controllers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pinnace.client.informer import Informers
from pinnace.controllers import kit
from pinnace.controllers.admissionpolicystatus import AdmissionPolicyStatusController
from pinnace.controllers.certificates import CertificateController
from pinnace.controllers.cronjob import CronJobController
from pinnace.controllers.daemonset import DaemonSetController
from pinnace.controllers.deployment import DeploymentController
from pinnace.controllers.disruption import DisruptionController
from pinnace.controllers.endpoints import EndpointsController
from pinnace.controllers.endpointslice import EndpointSliceController
from pinnace.controllers.endpointslicemirroring import EndpointSliceMirroringController
from pinnace.controllers.garbagecollector import GarbageCollector
from pinnace.controllers.job import JobController
from pinnace.controllers.loadbalancer import LoadBalancerController
from pinnace.controllers.namespace import NamespaceController
from pinnace.controllers.nodeipam import NodeIpamController
from pinnace.controllers.nodelifecycle import NodeLifecycleController
from pinnace.controllers.podgc import PodGarbageCollector
from pinnace.controllers.replicaset import ReplicaSetController, ReplicationController
from pinnace.controllers.resourcequota import ResourceQuotaController
from pinnace.controllers.rootca import RootCAPublisher
from pinnace.controllers.serviceaccount import ServiceAccountController
from pinnace.controllers.statefulset import StatefulSetController
from pinnace.controllers.tainteviction import TaintEvictionController
from pinnace.controllers.tokencleaner import TokenCleaner
from pinnace.controllers.tokensecret import TokenSecretController
from pinnace.controllers.ttlafterfinished import TtlAfterFinishedController
from pinnace.controllers.volumebinding import (
    ClaimProtectionController,
    VolumeBindingController,
    VolumeProtectionController,
)
from pinnace.controllers.volumerecycler import VolumeRecycler
from pinnace.core.clock import Clock
from pinnace.core.ipranges import IPRanges
from pinnace.core.supervisor import Tasks


class Controllers:
    """All controllers, as one ``Part``. ``client_for("")`` acts as ``system:kube-controller-manager``, of which the
    informers are, ``client_for(account)`` as a service account of ``kube-system``; ``root_ca`` is the PEM that Pods
    verify the API server with; every node gets a range of ``node_prefix`` bits of ``cluster_cidr``, and
    every Service of type LoadBalancer an address of ``load_balancer_pool`` (None: that is left to others);
    ``authority`` returns the PEM of the certificate and the key that certificate requests are signed with (None: none
    are signed); ``others`` make controllers of other rooms."""

    name = "controllers"

    def __init__(
        self,
        client_for: kit.ClientFor,
        clock: Clock,
        *,
        root_ca: str,
        cluster_cidr: str = "10.244.0.0/16",
        node_prefix: int = 24,
        load_balancer_pool: IPRanges | None = None,
        authority: Callable[[], tuple[bytes, bytes]] | None = None,
        others: Sequence[Callable[[kit.Kit], kit.Controller]] = (),
    ) -> None:
        self._others = others
        self._authority = authority
        self._cluster_cidr = cluster_cidr
        self._node_prefix = node_prefix
        self._load_balancer_pool = load_balancer_pool
        self._client_for = client_for
        self._clock = clock
        self._root_ca = root_ca
        self._informers: Informers | None = None
        self._kit: kit.Kit | None = None
        self._tasks = Tasks(self.name, clock)
        self._running: list[kit.Controller] = []

    async def start(self) -> None:
        """Return once every informer has its first list and the controllers work."""
        self._informers = Informers(self._client_for(""), self._clock)
        self._kit = kit.Kit(self._client_for, self._clock, self._informers)
        self._running = self._build(self._kit)
        try:
            await self._informers.wait_synced()
        except BaseException:
            await self.stop()
            raise
        for controller in self._running:
            controller.start(self._tasks)

    def _build(self, tools: kit.Kit) -> list[kit.Controller]:
        pool = self._load_balancer_pool
        return [
            *([LoadBalancerController(tools, pool)] if pool is not None else ()),
            NamespaceController(tools),
            ServiceAccountController(tools),
            RootCAPublisher(tools, self._root_ca),
            ReplicaSetController(tools),
            ReplicationController(tools),
            DeploymentController(tools),
            DaemonSetController(tools),
            StatefulSetController(tools),
            JobController(tools),
            TtlAfterFinishedController(tools),
            CronJobController(tools),
            EndpointSliceController(tools),
            EndpointsController(tools),
            EndpointSliceMirroringController(tools),
            DisruptionController(tools),
            ResourceQuotaController(tools),
            TokenSecretController(tools, self._root_ca),
            TokenCleaner(tools),
            CertificateController(tools, self._authority),
            VolumeBindingController(tools),
            VolumeRecycler(tools),
            ClaimProtectionController(tools),
            VolumeProtectionController(tools),
            NodeLifecycleController(tools),
            TaintEvictionController(tools),
            PodGarbageCollector(tools),
            GarbageCollector(tools),
            AdmissionPolicyStatusController(tools),
            NodeIpamController(tools, cluster_cidr=self._cluster_cidr, node_prefix=self._node_prefix),
            *(make(tools) for make in self._others),
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
