"""RuntimeClass: a Pod's overhead and where it may run come from the RuntimeClass it names."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.apiserver.admission.base import CREATE, View, refuse
from pinnace.apiserver.request import AdmissionAttributes


class RuntimeClass:
    name = "RuntimeClass"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == ("", "pods", "", CREATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        spec = (attributes.object or {}).get("spec")
        if not isinstance(spec, dict):
            return
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                raise refuse(
                    attributes,
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
                )
            return
        found = self._view.get("node.k8s.io", "runtimeclasses", "", str(name))
        if found is None:
            raise refuse(attributes, f'pod rejected: RuntimeClass "{name}" not found')
        overhead = (found.get("overhead") or {}).get("podFixed")
        if spec.get("overhead") and spec["overhead"] != overhead:
            raise refuse(
                attributes,
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
            )
        if overhead:
            spec["overhead"] = dict(overhead)
        scheduling = found.get("scheduling") or {}
        selector, held = scheduling.get("nodeSelector") or {}, spec.get("nodeSelector") or {}
        if any(held.get(key, value) != value for key, value in selector.items()):
            raise refuse(
                attributes,
                f"conflict: runtimeClass.scheduling.nodeSelector[{selector}] != pod.spec.nodeSelector[{held}]",
            )
        if selector:
            spec["nodeSelector"] = {**held, **selector}
        tolerations = spec.get("tolerations") or []
        added = [meta.copy(item) for item in scheduling.get("tolerations") or () if item not in tolerations]
        if added:
            spec["tolerations"] = [*tolerations, *added]
