"""What to do next for one Pod.

Order of a start: sandbox; init containers one after the other, each after the one before it succeeded (a sidecar:
started); then the regular containers together. Of the end: regular containers, then sidecars in reverse order, then
the sandbox. A plan is made anew after everything that happens, so it never holds more than what can be done now.
"""

from __future__ import annotations

import hashlib

from pinnace.api.types import Object
from pinnace.kubelet.lifecycle import restarts
from pinnace.kubelet.lifecycle.situation import (
    EPHEMERAL,
    INIT,
    REGULAR,
    SANDBOX,
    Action,
    CreateSandbox,
    KillContainer,
    Plan,
    RemoveContainer,
    RemoveSandbox,
    Situation,
    StartContainer,
    StopSandbox,
    Waiting,
    containers_of,
    is_sidecar,
)
from pinnace.kubelet.runtime.base import CREATED, EXITED, HASH, RUNNING, UNKNOWN, Container, Sandbox

#: Dead containers kept per name: the newest, and the one before it for lastState.
KEPT = 2


def spec_hash(container: Object) -> str:
    """Changes when a running container no longer is what the spec asks for."""
    identity = f"{container.get('name')}\0{container.get('image')}"
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def plan(s: Situation) -> Plan:
    """The next actions. None and no ``wake``: nothing to do until something happens."""
    builder = _Builder(s)
    sandbox = s.state.sandbox()
    if s.terminating:
        builder.end(sandbox)
    elif sandbox is None or not sandbox.ready:
        builder.start_over(sandbox)
    else:
        builder.carry_on(sandbox)
    builder.collect()
    return Plan(tuple(builder.actions), builder.waiting, builder.wake)


class _Builder:
    def __init__(self, s: Situation) -> None:
        self.s = s
        self.actions: list[Action] = []
        self.waiting: dict[str, Waiting] = {}
        self.wake: float | None = None

    def _wake_in(self, seconds: float) -> None:
        self.wake = seconds if self.wake is None else min(self.wake, seconds)

    def _is_held(self, name: str) -> bool:
        left = self.s.hold.get(name, 0.0) - self.s.now
        if left > 0:
            self._wake_in(left)
        return left > 0

    # -- ending

    def end(self, sandbox: Sandbox | None) -> None:
        s = self.s
        live = [c for c in s.state.containers if c.state in (RUNNING, UNKNOWN)]
        self.actions.extend(RemoveContainer(c.id) for c in s.state.containers if c.state == CREATED)
        order = [spec["name"] for spec in containers_of(s.pod, INIT) if is_sidecar(spec)]
        sidecars = [c for c in live if c.name in order]
        first = [c for c in live if c.name not in order]
        if first:
            due = first
        elif sidecars:
            last = max(order.index(c.name) for c in sidecars)
            due = [c for c in sidecars if c.name == order[last]]
        else:
            self.actions.extend(StopSandbox(box.id) for box in s.state.sandboxes if box.ready)
            return
        for container in due:
            self.actions.append(
                KillContainer(container.id, container.name, s.grace, f"Stopping container {container.name}")
            )

    # -- a new sandbox

    def start_over(self, sandbox: Sandbox | None) -> None:
        s = self.s
        if self._is_held(SANDBOX):
            return
        if sandbox is None:
            self.actions.append(CreateSandbox(0))
            return
        if s.pod["spec"].get("restartPolicy") == "Never" and s.state.containers:
            return
        if any(self._wanted_again(spec) for spec in containers_of(s.pod, REGULAR)):
            self.actions.append(StopSandbox(sandbox.id, changed=True))
            self.actions.append(CreateSandbox(sandbox.attempt + 1))

    def _wanted_again(self, spec: Object) -> bool:
        container = self.s.state.newest(spec["name"])
        if container is None or container.state != EXITED:
            return True
        return restarts.should_restart(self.s.pod, spec, False, container)

    # -- a sandbox that runs

    def carry_on(self, sandbox: Sandbox) -> None:
        current: dict[str, Container] = {}
        for container in self.s.state.containers:  # newest first
            if container.sandbox_id == sandbox.id:
                current.setdefault(container.name, container)
        regular = containers_of(self.s.pod, REGULAR)
        initialized = any(spec["name"] in current for spec in regular)
        for spec in containers_of(self.s.pod, EPHEMERAL):
            if spec["name"] not in current:
                self._start(spec, EPHEMERAL)
        may_go_on, failed = self._init(current, initialized)
        if failed:
            self._finished(sandbox, current)
            return
        if not (may_go_on or initialized):
            return
        busy = False
        for spec in regular:
            busy |= self._keep(spec, REGULAR, current.get(spec["name"]))
        if not busy:
            self._finished(sandbox, current)

    def _init(self, current: dict[str, Container], initialized: bool) -> tuple[bool, bool]:
        """Whether everything before the regular containers is in place, and whether it never will be."""
        for spec in containers_of(self.s.pod, INIT):
            container = current.get(spec["name"])
            if is_sidecar(spec):
                self._keep(spec, INIT, container)
                probes = self.s.probes.get(spec["name"])
                running = container is not None and container.state == RUNNING
                started = not spec.get("startupProbe") or (probes is not None and bool(probes.started))
                if not initialized and not (running and started):
                    return False, False
                continue
            if initialized:
                continue
            if container is not None and container.state == EXITED and container.exit_code == 0:
                continue
            busy = self._keep(spec, INIT, container)
            return False, not busy
        return True, False

    def _keep(self, spec: Object, kind: str, container: Container | None) -> bool:
        """Have a container running if it should; False if it has ended for good."""
        name = spec["name"]
        if container is None:
            self._start(spec, kind)
            return True
        if container.state == RUNNING:
            self._check(spec, container)
            return True
        if container.state != EXITED:  # created and never started, or of unknown state: make it anew
            self.actions.append(RemoveContainer(container.id))
            self._start(spec, kind)
            return True
        if not restarts.should_restart(self.s.pod, spec, kind == INIT, container):
            return False
        entry = self.s.backoff.get(name)
        left = restarts.remaining(entry, container.finished_at, self.s.now)
        if left > 0 and entry is not None:
            self.waiting[name] = restarts.crash_loop(self.s.pod, name, entry)
            self._wake_in(left)
            return True
        self._start(spec, kind)
        return True

    def _check(self, spec: Object, container: Container) -> None:
        name = spec["name"]
        probes = self.s.probes.get(name)
        again = self.s.pod["spec"].get("restartPolicy", "Always") != "Never" or is_sidecar(spec)
        will = ", will be restarted" if again else ""
        grace = self.s.grace
        if container.annotations.get(HASH, spec_hash(spec)) != spec_hash(spec):
            reason = f"Container {name} definition changed, will be restarted"
        elif probes is None or probes.container_id != container.id:
            return
        elif probes.started is False and probes.alive is False:
            reason = f"Container {name} failed startup probe{will}"
            grace = (spec.get("startupProbe") or {}).get("terminationGracePeriodSeconds", grace)
        elif probes.alive is False:
            reason = f"Container {name} failed liveness probe{will}"
            grace = (spec.get("livenessProbe") or {}).get("terminationGracePeriodSeconds", grace)
        else:
            return
        self.actions.append(KillContainer(container.id, name, grace, reason))

    def _start(self, spec: Object, kind: str) -> None:
        s, name = self.s, spec["name"]
        if self._is_held(name):
            return
        before = s.state.newest(name)
        backoff = None
        if before is not None and before.state == EXITED:
            backoff = restarts.following(s.backoff.get(name), before.finished_at, s.now)
        self.actions.append(StartContainer(name, kind, 0 if before is None else before.attempt + 1, backoff))

    def _finished(self, sandbox: Sandbox, current: dict[str, Container]) -> None:
        """Nothing of this Pod will run again: end what still runs beside it, and then the sandbox."""
        if any(isinstance(action, StartContainer) for action in self.actions):
            self.actions = [action for action in self.actions if not isinstance(action, StartContainer)]
        self.end(sandbox)

    # -- what is left over

    def collect(self) -> None:
        by_name: dict[str, list[Container]] = {}
        for container in self.s.state.containers:
            by_name.setdefault(container.name, []).append(container)
        for found in by_name.values():
            self.actions.extend(RemoveContainer(c.id) for c in found[KEPT:] if c.state == EXITED)
        used = {c.sandbox_id for c in self.s.state.containers}
        self.actions.extend(
            RemoveSandbox(box.id) for box in self.s.state.sandboxes[1:] if box.id not in used and not box.ready
        )
        if not self.s.terminating:
            self.actions.extend(StopSandbox(box.id) for box in self.s.state.sandboxes[1:] if box.ready)
