"""One cluster: which parts it has, in which order they start, and how they are stopped again.

The API server starts first and the others side by side, each when what it needs is imported; they stop the other way
round. A part that cannot start stops everything. The imports run in a thread beside the event loop, the scheduler's
last (NumPy is half of them all): the API server answers and the nodes register in the meantime.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import pinnace
from pinnace.api import meta
from pinnace.api.resources import NODES
from pinnace.apiserver.pipeline import Interceptor
from pinnace.apiserver.request import User
from pinnace.client.client import Client
from pinnace.client.informer import Informers
from pinnace.cluster import config, identities, kubeconfig, machine
from pinnace.cluster.certificates import Certificates
from pinnace.cluster.config import ClusterConfig
from pinnace.cluster.controlplane import ControlPlane
from pinnace.cluster.datadir import DataDir
from pinnace.cluster.elected import CONTROLLERS_LEASE, SCHEDULER_LEASE, Elected, Watching
from pinnace.cluster.errors import ClusterError, Exit
from pinnace.core.clock import Clock, timeout
from pinnace.core.ipranges import IPRanges
from pinnace.core.supervisor import Part

if TYPE_CHECKING:
    from pinnace.cluster.realnode import RealNode


class Cluster:
    """A cluster on a data directory that the caller holds."""

    def __init__(
        self,
        chosen: ClusterConfig,
        directory: DataDir,
        report: Callable[[str], None],
        clock: Clock,
        certificates: Certificates,
    ) -> None:
        self.config = chosen
        self.clock = clock
        self._directory = directory
        self._report = report
        self._plane = ControlPlane(chosen, clock, certificates, pods_are_real=self._pods_are_real)
        self._started: list[Part] = []
        self._informers: list[Informers] = []
        self._node_part: RealNode | None = None
        self._real: bool | None = None
        self._began = time.monotonic()
        self._waiting_for: set[str] = set()
        self._importing = asyncio.Lock()
        self._unpublish: Callable[[], None] = lambda: None

    def intercept(self, interceptor: Interceptor) -> None:
        """Before the start: have every request go through ``interceptor``."""
        self._plane.interceptor = interceptor

    @property
    def parts(self) -> tuple[Part, ...]:
        """What runs, in the order in which it was started."""
        return tuple(self._started)

    async def end_part(self, name: str) -> None:
        """Stop ``controllers`` or ``scheduler`` while the rest goes on. Idempotent."""
        for part in [part for part in self._started if part.name == name]:
            self._started.remove(part)
            await part.stop()

    async def begin_part(self, name: str) -> None:
        """Start what ``end_part`` stopped, anew. Idempotent."""
        if not any(part.name == name for part in self._started):
            build = {"controllers": self._elected_controllers, "scheduler": self._elected_scheduler}[name]
            await self._start_in_turn({name: build})

    # -- start

    async def start(self, limit: float) -> None:
        """Return once ``/readyz`` answers 200 and, with the node part, a node is Ready. Raises ClusterError, with
        everything stopped again and the kubeconfig as it was."""
        try:
            async with timeout(self.clock, limit):
                await self._start()
        except TimeoutError as error:
            waiting = self._waiting_for or {"imports"}
            self._unpublish()
            await self.stop()
            raise ClusterError(
                Exit.TIMED_OUT, f"not ready after {limit:g} s; waited for {', '.join(sorted(waiting))}"
            ) from error
        except BaseException:
            self._unpublish()
            await self.stop()
            raise

    async def _start(self) -> None:
        await self._start_part(self._plane)
        self._publish()
        interval = sys.getswitchinterval()
        sys.setswitchinterval(0.001)  # the event loop waits that long for the importing thread, many times a request
        try:
            await self._start_others()
        finally:
            sys.setswitchinterval(interval)

    async def _start_others(self) -> None:
        if self.config.parts != ("apiserver",):
            await self._start_part(self._metrics())
        starting = [
            asyncio.create_task(self._start_in_turn(group), name=f"start {', '.join(group)}")
            for group in (
                {"controllers": self._elected_controllers},
                {"network": self._network, "node": self._node},
                {"scheduler": self._elected_scheduler},
            )
        ]
        try:
            await asyncio.gather(*starting)
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
        if self._node_part is not None:
            self._plane.near_kubelets[machine.node_name()] = self._node_part.server
        if "node" in self.config.parts:
            self._waiting_for.add("a node to be Ready")
            await self._wait_node_ready()

    async def _elected_controllers(self) -> list[Part]:
        if not self.config.shares_store:
            return await self._controllers()
        client = self.client(identities.CONTROLLER_MANAGER)
        return [Elected(CONTROLLERS_LEASE, CONTROLLERS_LEASE, client, self.clock, self._controllers)]

    async def _elected_scheduler(self) -> list[Part]:
        if not self.config.shares_store:
            return await self._scheduler()
        client = self.client(identities.SCHEDULER)
        return [Elected(SCHEDULER_LEASE, "default-scheduler", client, self.clock, self._scheduler)]

    async def _start_in_turn(self, builders: Mapping[str, Callable[[], Awaitable[list[Part]]]]) -> None:
        for name, build in builders.items():
            if name in self.config.parts:
                for part in await build():
                    await self._start_part(part)

    async def _import(self, module: str) -> None:
        """Have ``module`` imported without holding the event loop; one after the other, in the order of the calls."""
        async with self._importing:
            await asyncio.to_thread(importlib.import_module, module)

    async def _start_part(self, part: Part) -> None:
        self._waiting_for.add(part.name)
        self._started.append(part)
        began = time.monotonic()
        await part.start()
        self._waiting_for.discard(part.name)
        self._report(f"  {part.name:<12} started in {time.monotonic() - began:.2f} s")

    def _publish(self) -> None:
        """Write the kubeconfig and tell other commands where the cluster is."""
        pki = self._plane.pki
        self._unpublish = kubeconfig.write_kubeconfig(
            self.config.kubeconfig,
            context=config.CONTEXT,
            server=self._plane.url,
            ca=pki.certificate("ca").read_bytes(),
            certificate=pki.certificate("admin").read_bytes(),
            key=pki.key("admin").read_bytes(),
        )
        self._leave_kubeconfig("controller-manager", identities.CONTROLLER_MANAGER.name)
        self._leave_kubeconfig("scheduler", identities.SCHEDULER.name)
        self._leave_kubeconfig("simulated-nodes", identities.SIMULATED_NODE_HOST.name)
        self._announce()

    def _leave_kubeconfig(self, part: str, user: str) -> None:
        """For the part as a process of its own; its file has the name that kubeadm gives it."""
        pki = self._plane.pki
        text = kubeconfig.part_kubeconfig(
            user,
            server=self._plane.advertised_url,
            ca=pki.certificate("ca").read_bytes(),
            user=kubeconfig.certificate_user(pki.certificate(part).read_bytes(), pki.key(part).read_bytes()),
        )
        self._directory.keep(f"{part}.conf", text)

    def _announce(self) -> None:
        self._directory.announce(
            {
                "pid": os.getpid(),
                "server": self._plane.url,
                "advertised": self._plane.advertised_url,
                "startedAt": self.clock.now(),
                "version": pinnace.__version__,
                "kubernetesVersion": pinnace.KUBERNETES_VERSION,
                "parts": list(self.config.parts),
                "runtime": self._runtime(),
                "kubeconfig": str(self.config.kubeconfig),
                "context": config.CONTEXT,
            }
        )

    def client(self, user: User) -> Client:
        """A client in this process with that identity."""
        assert self._plane.server is not None
        return Client(self._plane.server.transport(user, identities.user_agent(user)))

    def _informers_of(self, client: Client) -> Informers:
        informers = Informers(client, self.clock)
        self._informers.append(informers)
        return informers

    # -- parts

    def _metrics(self) -> Part:
        """The metrics API, unless the API server is all that is wanted."""
        from pinnace.addons.metrics.resources import rows
        from pinnace.addons.metrics.server import MetricsServer

        assert self._plane.server is not None
        source = MetricsServer(self.client(identities.METRICS), self.clock)
        self._plane.server.serve_computed(rows(), source)
        return source

    async def _controllers(self) -> list[Part]:
        await self._import("pinnace.controllers.manager")
        await self._import("pinnace.cluster.clusterdns")
        from pinnace.cluster.clusterdns import ClusterDns
        from pinnace.controllers.manager import Controllers

        pki = self._plane.pki
        root_ca = pki.certificate("ca").read_text()

        def authority() -> tuple[bytes, bytes]:
            return pki.certificate("ca").read_bytes(), pki.key("ca").read_bytes()

        def client_for(account: str) -> Client:
            return self.client(identities.controller(account))

        pool = self.config.load_balancer_pool
        controllers = Controllers(
            client_for,
            self.clock,
            root_ca=root_ca,
            cluster_cidr=self.config.pod_cidr,
            load_balancer_pool=IPRanges(pool) if pool else None,
            authority=authority,
            others=() if self._pods_are_real() else (lambda tools: ClusterDns(tools, config.CLUSTER_DNS),),
        )
        return [controllers]

    async def _scheduler(self) -> list[Part]:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy does no linear algebra here: no threads, no stacks
        await self._import("pinnace.scheduler.scheduler")
        from pinnace.scheduler.scheduler import Scheduler

        client = self.client(identities.SCHEDULER)
        return [Watching(client, self.clock, lambda informers: Scheduler(client, informers, self.clock))]

    async def _network(self) -> list[Part]:
        if not self._real_node():
            return []
        await self._import("pinnace.cluster.realnetwork")
        from pinnace.cluster.realnetwork import Addresses, RealNetwork

        network = RealNetwork(
            self.client(identities.NETWORK),
            self.clock,
            self.config.data_dir,
            Addresses(self.config.pod_cidr, self.config.load_balancer_pool),
            node_name=machine.node_name(),
            node_ip=machine.primary_address(),
            prepared=self._plane.listen_for_pods,
        )
        return [network]

    async def _node(self) -> list[Part]:
        parts: list[Part] = []
        real = self._real_node()
        if real:
            await self._import("pinnace.cluster.realnode")
            from pinnace.cluster.realnode import RealNode

            name = machine.node_name()
            client = self.client(identities.kubelet(name))
            self._node_part = RealNode(
                client,
                self.clock,
                self.config.data_dir,
                machine.inspect(),
                tls=self._kubelet_tls(),
                node_name=name,
                node_ip=machine.primary_address(),
            )
            parts.append(self._node_part)
        count = self.config.simulated_nodes if self.config.simulated_nodes is not None else int(not real)
        if count:
            await self._import("pinnace.kubelet.simulated_nodes")
            parts.append(self._simulated_nodes(count))
        return parts

    def _runtime(self) -> str:
        """What runs the Pods' containers: known before it runs, so that no image is loaded into nothing."""
        if "node" not in self.config.parts:
            return "none"
        return "containerd" if self._real_node() else "simulated"

    def _real_node(self) -> bool:
        """Whether this machine can run a real node and is asked to; says so if it cannot. Raises ClusterError."""
        if self._real is None:
            self._real = self._decide_node()
        return self._real

    def _pods_are_real(self) -> bool:
        return "network" in self.config.parts and self._real_node()

    def _decide_node(self) -> bool:
        if self.config.runtime == "simulated":
            return False
        missing = machine.inspect().missing
        if not missing:
            return True
        todo = machine.what_to_do(missing)
        if self.config.runtime == "containerd":
            exit = Exit.NOT_PERMITTED if "root" in missing else Exit.COMPONENT_MISSING
            raise ClusterError(exit, f"--runtime containerd: this machine cannot yet: {todo}")
        self._report(f"  the node is simulated: its Pods run no processes; for a real node: {todo}")
        return False

    def _simulated_nodes(self, count: int) -> Part:
        from pinnace.kubelet import machine as hardware
        from pinnace.kubelet.simulated_nodes import SimulatedNodes

        names = [f"simulated-{number}" for number in range(count)]
        client = self.client(identities.SIMULATED_NODES)
        informers = self._informers_of(client)
        facts = hardware.inspect(self.config.data_dir)
        return SimulatedNodes(
            client,
            self.clock,
            informers,
            names=names,
            machine=facts,
            tls=self._kubelet_tls(),
            client_of=lambda node: self.client(identities.kubelet(node)),
        )

    def _kubelet_tls(self) -> ssl.SSLContext:
        from pinnace.kubelet.server.server import tls_context

        pki = self._plane.pki
        name = f"nodes/{machine.node_name()}/kubelet"
        return tls_context(pki.certificate(name), pki.key(name), pki.certificate("ca"))

    async def _wait_node_ready(self) -> None:
        client = self.client(identities.STARTUP)
        ready = asyncio.Event()

        def look(_: object, node: object) -> None:
            if isinstance(node, dict) and meta.has_condition(node, "Ready"):
                ready.set()

        informers = Informers(client, self.clock)
        try:
            informers.of(NODES).add_handler(look)
            await ready.wait()
        finally:
            await informers.stop()

    # -- and then

    def summary(self) -> str:
        """What a person wants to know once it is ready."""
        return (
            f"Ready in {time.monotonic() - self._began:.2f} s: {self._plane.url}, "
            f"context '{config.CONTEXT}' in {self.config.kubeconfig}\n"
            f"Try: kubectl get nodes"
        )

    async def stop(self) -> None:
        """Stop every part, the last one started first. Idempotent."""
        problems: list[str] = []
        while self._started:
            part = self._started.pop()
            if part is self._plane:
                while self._informers:
                    await self._stop_one("informers", self._informers.pop().stop, problems)
            await self._stop_one(part.name, part.stop, problems)
        if problems:
            self._report("stopped, but " + "; ".join(problems))

    async def _stop_one(self, name: str, stop: Callable[[], Awaitable[None]], problems: list[str]) -> None:
        try:
            await stop()
        except Exception as error:  # noqa: BLE001 - the other parts have to be stopped all the same
            problems.append(f"{name} did not stop cleanly: {type(error).__name__}: {error}")
