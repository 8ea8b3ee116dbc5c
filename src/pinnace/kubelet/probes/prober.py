"""Running each container's probes on time and counting their results.

A result changes only after ``successThreshold`` or ``failureThreshold`` equal outcomes in a row. Before the first
outcome a container is not ready, and alive. Liveness and readiness probes wait for the startup probe. A container that
is being ended is not probed.

In simulated nodes nothing is asked: a probe passes, or fails while the Pod's annotation ``pinnace.dev/readiness``,
``pinnace.dev/liveness`` or ``pinnace.dev/startup`` (of one container: ``pinnace.dev/readiness.NAME``) is ``fail``; when
the result follows is a matter of delays, periods and thresholds as ever. A probe whose result is settled waits for the
annotation to change instead of running for ever: thousands of Pods cost nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.client.recorder import WARNING, Recorder
from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.kubelet.lifecycle.situation import INIT, REGULAR, Probes, containers_of, is_sidecar
from pinnace.kubelet.probes import checks
from pinnace.kubelet.runtime.base import RUNNING, Container, PodState, Runtime

log = logging.getLogger(__name__)

_TITLES = {"startupProbe": "Startup", "livenessProbe": "Liveness", "readinessProbe": "Readiness"}
SIMULATED = "pinnace.dev/"


@dataclass(slots=True)
class Tally:
    """Counts outcomes of one probe; ``result`` is None until a threshold is first reached."""

    success_threshold: int
    failure_threshold: int
    result: bool | None = None
    last: bool | None = None
    run: int = 0

    def count(self, outcome: bool) -> bool:
        """Take one outcome; True if ``result`` changed."""
        self.run = self.run + 1 if outcome is self.last else 1
        self.last = outcome
        if self.run < (self.success_threshold if outcome else self.failure_threshold):
            return False
        changed = self.result is not outcome
        self.result = outcome
        return changed


@dataclass(slots=True)
class _Watched:
    container_id: str
    tasks: Tasks
    pod: Object
    probes: Probes = field(default_factory=Probes)
    running: bool = False  # its probes are; those of a simulated container may pass without
    told: asyncio.Event = field(default_factory=asyncio.Event)  # the Pod's annotations may say something else


class Probers:
    """The probes of one node, at whose address Pods in its own network answer."""

    __slots__ = ("_clock", "_node_ip", "_pods", "_reaper", "_recorder", "_runtime")

    def __init__(self, runtime: Runtime, recorder: Recorder, clock: Clock, node_ip: str) -> None:
        self._node_ip = node_ip
        self._runtime = runtime
        self._recorder = recorder
        self._clock = clock
        self._pods: dict[str, dict[str, _Watched]] = {}
        self._reaper = Tasks("probes", clock)

    def results(self, uid: str, names: Iterable[str]) -> dict[str, Probes]:
        watched = self._pods.get(uid)
        return {name: entry.probes for name, entry in watched.items()} if watched else {}

    def sync(self, pod: Object, state: PodState, *, terminating: bool, wake: Callable[[], None]) -> None:
        """Probe what runs of the Pod, and nothing else. ``wake`` is called after results have changed."""
        specs = [*containers_of(pod, REGULAR), *(c for c in containers_of(pod, INIT) if is_sidecar(c))]
        probed = [spec for spec in specs if any(title in spec for title in _TITLES)]
        uid = meta.uid(pod)
        if not probed:
            return
        watched = self._pods.setdefault(uid, {})
        for spec in probed:
            container = state.newest(spec["name"])
            running = container is not None and container.state == RUNNING and not terminating
            entry = watched.get(spec["name"])
            if entry is not None and (not running or container is None or entry.container_id != container.id):
                del watched[spec["name"]]
                self._reaper.spawn(entry.tasks.stop(), name="stop")
                entry = None
            if not running or container is None:
                continue
            if entry is None:
                tasks = Tasks(f"probes/{meta.key(pod)}", self._clock)
                entry = watched[spec["name"]] = _Watched(container.id, tasks, pod, _known(pod, spec, container))
                if not self._runtime.real and not any(map(_takes_time, (spec.get(title) for title in _TITLES))):
                    entry.probes = Probes(container.id, True, True, True)
                    wake()
            entry.pod = pod
            entry.told.set()
            passing = entry.probes.ready and entry.probes.alive and not _fails(pod, spec)
            if not entry.running and (self._runtime.real or not passing):
                self._begin(entry, spec, container, state, wake)

    def _begin(
        self, entry: _Watched, spec: Object, container: Container, state: PodState, wake: Callable[[], None]
    ) -> None:
        entry.running = True
        box = state.sandbox()
        address = box.ips[0] if box is not None and box.ips else self._node_ip
        for title in _TITLES:
            if spec.get(title):
                entry.tasks.forever(
                    lambda title=title: self._probe(entry, title, spec, address, container, wake),  # type: ignore[misc]
                    name=f"{spec['name']}-{title}",
                )

    async def _probe(
        self,
        entry: _Watched,
        title: str,
        spec: Object,
        address: str,
        container: Container,
        wake: Callable[[], None],
    ) -> None:
        probe = spec[title]
        period = float(probe.get("periodSeconds") or 10)
        tally = Tally(int(probe.get("successThreshold") or 1), int(probe.get("failureThreshold") or 3))
        if not self._runtime.real:
            tally.result = {"livenessProbe": entry.probes.alive, "readinessProbe": entry.probes.ready}.get(title)
        delay = float(probe.get("initialDelaySeconds") or 0)
        begin = container.started_at + delay - self._clock.now()
        if begin > 0:
            await self._clock.sleep(begin)
        while True:
            if title != "startupProbe" and spec.get("startupProbe") and not entry.probes.started:
                await self._clock.sleep(min(period, 1.0))
                continue
            if title == "startupProbe" and entry.probes.started:
                return await self._clock.sleep(1e9)
            entry.told.clear()
            passed, output = await self._check(title, entry.pod, spec, address, container)
            if not passed:
                text = f"{_TITLES[title]} probe failed: {output}"
                path = f"spec.containers{{{spec['name']}}}"
                self._recorder.event(entry.pod, WARNING, "Unhealthy", text, field_path=path)
            if tally.count(passed):
                entry.probes = _with(entry.probes, title, passed)
                wake()
            if title != "readinessProbe" and tally.result is False:
                return await self._clock.sleep(1e9)  # it is being restarted
            if not self._runtime.real and tally.result is passed:
                await entry.told.wait()
                done = (self._clock.now() - container.started_at - delay) // period
                begin = container.started_at + delay + (done + 1) * period - self._clock.now()
                await self._clock.sleep(begin)
            else:
                await self._clock.sleep(period)

    async def _check(
        self, title: str, pod: Object, spec: Object, address: str, container: Container
    ) -> tuple[bool, str]:
        probe = spec[title]
        if not self._runtime.real:
            return not _fails(pod, spec, title), "the Pod's annotation says so"
        limit = float(probe.get("timeoutSeconds") or 1)
        if "exec" in probe:
            command = [str(part) for part in probe["exec"].get("command") or ()]
            return await checks.execute(self._runtime, container.id, command, limit)
        if "httpGet" in probe:
            return await checks.http_get(probe["httpGet"], spec, address, limit, self._clock)
        if "tcpSocket" in probe:
            return await checks.tcp_connect(probe["tcpSocket"], spec, address, limit, self._clock)
        if "grpc" in probe:
            return await checks.grpc_health(probe["grpc"], address, limit)
        return False, "the probe names no check: exec, httpGet, tcpSocket or grpc"

    def forget(self, uid: str) -> None:
        for entry in self._pods.pop(uid, {}).values():
            self._reaper.spawn(entry.tasks.stop(), name="stop")

    async def stop(self) -> None:
        for uid in list(self._pods):
            for entry in self._pods.pop(uid).values():
                await entry.tasks.stop()
        await self._reaper.stop()


def _takes_time(probe: Object | None) -> bool:
    """Whether a probe that passes is not a success at once."""
    return bool(probe and (probe.get("initialDelaySeconds") or int(probe.get("successThreshold") or 1) > 1))


def _fails(pod: Object, spec: Object, *titles: str) -> bool:
    """Whether the annotations of a simulated Pod let a probe of the container fail: one of ``titles``, or any."""
    annotations = meta.annotations(pod)
    for title in titles or _TITLES:
        name = f"{SIMULATED}{_TITLES[title].lower()}"
        if annotations.get(f"{name}.{spec['name']}", annotations.get(name)) == "fail":
            return True
    return False


def _known(pod: Object, spec: Object, container: Container) -> Probes:
    """What the API server knows of a container that another kubelet probed: nothing flips when a kubelet restarts."""
    status = pod.get("status") or {}
    for field_name in ("containerStatuses", "initContainerStatuses"):
        for entry in status.get(field_name) or ():
            if entry["name"] == spec["name"] and str(entry.get("containerID", "")).endswith(f"/{container.id}"):
                ready = True if entry.get("ready") and spec.get("readinessProbe") else None
                return Probes(container.id, started=True if entry.get("started") else None, ready=ready)
    return Probes(container.id)


def _with(probes: Probes, title: str, passed: bool) -> Probes:
    if title == "startupProbe":
        return replace(probes, started=passed, alive=None if passed else False)
    if title == "livenessProbe":
        return replace(probes, alive=passed)
    return replace(probes, ready=passed)
