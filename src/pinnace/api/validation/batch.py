"""Jobs and CronJobs."""

from __future__ import annotations

import re
from typing import Any

from pinnace.api import formats as f
from pinnace.api.errors import (
    FieldError,
    duplicate,
    go_quote,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
)
from pinnace.api.types import Object
from pinnace.api.validation import pods
from pinnace.api.validation.cron import schedule_problem
from pinnace.api.validation.metadata import (
    IMMUTABLE,
    label_selector,
    non_negative,
    one_of,
    selector_json,
    wrong,
)
from pinnace.api.validation.workloads import matches

Errors = list[FieldError]

_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_time_zone = re.compile(r"[A-Za-z\.\-_0-9+]{1,14}")


def domain_prefixed_path(errors: Errors, field: str, value: str) -> None:
    host, slash, path = value.partition("/")
    if not value:
        errors.append(required(field))
    elif not slash or not host or not path:
        errors.append(invalid_value(field, value, 'must be a domain-prefixed path (such as "acme.io/foo")'))
    else:
        wrong(errors, field, host, f.dns_subdomain(host))
        if not f.http_path(path):
            why = r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')"
            errors.append(invalid_value(field, path, why))


def _indexed(errors: Errors, at: str, spec: Object) -> None:
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    failed = spec.get("maxFailedIndexes")
    if completions is None:
        errors.append(required(f"{at}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > 100000:
        why = "must be less than or equal to 100000 when completion mode is Indexed"
        errors.append(invalid_value(f"{at}.parallelism", parallelism, why))
    if completions is not None and failed is not None and failed > completions:
        why = "must be less than or equal to completions"
        errors.append(invalid_value(f"{at}.maxFailedIndexes", failed, why))
    if failed is not None and failed > 100000:
        errors.append(invalid_value(f"{at}.maxFailedIndexes", failed, "must be less than or equal to 100000"))
    if completions is None or completions <= 100000 or spec.get("backoffLimitPerIndex") is None:
        return
    if failed is None:
        why = "must be specified when completions is above 100000"
        errors.append(required(f"{at}.maxFailedIndexes", why))
    why = "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"
    for key in ("parallelism", "maxFailedIndexes"):
        if (spec.get(key) or 0) > 10000:
            errors.append(invalid_value(f"{at}.{key}", spec[key], why))


def _exit_codes(errors: Errors, at: str, codes: Object, names: set[Any]) -> None:
    operator, values = codes.get("operator") or "", codes.get("values") or []
    if not operator:
        errors.append(required(f"{at}.operator", 'valid values: ["In" "NotIn"]'))
    elif operator not in ("In", "NotIn"):
        errors.append(not_supported(f"{at}.operator", operator, ("In", "NotIn")))
    name = codes.get("containerName")
    if name is not None and name not in names:
        why = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid_value(f"{at}.containerName", name, why))
    if not values:
        errors.append(invalid_value(f"{at}.values", values, "at least one value is required"))
    elif len(values) > 255:
        errors.append(too_many(f"{at}.values", len(values), 255))
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.append(invalid_value(f"{at}.values[{index}]", 0, "must not be 0 for the In operator"))
        if value in values[:index]:
            errors.append(duplicate(f"{at}.values[{index}]", value))
    if values != sorted(values):
        errors.append(invalid_value(f"{at}.values", values, "must be ordered"))


def _failure_policy(errors: Errors, at: str, spec: Object) -> None:
    rules = spec["podFailurePolicy"].get("rules") or []
    if len(rules) > 20:
        errors.append(too_many(f"{at}.rules", len(rules), 20))
    pod_spec = (spec.get("template") or {}).get("spec") or {}
    names = {c.get("name") for key in ("containers", "initContainers") for c in pod_spec.get(key) or ()}
    for index, rule in enumerate(rules):
        where, action = f"{at}.rules[{index}]", rule.get("action") or ""
        if not action:
            shown = " ".join(map(go_quote, _ACTIONS))
            errors.append(required(f"{where}.action", f"valid values: [{shown}]"))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            why = "requires the backoffLimitPerIndex to be set"
            errors.append(invalid_value(f"{where}.action", action, why))
        elif action not in _ACTIONS:
            errors.append(not_supported(f"{where}.action", action, _ACTIONS))
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if codes is not None:
            _exit_codes(errors, f"{where}.onExitCodes", codes, names)
        for position, pattern in enumerate(conditions):
            type = pattern.get("type") or ""
            wrong(errors, f"{where}.onPodConditions[{position}].type", type, f.label_key(type))
            field = f"{where}.onPodConditions[{position}].status"
            one_of(errors, field, pattern.get("status"), ("False", "True", "Unknown"))
        if (codes is None) == (not conditions):
            which = "one of OnExitCodes and OnPodConditions is required"
            if codes is not None:
                which = "both OnExitCodes and OnPodConditions is not supported"
            errors.append(FieldError("FieldValueInvalid", where, f"Invalid value: specifying {which}"))


def _success_policy(errors: Errors, at: str, spec: Object) -> None:
    rules, completions = spec["successPolicy"].get("rules") or [], spec.get("completions") or 0
    if not rules:
        why = "at least one rules must be specified when the successPolicy is specified"
        errors.append(required(f"{at}.rules", why))
    if len(rules) > 20:
        errors.append(too_many(f"{at}.rules", len(rules), 20))
    for index, rule in enumerate(rules):
        where, count = f"{at}.rules[{index}]", rule.get("succeededCount")
        if count is None and rule.get("succeededIndexes") is None:
            why = "at least one of succeededCount or succeededIndexes must be specified"
            errors.append(required(where, why))
        non_negative(errors, f"{where}.succeededCount", count)
        if count is not None and count > completions:
            why = f"must be less than or equal to {completions} (the number of specified completions)"
            errors.append(invalid_value(f"{where}.succeededCount", count, why))


def _job_spec(errors: Errors, at: str, spec: Object) -> None:
    for key in _COUNTS:
        non_negative(errors, f"{at}.{key}", spec.get(key))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        errors.append(required(f"{at}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    manager = spec.get("managedBy")
    if manager is not None:
        domain_prefixed_path(errors, f"{at}.managedBy", manager)
        if len(manager) > 63:
            errors.append(too_long(f"{at}.managedBy", 63))
    mode = spec.get("completionMode")
    if mode is not None and mode not in ("NonIndexed", "Indexed"):
        errors.append(not_supported(f"{at}.completionMode", mode, ("NonIndexed", "Indexed")))
    if mode == "Indexed":
        _indexed(errors, at, spec)
    elif mode in (None, "NonIndexed"):
        for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(key) is not None:
                errors.append(invalid_value(f"{at}.{key}", spec[key], "requires indexed completion mode"))
    failure = spec.get("podFailurePolicy")
    if failure is not None:
        _failure_policy(errors, f"{at}.podFailurePolicy", spec)
    if spec.get("successPolicy") is not None:
        if mode != "Indexed":
            why = "requires indexed completion mode"
            errors.append(invalid_value(f"{at}.successPolicy", spec["successPolicy"], why))
        else:
            _success_policy(errors, f"{at}.successPolicy", spec)
    replacement = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if failure is not None else ("Failed", "TerminatingOrFailed")
    if replacement is not None and replacement not in allowed:
        errors.append(not_supported(f"{at}.podReplacementPolicy", replacement, allowed))
    template = spec.get("template") or {}
    pods.template(errors, f"{at}.template", template)
    restart, where = (template.get("spec") or {}).get("restartPolicy") or "", f"{at}.template.spec.restartPolicy"
    if restart in ("", "Always"):
        errors.append(required(where, 'valid values: "OnFailure", "Never"'))
    elif restart not in ("OnFailure", "Never"):
        errors.append(not_supported(where, restart, ("OnFailure", "Never")))
    elif failure is not None and restart != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid_value(where, restart, why))


def _generated_selector(errors: Errors, new: Object) -> None:
    spec, meta = new.get("spec") or {}, new.get("metadata") or {}
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    uid, name = meta.get("uid") or "", meta.get("name") or ""
    if not uid:
        errors.append(required("metadata.uid"))
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    expected = {
        "controller-uid": uid,
        "job-name": name,
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
    }
    for key, value in expected.items():
        at = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            errors.append(required(at, f"must be '{value}'"))
        elif labels[key] != value:
            errors.append(invalid_value(at, labels, f"must be '{value}'"))
    if matches(spec["selector"], expected) is False:
        errors.append(invalid_value("spec.selector", selector_json(spec["selector"]), "`selector` not auto-generated"))


def _free_template(template: Object) -> Object:
    """A template without what may change while its Job is suspended and has not started."""
    pod_spec = dict(template.get("spec") or {})
    for key in ("nodeSelector", "tolerations", "schedulingGates"):
        pod_spec.pop(key, None)
    affinity = {k: v for k, v in (pod_spec.pop("affinity", None) or {}).items() if k != "nodeAffinity"}
    return {"spec": pod_spec, "affinity": affinity}


def _job_update(errors: Errors, new: Object, old: Object) -> None:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if spec.get("completions") != before.get("completions"):
        completions = spec.get("completions")
        if spec.get("completionMode") != "Indexed":
            errors.append(invalid_value("spec.completions", completions, IMMUTABLE))
        elif completions is not None and completions != spec.get("parallelism"):
            why = "can only be modified in tandem with spec.parallelism"
            errors.append(invalid_value("spec.completions", completions, why))
    if spec.get("selector") != before.get("selector"):
        errors.append(invalid_value("spec.selector", selector_json(spec.get("selector")), IMMUTABLE))
    template, was = spec.get("template") or {}, before.get("template") or {}
    if template != was:
        suspended = before.get("suspend") and not (old.get("status") or {}).get("startTime")
        if not suspended or _free_template(template) != _free_template(was):
            errors.append(invalid_value("spec.template", template, IMMUTABLE))
    for key in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        if spec.get(key) != before.get(key):
            errors.append(invalid_value(f"spec.{key}", spec.get(key), IMMUTABLE))


def job(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    spec = new.get("spec") or {}
    if subresource == "status":
        for key in ("active", "succeeded", "failed", "ready", "terminating"):
            non_negative(errors, f"status.{key}", (new.get("status") or {}).get(key))
        return
    if old is None:
        _generated_selector(errors, new)
    _job_spec(errors, "spec", spec)
    selector = spec.get("selector")
    if selector is None:
        errors.append(required("spec.selector"))
    else:
        label_selector(errors, "spec.selector", selector)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if matches(selector, labels or {}) is False:
        why = "`selector` does not match template `labels`"
        errors.append(invalid_value("spec.template.metadata.labels", labels, why))
    if old is not None:
        _job_update(errors, new, old)
    completions, name = spec.get("completions") or 0, (new.get("metadata") or {}).get("name") or ""
    if spec.get("completionMode") == "Indexed" and completions > 0:
        longest = f"{name}-{completions - 1}"
        if f.dns_label(longest):
            why = f"will not able to create pod with invalid DNS label: {longest}"
            errors.append(invalid_value("metadata.name", name, why))


def _zone(errors: Errors, zone: str | None) -> None:
    if zone is None:
        return
    if not zone:
        errors.append(invalid_value("spec.timeZone", zone, "timeZone must be nil or non-empty string"))
        return
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not _time_zone.fullmatch(part):
            errors.append(invalid_value("spec.timeZone", zone, f"unknown time zone {zone}"))
            return
    if zone.lower() == "local":
        why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors.append(invalid_value("spec.timeZone", zone, why))
        return
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        errors.append(invalid_value("spec.timeZone", zone, f"unknown time zone {zone}"))


def cron_job(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        return
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    schedule = spec.get("schedule") or ""
    if not schedule:
        errors.append(required("spec.schedule"))
    else:
        if problem := schedule_problem(schedule):
            errors.append(invalid_value("spec.schedule", schedule, problem))
        if "TZ" in schedule:
            if "TZ" not in (before.get("schedule") or ""):
                why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
                errors.append(invalid_value("spec.schedule", schedule, why))
            elif spec.get("timeZone") is not None:
                why = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
                errors.append(invalid_value("spec.schedule", schedule, why))
    non_negative(errors, "spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    if old is None or before.get("timeZone") != spec.get("timeZone"):
        _zone(errors, spec.get("timeZone"))
    one_of(errors, "spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    _job_spec(errors, "spec.jobTemplate.spec", job_spec)
    if job_spec.get("selector") is not None:
        why = "`selector` will be auto-generated"
        errors.append(invalid_value("spec.jobTemplate.spec.selector", selector_json(job_spec["selector"]), why))
    if job_spec.get("manualSelector"):
        errors.append(not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        non_negative(errors, f"spec.{key}", spec.get(key))
    name = (new.get("metadata") or {}).get("name") or ""
    if old is None and len(name) > 52:
        errors.append(invalid_value("metadata.name", name, "must be no more than 52 characters"))
