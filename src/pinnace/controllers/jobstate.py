"""What has become of a Job's Pods, and what that means for the Job. Pure.

Every Pod of a Job carries a finalizer until it is counted, so that none is counted twice or not at all. A Pod that
ended is first named in ``status.uncountedTerminatedPods``; when that is written its finalizer goes; when that is seen
its name gives way to one more in ``status.succeeded`` or ``failed``. (Indexed Jobs count successes by their indexes.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.controllers import jobindexes, jobpolicy, podstate
from pinnace.core.clock import parse_timestamp

FINALIZER = "batch.kubernetes.io/job-tracking"
#: Seconds before a failed Pod is replaced: doubled for every further failure, up to the limit.
BACKOFF, MAX_BACKOFF = 10.0, 600.0
MAX_UNCOUNTED = 500


@dataclass(frozen=True)
class Ending:
    """How a Job is to end, or is ending: ``type`` is Complete or Failed."""

    type: str
    reason: str
    message: str

    @property
    def interim(self) -> str:
        """The condition that tells of the end while Pods still run."""
        return "SuccessCriteriaMet" if self.type == "Complete" else "FailureTarget"


@dataclass(frozen=True)
class BackoffRecord:
    """Failures since the last success, and when the last one was."""

    failures: int = 0
    last: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next Pod may be created."""
        if self.failures == 0:
            return 0.0
        delay = min(BACKOFF * 2.0 ** min(self.failures - 1, 16), MAX_BACKOFF)
        return max(self.last + delay - now, 0.0)


def is_finished(job: Object) -> bool:
    return meta.has_condition(job, "Complete") or meta.has_condition(job, "Failed")


def is_suspended(job: Object) -> bool:
    return bool(job["spec"].get("suspend"))


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def replaces_only_failed(job: Object) -> bool:
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def parallelism(job: Object) -> int:
    value = job["spec"].get("parallelism")
    return 1 if value is None else int(value)


def is_failed(job: Object, pod: Object) -> bool:
    """Whether a Pod counts as failed: one that is deleted before it succeeds does too, unless the Job waits for its
    end (podReplacementPolicy Failed)."""
    phase = podstate.phase(pod)
    if phase == "Failed":
        return True
    return meta.is_deleting(pod) and phase != "Succeeded" and not replaces_only_failed(job)


def finish_time(pod: Object, now: float) -> float:
    """When the Pod ended: the last of its containers, else its deletion, else now."""
    ends = [
        parse_timestamp(ended["finishedAt"])
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
        if (ended := (status.get("state") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    if ends:
        return max(ends)
    if meta.is_deleting(pod):
        return parse_timestamp(pod["metadata"]["deletionTimestamp"])
    return now


@dataclass
class Tally:
    """The Pods of one Job, sorted out. ``released``: uids whose finalizer is gone already though the cache has it."""

    job: Object
    pods: list[Object]
    released: set[str]
    active: list[Object] = field(default_factory=list)
    terminating: list[Object] = field(default_factory=list)
    #: Ended and not yet named in the status.
    new_succeeded: list[Object] = field(default_factory=list)
    new_failed: list[Object] = field(default_factory=list)
    #: Ended, but not to be counted: failures that the policy ignores, indexes out of range.
    ignored: list[Object] = field(default_factory=list)
    #: Numbers as the status should have them, and the uids that are still to be counted.
    succeeded: int = 0
    failed: int = 0
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    completed_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        status = self.job.get("status") or {}
        completions = int(self.job["spec"].get("completions") or 0)
        if is_indexed(self.job):
            self.completed_indexes = jobindexes.parse(status.get("completedIndexes"), completions)
            self.failed_indexes = jobindexes.parse(status.get("failedIndexes"), completions)
        self._count_named(status)
        for pod in self.pods:
            if podstate.is_active(pod):
                self.active.append(pod)
            elif podstate.is_terminating(pod):
                self.terminating.append(pod)
            self._sort_out(pod, completions)
        if is_indexed(self.job):
            self.succeeded = len(self.completed_indexes)

    def tracked(self, pod: Object) -> bool:
        """Whether the Pod waits to be counted."""
        return FINALIZER in meta.finalizers(pod) and meta.uid(pod) not in self.released

    def _count_named(self, status: Object) -> None:
        """Count what was named in the status and has lost its finalizer since."""
        waiting = {meta.uid(pod) for pod in self.pods if self.tracked(pod)}
        named = status.get("uncountedTerminatedPods") or {}
        for uid in named.get("succeeded") or ():
            if uid in waiting:
                self.uncounted_succeeded.append(uid)
            else:
                self.succeeded += 1
        for uid in named.get("failed") or ():
            if uid in waiting:
                self.uncounted_failed.append(uid)
            else:
                self.failed += 1
        self.succeeded += int(status.get("succeeded") or 0)
        self.failed += int(status.get("failed") or 0)

    def _sort_out(self, pod: Object, completions: int) -> None:
        uid = meta.uid(pod)
        if not self.tracked(pod) or uid in self.uncounted_succeeded or uid in self.uncounted_failed:
            return
        index = jobindexes.index_of(pod) if is_indexed(self.job) else 0
        out_of_range = index is None or (is_indexed(self.job) and index >= completions)
        if podstate.phase(pod) == "Succeeded":
            if out_of_range:
                self.ignored.append(pod)
                return
            self.new_succeeded.append(pod)
            if is_indexed(self.job) and index is not None:
                self.completed_indexes.add(index)
        elif is_failed(self.job, pod):
            action, _ = jobpolicy.failure_action(self.job, pod)
            if out_of_range or action == jobpolicy.IGNORE:
                self.ignored.append(pod)
                return
            self.new_failed.append(pod)
            limit = self.job["spec"].get("backoffLimitPerIndex")
            if limit is not None and index is not None and index not in self.completed_indexes:
                if action == jobpolicy.FAIL_INDEX or jobindexes.failures_of(pod) >= int(limit):
                    self.failed_indexes.add(index)

    # -- totals

    @property
    def total_succeeded(self) -> int:
        if is_indexed(self.job):
            return len(self.completed_indexes)
        return self.succeeded + len(self.uncounted_succeeded) + len(self.new_succeeded)

    @property
    def total_failed(self) -> int:
        return self.failed + len(self.uncounted_failed) + len(self.new_failed)

    @property
    def all_counted(self) -> bool:
        """Whether every Pod has ended and is in the numbers."""
        return not (
            self.active
            or self.terminating
            or self.new_succeeded
            or self.new_failed
            or self.uncounted_succeeded
            or self.uncounted_failed
        )

    def record(self, before: BackoffRecord, now: float) -> BackoffRecord:
        """The back-off after the Pods that ended since ``before``."""
        ended = [(finish_time(pod, now), True) for pod in self.new_succeeded]
        ended += [(finish_time(pod, now), False) for pod in self.new_failed]
        for when, success in sorted(ended):
            before = BackoffRecord() if success else BackoffRecord(before.failures + 1, max(when, before.last))
        return before

    def latest_failures(self) -> dict[int, Object]:
        """Per index (with backoffLimitPerIndex): its failed Pod with the highest count of failures."""
        found: dict[int, Object] = {}
        for pod in self.pods:
            index = jobindexes.index_of(pod)
            if index is None or not is_failed(self.job, pod):
                continue
            if index not in found or jobindexes.failures_of(pod) >= jobindexes.failures_of(found[index]):
                found[index] = pod
        return found

    def must_keep(self, pod: Object) -> bool:
        """Whether a failed Pod's finalizer stays because its replacement needs its count of failures."""
        if self.job["spec"].get("backoffLimitPerIndex") is None or podstate.phase(pod) == "Succeeded":
            return False
        index = jobindexes.index_of(pod)
        if index is None or index in self.completed_indexes or index in self.failed_indexes:
            return False
        own = jobindexes.failures_of(pod)
        newer = (jobindexes.failures_of(p) > own for p in self.pods if jobindexes.index_of(p) == index)
        return not any(newer)


# -- decisions


def ending(tally: Tally, now: float) -> Ending | None:
    """Whether and how the Job is over, or None."""
    job, spec = tally.job, tally.job["spec"]
    for type, interim in (("Complete", "SuccessCriteriaMet"), ("Failed", "FailureTarget")):
        if (found := meta.condition(job, interim)) is not None and found["status"] == "True":
            return Ending(type, found.get("reason", ""), found.get("message", ""))
    for pod in tally.new_failed:
        action, message = jobpolicy.failure_action(job, pod)
        if action == jobpolicy.FAIL_JOB:
            return Ending("Failed", "PodFailurePolicy", message)
    limit = spec.get("backoffLimit")
    if limit is not None and (tally.total_failed > int(limit) or _restarts_exceed(tally, int(limit))):
        return Ending("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = deadline_left(job, now)
    if left is not None and left <= 0:
        return Ending("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    if is_indexed(job):
        maximum = spec.get("maxFailedIndexes")
        if maximum is not None and len(tally.failed_indexes) > int(maximum):
            message = "Job has exceeded the specified maximal number of failed indexes"
            return Ending("Failed", "MaxFailedIndexesExceeded", message)
        if (rule := jobpolicy.success_rule(job, tally.completed_indexes)) is not None:
            return Ending("Complete", "SuccessPolicy", rule)
        done = len(tally.completed_indexes) + len(tally.failed_indexes)
        if tally.failed_indexes and done >= int(spec.get("completions") or 0):
            return Ending("Failed", "FailedIndexes", "Job has failed indexes")
    if _is_complete(tally):
        return Ending("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
    return None


def _restarts_exceed(tally: Tally, limit: int) -> bool:
    """With restartPolicy OnFailure the kubelet's restarts count as failures."""
    if tally.job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        int(container.get("restartCount") or 0)
        for pod in tally.pods
        if podstate.phase(pod) in ("Running", "Pending")
        for kind in ("initContainerStatuses", "containerStatuses")
        for container in (pod.get("status") or {}).get(kind) or ()
    )
    return restarts > 0 if limit == 0 else restarts >= limit


def _is_complete(tally: Tally) -> bool:
    completions = tally.job["spec"].get("completions")
    if completions is None:  # a work queue: one success means that it is empty
        return tally.total_succeeded > 0 and not tally.active
    return tally.total_succeeded >= int(completions)


def deadline_left(job: Object, now: float) -> float | None:
    """Seconds until activeDeadlineSeconds is over; None if there is none, or the Job does not run."""
    limit, start = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if limit is None or not start or is_suspended(job):
        return None
    return parse_timestamp(start) + int(limit) - now


def wanted_active(tally: Tally) -> int:
    """Pods that should be running now."""
    if is_suspended(tally.job):
        return 0
    completions = tally.job["spec"].get("completions")
    if completions is None:
        return len(tally.active) if tally.total_succeeded > 0 else parallelism(tally.job)
    done = tally.total_succeeded + len(tally.failed_indexes)
    return max(min(int(completions) - done, parallelism(tally.job)), 0)


def surplus(tally: Tally, now: float) -> list[Object]:
    """Active Pods to delete: of an index that is done, out of range or taken twice, then as many as are too many."""
    chosen: list[Object] = []
    rest = list(tally.active)
    if is_indexed(tally.job):
        completions = int(tally.job["spec"].get("completions") or 0)
        taken: set[int] = tally.completed_indexes | tally.failed_indexes
        rest = []
        for pod in reversed(podstate.deletion_order(tally.active, {}, now)):
            index = jobindexes.index_of(pod)
            if index is None or index >= completions or index in taken:
                chosen.append(pod)
            else:
                taken = taken | {index}
                rest.append(pod)
    too_many = len(tally.active) - wanted_active(tally) - len(chosen)
    if too_many > 0:
        chosen += podstate.deletion_order(rest, {}, now)[:too_many]
    return chosen


def free_indexes(tally: Tally, count: int) -> list[int]:
    """The indexes that new Pods get."""
    running = tally.active + (tally.terminating if replaces_only_failed(tally.job) else [])
    taken = {index for pod in running if (index := jobindexes.index_of(pod)) is not None}
    taken |= tally.completed_indexes | tally.failed_indexes
    return jobindexes.first_free(taken, int(tally.job["spec"].get("completions") or 0), count)
