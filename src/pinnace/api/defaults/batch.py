"""Defaults of Jobs and CronJobs."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill, fill_empty, given, items
from pinnace.api.defaults.core import labels_from_template
from pinnace.api.defaults.pod import pod_template
from pinnace.api.types import Object

_MAX_INT32 = 2**31 - 1


def job_spec(spec: Object) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    fill(
        spec,
        parallelism=1,
        backoffLimit=6 if spec.get("backoffLimitPerIndex") is None else _MAX_INT32,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed",
    )
    policy = given(spec, "podFailurePolicy")
    for rule in items(policy or {}, "rules"):
        for pattern in items(rule, "onPodConditions"):
            fill_empty(pattern, status="True")
    pod_template(spec)


def job(obj: Object) -> None:
    spec = child(obj, "spec")
    job_spec(spec)
    labels_from_template(obj, spec)


def cron_job(obj: Object) -> None:
    spec = child(obj, "spec")
    fill_empty(spec, concurrencyPolicy="Allow")
    fill(spec, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = child(spec, "jobTemplate")
    child(template, "metadata")
    inner = child(template, "spec")
    # A template is no Job: only the parts that JobSpec's own types default are filled in.
    pod_template(inner)
    for rule in items(given(inner, "podFailurePolicy") or {}, "rules"):
        for pattern in items(rule, "onPodConditions"):
            fill_empty(pattern, status="True")


DEFAULTS = {("batch", "Job"): job, ("batch", "CronJob"): cron_job}
