"""The controllers and the scheduler as processes of their own: clients of an API server anywhere, over HTTPS.

Of each, any number may run for one cluster; the one that holds the Lease works, the others wait. A process that loses
its Lease ends: what it would still do another does already.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pinnace.client.accounts import ServiceAccounts
from pinnace.client.leader_election import LeaderElector
from pinnace.client.recorder import Recorder
from pinnace.cluster import remote
from pinnace.cluster.elected import CONTROLLERS_LEASE, SCHEDULER_LEASE, Watching, process_identity
from pinnace.cluster.errors import ClusterError, Exit
from pinnace.cluster.health import HealthServer
from pinnace.cluster.remote import Remote
from pinnace.core.clock import Clock
from pinnace.core.ipranges import IPRanges
from pinnace.core.supervisor import Part

log = logging.getLogger(__name__)

Report = Callable[[str], None]


class Common(NamedTuple):
    """What both processes may be told. ``secure_port`` 0: no health endpoint."""

    kubeconfig: Path
    bind_address: str
    secure_port: int
    leader_elect: bool


class ControllersOptions(NamedTuple):
    """``signing_certificate`` and ``signing_key``: the authority for certificate requests; None: none are signed."""

    cluster_cidr: str
    cluster_dns: str
    node_prefix: int
    load_balancer_pool: str
    root_ca: Path | None
    signing_certificate: Path | None
    signing_key: Path | None


class Process(abc.ABC):
    """One part, alone. ``run`` until it is cancelled, then ``stop``."""

    #: The Lease, and who tells of its events.
    lease = ""
    component = ""

    def __init__(self, common: Common, clock: Clock, report: Report) -> None:
        self._common = common
        self._clock = clock
        self._report = report
        self._health: HealthServer | None = None
        self._remote: Remote | None = None
        self._recorder: Recorder | None = None
        self._elector: LeaderElector | None = None
        self._parts: list[Part] = []

    @abc.abstractmethod
    async def build(self, found: Remote) -> list[Part]:
        """The parts, to be started in this order."""

    async def run(self) -> None:
        """Work as long as this process is the leader. Raises ClusterError, at the latest when it no longer is."""
        if self._common.secure_port:
            self._health = HealthServer(self._clock, self._common.bind_address, self._common.secure_port)
            await self._health.start()
        found = await remote.reach(self._common.kubeconfig, self._clock, self._report, user_agent=self.lease)
        self._remote = found
        self._report(f"  {found.user} at {found.credentials.server}")
        if not self._common.leader_elect:
            await self._start(found)
            await asyncio.Event().wait()  # until it is cancelled
        self._recorder = Recorder(found.client, self._clock, self.component)
        elector = LeaderElector(
            found.client,
            self._clock,
            self._recorder,
            name=self.lease,
            identity=process_identity(),
        )
        self._elector = elector
        await elector.acquire()
        await self._start(found)
        await elector.hold()
        raise ClusterError(Exit.ERROR, f"leaderelection lost: another may be {self.lease} from now on")

    async def _start(self, found: Remote) -> None:
        for part in await self.build(found):
            self._parts.append(part)
            await part.start()
        self._report(f"{self.lease} works (process {os.getpid()})")

    async def stop(self) -> None:
        """End what was started, then let another be the leader. Idempotent."""
        while self._parts:
            part = self._parts.pop()
            try:
                await part.stop()
            except Exception:
                log.exception("%s did not stop cleanly", part.name)
        if self._elector is not None:
            await self._elector.release()
            self._elector = None
        if self._recorder is not None:
            await self._recorder.stop()
            self._recorder = None
        if self._remote is not None:
            await self._remote.client.close()
            self._remote = None
        if self._health is not None:
            await self._health.stop()
            self._health = None


class ControllersProcess(Process):
    """``pinnace controllers``."""

    lease = component = CONTROLLERS_LEASE

    def __init__(self, common: Common, options: ControllersOptions, clock: Clock, report: Report) -> None:
        super().__init__(common, clock, report)
        self._options = options
        self._accounts: ServiceAccounts | None = None

    async def build(self, found: Remote) -> list[Part]:
        from pinnace.cluster.clusterdns import ClusterDns
        from pinnace.controllers.manager import Controllers

        options = self._options
        self._accounts = ServiceAccounts(found.client, found.credentials, self._clock, user_agent=self.lease)
        controllers = Controllers(
            self._accounts.client,
            self._clock,
            root_ca=_read(options.root_ca or found.credentials.authority, "--root-ca-file").decode(),
            cluster_cidr=options.cluster_cidr,
            node_prefix=options.node_prefix,
            load_balancer_pool=IPRanges(options.load_balancer_pool) if options.load_balancer_pool else None,
            authority=self._authority(),
            others=(lambda tools: ClusterDns(tools, options.cluster_dns),),
        )
        return [controllers]

    def _authority(self) -> Callable[[], tuple[bytes, bytes]] | None:
        certificate, key = self._options.signing_certificate, self._options.signing_key
        if certificate is None or key is None:
            return None
        _read(certificate, "--cluster-signing-cert-file")
        _read(key, "--cluster-signing-key-file")
        return lambda: (certificate.read_bytes(), key.read_bytes())

    async def stop(self) -> None:
        await super().stop()
        if self._accounts is not None:
            await self._accounts.close()
            self._accounts = None


class SchedulerProcess(Process):
    """``pinnace scheduler``."""

    lease = SCHEDULER_LEASE
    component = "default-scheduler"

    async def build(self, found: Remote) -> list[Part]:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy does no linear algebra here: no threads, no stacks
        from pinnace.scheduler.scheduler import Scheduler

        return [Watching(found.client, self._clock, lambda informers: Scheduler(found.client, informers, self._clock))]


def _read(source: Path | str | None, option: str) -> bytes:
    """A PEM file, or what a kubeconfig held inline."""
    if isinstance(source, str):
        return source.encode()
    if source is None:
        raise ClusterError(Exit.USAGE, f"the kubeconfig names no certificate authority: say {option}")
    try:
        return source.read_bytes()
    except OSError as error:
        raise ClusterError(Exit.USAGE, f"{option} {source}: {error.strerror}") from error
