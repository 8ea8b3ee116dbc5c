"""Rows of apps, batch, autoscaling and policy, and of what else holds a Pod template."""

from __future__ import annotations

from typing import Any

from pinnace.api.table import values as v
from pinnace.api.table.duration import human_duration
from pinnace.api.types import Object, split_api_version


def _pod_spec(obj: Object) -> Object:
    return v.child(obj, "spec", "template", "spec")


def pod_template(obj: Object, now: float) -> list[Any]:
    template = v.child(obj, "template")
    return [v.name(obj), *v.containers(template.get("spec")), v.labels(v.at(template, "metadata", "labels"))]


def _replicas(obj: Object) -> list[int]:
    return [v.number(obj, "spec", "replicas"), v.number(obj, "status", "replicas")]


def replication_controller(obj: Object, now: float) -> list[Any]:
    ready = v.number(obj, "status", "readyReplicas")
    selector = v.labels(v.at(obj, "spec", "selector"))
    return [v.name(obj), *_replicas(obj), ready, v.age(obj, now), *v.containers(_pod_spec(obj)), selector]


def replica_set(obj: Object, now: float) -> list[Any]:
    ready = v.number(obj, "status", "readyReplicas")
    selector = v.selector(v.at(obj, "spec", "selector"))
    return [v.name(obj), *_replicas(obj), ready, v.age(obj, now), *v.containers(_pod_spec(obj)), selector]


def _ready(obj: Object) -> str:
    return f"{v.number(obj, 'status', 'readyReplicas')}/{v.number(obj, 'spec', 'replicas')}"


def deployment(obj: Object, now: float) -> list[Any]:
    return [
        v.name(obj),
        _ready(obj),
        v.number(obj, "status", "updatedReplicas"),
        v.number(obj, "status", "availableReplicas"),
        v.age(obj, now),
        *v.containers(_pod_spec(obj)),
        v.selector_text(v.at(obj, "spec", "selector")),
    ]


def stateful_set(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), _ready(obj), v.age(obj, now), *v.containers(_pod_spec(obj))]


def daemon_set(obj: Object, now: float) -> list[Any]:
    counts = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return [
        v.name(obj),
        *(v.number(obj, "status", count) for count in counts),
        v.labels(_pod_spec(obj).get("nodeSelector")),
        v.age(obj, now),
        *v.containers(_pod_spec(obj)),
        v.selector(v.at(obj, "spec", "selector")),
    ]


def controller_revision(obj: Object, now: float) -> list[Any]:
    owners = [ref for ref in v.children(obj, "metadata", "ownerReferences") if v.flag(ref, "controller")]
    shown = v.NONE
    for owner in owners[:1]:
        group, _ = split_api_version(v.text(owner, "apiVersion"))
        kind = v.text(owner, "kind")
        shown = f"{kind}.{group}".lower() if group else kind.lower()
        shown += f"/{v.text(owner, 'name')}"
    return [v.name(obj), shown, v.number(obj, "revision"), v.age(obj, now)]


_JOB_STATES = {"Complete": "Complete", "Failed": "Failed"}
_JOB_LATER_STATES = ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def _job_status(obj: Object) -> str:
    for type in _JOB_STATES:
        if v.condition_true(obj, type):
            return type
    if v.at(obj, "metadata", "deletionTimestamp"):
        return "Terminating"
    return next((type for type in _JOB_LATER_STATES if v.condition_true(obj, type)), "Running")


def _job_completions(obj: Object) -> str:
    succeeded = v.number(obj, "status", "succeeded")
    if isinstance(v.at(obj, "spec", "completions"), int):
        return f"{succeeded}/{v.number(obj, 'spec', 'completions')}"
    parallelism = v.number(obj, "spec", "parallelism")
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def job(obj: Object, now: float) -> list[Any]:
    started, completed = v.moment(obj, "status", "startTime"), v.moment(obj, "status", "completionTime")
    took = "" if started is None else human_duration((now if completed is None else completed) - started)
    return [
        v.name(obj),
        _job_status(obj),
        _job_completions(obj),
        took,
        v.age(obj, now),
        *v.containers(_pod_spec(obj)),
        v.selector(v.at(obj, "spec", "selector")),
    ]


def cron_job(obj: Object, now: float) -> list[Any]:
    last = v.moment(obj, "status", "lastScheduleTime")
    suspend = v.at(obj, "spec", "suspend")
    job_spec = v.child(obj, "spec", "jobTemplate", "spec")
    return [
        v.name(obj),
        v.text(obj, "spec", "schedule"),
        v.text(obj, "spec", "timeZone") or v.NONE,
        str(suspend) if isinstance(suspend, bool) else v.UNSET,
        v.size(obj, "status", "active"),
        v.NONE if last is None else v.since(now, last),
        v.age(obj, now),
        *v.containers(v.at(job_spec, "template", "spec")),
        v.selector(job_spec.get("selector")),
    ]


def scale(obj: Object, now: float) -> list[Any]:
    return [v.name(obj), *_replicas(obj), v.age(obj, now)]


def pod_disruption_budget(obj: Object, now: float) -> list[Any]:
    bounds = [v.text(obj, "spec", key) or "N/A" for key in ("minAvailable", "maxUnavailable")]
    return [v.name(obj), *bounds, v.number(obj, "status", "disruptionsAllowed"), v.age(obj, now)]


_METRIC_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _metric(spec: Object, status: Object) -> str:
    type = v.text(spec, "type")
    source = _METRIC_SOURCES.get(type)
    if source is None:
        return "<unknown type>"
    target, current = v.child(spec, source, "target"), v.child(status, source, "current")
    average = v.text(target, "averageValue")
    if "esource" in source:
        prefix = f"{v.text(spec, source, 'name')}: "
        if average:
            return f"{prefix}{v.text(current, 'averageValue') or v.UNKNOWN}/{average}"
        used, wanted = v.at(current, "averageUtilization"), v.at(target, "averageUtilization")
        used, wanted = v.UNKNOWN if used is None else f"{used}%", "<auto>" if wanted is None else f"{wanted}%"
        return f"{prefix}{used}/{wanted}"
    if source == "pods":
        return f"{v.text(current, 'averageValue') or v.UNKNOWN}/{average}"
    if average:
        return f"{v.text(current, 'averageValue') or v.UNKNOWN}/{average} (avg)"
    return f"{v.text(current, 'value') or v.UNKNOWN}/{v.text(target, 'value')}"


def horizontal_pod_autoscaler(obj: Object, now: float) -> list[Any]:
    spec = v.child(obj, "spec")
    metrics, statuses = v.children(spec, "metrics"), v.children(obj, "status", "currentMetrics")
    if isinstance(spec.get("targetCPUUtilizationPercentage"), int):  # autoscaling/v1
        wanted, used = spec["targetCPUUtilizationPercentage"], v.at(obj, "status", "currentCPUUtilizationPercentage")
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": wanted}}}]
        statuses = [] if used is None else [{"resource": {"current": {"averageUtilization": used}}}]
    shown = [_metric(m, statuses[i] if i < len(statuses) else {}) for i, m in enumerate(metrics)]
    targets = ", ".join(shown[:2]) or v.NONE
    if len(shown) > 2:
        targets += f" + {len(shown) - 2} more..."
    minimum = v.at(spec, "minReplicas")
    return [
        v.name(obj),
        f"{v.text(spec, 'scaleTargetRef', 'kind')}/{v.text(spec, 'scaleTargetRef', 'name')}",
        targets,
        v.UNSET if minimum is None else str(minimum),
        v.number(spec, "maxReplicas"),
        v.number(obj, "status", "currentReplicas"),
        v.age(obj, now),
    ]
