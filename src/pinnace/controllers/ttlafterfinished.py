"""Deletes Jobs that ended, ``ttlSecondsAfterFinished`` after that."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import JOBS
from pinnace.api.types import Object
from pinnace.controllers import jobstate, kit
from pinnace.core.clock import parse_timestamp


def expires_at(job: Object) -> float | None:
    """When the Job is to go, in seconds since the epoch; None if it has not ended or has no limit. Pure."""
    limit = job["spec"].get("ttlSecondsAfterFinished")
    if limit is None or meta.is_deleting(job) or not jobstate.is_finished(job):
        return None
    ended = meta.condition(job, "Complete") or meta.condition(job, "Failed") or {}
    return parse_timestamp(ended["lastTransitionTime"]) + int(limit)


class TtlAfterFinishedController(kit.Controller):
    """One timer per Job that waits for its end."""

    name = "ttl-after-finished-controller"
    account = "ttl-after-finished-controller"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._jobs = tools.informer(JOBS)
        self._jobs.add_handler(self._changed)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and expires_at(new) is not None:
            self.enqueue(new)

    async def sync(self, key: str) -> None:
        job = self._jobs.by_key(key)
        due = expires_at(job) if job is not None else None
        if job is None or due is None:
            return
        if due > self.clock.now():
            self.queue.add_after(key, due - self.clock.now())
            return
        try:
            fresh = await self.client.get(JOBS, meta.name(job), meta.namespace(job))  # the limit may have been raised
            due = expires_at(fresh)
            if meta.uid(fresh) == meta.uid(job) and due is not None and due <= self.clock.now():
                await self.client.delete(
                    JOBS, meta.name(job), meta.namespace(job), propagation="Foreground", uid=meta.uid(job)
                )
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
