"""Pods: fresh status with QoS class; the binding, ephemeralcontainers and resize endpoints."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta, qos, quantity
from pinnace.api.strategy.rules import Rules
from pinnace.api.types import Object

GATED_MESSAGE = "Scheduling is blocked due to non-empty scheduling gates"
_RESET = ("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "finalizers", "ownerReferences")


def _create(pod: Object) -> None:
    status: Object = {"phase": "Pending"}
    spec = pod.get("spec") or {}
    if spec.get("schedulingGates"):
        gated = {"type": "PodScheduled", "status": "False", "lastProbeTime": None, "lastTransitionTime": _now(pod)}
        status["conditions"] = [{**gated, "reason": "SchedulingGated", "message": GATED_MESSAGE}]
    try:
        status["qosClass"] = qos.compute(pod)
    except quantity.QuantityError:
        status["qosClass"] = qos.BEST_EFFORT  # validation refuses the Pod for its quantity
    pod["status"] = status
    _merge_label_keys(spec, meta.labels(pod))


def _now(pod: Object) -> Any:
    return meta.metadata(pod).get("creationTimestamp")


def _merge_label_keys(spec: Object, labels: dict[str, str]) -> None:
    """``matchLabelKeys`` and ``mismatchLabelKeys`` become expressions with this Pod's own values."""
    affinity = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(name) or {}
        weighted = part.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms = [w.get("podAffinityTerm") or {} for w in weighted]
        for term in [*terms, *(part.get("requiredDuringSchedulingIgnoredDuringExecution") or ())]:
            _merge_keys(term, "matchLabelKeys", "In", labels)
            _merge_keys(term, "mismatchLabelKeys", "NotIn", labels)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _merge_keys(constraint, "matchLabelKeys", "In", labels)


def _merge_keys(holder: Object, name: str, operator: str, labels: dict[str, str]) -> None:
    selector = holder.get("labelSelector")
    if selector is None:
        return
    for key in holder.get(name) or ():
        if key in labels:
            expression = {"key": key, "operator": operator, "values": [labels[key]]}
            selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), expression]


def _status_update(new: Object, old: Object) -> None:
    metadata, before = new["metadata"], meta.metadata(old)
    for name in ("ownerReferences", "deletionTimestamp"):
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)
    status = new.get("status")
    if not isinstance(status, dict):
        status = new["status"] = {}
    held = old.get("status") or {}
    for name in ("qosClass", "observedGeneration"):
        if not status.get(name) and held.get(name):
            status[name] = held[name]
    seen: dict[str, list[int]] = {}
    for condition in held.get("conditions") or ():
        seen.setdefault(condition.get("type", ""), []).append(condition.get("observedGeneration") or 0)
    for condition in status.get("conditions") or ():
        earlier = seen.get(condition.get("type", ""))
        generation = earlier.pop(0) if earlier else 0
        if generation and not condition.get("observedGeneration"):
            condition["observedGeneration"] = generation


def _keep_rest(new: Object, old: Object, spec: Object) -> None:
    new["spec"] = spec
    new["status"] = old.get("status") or {}
    metadata, before = new["metadata"], meta.metadata(old)
    for name in _RESET:
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)


def _ephemeral_containers(new: Object, old: Object) -> None:
    spec = dict(old.get("spec") or {})
    added = (new.get("spec") or {}).get("ephemeralContainers")
    spec.pop("ephemeralContainers", None)
    if added:
        spec["ephemeralContainers"] = added
    _keep_rest(new, old, spec)


def _resize(new: Object, old: Object) -> None:
    """Only resources and resize policies change; other changes to the containers stay for validation to refuse."""
    wanted, spec = new.get("spec") or {}, dict(old.get("spec") or {})
    for field in ("containers", "initContainers"):
        if len(wanted.get(field) or ()) != len(spec.get(field) or ()):
            return
    for field in ("containers", "initContainers"):
        if wanted.get(field):
            spec[field] = _resized(wanted[field], spec[field])
    spec.pop("resources", None)
    if wanted.get("resources") is not None:
        spec["resources"] = wanted["resources"]
    _keep_rest(new, old, spec)


def _resized(wanted: list[Object], held: list[Object]) -> list[Object]:
    if [c.get("name") for c in wanted] != [c.get("name") for c in held]:
        return wanted
    result = []
    for mine, theirs in zip(wanted, held, strict=True):
        merged = {k: v for k, v in theirs.items() if k not in ("resources", "resizePolicy")}
        merged |= {k: mine[k] for k in ("resources", "resizePolicy") if mine.get(k) is not None}
        result.append(merged)
    return result


def _binding(new: Object, old: Object) -> None:
    """The binding endpoint sets the node and the PodScheduled condition; it raises no generation."""


RULES = {
    ("", "Pod"): Rules(
        generation="spec",
        status=True,
        keep_status_on_create=True,
        on_create=_create,
        on_status_update=_status_update,
        subresources={"ephemeralcontainers": _ephemeral_containers, "resize": _resize, "binding": _binding},
    )
}
