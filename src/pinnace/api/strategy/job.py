"""Jobs: the generated selector, and the labels that tie Pods to their Job."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.strategy.rules import Rules
from pinnace.api.types import Object

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
LEGACY_CONTROLLER_UID = "controller-uid"
LEGACY_JOB_NAME = "job-name"


def _create(job: Object) -> None:
    job["status"] = {}
    spec = job.setdefault("spec", {})
    if spec.get("manualSelector"):
        return
    name, uid = meta.name(job), meta.uid(job)
    metadata = spec.setdefault("template", {}).setdefault("metadata", {})
    labels = metadata["labels"] = dict(metadata.get("labels") or {})
    for key, value in (
        (LEGACY_JOB_NAME, name),
        (JOB_NAME, name),
        (LEGACY_CONTROLLER_UID, uid),
        (CONTROLLER_UID, uid),
    ):
        labels.setdefault(key, value)
    selector = spec["selector"] = dict(spec.get("selector") or {})
    # A wrong value that a client gave stays, for validation to refuse.
    selector["matchLabels"] = {CONTROLLER_UID: uid, **(selector.get("matchLabels") or {})}
    # Upstream's defaulting runs again when the stored Job is read, and then sees the template's new labels.
    if not meta.labels(job):
        job["metadata"]["labels"] = dict(labels)


RULES = {
    ("batch", "Job"): Rules(generation="spec", status=True, keep_status_on_create=True, on_create=_create),
    ("batch", "CronJob"): Rules(generation="spec", status=True, initial_status={}),
}
