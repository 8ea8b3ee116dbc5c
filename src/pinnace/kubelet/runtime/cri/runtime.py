"""The runtime interface over CRI's gRPC services on a unix socket.

What cannot change (a sandbox's addresses, a container as long as its state stays) is asked for once. Changes are told
by containerd's event stream; while that is down, and where it does not exist, a list each second takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio

from pinnace.core.clock import Clock
from pinnace.core.supervisor import Tasks
from pinnace.kubelet.runtime.base import (
    CONTAINER_NAME,
    CREATED,
    EXITED,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    RUNNING,
    UNKNOWN,
    Config,
    Container,
    ExecResult,
    Image,
    PodState,
    RuntimeFailure,
    Sandbox,
)
from pinnace.kubelet.runtime.cri import events
from pinnace.kubelet.runtime.cri.messages import METHODS, number

log = logging.getLogger(__name__)

#: Seconds for one call; pulls have no limit.
LIMIT = 120.0
POLL = 1.0
#: CRI's own state follows an end that containerd tells of within these seconds: look again.
SETTLING = (0.03, 0.15, 0.4)
#: The exit code of what was killed, and seconds within which the runtime learns that it was for memory.
KILLED, OOM_SETTLES = 137, 5.0
_STATES = {
    number("ContainerState", "CONTAINER_CREATED"): CREATED,
    number("ContainerState", "CONTAINER_RUNNING"): RUNNING,
    number("ContainerState", "CONTAINER_EXITED"): EXITED,
    number("ContainerState", "CONTAINER_UNKNOWN"): UNKNOWN,
}
_READY = number("PodSandboxState", "SANDBOX_READY")
_ENUM_FIELDS = {
    "network": "NamespaceMode",
    "pid": "NamespaceMode",
    "ipc": "NamespaceMode",
    "protocol": "Protocol",
    "propagation": "MountPropagation",
    "profile_type": "SecurityProfile_ProfileType",
    "supplemental_groups_policy": "SupplementalGroupsPolicy",
}


def _enums(value: Any, field: str = "") -> Any:
    """Configuration data with its enums as numbers."""
    if isinstance(value, dict):
        if field in ("labels", "annotations", "sysctls", "unified"):
            return value
        return {key: _enums(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_enums(item) for item in value]
    if isinstance(value, str) and field in _ENUM_FIELDS:
        return number(_ENUM_FIELDS[field], value)
    return value


#: Seconds that the runtime has to become usable.
PATIENCE = 10.0


class CriRuntime:
    """``socket`` is the path of containerd's (or another CRI runtime's) unix socket."""

    real = True

    def __init__(self, socket: str, clock: Clock) -> None:
        self.name = "containerd"
        self.version = ""
        self._socket = socket
        self._clock = clock
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}
        self._tasks = Tasks("cri", clock)
        self._owner: dict[str, str] = {}  # sandbox or container -> Pod UID
        self._ips: dict[str, tuple[str, ...]] = {}
        self._containers: dict[str, Container] = {}  # as long as their state stays
        #: Pod UID -> sandboxes, and containers with theirs, that were made since its last look: they are asked about
        #: together with it.
        self._made: dict[str, list[tuple[str, str]]] = {}
        self._notify: Callable[[str], None] = lambda uid: None

    # -- the connection

    async def connect(self) -> None:
        if self._channel is None:
            options = [("grpc.max_receive_message_length", 16 << 20), ("grpc.use_local_subchannel_pool", 1)]
            backoff = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 1000)]
            self._channel = grpc.aio.insecure_channel(f"unix:{self._socket}", options=[*options, *backoff])
        deadline = self._clock.monotonic() + PATIENCE
        while True:
            try:
                answer = await self._call("Version", {}, limit=PATIENCE, wait=True)
                await self._call("Status", {})
                break
            except RuntimeFailure as error:  # containerd answers before its CRI part has loaded what it had
                if "not initialized" not in str(error) or self._clock.monotonic() > deadline:
                    raise
                await self._clock.sleep(0.02)
        self.name, self.version = answer.runtime_name, answer.runtime_version

    async def close(self) -> None:
        await self._tasks.stop()
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None
            self._calls.clear()

    async def _call(self, method: str, fields: Config, *, limit: float | None = LIMIT, wait: bool = False) -> Any:
        if self._channel is None:
            raise RuntimeFailure("not connected to the container runtime", code="UNAVAILABLE")
        row = METHODS[method]
        call = self._calls.get(method)
        if call is None:
            call = self._calls[method] = self._channel.unary_unary(
                row.path,
                request_serializer=row.request.SerializeToString,
                response_deserializer=row.response.FromString,
            )
        try:
            return await call(row.request(**_enums(fields)), timeout=limit, wait_for_ready=wait)
        except grpc.aio.AioRpcError as error:
            raise RuntimeFailure(error.details() or error.code().name, code=error.code().name) from None

    def listen(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._tasks.forever(self._follow, name="events")

    async def _follow(self) -> None:
        while self._channel is not None:
            self._notify("")
            try:
                async for identity, ended in events.happenings(self._channel):
                    uid = self._owner.get(identity)
                    if uid is None:  # what is being made is not known yet, and its maker looks afterwards
                        continue
                    self._notify(uid)
                    for delay in SETTLING if ended else ():
                        self._clock.call_later(delay, self._notify, uid)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    log.info("the container runtime has no event stream: looking every %gs", POLL)
                else:
                    log.debug("event stream ended: %s", error.details())
            await self._clock.sleep(POLL)

    async def problem(self) -> str:
        """Why no Pod can run now, as the node's Ready condition words it; "" if nothing is wrong."""
        try:
            answer = await self._call("Status", {}, limit=5.0)
        except RuntimeFailure as error:
            return f"container runtime is down: {error}"
        wrong = []
        for condition in answer.status.conditions:
            if not condition.status and condition.type in ("RuntimeReady", "NetworkReady"):
                what = "network " if condition.type == "NetworkReady" else ""
                wrong.append(
                    f"container runtime {what}not ready: {condition.type}=false reason:{condition.reason}"
                    f" message:{condition.message}"
                )
        return ", ".join(wrong)

    # -- state

    async def pods(self) -> dict[str, PodState]:
        return await self._list({})

    async def pod(self, uid: str) -> PodState:
        found = await self._list({"label_selector": {POD_UID: uid}}, self._made.pop(uid, ()))
        return found.get(uid) or PodState(uid)

    async def _list(self, selection: Config, made: Sequence[tuple[str, str]] = ()) -> dict[str, PodState]:
        box_list, row_list, *_ = await asyncio.gather(
            self._call("ListPodSandbox", {"filter": selection}),
            self._call("ListContainers", {"filter": selection}),
            *(self._container(container, box, "") if container else self._addresses(box) for box, container in made),
        )
        boxes, rows = box_list.items, row_list.containers
        names: dict[str, tuple[str, str]] = {}
        sandboxes: dict[str, list[Sandbox]] = {}
        containers: dict[str, list[Container]] = {}
        for box in boxes:
            uid = box.labels.get(POD_UID, box.metadata.uid)
            self._owner[box.id] = uid
            names[uid] = box.metadata.name, box.metadata.namespace
            ready = box.state == _READY
            ips = await self._addresses(box.id) if ready else ()
            sandboxes.setdefault(uid, []).append(
                Sandbox(box.id, box.metadata.attempt, ready, box.created_at / 1e9, ips)
            )
        for row in rows:
            uid = row.labels.get(POD_UID, "")
            self._owner[row.id] = uid
            names.setdefault(uid, (row.labels.get(POD_NAME, ""), row.labels.get(POD_NAMESPACE, "")))
            container = await self._container(row.id, row.pod_sandbox_id, _STATES.get(row.state, UNKNOWN))
            if container is not None:
                containers.setdefault(uid, []).append(container)
        if not selection:
            self._forget_all_but({box.id for box in boxes} | {row.id for row in rows})
        states = {}
        for uid, (name, namespace) in names.items():
            mine = sorted(sandboxes.get(uid, ()), key=lambda box: box.created_at, reverse=True)
            theirs = sorted(containers.get(uid, ()), key=lambda c: c.created_at, reverse=True)
            states[uid] = PodState(uid, name, namespace, tuple(mine), tuple(theirs))
        return states

    def _forget_all_but(self, kept: set[str]) -> None:
        for cache in (self._owner, self._ips, self._containers):
            for identity in [identity for identity in cache if identity not in kept]:
                del cache[identity]

    async def _addresses(self, sandbox_id: str) -> tuple[str, ...]:
        known = self._ips.get(sandbox_id)
        if known is None:
            try:
                status = (await self._call("PodSandboxStatus", {"pod_sandbox_id": sandbox_id})).status
            except RuntimeFailure as error:
                if error.code != "NOT_FOUND":
                    raise
                return ()
            found = [status.network.ip, *(extra.ip for extra in status.network.additional_ips)]
            known = tuple(ip for ip in found if ip)
            if known:
                self._ips[sandbox_id] = known
        return known

    async def _container(self, identity: str, sandbox_id: str, state: str) -> Container | None:
        known = self._containers.get(identity)
        if known is not None and known.state == state:
            return known
        try:
            status = (await self._call("ContainerStatus", {"container_id": identity})).status
        except RuntimeFailure as error:
            if error.code == "NOT_FOUND":  # removed since it was listed
                return None
            raise
        container = Container(
            identity,
            status.labels.get(CONTAINER_NAME, status.metadata.name),
            sandbox_id,
            status.metadata.attempt,
            _STATES.get(status.state, UNKNOWN),
            status.created_at / 1e9,
            status.started_at / 1e9,
            status.finished_at / 1e9,
            status.exit_code,
            status.reason,
            status.message,
            status.image.image,
            status.image_ref,
            status.log_path,
            dict(status.annotations),
        )
        if container.state in (RUNNING, EXITED) and not self._may_have_run_out_of_memory(container):
            self._containers[identity] = container
        return container

    def _may_have_run_out_of_memory(self, container: Container) -> bool:
        """Whether a container was killed so lately that the runtime may not know yet for what: it hears of an end and
        of a lack of memory apart."""
        killed = container.state == EXITED and container.exit_code == KILLED and container.reason != "OOMKilled"
        return killed and self._clock.now() - container.finished_at < OOM_SETTLES

    # -- sandboxes and containers

    async def run_sandbox(self, config: Config) -> str:
        identity = str((await self._call("RunPodSandbox", {"config": config}, limit=240.0)).pod_sandbox_id)
        self._have_made(config, identity)
        return identity

    def _have_made(self, config: Config, sandbox: str, container: str = "") -> None:
        uid = config["labels"][POD_UID]
        self._owner[container or sandbox] = uid
        self._made.setdefault(uid, []).append((sandbox, container))

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._unless_gone("StopPodSandbox", {"pod_sandbox_id": sandbox_id})
        self._ips.pop(sandbox_id, None)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._unless_gone("RemovePodSandbox", {"pod_sandbox_id": sandbox_id})

    async def create_container(self, sandbox_id: str, config: Config, sandbox: Config) -> str:
        fields = {"pod_sandbox_id": sandbox_id, "config": config, "sandbox_config": sandbox}
        identity = str((await self._call("CreateContainer", fields)).container_id)
        self._have_made(config, sandbox_id, identity)
        return identity

    async def start_container(self, container_id: str) -> None:
        await self._call("StartContainer", {"container_id": container_id})

    async def stop_container(self, container_id: str, grace: float) -> None:
        fields = {"container_id": container_id, "timeout": max(int(grace), 0)}
        await self._unless_gone("StopContainer", fields, limit=grace + LIMIT)

    async def remove_container(self, container_id: str) -> None:
        await self._unless_gone("RemoveContainer", {"container_id": container_id})

    async def reopen_log(self, container_id: str) -> None:
        await self._call("ReopenContainerLog", {"container_id": container_id})

    async def _unless_gone(self, method: str, fields: Config, *, limit: float = LIMIT) -> None:
        try:
            await self._call(method, fields, limit=limit)
        except RuntimeFailure as error:
            if error.code != "NOT_FOUND":
                raise

    # -- images

    async def image(self, name: str) -> Image | None:
        answer = await self._call("ImageStatus", {"image": {"image": name}})
        return _image(answer.image) if answer.HasField("image") else None

    async def images(self) -> Sequence[Image]:
        return [_image(image) for image in (await self._call("ListImages", {})).images]

    async def pull(self, name: str, auth: Mapping[str, str] | None, sandbox: Config) -> str:
        fields: Config = {"image": {"image": name}, "sandbox_config": sandbox}
        if auth:
            fields["auth"] = dict(auth)
        return str((await self._call("PullImage", fields, limit=None)).image_ref)

    async def remove_image(self, image_id: str) -> None:
        await self._unless_gone("RemoveImage", {"image": {"image": image_id}})

    # -- inside a container

    async def exec(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        fields = {"container_id": container_id, "cmd": list(command), "timeout": max(int(-(-timeout // 1)), 1)}
        answer = await self._call("ExecSync", fields, limit=timeout + 10.0)
        return ExecResult(answer.exit_code, answer.stdout, answer.stderr)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        streams = {"tty": tty, "stdin": stdin, "stdout": stdout, "stderr": stderr and not tty}
        return str((await self._call("Exec", {"container_id": container_id, "cmd": list(command), **streams})).url)

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        streams = {"tty": tty, "stdin": stdin, "stdout": stdout, "stderr": stderr and not tty}
        return str((await self._call("Attach", {"container_id": container_id, **streams})).url)

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        return str((await self._call("PortForward", {"pod_sandbox_id": sandbox_id, "port": list(ports)})).url)

    async def written(self, container_id: str) -> int:
        try:
            stats = (await self._call("ContainerStats", {"container_id": container_id}, limit=5.0)).stats
        except RuntimeFailure as error:
            if error.code == "NOT_FOUND":
                return 0
            raise
        return int(stats.writable_layer.used_bytes.value)


def _image(image: Any) -> Image:
    user = str(image.uid.value) if image.HasField("uid") else image.username
    return Image(image.id, tuple(image.repo_tags), tuple(image.repo_digests), image.size, image.pinned, user)
