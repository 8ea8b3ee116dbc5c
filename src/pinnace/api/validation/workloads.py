"""apps, ReplicationControllers, PodTemplates, scale, autoscaling and disruption budgets."""

from __future__ import annotations

from typing import Any

from pinnace.api import formats as f
from pinnace.api import selectors
from pinnace.api.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from pinnace.api.types import Object
from pinnace.api.validation import metadata, pods, storage
from pinnace.api.validation.metadata import IMMUTABLE, immutable, label_selector, non_negative, selector_json, wrong

Errors = list[FieldError]

_MISMATCH = "`selector` does not match template `labels`"


def int_or_percent(errors: Errors, field: str, value: Any) -> None:
    if isinstance(value, str):
        wrong(errors, field, value, f.percent(value))
    else:
        non_negative(errors, field, value)


def _percent(value: Any) -> int | None:
    return int(value[:-1]) if isinstance(value, str) and not f.percent(value) else None


def _amount(value: Any) -> int:
    """A number or percentage as a number, to tell zero from more."""
    percent = _percent(value)
    if percent is not None:
        return percent
    return value if isinstance(value, int) else 0


def at_most_all(errors: Errors, field: str, value: Any) -> None:
    if (_percent(value) or 0) > 100:
        errors.append(invalid_value(field, value, "must not be greater than 100%"))


def selector_field(errors: Errors, selector: Object | None, kind: str) -> None:
    """``spec.selector``: required, well-formed, not empty."""
    if selector is None:
        errors.append(required("spec.selector"))
        return
    label_selector(errors, "spec.selector", selector)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        why = f"empty selector is invalid for {kind}"
        errors.append(invalid_value("spec.selector", selector_json(selector), why))


def matches(selector: Object | None, labels: dict[str, str]) -> bool | None:
    """Whether a selector selects ``labels``; None if it is malformed."""
    try:
        return selectors.label_selector(selector).matches(labels)
    except selectors.SelectorError:
        return None


def _labels(template: Object) -> dict[str, str] | None:
    return (template.get("metadata") or {}).get("labels")


def template_of(errors: Errors, spec: Object, kind: str) -> None:
    """The template of a controller whose Pods always restart."""
    template, selector = spec.get("template") or {}, spec.get("selector")
    matched = matches(selector, _labels(template) or {})
    if matched is None:
        errors.append(invalid_value("spec.selector", selector_json(selector), "invalid label selector"))
        return
    if not matched:
        errors.append(invalid_value("spec.template.metadata.labels", _labels(template), _MISMATCH))
    pods.template(errors, "spec.template", template)
    always(errors, template, kind)


def always(errors: Errors, template: Object, kind: str) -> None:
    pod_spec = template.get("spec") or {}
    pods.supported_restart(errors, "spec.template.spec", pod_spec, ("Always",))
    if pod_spec.get("activeDeadlineSeconds") is not None:
        why = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden_field("spec.template.spec.activeDeadlineSeconds", why))


def _immutable_selector(errors: Errors, spec: Object, old: Object | None) -> None:
    if old is None:
        return
    before = (old.get("spec") or {}).get("selector")
    if spec.get("selector") != before:
        errors.append(invalid_value("spec.selector", selector_json(spec.get("selector")), IMMUTABLE))


_COUNTS = (
    "replicas",
    "fullyLabeledReplicas",
    "updatedReplicas",
    "currentReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "observedGeneration",
    "collisionCount",
)


def replica_status(errors: Errors, new: Object, old: Object | None, named: str) -> None:
    """The counts of a status: none negative, none above the total; ``named`` is how messages call readyReplicas."""
    status = new.get("status") or {}
    for key in _COUNTS:
        non_negative(errors, f"status.{key}", status.get(key))
    total, ready = status.get("replicas") or 0, status.get("readyReplicas") or 0
    for key in ("fullyLabeledReplicas", "updatedReplicas", "currentReplicas", "readyReplicas", "availableReplicas"):
        count = status.get(key) or 0
        if count > total:
            errors.append(invalid_value(f"status.{key}", count, "cannot be greater than status.replicas"))
    available = status.get("availableReplicas") or 0
    if available > ready:
        errors.append(invalid_value("status.availableReplicas", available, f"cannot be greater than {named}"))
    before = ((old or {}).get("status") or {}).get("collisionCount")
    if before is not None and (status.get("collisionCount") or 0) < before:
        errors.append(
            invalid_value("status.collisionCount", status.get("collisionCount") or 0, "cannot be decremented")
        )


def _deployment_strategy(errors: Errors, strategy: Object) -> None:
    type, rolling, at = strategy.get("type") or "", strategy.get("rollingUpdate"), "spec.strategy.rollingUpdate"
    if type == "Recreate":
        if rolling is not None:
            errors.append(forbidden_field(at, "may not be specified when strategy `type` is 'Recreate'"))
    elif type != "RollingUpdate":
        errors.append(not_supported("spec.strategy", strategy, ("Recreate", "RollingUpdate")))
    elif rolling is None:
        errors.append(required(at, "this should be defaulted and never be nil"))
    else:
        unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
        int_or_percent(errors, f"{at}.maxUnavailable", unavailable)
        int_or_percent(errors, f"{at}.maxSurge", surge)
        if _amount(unavailable) == 0 and _amount(surge) == 0:
            why = "may not be 0 when `maxSurge` is 0"
            errors.append(invalid_value(f"{at}.maxUnavailable", unavailable, why))
        at_most_all(errors, f"{at}.maxUnavailable", unavailable)


def deployment(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        replica_status(errors, new, old, "readyReplicas")
        return
    spec = new.get("spec") or {}
    non_negative(errors, "spec.replicas", spec.get("replicas"))
    selector_field(errors, spec.get("selector"), "deployment")
    template_of(errors, spec, "ReplicaSet")
    _deployment_strategy(errors, spec.get("strategy") or {})
    for key in ("minReadySeconds", "revisionHistoryLimit"):
        non_negative(errors, f"spec.{key}", spec.get(key))
    deadline = spec.get("progressDeadlineSeconds")
    non_negative(errors, "spec.progressDeadlineSeconds", deadline)
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        why = "must be greater than minReadySeconds"
        errors.append(invalid_value("spec.progressDeadlineSeconds", deadline, why))
    _immutable_selector(errors, spec, old)


def replica_set(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        replica_status(errors, new, old, "readyReplicas")
        return
    spec = new.get("spec") or {}
    for key in ("replicas", "minReadySeconds"):
        non_negative(errors, f"spec.{key}", spec.get(key))
    selector_field(errors, spec.get("selector"), "deployment")
    template_of(errors, spec, "ReplicaSet")
    _immutable_selector(errors, spec, old)


def replication_controller(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        replica_status(errors, new, old, "readyReplicas")
        return
    spec = new.get("spec") or {}
    selector, template = spec.get("selector") or {}, spec.get("template")
    non_negative(errors, "spec.minReadySeconds", spec.get("minReadySeconds"))
    if not selector:
        errors.append(required("spec.selector"))
    if spec.get("replicas") is None:
        errors.append(required("spec.replicas"))
    non_negative(errors, "spec.replicas", spec.get("replicas"))
    if template is None:
        errors.append(required("spec.template"))
        return
    if not selector.items() <= (_labels(template) or {}).items():
        errors.append(invalid_value("spec.template.metadata.labels", _labels(template), _MISMATCH))
    pods.template(errors, "spec.template", template)
    always(errors, template, "ReplicationController")


def pod_template(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    pods.template(errors, "template", new.get("template") or {})


def _daemon_strategy(errors: Errors, strategy: Object) -> None:
    type, rolling, at = strategy.get("type"), strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if type == "OnDelete":
        return
    if type != "RollingUpdate":
        errors.append(not_supported("spec.updateStrategy", strategy, ("RollingUpdate", "OnDelete")))
        return
    if rolling is None:
        errors.append(required(at))
        return
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    for key, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        int_or_percent(errors, f"{at}.{key}", value)
    for key, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        at_most_all(errors, f"{at}.{key}", value)
    if _amount(unavailable) and _amount(surge):
        errors.append(invalid_value(f"{at}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    elif not _amount(unavailable) and not _amount(surge):
        errors.append(required(f"{at}.maxUnavailable", "cannot be 0 when maxSurge is 0"))


def daemon_set(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        for key in ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"):
            non_negative(errors, f"status.{key}", (new.get("status") or {}).get(key))
        return
    spec = new.get("spec") or {}
    selector, template = spec.get("selector"), spec.get("template") or {}
    _immutable_selector(errors, spec, old)
    label_selector(errors, "spec.selector", selector)
    if matches(selector, _labels(template) or {}) is False:
        errors.append(invalid_value("spec.template.metadata.labels", _labels(template), _MISMATCH))
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        why = "empty selector is invalid for daemonset"
        errors.append(invalid_value("spec.selector", selector_json(selector), why))
    pods.template(errors, "spec.template", template)
    always(errors, template, "DaemonSet")
    non_negative(errors, "spec.minReadySeconds", spec.get("minReadySeconds"))
    _daemon_strategy(errors, spec.get("updateStrategy") or {})
    non_negative(errors, "spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))


def _stateful_strategy(errors: Errors, strategy: Object) -> None:
    type, rolling, at = strategy.get("type") or "", strategy.get("rollingUpdate"), "spec.updateStrategy"
    if not type:
        errors.append(required(at))
    elif type == "OnDelete":
        if rolling is not None:
            why = "only allowed for updateStrategy 'RollingUpdate'"
            errors.append(invalid_value(f"{at}.rollingUpdate", rolling, why))
    elif type != "RollingUpdate":
        errors.append(invalid_value(at, strategy, "must be 'RollingUpdate' or 'OnDelete'"))
    elif rolling is not None:
        non_negative(errors, f"{at}.rollingUpdate.partition", rolling.get("partition"))
        unavailable = rolling.get("maxUnavailable")
        if unavailable is not None:
            int_or_percent(errors, f"{at}.rollingUpdate.maxUnavailable", unavailable)
            if _amount(unavailable) == 0:
                errors.append(invalid_value(f"{at}.rollingUpdate.maxUnavailable", unavailable, "cannot be 0"))
            at_most_all(errors, f"{at}.rollingUpdate.maxUnavailable", unavailable)


def _with_claims(template: Object, claims: list[Object]) -> Object:
    """The template with the volumes that its Pods get from the claim templates."""
    if not claims:
        return template
    names = {(claim.get("metadata") or {}).get("name") or "": claim for claim in claims}
    added = [{"name": name, "persistentVolumeClaim": {"claimName": name or "-"}} for name in names]
    pod_spec = template.get("spec") or {}
    kept = [volume for volume in pod_spec.get("volumes") or () if volume.get("name") not in names]
    return {**template, "spec": {**pod_spec, "volumes": added + kept}}


_FIXED = ("volumeClaimTemplates", "serviceName", "podManagementPolicy")


def stateful_set(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        replica_status(errors, new, old, "status.readyReplicas")
        return
    spec = new.get("spec") or {}
    policy = spec.get("podManagementPolicy")
    if not policy:
        errors.append(required("spec.podManagementPolicy"))
    elif policy not in ("OrderedReady", "Parallel"):
        errors.append(invalid_value("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"))
    _stateful_strategy(errors, spec.get("updateStrategy") or {})
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for key, value in retention.items():
        if value not in ("Retain", "Delete"):
            at = f"spec.persistentVolumeClaimRetentionPolicy.{key}"
            errors.append(not_supported(at, value, ("Retain", "Delete")))
    claims = spec.get("volumeClaimTemplates") or []
    for index, claim in enumerate(claims):
        storage.claim_spec(errors, f"spec.volumeClaimTemplates[{index}].spec", claim.get("spec") or {})
    for key in ("replicas", "minReadySeconds"):
        non_negative(errors, f"spec.{key}", spec.get(key))
    non_negative(errors, "spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    if spec.get("serviceName") and old is None:
        wrong(errors, "spec.serviceName", spec["serviceName"], f.dns_label(spec["serviceName"]))
    selector_field(errors, spec.get("selector"), "statefulset")
    template = _with_claims(spec.get("template") or {}, claims)
    template_of(errors, {**spec, "template": template}, "StatefulSet")
    if old is not None:
        before = old.get("spec") or {}
        _immutable_selector(errors, spec, old)
        for key in _FIXED:
            immutable(errors, f"spec.{key}", spec.get(key), before.get(key))


def controller_revision(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    non_negative(errors, "revision", new.get("revision"))
    if old is None:
        if new.get("data") is None:
            errors.append(required("data", "data is mandatory"))
    else:
        immutable(errors, "data", new.get("data"), old.get("data"))


def scale(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    non_negative(errors, "spec.replicas", (new.get("spec") or {}).get("replicas"))


def _reference(errors: Errors, field: str, reference: Object) -> None:
    for key in ("kind", "name"):
        if not reference.get(key):
            errors.append(required(f"{field}.{key}"))
        else:
            wrong(errors, f"{field}.{key}", reference[key], f.path_segment(reference[key]))


_METRICS = ("ContainerResource", "External", "Object", "Pods", "Resource")


def horizontal_pod_autoscaler(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        for key in ("currentReplicas", "desiredReplicas"):
            non_negative(errors, f"status.{key}", (new.get("status") or {}).get(key))
        return
    spec = new.get("spec") or {}
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if low is not None and low < 1:
        errors.append(invalid_value("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high == 0:
        errors.append(required("spec.maxReplicas", "must be set and greater than 0"))
    elif high < 0:
        errors.append(invalid_value("spec.maxReplicas", high, "must be greater than or equal to 1"))
    if low is not None and high < low:
        errors.append(invalid_value("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    _reference(errors, "spec.scaleTargetRef", spec.get("scaleTargetRef") or {})
    for index, metric in enumerate(spec.get("metrics") or ()):
        at, type = f"spec.metrics[{index}]", metric.get("type") or ""
        if not type:
            errors.append(required(f"{at}.type", "must specify a metric source type"))
        elif type not in _METRICS:
            errors.append(not_supported(f"{at}.type", type, _METRICS))
        else:
            key = type[0].lower() + type[1:]
            if metric.get(key) is None:
                why = "must populate information for the given metric source"
                errors.append(required(f"{at}.{key}", why))


def pod_disruption_budget(errors: Errors, new: Object, old: Object | None, subresource: str) -> None:
    if subresource == "status":
        status = new.get("status") or {}
        metadata.conditions(errors, "status.conditions", status.get("conditions"))
        for key in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
            non_negative(errors, f"status.{key}", status.get(key))
        return
    spec = new.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        errors.append(invalid_value("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
    for key, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            int_or_percent(errors, f"spec.{key}", value)
            at_most_all(errors, f"spec.{key}", value)
    label_selector(errors, "spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in ("AlwaysAllow", "IfHealthyBudget"):
        at = "spec.unhealthyPodEvictionPolicy"
        errors.append(not_supported(at, policy, ("AlwaysAllow", "IfHealthyBudget")))
