"""One Pod's worker.

Promises: one step of a Pod runs at a time, in order; a deletion interrupts what is being started; the containers of
a Pod are all ended, its volumes gone and its last status written before its object is removed. State that must outlive
this process is in the runtime and in the API server, nowhere else: a new kubelet carries on from there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import PODS
from pinnace.api.types import Object
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.core.backoff import Backoff
from pinnace.core.clock import Timer, parse_timestamp
from pinnace.core.supervisor import Tasks
from pinnace.kubelet.lifecycle import plan as lifecycle
from pinnace.kubelet.lifecycle.situation import (
    SANDBOX,
    Action,
    BackoffEntry,
    CreateSandbox,
    KillContainer,
    Plan,
    RemoveContainer,
    RemoveSandbox,
    Situation,
    StartContainer,
    StopSandbox,
    Waiting,
)
from pinnace.kubelet.lifecycle.status import pod_status, refused
from pinnace.kubelet.pods.failure import CONFIG_ERROR, StartFailure
from pinnace.kubelet.pods.host import Host
from pinnace.kubelet.pods.start import Starter, field_path
from pinnace.kubelet.runtime.base import RUNNING, UNKNOWN, PodState, RuntimeFailure

log = logging.getLogger(__name__)

#: Seconds before a step that failed is tried again.
RETRY = 5.0
#: Seconds for the runtime to show what was done.
SETTLE = 0.2
FINAL = ("Failed", "Succeeded")
_NOTHING_TOLD: frozenset[tuple[str, str]] = frozenset()
DEADLINE = Waiting("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


class PodWorker:
    """``on_end`` is called once the Pod is gone from this node and from the API server. A ``static`` Pod's status is
    told of ``shown``, its mirror at the API server, as long as there is one. A Pod for which there is nothing to do has
    no task: there may be thousands of them."""

    __slots__ = (
        "_adopted",
        "_backoff",
        "_deleting",
        "_disruption",
        "_due",
        "_ending_since",
        "_failure",
        "_grace_limit",
        "_hold",
        "_host",
        "_kills",
        "_looked",
        "_on_end",
        "_refused",
        "_removed",
        "_running",
        "_sandbox_backoff",
        "_shown",
        "_starter",
        "_static",
        "_step",
        "_tasks",
        "_timer",
        "_told",
        "_tried",
        "_waiting",
        "_was_final",
        "_woken",
        "admitted",
        "ended",
        "pod",
        "state",
    )

    def __init__(
        self,
        host: Host,
        pod: Object,
        on_end: Callable[[PodWorker], None],
        *,
        static: bool = False,
        shown: Object | None = None,
    ) -> None:
        self.pod = pod
        self._static = static
        self._shown = shown
        self.state = PodState(meta.uid(pod))  # as last seen
        self._looked = 0.0  # when that was
        self.ended = False  # nothing of it runs, nor will
        self._host = host
        self._on_end = on_end
        self._removed = False  # the object is gone from the API server
        self._starter = Starter(host)
        self._tasks = Tasks(f"pod/{meta.key(pod)}", host.clock)
        self._running = True  # _run is, or nothing is to be done: not yet, or not any more
        self._woken = False
        self._step: asyncio.Task[bool] | None = None  # what is being started; a deletion cancels it
        self._timer: Timer | None = None
        self._due = 0.0
        self._sandbox_backoff = Backoff(base=0.5, cap=122.0)
        self._was_final = (pod.get("status") or {}).get("phase") in FINAL
        self._adopted = False
        self._refused = False
        self.admitted = bool((pod.get("status") or {}).get("startTime"))  # by this kubelet or the one before it
        self._tried: tuple[PodState, list[Action]] | None = None
        self._kills: dict[str, float] = {}  # container -> when its grace ends
        self._backoff: dict[str, BackoffEntry] = {}
        self._waiting: dict[str, Waiting] = {}
        self._hold: dict[str, float] = {}
        self._failure: Waiting | None = None
        self._disruption = ""
        self._grace_limit: float | None = None
        self._ending_since: float | None = None
        self._deleting = False
        self._told = _NOTHING_TOLD

    # -- from outside

    def start(self) -> None:
        self._running = False
        self.wake()

    async def stop(self) -> None:
        """Stop working; containers go on."""
        self._running = True
        if self._timer is not None:
            self._timer.cancel()
        self._host.probers.forget(meta.uid(self.pod))
        await self._tasks.stop()

    def wake(self) -> None:
        self._woken = True
        if not self._running:
            self._running = True
            self._tasks.spawn(self._run(), name="worker")

    def retry(self) -> None:
        """What kept the Pod from starting may have changed: try at once."""
        self._hold.clear()
        self.wake()

    def retry_configuration(self) -> None:
        """Try at once to start what could not be configured."""
        for name, waiting in self._waiting.items():
            if waiting.reason == CONFIG_ERROR:
                self._hold.pop(name, None)
        self.wake()

    def update(self, pod: Object) -> None:
        """The API server has a newer version of the Pod."""
        old, self.pod = self.pod, pod
        if _differs(old, pod):
            self._interrupt()

    def show_as(self, mirror: Object | None, pod: Object) -> None:
        """A static Pod's mirror is new, changed or gone; ``pod`` has its status."""
        new = mirror is not None and (self._shown is None or meta.uid(self._shown) != meta.uid(mirror))
        if self._shown is not None and (mirror is None or new):
            self._host.statuses.forget(meta.uid(self._shown))
        self._shown = mirror
        self.update(pod)
        if new:
            self.wake()

    def remove(self) -> None:
        """The API server has it no more: end it."""
        self._removed = True
        self._interrupt()

    def fail(self, why: Waiting, *, disruption: str = "", grace: float | None = None) -> None:
        """End the Pod although nobody deleted it: phase Failed with this reason and message, and, if it is ended for
        the node's sake, why in a condition. ``grace`` limits the seconds that it has."""
        if self._failure is None:
            self._failure, self._disruption, self._grace_limit = why, disruption, grace
        self._interrupt()

    @property
    def is_final(self) -> bool:
        """Whether the API server has its last phase."""
        return (self.pod.get("status") or {}).get("phase") in FINAL

    @property
    def terminating(self) -> bool:
        return self._removed or self._failure is not None or meta.is_deleting(self.pod) or self.is_final

    # -- the loop

    async def _run(self) -> None:
        """Work until there is nothing to do; once the Pod is gone, there never is."""
        while self._woken:
            self._woken = False
            try:
                if await self._sync():
                    return
            except (RuntimeFailure, ApiError, OSError, TimeoutError) as error:
                log.warning("Pod %s: %s; trying again", meta.key(self.pod), error)
                self._wake_in(RETRY)
            except Exception:  # a Pod that cannot be handled must not stay unhandled
                log.exception("Pod %s: trying again", meta.key(self.pod))
                self._wake_in(RETRY)
        self._running = False

    def _wake_in(self, seconds: float) -> None:
        """Look again in ``seconds`` at the latest."""
        due = self._host.clock.monotonic() + seconds
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._host.clock.call_later(seconds, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self.wake()

    async def _sync(self) -> bool:
        """Steps until there is nothing to do now; True when the Pod is gone."""
        while True:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            looked = self._host.clock.monotonic()
            state = self.state = await self._host.runtime.pod(meta.uid(self.pod))
            self._looked = looked
            if not self._adopted and not self.terminating:
                await self._admit(state)
                self._adopted = True
                await self._starter.adopt(self.pod, state)
            self._check_deadline()
            self._host.probers.sync(self.pod, state, terminating=self.terminating, wake=self.wake)
            situation = await self._situation(state)
            plan = lifecycle.plan(situation)
            live = any(c.state in (RUNNING, UNKNOWN) for c in state.containers)
            boxed = any(box.ready for box in state.sandboxes)
            ended = self.terminating and not live and not boxed
            self._publish(situation, plan, ended=ended)
            self.ended = ended
            if ended and await self._ended(state):
                return True
            if plan.wake is not None:
                self._wake_in(plan.wake)
            if not await self._act(plan, state):
                return False

    async def _situation(self, state: PodState) -> Situation:
        names = [c.name for c in state.containers]
        state = await self._starter.with_messages(state)
        return Situation(
            self.pod,
            state,
            self._host.clock.now(),
            waiting=self._waiting,
            backoff=self._backoff,
            probes=self._host.probers.results(meta.uid(self.pod), names),
            hold=self._hold,
            host_ips=self._host.ips,
            terminating=self.terminating,
            grace=self._grace(),
            failure=self._failure,
        )

    def _publish(self, situation: Situation, plan: Plan, *, ended: bool) -> None:
        told = self._shown if self._static else self.pod
        if told is None or self._removed or self._was_final:  # what was final before this worker is told already
            return
        overlay = {**self._waiting, **plan.waiting}
        for name, waiting in plan.waiting.items():
            self._tell_backoff(name, waiting)
        shown = Situation(
            situation.pod,
            situation.state,
            situation.now,
            waiting=overlay,
            probes=situation.probes,
            host_ips=situation.host_ips,
            terminating=situation.terminating,
            failure=situation.failure,
            disruption=self._disruption,
        )
        status = refused(shown) if self._refused else pod_status(shown, self._host.runtime.name, ended=ended)
        self._host.statuses.put(told, status)

    async def _admit(self, state: PodState) -> None:
        """A Pod that no kubelet has taken yet may be refused."""
        if not self.admitted and not state.sandboxes and self._host.admit is not None:
            why = await self._host.admit(self.pod)
            if why is not None:
                self._refuse(why)
                return
        self.admitted = True

    def _refuse(self, why: Waiting) -> None:
        self._host.recorder.event(self.pod, WARNING, why.reason, why.message)
        self._refused = True
        self.fail(Waiting(why.reason, f"Pod was rejected: {why.message}"))

    def _tell_backoff(self, name: str, waiting: Waiting) -> None:
        if (name, waiting.message) in self._told:
            return
        self._told = frozenset((*(entry for entry in self._told if entry[0] != name), (name, waiting.message)))
        identity = f"{meta.name(self.pod)}_{meta.namespace(self.pod)}({meta.uid(self.pod)})"
        text = f"Back-off restarting failed container {name} in pod {identity}"
        self._host.recorder.event(self.pod, WARNING, "BackOff", text, field_path=field_path(self.pod, name))

    def _check_deadline(self) -> None:
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        started = (self.pod.get("status") or {}).get("startTime")
        if limit is None or not started or self.terminating:
            return
        left = parse_timestamp(started) + limit - self._host.clock.now()
        if left > 0:
            self._wake_in(left)
            return
        self._host.recorder.event(self.pod, NORMAL, DEADLINE.reason, DEADLINE.message)
        self.fail(DEADLINE)

    def _grace(self) -> float:
        """Seconds from now that containers being ended still have."""
        metadata = meta.metadata(self.pod)
        grace = metadata.get("deletionGracePeriodSeconds")
        if grace is None:
            grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        if self._grace_limit is not None:
            grace = min(grace, self._grace_limit)
        now = self._host.clock.now()
        if self.terminating and self._ending_since is None:
            self._ending_since = now
        spent = now - self._ending_since if self._ending_since is not None else 0.0
        return max(float(grace) - spent, 1.0)

    # -- doing it

    async def _act(self, plan: Plan, state: PodState) -> bool:
        """Carry out a plan; True if another look is due at once."""
        work: list[Action] = []
        for action in plan.actions:
            if isinstance(action, KillContainer):
                self._kill(action)
            else:
                work.append(action)
        if not work:
            self._tried = None
            return False
        if (state, work) == self._tried:  # done, and the runtime does not show it yet
            self._tried = None
            self._wake_in(SETTLE)
            return False
        self._tried = state, work
        if self.terminating:
            await self._do(work, state)
            return True
        self._step = self._tasks.spawn(self._do(work, state), name="start")
        try:
            return await self._step
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return True  # interrupted by the Pod's deletion
        finally:
            self._step = None

    def _interrupt(self) -> None:
        if self._step is not None and self.terminating:
            self._step.cancel()
        self.wake()

    async def _do(self, work: list[Action], state: PodState) -> bool:
        for action in work:
            if isinstance(action, StopSandbox):
                if action.changed and any(box.id == action.id for box in state.sandboxes):
                    text = "Pod sandbox changed, it will be killed and re-created."
                    self._host.recorder.event(self.pod, NORMAL, "SandboxChanged", text)
                await self._host.runtime.stop_sandbox(action.id)
            elif isinstance(action, RemoveContainer):
                await self._host.runtime.remove_container(action.id)
                for container in state.containers:
                    if container.id == action.id:
                        self._host.preparation.forget(container)
            elif isinstance(action, RemoveSandbox):
                await self._host.runtime.remove_sandbox(action.id)
            elif isinstance(action, CreateSandbox):
                return await self._create_sandbox(action)
            elif isinstance(action, StartContainer):
                await self._start(action, state)
        return True

    async def _create_sandbox(self, action: CreateSandbox) -> bool:
        try:
            await self._starter.sandbox(self.pod, action.attempt)
        except StartFailure as failure:
            if failure.event:
                self._host.recorder.event(self.pod, WARNING, failure.event, failure.event_message)
            self._hold[SANDBOX] = self._host.clock.now() + self._sandbox_backoff.next(SANDBOX)
            return True
        self._sandbox_backoff.forget(SANDBOX)
        self._hold.clear()
        self._waiting.clear()
        return True

    async def _start(self, action: StartContainer, seen: PodState) -> None:
        name = action.name
        if action.backoff is not None:
            self._backoff[name] = action.backoff
        try:
            await self._starter.container(self.pod, action, seen, self._looked)
        except StartFailure as failure:
            self._waiting[name] = Waiting(failure.reason, failure.message)
            self._hold[name] = self._host.clock.now() + failure.hold
            if failure.event:
                self._host.recorder.event(
                    self.pod, WARNING, failure.event, failure.event_message, field_path=field_path(self.pod, name)
                )
            return
        self._waiting.pop(name, None)
        self._hold.pop(name, None)

    def _kill(self, action: KillContainer) -> None:
        ends = self._host.clock.now() + action.grace
        running = self._kills.get(action.id)
        if running is not None and running <= ends + 1.0:
            return
        if running is None:
            path = field_path(self.pod, action.name)
            self._host.recorder.event(self.pod, NORMAL, "Killing", action.message, field_path=path)
        self._kills[action.id] = ends
        self._tasks.spawn(self._stop_container(action), name=f"kill-{action.name}")

    async def _stop_container(self, action: KillContainer) -> None:
        try:
            await self._starter.stop(self.pod, action.id, action.name, action.grace)
        except (RuntimeFailure, TimeoutError) as error:
            log.warning("Pod %s: cannot stop container %s: %s", meta.key(self.pod), action.name, error)
            self._kills.pop(action.id, None)
            self._wake_in(RETRY)
            return
        self._kills.pop(action.id, None)
        self.wake()

    # -- the end

    async def _ended(self, state: PodState) -> bool:
        """All containers have ended: clean up, and remove the object if it is being deleted. True once it is gone."""
        uid = meta.uid(self.pod)
        self._host.probers.forget(uid)
        if not (self._removed or meta.is_deleting(self.pod)):
            await self._host.preparation.teardown(uid, keep_logs=True)
            return False
        if self._removed:
            for box in state.sandboxes:
                await self._host.runtime.remove_sandbox(box.id)
            await self._host.preparation.teardown(uid)
            self._host.statuses.forget(meta.uid(self._shown) if self._shown is not None else uid)
            self._on_end(self)
            return True
        if not self._deleting:
            await self._host.preparation.teardown(uid, keep_logs=True)
            self._deleting = True
            self._host.statuses.then(self.pod, self._delete_object)
        return False

    async def _delete_object(self) -> None:
        try:
            await self._host.client.delete(
                PODS, meta.name(self.pod), meta.namespace(self.pod), grace_period_seconds=0, uid=meta.uid(self.pod)
            )
        except ApiError as error:
            if not is_reason(error, "NotFound", "Conflict"):
                raise


def _differs(old: Object, new: Object) -> bool:
    """Whether anything but the kubelet's own status changed."""
    a, b = meta.metadata(old), meta.metadata(new)
    fields = ("generation", "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations")
    if any(a.get(field) != b.get(field) for field in fields) or bool(new["spec"].get("readinessGates")):
        return True
    if (new.get("status") or {}).get("phase") in FINAL and (old.get("status") or {}).get("phase") not in FINAL:
        return True
    return bool(old["spec"] != new["spec"])
