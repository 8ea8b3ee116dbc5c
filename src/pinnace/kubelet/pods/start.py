"""Starting and stopping one Pod's sandbox and containers, with the events that tell of it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import replace

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.core import clock as clocks
from pinnace.kubelet.lifecycle.situation import (
    EPHEMERAL,
    INIT,
    REGULAR,
    StartContainer,
    containers_of,
)
from pinnace.kubelet.pods import hooks
from pinnace.kubelet.pods.failure import StartFailure
from pinnace.kubelet.pods.host import Host
from pinnace.kubelet.runtime.base import EXITED, Config, Image, PodState, RuntimeFailure

log = logging.getLogger(__name__)

#: Seconds that a container which could not be run is shown as such before it is tried again.
SHOWN = 2.0
#: Seconds that a look at the runtime is good for.
FRESH = 0.5
_FIELDS = {REGULAR: "containers", INIT: "initContainers", EPHEMERAL: "ephemeralContainers"}


def field_path(pod: Object, name: str) -> str:
    """How events name a container: ``spec.containers{web}``."""
    for kind, field in _FIELDS.items():
        if any(spec["name"] == name for spec in containers_of(pod, kind)):
            return f"spec.{field}{{{name}}}"
    return f"spec.containers{{{name}}}"


def find_spec(pod: Object, name: str) -> Object | None:
    for kind in _FIELDS:
        for spec in containers_of(pod, kind):
            if spec["name"] == name:
                return spec
    return None


class Starter:
    """Of one Pod; keeps what its containers need of the sandbox that they go into."""

    __slots__ = ("_host", "_images", "_messages", "_mounted", "_sandbox")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._sandbox: tuple[int, Config] | None = None
        self._messages: dict[str, str] = {}  # ended container -> its termination message
        self._mounted = False
        #: Container -> the image that was there for it while its sandbox was made.
        self._images: dict[str, Image] | None = None

    async def _ready(self, pod: Object) -> None:
        if not self._mounted:
            await self._host.preparation.mount(pod)
            self._mounted = True

    async def adopt(self, pod: Object, state: PodState) -> None:
        """Take over a Pod that another kubelet started: keep its volumes current."""
        box = state.sandbox()
        if box is None or not box.ready:
            return
        try:
            await self._ready(pod)
        except StartFailure as failure:
            log.warning("Pod %s goes on, but its volumes cannot be kept current: %s", meta.key(pod), failure)
            return
        self._host.preparation.know_addresses(pod, box.ips)

    async def _config(self, pod: Object, attempt: int) -> Config:
        if not self._host.runtime.real:  # made again as cheaply as it is kept
            return await self._host.preparation.sandbox(pod, attempt)
        if self._sandbox is None or self._sandbox[0] != attempt:
            self._sandbox = attempt, await self._host.preparation.sandbox(pod, attempt)
        return self._sandbox[1]

    async def sandbox(self, pod: Object, attempt: int) -> None:
        """Raises StartFailure."""
        await self._ready(pod)
        config = await self._config(pod, attempt)
        runtime, images = self._host.runtime, self._host.images
        async with AsyncExitStack() as stack:
            if runtime.real:
                await stack.enter_async_context(self._host.starts)
            try:
                if runtime.real:
                    _, self._images = await asyncio.gather(runtime.run_sandbox(config), images.look(pod))
                else:
                    await runtime.run_sandbox(config)
            except (RuntimeFailure, TimeoutError) as error:
                message = f"Failed to create pod sandbox: rpc error: code = {_code(error)} desc = {error}"
                raise StartFailure(
                    "CreatePodSandboxError", message, event="FailedCreatePodSandBox", event_message=message, hold=5.0
                ) from error

    async def container(self, pod: Object, action: StartContainer, seen: PodState, since: float) -> None:
        """Pull if need be, create, start, run the postStart hook. ``seen`` is what the runtime had at ``since``. Raises
        StartFailure."""
        spec = find_spec(pod, action.name)
        if spec is None:
            raise StartFailure("CreateContainerError", f"the Pod has no container {action.name!r} any more")
        runtime = self._host.runtime
        await self._ready(pod)
        late = self._host.clock.monotonic() - since > FRESH
        state = await runtime.pod(meta.uid(pod)) if late else seen
        sandbox = state.sandbox()
        if sandbox is None or not sandbox.ready:
            raise StartFailure("CreateContainerError", "the Pod's sandbox ended meanwhile", hold=0.0)
        box = await self._config(pod, sandbox.attempt)
        path = field_path(pod, action.name)
        known = self._images.pop(action.name, None) if self._images else None
        image = await self._host.images.ensure(pod, spec, box, field_path=path, known=None if late else known)
        async with AsyncExitStack() as stack:
            if runtime.real:
                await stack.enter_async_context(self._host.starts)
            config = await self._host.preparation.container(pod, spec, action.kind, action.attempt, state, box, image)
            config["image"] = {"image": image.id, "user_specified_image": spec["image"]}
            try:
                identity = await runtime.create_container(sandbox.id, config, box)
            except (RuntimeFailure, TimeoutError) as error:
                raise _failed("CreateContainerError", str(error)) from error
            self._host.recorder.event(pod, NORMAL, "Created", "Container created", field_path=path)
            try:
                await runtime.start_container(identity)
            except (RuntimeFailure, TimeoutError) as error:
                raise _failed("RunContainerError", str(error), hold=SHOWN) from error  # then its back-off counts
            self._host.recorder.event(pod, NORMAL, "Started", "Container started", field_path=path)
        if hook := (spec.get("lifecycle") or {}).get("postStart"):
            await self._post_start(pod, spec, identity, hook, path)

    async def _post_start(self, pod: Object, spec: Object, identity: str, hook: Object, path: str) -> None:
        try:
            await hooks.run(self._host.runtime, self._host.clock, pod, spec, identity, hook, node_ip=self._host.ips[0])
        except hooks.HookFailure as failure:
            self._host.recorder.event(pod, WARNING, "FailedPostStartHook", str(failure), field_path=path)
            await self.stop(pod, identity, spec["name"], 30.0)
            raise StartFailure("PostStartHookError", str(failure), hold=0.0) from failure

    async def stop(self, pod: Object, container_id: str, name: str, grace: float) -> None:
        """End a container: its preStop hook, then SIGTERM, then SIGKILL, all within ``grace`` seconds."""
        spec = find_spec(pod, name)
        hook = ((spec or {}).get("lifecycle") or {}).get("preStop")
        clock = self._host.clock
        if hook and spec is not None and self._host.runtime.real:
            began = clock.monotonic()
            try:
                async with clocks.timeout(clock, grace):
                    await hooks.run(self._host.runtime, clock, pod, spec, container_id, hook, node_ip=self._host.ips[0])
            except (hooks.HookFailure, TimeoutError) as failure:
                text = str(failure) or f"PreStopHook of container {name} took longer than its grace period"
                self._host.recorder.event(pod, WARNING, "FailedPreStopHook", text, field_path=field_path(pod, name))
            grace = max(grace - (clock.monotonic() - began), 2.0)
        await self._host.runtime.stop_container(container_id, grace)

    async def with_messages(self, state: PodState) -> PodState:
        """``state`` with the termination messages that ended containers left behind."""
        if not self._host.runtime.real:
            return state
        containers = []
        for container in state.containers:
            if container.state == EXITED:
                if container.id not in self._messages:
                    self._messages[container.id] = await self._host.preparation.finished(container)
                if message := self._messages[container.id]:
                    container = replace(container, message=message)
            containers.append(container)
        return replace(state, containers=tuple(containers))


def _code(error: Exception) -> str:
    """gRPC's code as Go writes it: ``NOT_FOUND`` is ``NotFound``."""
    if isinstance(error, TimeoutError):
        return "DeadlineExceeded"
    return "".join(part.capitalize() for part in getattr(error, "code", "UNKNOWN").split("_"))


def _failed(reason: str, message: str, hold: float = 10.0) -> StartFailure:
    return StartFailure(reason, message, event="Failed", event_message=f"Error: {message}", hold=hold)
