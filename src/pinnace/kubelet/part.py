"""One real node as a part of a cluster: its containerd, its Pods, its Node object."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pinnace.api import meta, quantity
from pinnace.api.errors import ApiError
from pinnace.api.resources import PODS, SERVICES
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.informer import Informers
from pinnace.client.recorder import NORMAL, Recorder
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.kubelet import machine
from pinnace.kubelet.configuration import Configuration
from pinnace.kubelet.image_gc import ImageCollector
from pinnace.kubelet.images import Puller
from pinnace.kubelet.manifests import Manifests
from pinnace.kubelet.node import RENEW, NodeAgent, NodeDescription
from pinnace.kubelet.objects import ObjectCache
from pinnace.kubelet.oci import ANNOTATION, OciRuntime
from pinnace.kubelet.pause import IMAGE as PAUSE
from pinnace.kubelet.pods.cgroups import Cgroups
from pinnace.kubelet.pods.gate import Gate
from pinnace.kubelet.pods.host import STARTS_AT_ONCE, Host
from pinnace.kubelet.pods.manager import PodManager
from pinnace.kubelet.pods.mirrors import Mirrors
from pinnace.kubelet.pods.prepare import MachinePreparation, Settings
from pinnace.kubelet.pods.statuses import StatusWriter
from pinnace.kubelet.pressure import Pressure
from pinnace.kubelet.probes.prober import Probers
from pinnace.kubelet.runtime.base import CREATED, RUNNING, Image, PodState, Runtime, RuntimeFailure
from pinnace.kubelet.server.access import Access
from pinnace.kubelet.server.server import HealthServer, KubeletServer
from pinnace.kubelet.shutdown import PROBLEM as NODE_SHUTS_DOWN
from pinnace.kubelet.shutdown import NodeShutdown
from pinnace.kubelet.stats import MachineStats
from pinnace.kubelet.volumes.claims import Claims
from pinnace.kubelet.volumes.manager import Volumes
from pinnace.kubelet.volumes.tokens import Tokens

log = logging.getLogger(__name__)

#: Seconds between two looks at the runtime's condition: until it is ready, and then.
EAGER, CALM = 0.1, 5.0
#: Seconds that containers have to end when the cluster is taken down, if their Pod does not give them less.
LAST_GRACE = 5.0
#: Images that a node's status lists.
IMAGES = 50


class Container(Protocol):
    """What runs the runtime, if that is this node's business (``containerd.Containerd``)."""

    @property
    def runtime(self) -> OciRuntime | None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def import_pause(self) -> None: ...


class RealRuntime(Runtime, Protocol):
    async def problem(self) -> str: ...


async def without_unstarted(runtime: Runtime, clock: Clock) -> Mapping[str, PodState]:
    """What the runtime has, once containers that never started are removed: stopping their sandbox would leave them.
    One whose start is still under way cannot be; it is waited for until it runs."""
    deadline = clock.monotonic() + LAST_GRACE
    while True:
        pods = await runtime.pods()
        refused: RuntimeFailure | None = None
        for container in [c for state in pods.values() for c in state.containers if c.state == CREATED]:
            try:
                await runtime.remove_container(container.id)
            except RuntimeFailure as failure:
                refused = failure
        if refused is None:
            return pods
        if clock.monotonic() > deadline:
            raise refused
        await clock.sleep(EAGER)


class Kubelet:
    """Part: one node. ``root_dir`` holds Pods' volumes and logs; ``containerd`` is started and stopped with it if
    given, and ``image_dir`` is where its images are. ``tls`` is for its own server (``server.tls_context``), which
    listens on ``server_host`` (by default the node's address) and takes a free port if the configured one is taken;
    without ``tls`` there is no server. Stopping leaves the Pods running; ``end_pods`` ends them."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        node_name: str,
        runtime: RealRuntime,
        root_dir: Path,
        node_ip: str,
        cluster_dns: Sequence[str] = ("10.96.0.10",),
        cluster_domain: str = "cluster.local",
        configuration: Configuration | None = None,
        containerd: Container | None = None,
        tls: ssl.SSLContext | None = None,
        server_host: str = "",
        image_dir: Path | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.name = "kubelet"
        self.node_name = node_name
        self.runtime = runtime
        self._clock = clock
        self._containerd = containerd
        self._tasks = Tasks("kubelet", clock)
        self._informers = Informers(client, clock)
        self._pods = self._informers.of(PODS, field_selector=f"spec.nodeName={node_name}")
        self._recorder = Recorder(client, clock, "kubelet", host=node_name)
        self._statuses = StatusWriter(lambda _: client, clock)
        self._objects = ObjectCache(client, clock)
        self.configuration = chosen = configuration or Configuration()
        facts = machine.inspect(root_dir, pods=chosen.maxPods)
        self._problem = "container runtime status check may not have completed yet"
        self._description = NodeDescription(
            node_name, [node_ip], chosen.port, facts, "containerd", "", dict(labels or {})
        )
        self.agent = NodeAgent(client, clock, self._description, self._why_not_ready)
        self.settings = Settings(
            root_dir, [node_ip], list(cluster_dns), cluster_domain, facts.memory, facts.allocatable()
        )
        self._volumes = Volumes(
            self.settings.pods_dir,
            self._objects,
            Tokens(client, clock),
            Claims(client),
            clock,
            node_ips=[node_ip],
            allocatable=self.settings.allocatable,
        )
        self._cgroups = Cgroups()
        preparation = self._preparation = MachinePreparation(
            self.settings, self._volumes, self._objects, self._informers.of(SERVICES), self._cgroups, self._recorder
        )
        host = Host(
            client,
            clock,
            runtime,
            self._recorder,
            self._statuses,
            preparation,
            Probers(runtime, self._recorder, clock, node_ip),
            node_name,
            (node_ip,),
            Puller(runtime, self._recorder, clock, self._objects),
            admit=lambda pod: self.gate.refusal(pod),
        )
        self._mirrors = Mirrors(client, clock, self.agent)
        self._manifests = Manifests(Path(chosen.staticPodPath), node_name, clock) if chosen.staticPodPath else None
        self.stats = MachineStats(root_dir, image_dir or root_dir, self._cgroups)
        self.manager = PodManager(host, self._pods, self._mirrors, self.stats)
        self.manager.log_limit = quantity.value(chosen.containerLogMaxSize)
        self.manager.log_files = chosen.containerLogMaxFiles
        self.gate = Gate(client, node_name, self.settings.allocatable, chosen.allowedUnsafeSysctls, self.manager.taken)
        self._volumes.changed_object = self.manager.retry
        preparation.changed_object = self.manager.retry_configuration
        self._server_host = server_host or node_ip
        self._server: KubeletServer | None = None
        if tls is not None:
            self._server = KubeletServer(lambda: [self.manager], clock, tls, Access(client, clock, node_name), chosen)
        self._health = HealthServer(clock)
        self._watch_over(chosen)

    def _watch_over(self, chosen: Configuration) -> None:
        """What looks after the machine, and ends Pods or removes images for its sake."""
        node = _node_reference(self.node_name)
        self.images = ImageCollector(
            self.runtime, self._recorder, self._clock, chosen, disk=self.stats.imagefs, node=node, kept=(PAUSE,)
        )
        periods = chosen.shutdown_periods()
        self.shutdown = NodeShutdown(self._clock, periods, self.manager, self.agent, self.gate, self._statuses.written)
        self.pressure = Pressure(
            self._clock,
            chosen,
            self.stats,
            self.manager,
            self.images,
            self.agent,
            self.gate,
            self._recorder,
            node=node,
            pods_dir=self.settings.pods_dir,
            logs_dir=self.settings.logs_dir,
        )

    @property
    def server_port(self) -> int:
        """Where its server listens, once it is started; 0 if it has none."""
        return self._description.port if self._server is not None else 0

    @property
    def problem(self) -> str:
        """Why the node is not ready; "" if it is."""
        return self._problem

    def _why_not_ready(self) -> str:
        return NODE_SHUTS_DOWN if self.gate.shutting_down else self._problem

    async def start(self) -> None:
        """Return once the node is registered; it is Ready as soon as the runtime and its network are. Raises
        ContainerdFailed, RuntimeFailure, ApiError, OSError."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self.settings.pods_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.settings.logs_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
        if self._containerd is not None:
            await self._containerd.start()
        await self.runtime.connect()
        if self._containerd is not None:
            if self._containerd.runtime is not None:
                self._description.annotations[ANNOTATION] = self._containerd.runtime.name
            if await self.runtime.image(PAUSE) is None:
                await self._containerd.import_pause()
        self._description.runtime, self._description.runtime_version = self.runtime.name, self.runtime.version
        if self._server is not None:
            self._description.port = await self._server.listen(self._server_host, self.configuration.port)
        if self.configuration.healthzPort:
            await self._health.listen(self.configuration.healthzBindAddress, self.configuration.healthzPort)
        self._problem = await self.runtime.problem()
        await self.agent.register()
        await self.agent.renew()
        self._recorder.event(_node_reference(self.node_name), NORMAL, "Starting", "Starting kubelet.")
        self._statuses.start()
        if self._manifests is not None:  # before anything that belongs to no Pod is taken apart
            self.manager.set_static(self._manifests.current())
        self.manager.start()
        self._pods.add_handler(self.manager.handle)
        self._pods.add_handler(self._labels_changed)
        self._tasks.forever(self._renew, name="lease")
        self._tasks.forever(self._report, name="status")
        self._tasks.forever(self._volumes.keep_current, name="volumes")
        self._tasks.forever(self._show_static_pods, name="mirrors")
        self._tasks.forever(self.images.run, name="images")
        self._tasks.forever(self.pressure.run, name="pressure")
        if self.configuration.shutdown_periods():
            self._tasks.forever(self.shutdown.listen, name="shutdown")
        if self._manifests is not None:
            manifests = self._manifests
            self._tasks.forever(lambda: manifests.watch(self.manager.set_static), name="manifests")

    async def _show_static_pods(self) -> None:
        await self._pods.synced.wait()
        await self._mirrors.run()

    def _labels_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None:
            return
        if meta.labels(old) != meta.labels(new) or meta.annotations(old) != meta.annotations(new):
            self._volumes.changed(new)

    async def _renew(self) -> None:
        while True:
            try:
                await self.agent.renew()
            except (ApiError, OSError, TimeoutError) as error:
                log.warning("cannot renew the lease of node %s: %s", self.node_name, error)
            await self._clock.sleep(RENEW)

    async def _report(self) -> None:
        while True:
            try:
                self._problem = await self.runtime.problem()
                self._description.runtime_version = self.runtime.version
                self._description.images = listed(await self.runtime.images())
                await self.agent.report()
            except (ApiError, RuntimeFailure, OSError, TimeoutError) as error:
                log.warning("cannot report the status of node %s: %s", self.node_name, error)
            await self._clock.sleep(EAGER if self._problem else CALM)

    async def end_pods(self) -> None:
        """End every container of this node, in good order if it does so within ``LAST_GRACE``, without telling the API
        server: for a cluster that is taken down. After it only ``stop`` may follow."""
        await self.manager.stop()
        gate = asyncio.Semaphore(STARTS_AT_ONCE)

        async def end(sandbox_id: str) -> None:
            async with gate:
                await self.runtime.stop_sandbox(sandbox_id)

        pods = await without_unstarted(self.runtime, self._clock)
        await self._stop_in_good_order(pods)
        await asyncio.gather(*(end(box.id) for state in pods.values() for box in state.sandboxes))
        for uid in {*pods, *await self._preparation.left_behind()}:
            self._cgroups.remove(uid)
        self._volumes.unmount_all()

    async def _stop_in_good_order(self, pods: Mapping[str, PodState]) -> None:
        graces = {
            meta.uid(pod): float(pod["spec"].get("terminationGracePeriodSeconds") or 0) for pod in self.manager.pods()
        }
        stops = [
            self.runtime.stop_container(container.id, min(graces.get(uid, 0.0), LAST_GRACE))
            for uid, state in pods.items()
            for container in state.containers
            if container.state == RUNNING
        ]
        await asyncio.gather(*stops)

    async def stop(self) -> None:
        await self._tasks.stop()
        if self._server is not None:
            await self._server.stop()
        await self._health.stop()
        await self.manager.stop()
        self._mirrors.close()
        self._volumes.close()
        await self._objects.stop()
        await self._informers.stop()
        await self._statuses.stop()
        await self._recorder.stop()
        await self.runtime.close()
        if self._containerd is not None:
            await self._containerd.stop()


def listed(images: Sequence[Image]) -> list[Object]:
    """The largest images, as a node's status lists them."""
    largest = sorted(images, key=lambda image: -image.size)[:IMAGES]
    return [{"names": [*image.digests[:5], *image.tags[:5]], "sizeBytes": image.size} for image in largest]


def _node_reference(name: str) -> Object:
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "uid": name}}
