"""A running cluster as a test holds it.

The cluster runs in a thread of this process, on an event loop of its own: it starts in a quarter of a second, and
time and faults are its caller's to command. What that changes in the process is put back when it stops.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pinnace.api.errors import ApiError
from pinnace.apiserver.request import User
from pinnace.cluster.certificates import Certificates
from pinnace.cluster.cluster import Cluster
from pinnace.cluster.config import ClusterConfig
from pinnace.cluster.datadir import DataDir
from pinnace.core.clock import Clock, RealClock, SettlingLoop, VirtualClock
from pinnace.testing import duration
from pinnace.testing.client import PATIENCE, Client
from pinnace.testing.faults import Faults
from pinnace.testing.interceptor import Interceptor
from pinnace.testing.options import Options
from pinnace.testing.outside import Outside
from pinnace.testing.parts import Parts
from pinnace.testing.thread import LoopThread

if TYPE_CHECKING:
    from pinnace.testing.nodes import Nodes

T = TypeVar("T")

log = logging.getLogger(__name__)

ADMIN = User("kubernetes-admin", groups=("system:masters", "system:authenticated"))
#: Seconds of the cluster's time until it must have started, and that it has behind it when a virtual one has.
START_LIMIT = 60.0
STARTED_AT = 10.0
#: Virtual seconds by which time moves while a cluster starts or stops, and real ones between two looks.
STEP = 0.05
PAUSE = 0.005
#: Real seconds that clients outside get to react, unless told otherwise.
REACT = 0.1


class Pinnace:
    """A cluster from ``start`` to ``stop``; use it by one thread at a time."""

    def __init__(self, options: Options = Options(), directory: Path | None = None) -> None:  # noqa: B008 - immutable
        self.options = options
        self._own_directory = None if directory else tempfile.TemporaryDirectory(prefix="pinnace-")
        self._directory = directory or Path(self._own_directory.name)  # type: ignore[union-attr]
        self._outside = Outside()
        self._clock: Clock = _clock(options, self._outside)
        self._outside.use(self._clock)
        self._thread = LoopThread(_loop_factory(options), "pinnace")
        self._data = DataDir(self._directory / "data")
        self._cluster: Cluster | None = None
        self.faults = Faults(lambda fault: self._call(self._interceptor.end_watches(fault)))
        self._interceptor = Interceptor(self._clock, self.faults, self._outside)

    # -- life

    def start(self) -> Pinnace:
        """Return when the cluster is ready. Raises ClusterError."""
        self._data.acquire()
        chosen = ClusterConfig(
            data_dir=self._data.path,
            kubeconfig=self.kubeconfig,
            port=0,
            runtime="simulated",
            simulated_nodes=self.options.simulated_nodes,
            store=self.options.store,
            parts=tuple(p for p in self.options.parts if p != "node" or self.options.simulated_nodes),
        )
        certificates = Certificates(chosen, self._clock.outside)
        self._cluster = Cluster(chosen, self._data, log.debug, self._clock, certificates)
        self._cluster.intercept(self._interceptor)
        try:
            with _process_as_it_was():
                self._thread.start()
                self._thread.call(self._driven(self._cluster.start(START_LIMIT)))
                if isinstance(self._clock, VirtualClock):
                    self._thread.call(self._clock.advance(max(STARTED_AT - self._clock.monotonic(), 0.0)))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the cluster and remove its data. Idempotent."""
        if self._cluster is not None:
            cluster, self._cluster = self._cluster, None
            try:
                self._thread.call(self._driven(cluster.stop()))
            finally:
                self._thread.stop()
                self._data.release()
        if self._own_directory is not None:
            self._own_directory.cleanup()

    def __enter__(self) -> Pinnace:
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    async def _driven(self, work: Coroutine[Any, Any, T]) -> T:
        """Await ``work``; virtual time goes on by itself meanwhile."""
        clock = self._clock
        if not isinstance(clock, VirtualClock):
            return await work
        task = asyncio.get_running_loop().create_task(work)
        while not task.done():
            await clock.advance(STEP)
            await asyncio.wait([task], timeout=0 if task.done() else PAUSE)
        return task.result()

    # -- reaching it

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for kubectl, client libraries and operators."""
        return self._directory / "kubeconfig"

    @property
    def env(self) -> dict[str, str]:
        """This process's environment with KUBECONFIG set: ``subprocess.run(["kubectl", ...], env=pinnace.env)``."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    @property
    def url(self) -> str:
        announced = self._data.last_announced() if self._cluster is not None else None
        if announced is None:
            raise RuntimeError("this cluster is stopped")
        return str(announced["server"])

    def client(self, *, namespace: str = "default", user: str = "", groups: Sequence[str] = ()) -> Client:
        """A client, as the administrator or as ``user``, whose rights are those that RBAC gives to them."""
        who = User(user, groups=(*groups, "system:authenticated")) if user else ADMIN
        return Client(self._call, self._running.client(who).transport, namespace=namespace)

    @property
    def _running(self) -> Cluster:
        if self._cluster is None:
            raise RuntimeError("this cluster is stopped")
        return self._cluster

    @property
    def nodes(self) -> Nodes:
        """The cluster's nodes, to be stopped and started."""
        from pinnace.kubelet.simulated_nodes import SimulatedNodes
        from pinnace.testing.nodes import Nodes

        for part in self._running.parts:
            if isinstance(part, SimulatedNodes):
                return Nodes(self._call, part)
        raise RuntimeError("this cluster has no nodes: start it with the part 'node' and simulated_nodes of at least 1")

    @property
    def parts(self) -> Parts:
        """The controllers and the scheduler, to be stopped and started."""
        return Parts(self._call, self._running)

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """A new namespace in which Pods can be created; on leaving, its deletion begins."""
        client = self.client(namespace=name)
        client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        try:
            if "controllers" in self.options.parts:
                client.wait("serviceaccounts", "default", lambda found: found is not None)
            yield name
        finally:
            self.faults.clear()
            with suppress(ApiError):
                client.delete("namespaces", name)

    def _call(self, work: Coroutine[Any, Any, T], *, limit: float | None = PATIENCE) -> T:
        """On virtual time, what was asked for and all that follows from it without time has happened on return; what
        waits for time would not: it raises TimeoutError after ``limit`` seconds of the machine's."""
        if isinstance(self._clock, VirtualClock):
            work = self._settled(self._clock, work, limit)
        return self._thread.call(work)

    async def _settled(self, clock: VirtualClock, work: Coroutine[Any, Any, T], limit: float | None) -> T:
        task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait([task], timeout=limit)
            await clock.settle()
            if not task.done():
                raise TimeoutError(
                    "this waits for the cluster's clock, which stands still: have another thread do it, and advance()"
                )
            return task.result()
        finally:
            task.cancel()

    # -- time

    def now(self) -> datetime:
        """The cluster's time, in UTC."""
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def advance(self, time: duration.Duration, *, react: float = REACT) -> datetime:
        """Move the cluster's time on by ``"10m"``, ``"7d"``, seconds or a timedelta: whatever falls due happens at once
        and in order. Returns the new time. Only with ``virtual_time``.

        Whenever a watch tells a client outside of something, time stands still until those clients have been silent for
        ``react`` seconds of the machine's time (0: it does not wait for them)."""
        if not isinstance(self._clock, VirtualClock):
            raise RuntimeError("this cluster runs on the machine's time: start it with virtual_time=True to advance it")
        self._thread.call(self._advance(self._clock, duration.seconds(time), react))
        return self.now()

    async def _advance(self, clock: VirtualClock, seconds: float, react: float) -> None:
        self._outside.react = react
        try:
            await clock.settle()
            await self._outside.keep_pace()
            await clock.advance(seconds)
        finally:
            self._outside.react = 0.0


def _clock(options: Options, outside: Outside) -> Clock:
    if not options.virtual_time:
        return RealClock()
    machine = RealClock()
    point = options.virtual_time
    start = float(int(machine.now())) if isinstance(point, bool) else duration.moment(point)
    # What a test sees begins there: the start-up lies before it.
    return VirtualClock(start - STARTED_AT, outside=machine, between=outside.keep_pace)


def _loop_factory(options: Options) -> Any:
    if options.virtual_time:
        return SettlingLoop
    import uvloop

    return uvloop.new_event_loop


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """The API server tunes Python's cycle collector, and NumPy's threads, for a process of its own: this one is the
    tests'."""
    thresholds, threads = gc.get_threshold(), os.environ.get("OPENBLAS_NUM_THREADS")
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        if threads is None:
            os.environ.pop("OPENBLAS_NUM_THREADS", None)


@contextmanager
def start(**choices: Any) -> Iterator[Pinnace]:
    """A cluster for the length of a ``with``; ``choices`` are ``Options``' fields."""
    cluster = Pinnace(Options().changed(choices)).start()
    try:
        yield cluster
    finally:
        cluster.stop()
