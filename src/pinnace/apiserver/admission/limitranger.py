"""LimitRanger: a namespace's LimitRanges give containers their defaults and bound what Pods and claims ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pinnace.api import quantity
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import CREATE, UPDATE, View, refuse
from pinnace.apiserver.request import AdmissionAttributes

ANNOTATION = "kubernetes.io/limit-ranger"
Resources = dict[str, Any]


class LimitDefaults:
    """Gives Pods the requests and limits that they leave out."""

    name = "LimitRanger"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == ("", "pods", "", CREATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        obj = attributes.object
        if obj is None or not isinstance(obj.get("spec"), dict):
            return
        for limit_range in self._view.items("", "limitranges", attributes.namespace):
            set_defaults(obj, (limit_range.get("spec") or {}).get("limits") or [])


class LimitRanger:
    """Refuses what is out of bounds."""

    name = "LimitRanger"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        if group or subresource:
            return False
        if plural == "pods":
            return operation == CREATE
        return plural == "persistentvolumeclaims" and operation in (CREATE, UPDATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        obj = attributes.object
        if obj is None or not isinstance(obj.get("spec"), dict):
            return
        problems: list[str] = []
        try:
            for limit_range in self._view.items("", "limitranges", attributes.namespace):
                limits = (limit_range.get("spec") or {}).get("limits") or []
                if attributes.resource.plural == "pods":
                    problems += pod_problems(obj["spec"], limits)
                else:
                    problems += _claim_problems(obj["spec"], limits)
        except quantity.QuantityError:
            return  # validation says so
        if problems:
            raise refuse(attributes, problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")


def set_defaults(pod: Object, limits: Iterable[Object]) -> None:
    """Give containers the requests and limits they leave out, in place, and note that in an annotation."""
    defaults: Resources = {}
    requests: Resources = {}
    for limit in limits:
        if limit.get("type") == "Container":
            defaults.update(limit.get("default") or {})
            requests.update(limit.get("defaultRequest") or {})
    if not defaults and not requests:
        return
    notes: list[str] = []
    for field, kind in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(field) or ():
            resources = container.get("resources") or {}
            held_limits, held_requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
            new_limits = sorted(name for name in defaults if name not in held_limits)
            new_requests = sorted(name for name in requests if name not in held_requests)
            for what, names in (("request", new_requests), ("limit", new_limits)):
                if names:
                    notes.append(f"{', '.join(names)} {what} for {kind} {container.get('name')}")
            if new_limits or new_requests:
                held_limits.update({name: defaults[name] for name in new_limits})
                held_requests.update({name: requests[name] for name in new_requests})
                container["resources"] = {**resources, "limits": held_limits, "requests": held_requests}
                container["resources"] = {
                    key: value for key, value in container["resources"].items() if value or key == "claims"
                }
    if notes:
        metadata = pod["metadata"]
        metadata["annotations"] = {
            **(metadata.get("annotations") or {}),
            ANNOTATION: "LimitRanger plugin set: " + "; ".join(notes),
        }


def pod_problems(spec: Object, limits: Iterable[Object]) -> Iterator[str]:
    """What of ``spec`` is out of bounds."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for limit in limits:
        kind = limit.get("type")
        if kind == "Container":
            for container in containers:
                resources = container.get("resources") or {}
                yield from _check(limit, "Container", resources.get("requests") or {}, resources.get("limits") or {})
        elif kind == "Pod":
            yield from _check(limit, "Pod", _total(spec, "requests"), _total(spec, "limits"))


def _total(spec: Object, field: str) -> Resources:
    """The Pod's sum: of containers, or the largest init container if that is more."""
    total: Resources = {}
    for container in spec.get("containers") or ():
        for name, amount in ((container.get("resources") or {}).get(field) or {}).items():
            total[name] = quantity.add(total[name], amount) if name in total else amount
    for container in spec.get("initContainers") or ():
        for name, amount in ((container.get("resources") or {}).get(field) or {}).items():
            if name not in total or quantity.compare(amount, total[name]) > 0:
                total[name] = amount
    return total


def _check(limit: Object, kind: str, requests: Resources, limits: Resources) -> Iterator[str]:
    """Minimum, maximum and ratio of one item of a LimitRange."""
    for name, bound in sorted((limit.get("min") or {}).items()):
        said = f"minimum {name} usage per {kind} is {quantity.canonical(bound)}"
        yield from _bounded(said, "request", requests.get(name), bound, _below, required=True)
        yield from _bounded(said, "limit", limits.get(name), bound, _below, required=False)
    for name, bound in sorted((limit.get("max") or {}).items()):
        said = f"maximum {name} usage per {kind} is {quantity.canonical(bound)}"
        yield from _bounded(said, "limit", limits.get(name), bound, _above, required=True)
        yield from _bounded(said, "request", requests.get(name), bound, _above, required=False)
    for name, bound in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        yield from _ratio(name, kind, bound, requests.get(name), limits.get(name))


def _below(amount: Any, bound: Any) -> bool:
    return quantity.compare(amount, bound) < 0


def _above(amount: Any, bound: Any) -> bool:
    return quantity.compare(amount, bound) > 0


def _bounded(
    said: str, what: str, amount: Any, bound: Any, outside: Callable[[Any, Any], bool], *, required: bool
) -> Iterator[str]:
    if amount is None:
        if required:
            yield f"{said}.  No {what} is specified"
    elif outside(amount, bound):
        yield f"{said}, but {what} is {quantity.canonical(amount)}"


def _ratio(name: str, kind: str, bound: Any, request: Any, limit: Any) -> Iterator[str]:
    said = f"{name} max limit to request ratio per {kind} is {quantity.canonical(bound)}"
    asked = quantity.milli_value(request) if request is not None else 0
    allowed = quantity.milli_value(limit) if limit is not None else 0
    if not asked:
        yield f"{said}, but no request is specified or request is 0"
    elif not allowed:
        yield f"{said}, but no limit is specified or limit is 0"
    elif allowed * 1000 > quantity.milli_value(bound) * asked:
        yield f"{said}, but provided ratio is {allowed / asked:f}"


def _claim_problems(spec: Object, limits: Iterable[Object]) -> Iterator[str]:
    kind = "PersistentVolumeClaim"
    requests = (spec.get("resources") or {}).get("requests") or {}
    for limit in limits:
        if limit.get("type") != kind:
            continue
        for name, bound in sorted((limit.get("min") or {}).items()):
            said = f"minimum {name} usage per {kind} is {quantity.canonical(bound)}"
            yield from _bounded(said, "request", requests.get(name), bound, _below, required=True)
        for name, bound in sorted((limit.get("max") or {}).items()):
            said = f"maximum {name} usage per {kind} is {quantity.canonical(bound)}"
            yield from _bounded(said, "request", requests.get(name), bound, _above, required=True)
