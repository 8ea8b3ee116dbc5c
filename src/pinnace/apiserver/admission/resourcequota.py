"""ResourceQuota: what a namespace may use in all. Usage is charged in the transaction that writes the object, so that a
quota is never exceeded by writes side by side, and never charged for a write that failed.

The quota controller counts usage (and counts it again when objects change or go); this plugin adds to what it counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pinnace.api import meta, quota
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import CREATE, UPDATE, View, refuse
from pinnace.apiserver.request import AdmissionAttributes, Charge
from pinnace.apiserver.resources import codec

#: Quotas of these oblige every container to say what it asks for.
_SAID = frozenset(("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
#: What an update may use more of.
_GROWING = {("", "services", ""), ("", "persistentvolumeclaims", ""), ("", "pods", "resize")}


class ResourceQuota:
    name = "ResourceQuota"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        if operation == CREATE:
            return not subresource
        return operation == UPDATE and (group, plural, subresource) in _GROWING

    def admit(self, attributes: AdmissionAttributes) -> None:
        if attributes.namespace and self._view.entries("", "resourcequotas", attributes.namespace):
            attributes.charges.append(lambda: self._charges(attributes))

    def _charges(self, attributes: AdmissionAttributes) -> list[Charge]:
        """The quotas as they are once ``attributes.object`` is written. Raises ApiError 403 if one is exceeded."""
        row, obj = attributes.resource, attributes.object or {}
        matching = []
        for kv in self._view.entries("", "resourcequotas", attributes.namespace):
            held = codec.decoded(kv)
            hard = (held.get("status") or {}).get("hard") or {}
            concerned = {
                name: limit for name, limit in hard.items() if quota.resource_of(name) == (row.group, row.plural)
            }
            if concerned and quota.selects(held, row.group, row.plural, obj):
                matching.append((kv, held, concerned))
        if not matching:
            return []
        for _, held, concerned in matching:
            self._check_said(attributes, held, concerned)
        more = _growth(row.group, row.plural, obj, attributes.old_object)
        charges = []
        for kv, held, concerned in matching:
            asked = {name: value for name, value in more.items() if name in concerned}
            if asked:
                charged = _charged(attributes, held, concerned, asked)
                charges.append(Charge(kv.key, kv.mod_revision, charged))
        return charges

    def _check_said(self, attributes: AdmissionAttributes, held: Object, concerned: Iterable[str]) -> None:
        row = attributes.resource
        if (row.group, row.plural) == ("", "pods") and attributes.operation == CREATE:
            if missing := missing_amounts(attributes.object or {}, _SAID.intersection(concerned)):
                said = "; ".join(f"{name} for: {','.join(sorted(who))}" for name, who in sorted(missing.items()))
                raise refuse(attributes, f"failed quota: {meta.name(held)}: must specify {said}")
        used = (held.get("status") or {}).get("used") or {}
        if unknown := sorted(name for name in concerned if name not in used):
            why = f"status unknown for quota: {meta.name(held)}, resources: {','.join(unknown)}"
            raise refuse(attributes, why)


def missing_amounts(pod: Object, required: Iterable[str]) -> dict[str, set[str]]:
    """Which containers do not say how much they ask for, by the names of ``required``."""
    spec = pod.get("spec") or {}
    missing: dict[str, set[str]] = {}
    if (spec.get("resources") or {}).keys() & {"requests", "limits"}:
        return missing  # the Pod says it for all of them
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            resources = container.get("resources") or {}
            for name in required:
                kind, _, plain = name.rpartition(".")
                if plain not in (resources.get(kind or "requests") or {}):
                    missing.setdefault(name, set()).add(container.get("name") or "")
    return missing


def _growth(group: str, plural: str, obj: Object, old: Object | None) -> dict[str, int]:
    """What ``obj`` uses more than ``old``."""
    used = quota.usage(group, plural, obj)
    before = quota.usage(group, plural, old) if old is not None else {}
    return {name: value - before.get(name, 0) for name, value in used.items() if value > before.get(name, 0)}


def _charged(
    attributes: AdmissionAttributes, held: Object, hard: Mapping[str, str], asked: Mapping[str, int]
) -> Object:
    """A copy of the quota with ``asked`` added to what is used. Raises ApiError 403 if that is more than is allowed."""
    used = held["status"]["used"]
    total = {name: quota.amount(name, used[name]) + value for name, value in asked.items()}
    exceeded = sorted(name for name, value in total.items() if value > quota.amount(name, hard[name]))
    if exceeded:
        requested = ",".join(f"{name}={quota.text(name, asked[name])}" for name in exceeded)
        said = ",".join(f"{name}={used[name]}" for name in exceeded)
        limited = ",".join(f"{name}={hard[name]}" for name in exceeded)
        why = f"exceeded quota: {meta.name(held)}, requested: {requested}, used: {said}, limited: {limited}"
        raise refuse(attributes, why)
    charged: Object = meta.copy(held)
    charged["status"]["used"] |= {name: quota.text(name, value) for name, value in total.items()}
    return charged
