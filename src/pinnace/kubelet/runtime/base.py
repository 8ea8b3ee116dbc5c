"""What the kubelet asks of a container runtime, and what it is told.

States are snapshots: a runtime never changes one that it handed out. Times are seconds since the epoch, 0 for "not
yet". Sandbox and container configurations are plain data in the shape of CRI's PodSandboxConfig and ContainerConfig.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

#: CRI's PodSandboxConfig or ContainerConfig as JSON-like data with CRI's own field names.
Config: TypeAlias = dict[str, Any]

CREATED = "created"
RUNNING = "running"
EXITED = "exited"
UNKNOWN = "unknown"

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
TERMINATION_FILE = "pinnace.dev/termination-file"


class RuntimeFailure(Exception):
    """A request that the runtime refused or could not do; ``code`` is gRPC's name of the reason (``NOT_FOUND``)."""

    def __init__(self, message: str, *, code: str = "UNKNOWN") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One sandbox of a Pod. ``ips`` is empty for the node's own network."""

    id: str
    attempt: int
    ready: bool
    created_at: float
    ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """One container, dead or alive."""

    id: str
    name: str
    sandbox_id: str
    attempt: int
    state: str
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_ref: str = ""
    log_path: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodState:
    """All that the runtime has of one Pod, newest first."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    def newest(self, name: str) -> Container | None:
        return next((c for c in self.containers if c.name == name), None)

    def sandbox(self) -> Sandbox | None:
        """The newest sandbox, ready or not."""
        return self.sandboxes[0] if self.sandboxes else None


@dataclass(frozen=True, slots=True)
class Image:
    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size: int = 0
    pinned: bool = False  # the runtime needs it: it is never to be removed
    user: str = ""  # what the image says to run as: a number, a name or "" for root


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    stdout: bytes
    stderr: bytes


class Runtime(Protocol):
    """Every call raises RuntimeFailure, or TimeoutError where it has a limit."""

    name: str  # as in container IDs: ``containerd``
    version: str
    #: False for a runtime in this process: its Pods need no volumes, cgroups, files or probes on this machine.
    real: bool

    async def connect(self) -> None:
        """Return once the runtime answers."""

    async def close(self) -> None: ...

    async def pods(self) -> dict[str, PodState]:
        """Every Pod the runtime has anything of, by UID."""

    async def pod(self, uid: str) -> PodState: ...

    async def run_sandbox(self, config: Config) -> str: ...

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Kill what runs in it and take its network down. Idempotent."""

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove it and its containers. Idempotent."""

    async def create_container(self, sandbox_id: str, config: Config, sandbox: Config) -> str: ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, grace: float) -> None:
        """Ask it to end, kill it after ``grace`` seconds; returns when it has ended. Idempotent."""

    async def remove_container(self, container_id: str) -> None: ...

    async def reopen_log(self, container_id: str) -> None:
        """Its log file was moved away: begin a new one."""

    async def image(self, name: str) -> Image | None: ...

    async def images(self) -> Sequence[Image]: ...

    async def pull(self, name: str, auth: Mapping[str, str] | None, sandbox: Config) -> str:
        """Fetch an image; its reference."""

    async def remove_image(self, image_id: str) -> None:
        """Remove an image with all its names. Idempotent."""

    async def exec(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult: ...

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """A one-use address at which the runtime speaks the streaming protocols."""

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str: ...

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str: ...

    async def written(self, container_id: str) -> int:
        """Bytes that a container has written to its own layer; 0 for one that is gone."""

    def listen(self, notify: Callable[[str], None]) -> None:
        """From now on call ``notify`` with the UID of every Pod that has something new, as it happens, and with ""
        when something may have been missed. One listener."""
