"""PodTopologyLabels (KEP-4742): a Pod learns the zone and the region of the node that it is bound to."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.apiserver.admission.base import CREATE, View
from pinnace.apiserver.request import AdmissionAttributes

LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels:
    """Puts the labels on the Binding, whose labels the Pod takes."""

    name = "PodTopologyLabels"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == ("", "pods", "binding", CREATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        binding = attributes.object or {}
        node = self._view.get("", "nodes", "", str((binding.get("target") or {}).get("name") or ""))
        held = meta.labels(node) if node is not None else {}
        known = {label: held[label] for label in LABELS if label in held}
        if known:
            metadata = binding["metadata"]
            metadata["labels"] = {**(metadata.get("labels") or {}), **known}
