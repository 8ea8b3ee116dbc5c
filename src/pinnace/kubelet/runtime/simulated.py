"""A runtime that runs nothing: its containers "run" at once, for thousands of nodes in one process.

Pods steer it by annotations, for a container ``NAME`` or for all of them:
``pinnace.dev/start-latency[.NAME]`` (``250ms``: from start to running), ``pinnace.dev/run-for[.NAME]`` (``5s``: it ends
by itself; ``forever``: it does not), ``pinnace.dev/exit-code[.NAME]`` (with which code; alone: it ends at once),
``pinnace.dev/reason[.NAME]`` (``OOMKilled``). Where these say nothing, what is meant to end does: init containers
at once, the containers of Pods that are not always restarted after a second. Everything it says of time is its clock's.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pinnace import __version__
from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core import clock as clocks
from pinnace.core.clock import Clock, Timer, parse_timestamp
from pinnace.kubelet import durations
from pinnace.kubelet.runtime.base import (
    CONTAINER_NAME,
    CREATED,
    EXITED,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    RUNNING,
    Config,
    Container,
    ExecResult,
    Image,
    PodState,
    RuntimeFailure,
    Sandbox,
)

PREFIX = "pinnace.dev/"
FOREVER = "forever"
#: Seconds that a first Pod waits for its node's range of addresses.
RANGE_PATIENCE = 0.5
_ids = itertools.count(1)


def steering(pod: Object) -> dict[str, str]:
    """The Pod's annotations, and with them when those of its containers end that say nothing of it."""
    found = dict(meta.annotations(pod))
    if f"{PREFIX}run-for" in found or f"{PREFIX}exit-code" in found:
        return found
    spec = pod["spec"]
    ending = [(entry, "0s") for entry in spec.get("initContainers") or () if entry.get("restartPolicy") != "Always"]
    if spec.get("restartPolicy") != "Always":
        ending += [(entry, "1s") for entry in spec["containers"]]
    for entry, lasts in ending:
        if f"{PREFIX}exit-code.{entry['name']}" not in found:
            found.setdefault(f"{PREFIX}run-for.{entry['name']}", lasts)
    return found


class AddressPool:
    """Pod addresses out of one node's podCIDR, lowest free first; the first two stay unused as on a real node."""

    __slots__ = ("_first", "_free", "_network", "_next")

    def __init__(self, cidr: str) -> None:
        self._network = ipaddress.ip_network(cidr)
        self._first = int(self._network.network_address)
        self._next = 2
        self._free: list[int] = []

    def take(self) -> str:
        if self._free:
            offset = self._free.pop()
        elif self._next < self._network.num_addresses - 1:
            offset, self._next = self._next, self._next + 1
        else:
            raise RuntimeFailure(f"no IP addresses available in range set: {self._network}", code="UNKNOWN")
        return str(ipaddress.ip_address(self._first + offset))

    def claim(self, address: str) -> None:
        """An address that is in use already, by a Pod of an earlier process."""
        if ipaddress.ip_address(address) not in self._network:
            return
        offset = int(ipaddress.ip_address(address)) - self._first
        if offset >= self._next:
            self._free.extend(range(self._next, offset))
            self._next = offset + 1
        elif offset in self._free:
            self._free.remove(offset)

    def give_back(self, address: str) -> None:
        """An address of another range, which the node had before, is none of this one's."""
        if ipaddress.ip_address(address) in self._network:
            self._free.append(int(ipaddress.ip_address(address)) - self._first)


@dataclass(slots=True)
class _Pod:
    name: str
    namespace: str
    annotations: Mapping[str, str]
    sandboxes: list[Sandbox] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)


def _nobody(uid: str) -> None:
    return None


class SimulatedRuntime:
    """One node's containers. ``images`` may be shared between nodes."""

    name = "simulated"
    version = __version__
    real = False
    __slots__ = (
        "_addresses",
        "_clock",
        "_fallback",
        "_has_range",
        "_images",
        "_latency",
        "_notify",
        "_owner",
        "_pods",
        "_timers",
    )

    def __init__(
        self,
        clock: Clock,
        *,
        fallback_cidr: str = "10.244.0.0/24",
        start_latency: float = 0.0,
        images: dict[str, Image] | None = None,
    ) -> None:
        self._clock = clock
        self._latency = start_latency
        self._pods: dict[str, _Pod] = {}
        self._owner: dict[str, str] = {}  # sandbox or container -> Pod UID
        self._timers: dict[str, Timer] = {}
        self._fallback = fallback_cidr
        self._addresses: AddressPool | None = None
        self._has_range: asyncio.Event | None = None  # while somebody waits for it
        self._images = images if images is not None else {}
        self._notify: Callable[[str], None] = _nobody

    def use_cidr(self, cidr: str) -> None:
        """Addresses of sandboxes made from now on come from ``cidr``."""
        self._addresses = self._new_pool(cidr)
        if self._has_range is not None:
            self._has_range.set()
            self._has_range = None

    def _new_pool(self, cidr: str) -> AddressPool:
        pool = AddressPool(cidr)
        for pod in self._pods.values():
            for box in pod.sandboxes:
                for address in box.ips if box.ready else ():
                    pool.claim(address)
        return pool

    async def _pool(self) -> AddressPool:
        """The node's range; if nobody assigns one in ``RANGE_PATIENCE`` seconds, one that it makes up."""
        if self._addresses is None:
            if self._has_range is None:
                self._has_range = asyncio.Event()
            try:
                async with clocks.timeout(self._clock, RANGE_PATIENCE):
                    await self._has_range.wait()
            except TimeoutError:
                self._addresses = self._addresses or self._new_pool(self._fallback)
                self._has_range = None
        assert self._addresses is not None
        return self._addresses

    async def connect(self) -> None:
        return None

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def listen(self, notify: Callable[[str], None]) -> None:
        self._notify = notify

    # -- state

    async def pods(self) -> dict[str, PodState]:
        return {uid: self._state(uid, pod) for uid, pod in self._pods.items()}

    async def pod(self, uid: str) -> PodState:
        found = self._pods.get(uid)
        return PodState(uid) if found is None else self._state(uid, found)

    @staticmethod
    def _state(uid: str, pod: _Pod) -> PodState:
        return PodState(uid, pod.name, pod.namespace, tuple(pod.sandboxes), tuple(pod.containers))

    def _of(self, identity: str) -> tuple[str, _Pod]:
        uid = self._owner.get(identity)
        if uid is None:
            raise RuntimeFailure(f"{identity} does not exist", code="NOT_FOUND")
        return uid, self._pods[uid]

    def _replace(self, changed: Container) -> None:
        uid, pod = self._of(changed.id)
        pod.containers = [changed if c.id == changed.id else c for c in pod.containers]
        self._notify(uid)

    def restore(self, pod: Object) -> None:
        """Have again what the Pod's status says it has: simulated containers outlive their process only there."""
        status = pod.get("status") or {}
        fields = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        entries = [entry for field in fields for entry in status.get(field) or () if entry.get("containerID")]
        uid = meta.uid(pod)
        if not entries or uid in self._pods:
            return
        ready = status.get("phase") not in ("Failed", "Succeeded")
        ips = () if pod["spec"].get("hostNetwork") else tuple(entry["ip"] for entry in status.get("podIPs") or ())
        restored = _Pod(meta.name(pod), meta.namespace(pod), steering(pod))
        self._pods[uid] = restored
        box = Sandbox(_identity(uid), 0, ready, self._clock.now(), ips if ready else ())
        restored.sandboxes.append(box)
        self._owner[box.id] = uid
        for address in box.ips:
            if self._addresses is not None:
                self._addresses.claim(address)
        for entry in entries:
            container = _restored(entry, box.id)
            restored.containers.insert(0, container)
            self._owner[container.id] = uid
            if container.state == RUNNING:
                self._schedule_end(restored, container)

    # -- sandboxes

    async def run_sandbox(self, config: Config) -> str:
        labels, metadata = config["labels"], config["metadata"]
        uid = labels[POD_UID]
        pod = self._pods.setdefault(
            uid, _Pod(labels[POD_NAME], labels[POD_NAMESPACE], dict(config.get("annotations") or {}))
        )
        identity = _identity(uid)
        host = config.get("linux", {}).get("security_context", {}).get("namespace_options", {}).get("network") == "NODE"
        ips = () if host else ((await self._pool()).take(),)
        pod.sandboxes.insert(0, Sandbox(identity, metadata.get("attempt", 0), True, self._clock.now(), ips))
        self._owner[identity] = uid
        return identity

    async def stop_sandbox(self, sandbox_id: str) -> None:
        uid = self._owner.get(sandbox_id)
        if uid is None:
            return
        pod = self._pods[uid]
        for container in list(pod.containers):
            if container.sandbox_id == sandbox_id and container.state != EXITED:
                self._exit(container, 137, "Error")
        for position, box in enumerate(pod.sandboxes):
            if box.id == sandbox_id and box.ready:
                for address in box.ips:
                    if self._addresses is not None:
                        self._addresses.give_back(address)
                pod.sandboxes[position] = replace(box, ready=False)
        self._notify(uid)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        uid = self._owner.pop(sandbox_id, None)
        if uid is None:
            return
        pod = self._pods[uid]
        pod.sandboxes = [box for box in pod.sandboxes if box.id != sandbox_id]
        for container in [c for c in pod.containers if c.sandbox_id == sandbox_id]:
            await self.remove_container(container.id)
        if not pod.sandboxes and not pod.containers:
            del self._pods[uid]

    # -- containers

    async def create_container(self, sandbox_id: str, config: Config, sandbox: Config) -> str:
        uid, pod = self._of(sandbox_id)
        identity = _identity(uid)
        image = str(config["image"]["image"])
        container = Container(
            identity,
            config["labels"][CONTAINER_NAME],
            sandbox_id,
            config["metadata"].get("attempt", 0),
            CREATED,
            self._clock.now(),
            image=image,
            image_ref=(await self._known(image)).id,
            annotations=config.get("annotations") or {},
        )
        self._owner[identity] = uid
        pod.containers.insert(0, container)
        return identity

    async def start_container(self, container_id: str) -> None:
        _, pod = self._of(container_id)
        container = next(c for c in pod.containers if c.id == container_id)
        told = self._told(pod, "start-latency", container.name)
        latency = durations.parse(told) if told else self._latency
        if latency > 0:
            await self._clock.sleep(latency)
            if container_id not in self._owner:
                raise RuntimeFailure(f"container {container_id} was removed while it started", code="NOT_FOUND")
        running = replace(container, state=RUNNING, started_at=self._clock.now())
        self._replace(running)
        self._schedule_end(pod, running)

    def _schedule_end(self, pod: _Pod, container: Container) -> None:
        lasts = self._told(pod, "run-for", container.name)
        code = self._told(pod, "exit-code", container.name)
        if lasts == FOREVER:
            return
        if lasts is not None or code is not None:
            left = container.started_at + (durations.parse(lasts) if lasts else 0.0) - self._clock.now()
            self._timers[container.id] = self._clock.call_later(left, self._end, container.id, int(code or 0))

    def _told(self, pod: _Pod, what: str, name: str) -> str | None:
        return pod.annotations.get(f"{PREFIX}{what}.{name}", pod.annotations.get(PREFIX + what))

    def _end(self, container_id: str, code: int) -> None:
        uid = self._owner.get(container_id)
        if uid is None:
            return
        pod = self._pods[uid]
        container = next(c for c in pod.containers if c.id == container_id)
        if container.state == RUNNING:
            default = "Completed" if code == 0 else "Error"
            self._exit(container, code, self._told(pod, "reason", container.name) or default)

    def _exit(self, container: Container, code: int, reason: str) -> None:
        timer = self._timers.pop(container.id, None)
        if timer is not None:
            timer.cancel()
        now = self._clock.now()
        self._replace(
            replace(
                container,
                state=EXITED,
                started_at=container.started_at or now,
                finished_at=now,
                exit_code=code,
                reason=reason,
            )
        )

    async def stop_container(self, container_id: str, grace: float) -> None:
        uid = self._owner.get(container_id)
        if uid is None:
            return
        container = next(c for c in self._pods[uid].containers if c.id == container_id)
        if container.state != EXITED:
            self._exit(container, 0, "Completed")

    async def remove_container(self, container_id: str) -> None:
        uid = self._owner.pop(container_id, None)
        if uid is None:
            return
        timer = self._timers.pop(container_id, None)
        if timer is not None:
            timer.cancel()
        pod = self._pods[uid]
        pod.containers = [c for c in pod.containers if c.id != container_id]

    async def reopen_log(self, container_id: str) -> None:
        return None

    # -- images

    async def _known(self, name: str) -> Image:
        found = self._images.get(name)
        if found is None:
            digest = hashlib.sha256(name.encode()).hexdigest()
            found = self._images[name] = Image(f"sha256:{digest}", (name,))
        return found

    async def image(self, name: str) -> Image | None:
        """Every image is there."""
        return await self._known(name)

    async def images(self) -> Sequence[Image]:
        return list(self._images.values())

    async def pull(self, name: str, auth: Mapping[str, str] | None, sandbox: Config) -> str:
        return (await self._known(name)).id

    async def remove_image(self, image_id: str) -> None:
        for name in [name for name, image in self._images.items() if image.id == image_id]:
            del self._images[name]

    async def written(self, container_id: str) -> int:
        return 0

    # -- what needs a real container

    async def exec(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        raise RuntimeFailure("this container is simulated: there is no process to run a command in", code="UNAVAILABLE")

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        raise RuntimeFailure("this container is simulated: there is no process to run a command in", code="UNAVAILABLE")

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        raise RuntimeFailure("this container is simulated: there is no process to attach to", code="UNAVAILABLE")

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        raise RuntimeFailure("this Pod is simulated: there is no network to forward to", code="UNAVAILABLE")


def _restored(entry: Object, sandbox_id: str) -> Container:
    """The container that a containerStatus tells of; in a back-off it is the one that ended last."""
    ended = entry["state"].get("terminated") or (entry.get("lastState") or {}).get("terminated")
    state = RUNNING if "running" in entry["state"] else EXITED
    times = entry["state"]["running"] if state == RUNNING else ended or {}
    started = parse_timestamp(times["startedAt"]) if times.get("startedAt") else 0.0
    finished = parse_timestamp(times["finishedAt"]) if times.get("finishedAt") else 0.0
    return Container(
        entry["containerID"].rpartition("/")[2],
        entry["name"],
        sandbox_id,
        entry.get("restartCount", 0),
        state,
        started,
        started,
        finished,
        times.get("exitCode", 0),
        times.get("reason", ""),
        times.get("message", ""),
        entry.get("image", ""),
        entry.get("imageID", ""),
    )


def _identity(uid: str) -> str:
    return hashlib.sha256(f"{uid}/{next(_ids)}".encode()).hexdigest()
