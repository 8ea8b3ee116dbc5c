"""Priority: a Pod's priority comes from its PriorityClass; there is one global default at most."""

from __future__ import annotations

from collections.abc import Sequence

from pinnace.api.types import Object
from pinnace.apiserver.admission.base import CREATE, UPDATE, View, refuse
from pinnace.apiserver.request import AdmissionAttributes
from pinnace.apiserver.resources import codec
from pinnace.store.protocol import KeyValue

GROUP, PLURAL = "scheduling.k8s.io", "priorityclasses"


class Priority:
    name = "Priority"

    def __init__(self, view: View) -> None:
        self._view = view
        self._classes: Sequence[KeyValue] = ()
        self._default: Object | None = None  # of these classes

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        if subresource or operation not in (CREATE, UPDATE):
            return False
        return (group, plural) in (("", "pods"), (GROUP, PLURAL))

    def admit(self, attributes: AdmissionAttributes) -> None:
        if attributes.resource.plural == PLURAL:
            self._check_default(attributes)
        else:
            self._resolve(attributes)

    def _check_default(self, attributes: AdmissionAttributes) -> None:
        wanted = attributes.object or {}
        if not wanted.get("globalDefault"):
            return
        for other in self._view.items(GROUP, PLURAL):
            name = other["metadata"]["name"]
            if other.get("globalDefault") and name != attributes.name:
                why = f"PriorityClass {name} is already marked as default. Only one default can exist"
                raise refuse(attributes, why)

    def _resolve(self, attributes: AdmissionAttributes) -> None:
        spec = (attributes.object or {}).get("spec")
        if not isinstance(spec, dict):
            return
        if attributes.operation == UPDATE:
            old = (attributes.old_object or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):  # set once, kept by updates that leave them out
                if spec.get(field) is None and old.get(field) is not None:
                    spec[field] = old[field]
            return
        name, priority, policy = self._class_of(attributes, spec)
        if name:
            spec["priorityClassName"] = name
        held = spec.get("priority")
        if held is not None and held != priority:
            raise refuse(
                attributes,
                f"the integer value of priority ({held}) must not be provided in pod spec; priority admission "
                f"controller computed {priority} from the given PriorityClass name",
            )
        spec["priority"] = priority
        said = spec.get("preemptionPolicy")
        if said is not None and said != policy:
            raise refuse(
                attributes,
                f"the string value of PreemptionPolicy ({said}) must not be provided in pod spec; priority admission "
                f"controller computed {policy} from the given PriorityClass name",
            )
        spec["preemptionPolicy"] = policy

    def _class_of(self, attributes: AdmissionAttributes, spec: Object) -> tuple[str, int, str]:
        name = str(spec.get("priorityClassName") or "")
        found: Object | None
        if name:
            found = self._view.get(GROUP, PLURAL, "", name)
            if found is None:
                raise refuse(attributes, f"no PriorityClass with name {name} was found")
        else:
            found = self._default_class()
            if found is None:
                return "", 0, "PreemptLowerPriority"
        return (
            str(found["metadata"]["name"]),
            _value(found),
            str(found.get("preemptionPolicy") or "PreemptLowerPriority"),
        )

    def _default_class(self) -> Object | None:
        classes = self._view.entries(GROUP, PLURAL)
        if classes is not self._classes:
            defaults = [item for item in map(codec.decoded, classes) if item.get("globalDefault")]
            self._classes, self._default = classes, min(defaults, key=_value, default=None)
        return self._default


def _value(priority_class: Object) -> int:
    return int(priority_class.get("value") or 0)
