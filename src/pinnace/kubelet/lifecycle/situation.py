"""What the lifecycle functions look at and what they decide: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pinnace.api.types import Object
from pinnace.kubelet.runtime.base import PodState

INIT = "init"
REGULAR = "regular"
EPHEMERAL = "ephemeral"
#: Stands for the sandbox among containers' names.
SANDBOX = ""


@dataclass(frozen=True, slots=True)
class BackoffEntry:
    """The delay before the next restart and when it was last set."""

    delay: float
    updated: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container is not there yet: the waiting state's reason and message."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Probes:
    """A running container's probe results; None where nothing is known yet or no such probe is set."""

    container_id: str = ""
    started: bool | None = None
    ready: bool | None = None
    alive: bool | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that decides what happens next to one Pod."""

    pod: Object
    state: PodState
    now: float
    #: By container name.
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    backoff: Mapping[str, BackoffEntry] = field(default_factory=dict)
    probes: Mapping[str, Probes] = field(default_factory=dict)
    #: Until when a container that could not be started, or the sandbox (``SANDBOX``), is left alone.
    hold: Mapping[str, float] = field(default_factory=dict)
    host_ips: tuple[str, ...] = ()
    #: Set while the Pod is being ended (deleted, evicted, past its deadline).
    terminating: bool = False
    #: Seconds its containers get to end.
    grace: float = 30.0
    #: Phase reason and message of a Pod that the kubelet ended: ``Evicted``, ``DeadlineExceeded``, ...
    failure: Waiting | None = None
    #: Why it was ended for the sake of the node, if it was.
    disruption: str = ""


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class StopSandbox:
    """Stop a sandbox that is done with, or about to be replaced (``changed``)."""

    id: str
    changed: bool = False


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Create and start; ``backoff`` is the entry to keep for the time after it fails."""

    name: str
    kind: str
    attempt: int
    backoff: BackoffEntry | None = None


@dataclass(frozen=True, slots=True)
class KillContainer:
    id: str
    name: str
    grace: float
    message: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """A dead container that no status needs any more."""

    id: str


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """An old sandbox that has no containers left."""

    id: str


Action: TypeAlias = CreateSandbox | StopSandbox | StartContainer | KillContainer | RemoveContainer | RemoveSandbox


@dataclass(frozen=True, slots=True)
class Plan:
    """``actions`` in order (kills of one plan go together); ``waiting`` replaces what is known of containers that
    wait for their back-off; ``wake`` is in how many seconds to look again although nothing happened."""

    actions: tuple[Action, ...] = ()
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    wake: float | None = None


def containers_of(pod: Object, kind: str) -> list[Object]:
    field_name = {INIT: "initContainers", REGULAR: "containers", EPHEMERAL: "ephemeralContainers"}[kind]
    found: list[Object] = pod["spec"].get(field_name) or []
    return found


def is_sidecar(container: Object) -> bool:
    """Whether an init container is one that keeps running beside the regular ones."""
    return container.get("restartPolicy") == "Always"
