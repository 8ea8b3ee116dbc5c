"""Jobs: runs Pods until enough have succeeded or too many have failed. ``jobstate`` decides, this module does.

The order of writes keeps the count right whatever is lost in between: Pods that ended are named in the status before
their finalizer goes, and counted after. Every status is written against the version it was computed from.
"""

from __future__ import annotations

import asyncio

from pinnace.api import meta, selectors
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import JOBS, PODS
from pinnace.api.types import Object
from pinnace.client.client import STRATEGIC_MERGE_PATCH
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.controllers import conditions, jobindexes, jobpolicy, jobstate, kit, ownership, podstate
from pinnace.controllers.expectations import Expectations
from pinnace.controllers.podcontrol import PodControl
from pinnace.controllers.writes import Writes
from pinnace.core.clock import timestamp

#: Pods made or deleted in one round at most.
BURST = 500
_ORPHAN = "\0"  # marks keys that are Pods whose Job is gone
_MANAGER = "kubernetes.io/job-controller"


class JobController(kit.Controller):
    """Keys are Jobs, and Pods whose Job is gone."""

    name = "job-controller"
    account = "job-controller"
    workers = 5

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder(self.name)
        self._expectations = Expectations(self.clock)
        self._control = PodControl(self.client, self._events, self._expectations)
        self._released: dict[str, set[str]] = {}  # Job key -> Pods whose finalizer we removed, unseen as yet
        self._backoffs: dict[str, jobstate.BackoffRecord] = {}
        self._jobs = tools.informer(JOBS)
        self._pods = tools.informer(PODS)
        self._writes = Writes(self._jobs)
        self._claims = ownership.Claims(self.client, JOBS, PODS, self._pods)
        self._jobs.add_handler(self._job_changed)
        self._pods.add_handler(self._pod_changed)

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        if obj is None:
            return
        if new is None:
            for pod in ownership.dependents(self._pods, obj):
                self.queue.add(_ORPHAN + meta.key(pod))
        self.enqueue(obj)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is None:
            return
        for other in ownership.others_concerned(self._jobs, "Job", old, new, self._match):
            self.enqueue(other)
        ref = meta.controller_of(pod)
        job = ownership.controller_in(self._jobs, pod, "Job")
        if job is None:
            if jobstate.FINALIZER in meta.finalizers(pod) and (ref is None or ref["kind"] == "Job"):
                self.queue.add(_ORPHAN + meta.key(pod))
            return
        key, uid = meta.key(job), meta.uid(pod)
        if new is None or jobstate.FINALIZER not in meta.finalizers(new):
            self._released.get(key, set()).discard(uid)
        self._expectations.seen(key, old, new)
        self.queue.add(key)

    @staticmethod
    def _match(job: Object) -> ownership.Matcher:
        return selectors.label_selector(job["spec"].get("selector")).matches

    # -- one round

    async def sync(self, key: str) -> None:
        if key.startswith(_ORPHAN):
            await self._release_orphan(key[len(_ORPHAN) :])
            return
        job = self._jobs.by_key(key)
        if job is None:
            self._expectations.forget(key)
            self._released.pop(key, None)
            self._backoffs.pop(key, None)
            self._writes.forget(key)
            return
        if not self._writes.seen(key):
            return  # what this round would write was computed from a version that is no more
        if job["spec"].get("managedBy", _MANAGER) != _MANAGER:
            return
        settled = self._expectations.satisfied(key)
        pods = await self._claims.claim(
            job, self._match(job), adoptable=podstate.is_active, finalizer=jobstate.FINALIZER
        )
        released = self._released.setdefault(key, set())
        if jobstate.is_finished(job) or meta.is_deleting(job):
            ended = [pod for pod in pods if not podstate.is_active(pod) and jobstate.FINALIZER in meta.finalizers(pod)]
            await self._release(key, [pod for pod in ended if meta.uid(pod) not in released])
            return
        now = self.clock.now()
        job = self._started(job, now)
        tally = jobstate.Tally(job, pods, released)
        record = tally.record(self._backoffs.get(key, jobstate.BackoffRecord()), now)
        ending = jobstate.ending(tally, now)
        failure: BaseException | None = None
        if settled:
            failure = await self._manage(key, tally, record, ending, now)
        await self._track(key, tally, record, ending, now)
        left = jobstate.deadline_left(job, now)
        if left is not None and left > 0 and ending is None:
            self.queue.add_after(key, left)
        if failure is not None:
            raise failure

    def _started(self, job: Object, now: float) -> Object:
        """The Job with startTime and the Suspended condition as they should be; written with the rest of the status."""
        status = dict(job.get("status") or {})
        found: list[Object] = list(status.get("conditions") or ())
        held = conditions.find(found, "Suspended")
        if jobstate.is_suspended(job):
            if held is None or held["status"] != "True":
                found = _with(found, "Suspended", "True", "JobSuspended", "Job suspended", now)
                self._events.event(job, NORMAL, "Suspended", "Job suspended")
        else:
            if held is not None and held["status"] == "True":
                found = _with(found, "Suspended", "False", "JobResumed", "Job resumed", now)
                status["startTime"] = timestamp(now)
                self._events.event(job, NORMAL, "Resumed", "Job resumed")
            status.setdefault("startTime", timestamp(now))
        if found:
            status["conditions"] = found
        return {**job, "status": status}

    async def _manage(
        self,
        key: str,
        tally: jobstate.Tally,
        record: jobstate.BackoffRecord,
        ending: jobstate.Ending | None,
        now: float,
    ) -> BaseException | None:
        """Delete what is too many, or create what is missing. Pods created are added to ``tally``."""
        unwanted = tally.active if ending is not None else jobstate.surplus(tally, now)
        if unwanted:
            return await self._delete(key, tally, unwanted[:BURST])
        if ending is not None:
            return None
        missing = jobstate.wanted_active(tally) - len(tally.active)
        if jobstate.replaces_only_failed(tally.job):
            missing -= len(tally.terminating)
        if missing <= 0:
            return None
        per_index = tally.job["spec"].get("backoffLimitPerIndex") is not None
        wait = 0.0 if per_index else record.wait(now)
        if wait > 0:
            self.queue.add_after(key, wait)
            return None
        return await self._create(key, tally, min(missing, BURST), now)

    async def _create(self, key: str, tally: jobstate.Tally, count: int, now: float) -> BaseException | None:
        job = tally.job
        pods = [self._pod(job)] * count
        if jobstate.is_indexed(job):
            pods = []
            failures = tally.latest_failures() if job["spec"].get("backoffLimitPerIndex") is not None else {}
            for index in jobstate.free_indexes(tally, count):
                before = failures.get(index)
                if before is not None:
                    number = jobindexes.failures_of(before) + 1
                    wait = jobstate.BackoffRecord(number, jobstate.finish_time(before, now)).wait(now)
                    if wait > 0:
                        self.queue.add_after(key, wait)
                        continue
                    pods.append(self._indexed_pod(job, index, _failures_after(job, before)))
                else:
                    pods.append(self._indexed_pod(job, index, 0))
        waiting = iter(pods)
        self._expectations.expect(key, creations=len(pods))

        async def create() -> None:
            tally.active.append(await self._control.create(job, next(waiting)))

        succeeded, error = await kit.slow_start(len(pods), create)
        if error is not None:
            self._expectations.created(key, len(pods) - succeeded)
        return None if error is None or is_namespace_terminating(error) else error

    @staticmethod
    def _pod(job: Object) -> Object:
        pod = podstate.from_template(job["spec"]["template"], job)
        pod["metadata"]["finalizers"] = [*pod["metadata"].get("finalizers", ()), jobstate.FINALIZER]
        return pod

    def _indexed_pod(self, job: Object, index: int, failures: int) -> Object:
        """A Pod that knows its index: by annotation, label, environment and host name."""
        pod = self._pod(job)
        metadata, spec = pod["metadata"], pod["spec"]
        metadata["generateName"] = f"{meta.name(job)}-{index}-"
        metadata["annotations"] = {**metadata.get("annotations", {}), jobindexes.INDEX: str(index)}
        if job["spec"].get("backoffLimitPerIndex") is not None:
            metadata["annotations"][jobindexes.FAILURE_COUNT] = str(failures)
        metadata["labels"] = {**metadata["labels"], jobindexes.INDEX: str(index)}
        spec["hostname"] = f"{meta.name(job)}-{index}"
        field_path = f"metadata.labels['{jobindexes.INDEX}']"
        variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": field_path}}}
        for container in [*spec["containers"], *(spec.get("initContainers") or ())]:
            if all(entry["name"] != variable["name"] for entry in container.get("env") or ()):
                container["env"] = [*(container.get("env") or ()), variable]
        return pod

    async def _delete(self, key: str, tally: jobstate.Tally, pods: list[Object]) -> BaseException | None:
        job = tally.job
        self._expectations.expect(key, deletions=[meta.uid(pod) for pod in pods])

        async def delete(pod: Object) -> None:
            if await self._control.delete(key, job, pod):
                tally.active = [other for other in tally.active if meta.uid(other) != meta.uid(pod)]
                tally.terminating.append(pod)

        results = await asyncio.gather(*map(delete, list(pods)), return_exceptions=True)
        return next((result for result in results if isinstance(result, BaseException)), None)

    # -- counting

    async def _track(
        self,
        key: str,
        tally: jobstate.Tally,
        record: jobstate.BackoffRecord,
        ending: jobstate.Ending | None,
        now: float,
    ) -> None:
        """Name what ended in the status, take its finalizer, count it; and tell how the Job ends."""
        job = tally.job
        ended = tally.new_succeeded + tally.new_failed + tally.ignored
        named = {*tally.uncounted_succeeded, *tally.uncounted_failed}
        ended += [pod for pod in tally.pods if meta.uid(pod) in named]
        to_release = [pod for pod in ended if not tally.must_keep(pod)][: jobstate.MAX_UNCOUNTED]
        allowed = {meta.uid(pod) for pod in to_release}
        if not jobstate.is_indexed(job):
            tally.uncounted_succeeded += [uid for pod in tally.new_succeeded if (uid := meta.uid(pod)) in allowed]
        tally.uncounted_failed += [uid for pod in tally.new_failed if (uid := meta.uid(pod)) in allowed]
        final = ending if ending is not None and not to_release and tally.all_counted else None
        job = await self._write(job, self._status(tally, ending, final, now))
        self._backoffs[key] = record  # whatever happens next: the Pods that it counts are named, and no longer new
        if final is not None:
            self._announce(job, final)
        if not to_release:
            return
        gone = await self._release(key, to_release)
        tally.succeeded += 0 if jobstate.is_indexed(job) else sum(1 for uid in tally.uncounted_succeeded if uid in gone)
        tally.failed += sum(1 for uid in tally.uncounted_failed if uid in gone)
        tally.uncounted_succeeded = [uid for uid in tally.uncounted_succeeded if uid not in gone]
        tally.uncounted_failed = [uid for uid in tally.uncounted_failed if uid not in gone]
        tally.job = job
        await self._write(job, self._status(tally, ending, None, now))

    def _status(
        self, tally: jobstate.Tally, ending: jobstate.Ending | None, final: jobstate.Ending | None, now: float
    ) -> Object:
        status = dict(tally.job.get("status") or {})
        numbers = {
            "active": len(tally.active),
            "succeeded": tally.succeeded,
            "failed": tally.failed,
            "completedIndexes": jobindexes.render(tally.completed_indexes),
        }
        for name, value in numbers.items():
            if value:
                status[name] = value
            else:
                status.pop(name, None)
        status["ready"] = sum(1 for pod in tally.active if podstate.is_ready(pod))
        status["terminating"] = len(tally.terminating)
        if tally.job["spec"].get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = jobindexes.render(tally.failed_indexes)
        uncounted: Object = {}
        if tally.uncounted_succeeded:
            uncounted["succeeded"] = tally.uncounted_succeeded
        if tally.uncounted_failed:
            uncounted["failed"] = tally.uncounted_failed
        status["uncountedTerminatedPods"] = uncounted
        found: list[Object] = list(status.get("conditions") or ())
        if ending is not None and conditions.find(found, ending.interim) is None:
            found = _with(found, ending.interim, "True", ending.reason, ending.message, now)
        if final is not None:
            found = _with(found, final.type, "True", final.reason, final.message, now)
            if final.type == "Complete":
                status["completionTime"] = timestamp(now)
        if found:
            status["conditions"] = found
        return status

    def _announce(self, job: Object, final: jobstate.Ending) -> None:
        if final.type == "Complete":
            self._events.event(job, NORMAL, "Completed", "Job completed")
        else:
            self._events.event(job, WARNING, final.reason, final.message)

    async def _write(self, job: Object, status: Object) -> Object:
        held = self._jobs.by_key(meta.key(job))
        unchanged = held is not None and meta.resource_version(held) == meta.resource_version(job)
        if unchanged and held is not None and status == (held.get("status") or {}):
            return job
        written = await self.client.update(JOBS, {**job, "status": status}, subresource="status")
        self._writes.wrote(meta.key(job), written)
        return written

    async def _release(self, key: str, pods: list[Object]) -> set[str]:
        """Remove the finalizer of Pods that are named in the status; their uids."""
        released = self._released.setdefault(key, set())

        async def release(pod: Object) -> None:
            await self._remove_finalizer(pod)
            if jobstate.FINALIZER in meta.finalizers(self._pods.by_key(meta.key(pod)) or {}):
                released.add(meta.uid(pod))

        results = await asyncio.gather(*map(release, pods), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return {meta.uid(pod) for pod in pods}

    async def _remove_finalizer(self, pod: Object) -> None:
        metadata = {"uid": meta.uid(pod), "$deleteFromPrimitiveList/finalizers": [jobstate.FINALIZER]}
        patch = {"metadata": metadata}  # whatever else changes meanwhile, the kubelet's last word above all
        try:
            await self.client.patch(
                PODS, meta.name(pod), patch, meta.namespace(pod), content_type=STRATEGIC_MERGE_PATCH
            )
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise

    async def _release_orphan(self, key: str) -> None:
        """A Pod whose Job is gone need not be counted any more."""
        pod = self._pods.by_key(key)
        if pod is None or jobstate.FINALIZER not in meta.finalizers(pod):
            return
        ref = meta.controller_of(pod)
        if ref is not None and ref["kind"] == "Job":
            try:
                job = await self.client.get(JOBS, str(ref["name"]), meta.namespace(pod))
            except ApiError as error:
                if not is_reason(error, "NotFound"):
                    raise
            else:
                if meta.uid(job) == ref["uid"]:
                    return
        await self._remove_finalizer(pod)


def _failures_after(job: Object, pod: Object) -> int:
    """The count of failures that the Pod which replaces ``pod`` carries."""
    action, _ = jobpolicy.failure_action(job, pod)
    return jobindexes.failures_of(pod) + (0 if action == jobpolicy.IGNORE else 1)


def _with(found: list[Object], type: str, status: str, reason: str, message: str, now: float) -> list[Object]:
    """Job conditions carry a probe time, and their transition time is always that of the change."""
    stamp = timestamp(now)
    entry = {
        "type": type,
        "status": status,
        "lastProbeTime": stamp,
        "lastTransitionTime": stamp,
        "reason": reason,
        "message": message,
    }
    return [*conditions.without(found, type), entry]
