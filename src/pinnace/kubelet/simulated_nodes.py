"""Many simulated nodes in one process: one Pod informer, one status writer, one heartbeat for all of them."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from pinnace.api import meta
from pinnace.api.errors import ApiError
from pinnace.api.resources import NODES, PODS
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.informer import Informers
from pinnace.client.recorder import WARNING, Recorder
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.kubelet.images import Puller
from pinnace.kubelet.machine import Machine
from pinnace.kubelet.node import REPORT, NodeAgent, NodeDescription
from pinnace.kubelet.pods.bare import BarePreparation
from pinnace.kubelet.pods.host import Host
from pinnace.kubelet.pods.manager import PodManager
from pinnace.kubelet.pods.statuses import StatusWriter
from pinnace.kubelet.probes.prober import Probers
from pinnace.kubelet.runtime.base import Image
from pinnace.kubelet.runtime.simulated import SimulatedRuntime
from pinnace.kubelet.server.access import Access
from pinnace.kubelet.server.server import KubeletServer
from pinnace.kubelet.simulated_stats import SimulatedStats

log = logging.getLogger(__name__)

#: Registrations under way at the same time.
REGISTER_AT_ONCE = 32
#: Heartbeats written side by side: they share a commit, and do not hold the event loop for long.
BEATS_AT_ONCE = 16
#: Seconds between two renewals of a node's Lease, which lasts 40 s: all end with this process, so one in between says
#: nothing new, and at a kubelet's 10 s thousands of nodes would keep a core busy by a tenth.
RENEW = 25.0
ANNOTATION = "pinnace.dev/simulated"
_ANNOTATIONS = {ANNOTATION: "true"}

#: With more nodes than these, the three events of every container's start are left out: they would be most of the load.
EVENTFUL = 20


class WarningsOnly(Recorder):
    def event(self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        if type == WARNING:
            super().event(obj, type, reason, message, field_path=field_path)


@dataclass(slots=True)
class _Node:
    agent: NodeAgent
    runtime: SimulatedRuntime
    host: Host
    manager: PodManager
    stopped: bool = False


class SimulatedNodes:
    """Part: ``names`` become nodes whose Pods "run" here. With ``tls`` (``server.tls_context``) one server
    at ``address``, on a free port, answers for all of them (logs, exec). Each node registers, reports and writes the
    statuses of its Pods with ``client_of(name)``; ``client``, the default for that, does what they share."""

    name = "simulated nodes"

    def __init__(
        self,
        client: Client,
        clock: Clock,
        informers: Informers,
        *,
        names: list[str],
        machine: Machine,
        address: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        start_latency: float = 0.0,
        labels: dict[str, str] | None = None,
        client_of: Callable[[str], Client] | None = None,
    ) -> None:
        self._clients = {name: client_of(name) if client_of is not None else client for name in names}
        self._clock = clock
        self._pods = informers.of(PODS)
        self._node_objects = informers.of(NODES)
        quiet = len(names) > EVENTFUL
        self._recorder = WarningsOnly(client, clock, "kubelet") if quiet else Recorder(client, clock, "kubelet")
        self._statuses = StatusWriter(self._clients.__getitem__, clock, writers=32)
        self._tasks = Tasks(self.name, clock)
        self._images: dict[str, Image] = {}
        labels = labels or {}
        self._nodes = {
            name: self._make(name, machine, address, start_latency, labels, number) for number, name in enumerate(names)
        }

        self._address = address
        self._server: KubeletServer | None = None
        if tls is not None:
            self._server = KubeletServer(self.managers, clock, tls, Access(client, clock, ""))

    def _make(
        self, name: str, machine: Machine, address: str, latency: float, labels: dict[str, str], number: int
    ) -> _Node:
        runtime = SimulatedRuntime(
            self._clock,
            start_latency=latency,
            images=self._images,
            fallback_cidr=f"10.{128 + number // 256 % 116}.{number % 256}.0/24",
        )
        description = NodeDescription(
            name,
            [address],
            0,
            machine,
            runtime.name,
            runtime.version,
            labels=labels,
            annotations=_ANNOTATIONS,
        )
        client = self._clients[name]
        host = Host(
            client,
            self._clock,
            runtime,
            self._recorder,
            self._statuses,
            BarePreparation(client),
            Probers(runtime, self._recorder, self._clock, address),
            name,
            (address,),
            Puller(runtime, self._recorder, self._clock),
        )
        return _Node(NodeAgent(client, self._clock, description), runtime, host, self._manager(host, machine))

    def _manager(self, host: Host, machine: Machine) -> PodManager:
        manager = PodManager(host, self._pods)
        manager.stats = SimulatedStats(machine, self._clock, manager)
        return manager

    @property
    def names(self) -> list[str]:
        return list(self._nodes)

    async def stop_node(self, name: str) -> None:
        """Its kubelet ends, its containers run on. Idempotent. Raises LookupError."""
        node = self._found(name)
        if not node.stopped:
            node.stopped = True
            await node.manager.stop()

    async def start_node(self, name: str) -> None:
        """Its kubelet begins anew, with the containers that it finds. Idempotent. Raises LookupError, ApiError."""
        node = self._found(name)
        if not node.stopped:
            return
        await node.agent.register()
        await node.agent.renew()
        node.stopped = False
        node.manager = self._manager(node.host, node.agent.description.machine)
        node.manager.start()
        here = [pod for pod in self._pods if pod["spec"].get("nodeName") == name]
        wanted = {meta.uid(pod) for pod in here}
        for uid, state in (await node.runtime.pods()).items():
            for box in state.sandboxes if uid not in wanted else ():
                await node.runtime.remove_sandbox(box.id)
        for pod in here:
            node.manager.handle(None, pod)

    def _found(self, name: str) -> _Node:
        node = self._nodes.get(name)
        if node is None:
            raise LookupError(f"there is no simulated node {name!r}; there are {', '.join(self._nodes)}")
        return node

    def manager(self, node: str) -> PodManager | None:
        found = self._nodes.get(node)
        return found.manager if found is not None else None

    def managers(self) -> list[PodManager]:
        return [node.manager for node in self._nodes.values()]

    def images(self) -> dict[str, Image]:
        """What ``pinnace image load`` recorded."""
        return self._images

    async def start(self) -> None:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        if self._server is not None:
            port = await self._server.listen(self._address, 0)
            for node in self._nodes.values():
                node.agent.description.port = port
        gate = asyncio.Semaphore(REGISTER_AT_ONCE)

        async def register(node: _Node) -> None:
            async with gate:
                await node.agent.register()
                await node.agent.renew()
                if node.agent.pod_cidr:
                    node.runtime.use_cidr(node.agent.pod_cidr)

        await asyncio.gather(*(register(node) for node in self._nodes.values()))
        self._statuses.start()
        self._node_objects.add_handler(self._node_changed)
        for node in self._nodes.values():
            node.manager.start()
        self._pods.add_handler(self._pod_changed)
        self._tasks.forever(self._renew, name="leases")
        self._tasks.forever(self._report, name="status")

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        node = self._nodes.get(new["metadata"]["name"])
        cidr = str((new.get("spec") or {}).get("podCIDR") or "")
        if node is not None and cidr and cidr != node.agent.pod_cidr:
            node.agent.pod_cidr = cidr
            node.runtime.use_cidr(cidr)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        node = self._nodes.get(pod["spec"].get("nodeName") or "")
        if node is not None and not node.stopped:
            if old is None:
                node.runtime.restore(pod)
            node.manager.handle(old, new)

    async def _renew(self) -> None:
        """Renew every Lease once per ``RENEW`` seconds, spread over that time."""
        await self._spread([node.agent for node in self._nodes.values()], RENEW, force=False)

    async def _report(self) -> None:
        await self._spread([node.agent for node in self._nodes.values()], REPORT, force=True)

    async def _spread(self, agents: list[NodeAgent], seconds: float, *, force: bool) -> None:
        groups = [agents[first : first + BEATS_AT_ONCE] for first in range(0, len(agents), BEATS_AT_ONCE)]
        step = seconds / len(groups)
        due = self._clock.monotonic()
        while True:
            for group in groups:
                now = self._clock.monotonic()
                late = now - due >= seconds  # time has hopped: one beat is enough
                due = now + step if late else max(due + step, now)
                await self._clock.sleep(due - now, routine=True)
                await asyncio.gather(*(self._beat(agent, force=force) for agent in group))

    async def _beat(self, agent: NodeAgent, *, force: bool) -> None:
        try:
            if not self._nodes[agent.description.name].stopped:
                await (agent.report(force=True) if force else agent.renew())
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("node %s: heartbeat failed: %s", agent.description.name, error)

    async def stop(self) -> None:
        await self._tasks.stop()
        if self._server is not None:
            await self._server.stop()
        for node in self._nodes.values():
            await node.manager.stop()
            await node.runtime.close()
        await self._statuses.stop()
        await self._recorder.stop()
