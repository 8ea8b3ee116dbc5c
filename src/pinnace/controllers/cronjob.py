"""CronJobs: a Job at every scheduled time. One timer per CronJob waits for the next time; nothing polls."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import CRON_JOBS, JOBS
from pinnace.api.types import Object
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.controllers import cronschedule, jobstate, kit, ownership
from pinnace.controllers.writes import Writes
from pinnace.core.clock import parse_timestamp, timestamp

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_TOO_MANY = 100


def due(cron_job: Object, now: float) -> tuple[float | None, int, float | None]:
    """(the latest time that is due and unmet, how many times were missed up to it, the next time). Pure.

    Raises ScheduleError. More than 100 missed times are not counted further."""
    spec = cron_job["spec"]
    schedule = cronschedule.parse(spec["schedule"])
    zone = str(spec.get("timeZone") or "UTC")
    last = (cron_job.get("status") or {}).get("lastScheduleTime") or cron_job["metadata"]["creationTimestamp"]
    since = parse_timestamp(last)
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None:
        since = max(since, now - int(deadline))
    latest: float | None = None
    missed = 0
    at = schedule.next_after(since, zone)
    while at is not None and at <= now:
        latest, missed = at, missed + 1
        at = schedule.next_after(at, zone)
        if missed > _TOO_MANY:  # the latest is all that counts: halve the distance to it
            while at is not None and at <= now:
                later = schedule.next_after((latest + now) / 2, zone)
                if later is None or later > now:
                    break
                latest = later
            at = schedule.next_after(latest, zone)
    return latest, missed, at


def job_name(cron_job: Object, at: float) -> str:
    return f"{meta.name(cron_job)}-{int(at) // 60}"


def new_job(cron_job: Object, at: float) -> Object:
    """The Job for one scheduled time; its name makes a second one for the same time impossible."""
    template = cron_job["spec"]["jobTemplate"]
    held = template.get("metadata") or {}
    zone = cronschedule.time_zone(str(cron_job["spec"].get("timeZone") or "UTC"))
    moment = datetime.fromtimestamp(at, zone).isoformat()
    stamp = moment.replace("+00:00", "Z") if moment.endswith("+00:00") else moment
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cron_job, at),
            "namespace": meta.namespace(cron_job),
            "labels": dict(held.get("labels") or {}),
            "annotations": {**(held.get("annotations") or {}), SCHEDULED_AT: stamp},
            "ownerReferences": [meta.owner_reference(cron_job)],
        },
        "spec": meta.copy(template["spec"]),
    }


def surplus(cron_job: Object, jobs: list[Object]) -> list[Object]:
    """Ended Jobs beyond the history limits, oldest first. Pure."""
    chosen: list[Object] = []
    for type, field, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        limit = cron_job["spec"].get(field)
        limit = default if limit is None else int(limit)
        ended = [job for job in jobs if meta.has_condition(job, type) and not meta.is_deleting(job)]
        ended.sort(key=lambda job: ((job.get("status") or {}).get("startTime") or "", meta.name(job)))
        chosen += ended[: max(len(ended) - limit, 0)]
    return chosen


class CronJobController(kit.Controller):
    """Makes Jobs when their time has come, and clears ended ones away."""

    name = "cronjob-controller"
    account = "cronjob-controller"
    workers = 5

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder(self.name)
        self._cron_jobs = tools.informer(CRON_JOBS)
        self._jobs = tools.informer(JOBS)
        self._writes = Writes(self._cron_jobs)
        ownership.index_by_controller(self._jobs)
        self.watch(self._cron_jobs)
        self._jobs.add_handler(self._job_changed)

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        for version in (old, new):
            owner = ownership.controller_in(self._cron_jobs, version, "CronJob")
            if owner is not None:
                self.enqueue(owner)

    async def sync(self, key: str) -> None:
        cron_job = self._cron_jobs.by_key(key)
        if cron_job is None:
            self._writes.forget(key)
            return
        if not self._writes.seen(key):
            return  # what this round would write was computed from a version that is no more
        jobs = ownership.dependents(self._jobs, cron_job)
        status = dict(cron_job.get("status") or {})
        self._look_at_jobs(cron_job, jobs, status)
        for job in surplus(cron_job, jobs):
            await self._delete(cron_job, job)
        if not meta.is_deleting(cron_job) and not cron_job["spec"].get("suspend"):
            await self._start(key, cron_job, jobs, status)
        if status != (cron_job.get("status") or {}):
            written = await self.client.update(CRON_JOBS, {**cron_job, "status": status}, subresource="status")
            self._writes.wrote(key, written)

    def _look_at_jobs(self, cron_job: Object, jobs: list[Object], status: Object) -> None:
        """Bring ``active`` and lastSuccessfulTime up to date."""
        by_uid = {meta.uid(job): job for job in jobs}
        active: list[Object] = []
        for ref in status.get("active") or ():
            job = by_uid.get(ref["uid"])
            if job is None:
                self._events.event(cron_job, NORMAL, "MissingJob", f"Active job went missing: {ref['name']}")
            elif jobstate.is_finished(job):
                how = "Complete" if meta.has_condition(job, "Complete") else "Failed"
                message = f"Saw completed job: {meta.name(job)}, condition: {how}"
                self._events.event(cron_job, NORMAL, "SawCompletedJob", message)
            else:
                active.append(ref)
        done = [str((job.get("status") or {}).get("completionTime") or "") for job in jobs]
        latest = max([*done, str(status.get("lastSuccessfulTime") or "")], default="")
        if latest:
            status["lastSuccessfulTime"] = latest
        known = {ref["uid"] for ref in active}
        active += [
            reference(job)
            for job in jobs
            if not jobstate.is_finished(job) and meta.uid(job) not in known and not meta.is_deleting(job)
        ]
        _set_active(status, active)

    async def _start(self, key: str, cron_job: Object, jobs: list[Object], status: Object) -> None:
        now = self.clock.now()
        try:
            at, missed, following = due(cron_job, now)
        except cronschedule.ScheduleError as error:
            reason = "UnknownTimeZone" if "time zone" in str(error) else "UnparseableSchedule"
            self._events.event(cron_job, WARNING, reason, f"invalid schedule: {cron_job['spec']['schedule']} : {error}")
            return
        if missed > _TOO_MANY:
            message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._events.event(cron_job, WARNING, "TooManyMissedTimes", message)
        if following is not None:
            self.queue.add_after(key, following - now)
        if at is None:
            return
        if any(meta.name(job) == job_name(cron_job, at) for job in jobs):
            status["lastScheduleTime"] = timestamp(at)
            return
        deadline = cron_job["spec"].get("startingDeadlineSeconds")
        if deadline is not None and at + int(deadline) < now:
            when = format_datetime(datetime.fromtimestamp(at, cronschedule.time_zone("UTC")))
            self._events.event(cron_job, WARNING, "MissSchedule", f"Missed scheduled time to start a job: {when}")
            return
        policy = cron_job["spec"].get("concurrencyPolicy") or "Allow"
        if status.get("active") and policy == "Forbid":
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._events.event(cron_job, NORMAL, "JobAlreadyActive", message)
            return  # the end of the running Job brings the key back
        if policy == "Replace":
            running = {ref["uid"] for ref in status.get("active") or ()}
            for job in jobs:
                if meta.uid(job) in running:
                    await self._delete(cron_job, job)
            _set_active(status, [])
        made = await self._create(cron_job, at)
        if made is not None:
            _set_active(status, [*(status.get("active") or ()), reference(made)])
            status["lastScheduleTime"] = timestamp(at)

    async def _create(self, cron_job: Object, at: float) -> Object | None:
        try:
            made = await self.client.create(JOBS, new_job(cron_job, at))
        except ApiError as error:
            if is_namespace_terminating(error):
                return None
            if is_reason(error, "AlreadyExists"):
                held = await self.client.get(JOBS, job_name(cron_job, at), meta.namespace(cron_job))
                owner = meta.controller_of(held)
                return held if owner is not None and owner["uid"] == meta.uid(cron_job) else None
            self._events.event(cron_job, WARNING, "FailedCreate", f"Error creating job: {error}")
            raise
        self._events.event(cron_job, NORMAL, "SuccessfulCreate", f"Created job {meta.name(made)}")
        return made

    async def _delete(self, cron_job: Object, job: Object) -> None:
        try:
            await self.client.delete(
                JOBS, meta.name(job), meta.namespace(job), propagation="Background", uid=meta.uid(job)
            )
        except ApiError as error:
            if is_reason(error, "NotFound", "Conflict"):
                return
            self._events.event(cron_job, WARNING, "FailedDelete", f"Deleted job: {error}")
            raise
        self._events.event(cron_job, NORMAL, "SuccessfulDelete", f"Deleted job {meta.name(job)}")


def _set_active(status: Object, active: list[Object]) -> None:
    if active:
        status["active"] = active
    else:
        status.pop("active", None)


def reference(job: Object) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta.name(job),
        "namespace": meta.namespace(job),
        "uid": meta.uid(job),
        "resourceVersion": meta.resource_version(job),
    }
