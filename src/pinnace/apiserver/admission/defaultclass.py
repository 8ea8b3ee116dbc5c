"""DefaultStorageClass and DefaultIngressClass: the class that is marked as default, for those that name none."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import CREATE, View
from pinnace.apiserver.request import AdmissionAttributes


def _default(view: View, group: str, plural: str, annotation: str) -> str | None:
    """The name of the newest default class, the first by name of several as new."""
    marked = [item for item in view.items(group, plural) if meta.annotations(item).get(annotation) == "true"]
    marked.sort(key=meta.name)
    newest: Object | None = max(
        marked, key=lambda o: str(meta.metadata(o).get("creationTimestamp") or ""), default=None
    )
    return None if newest is None else meta.name(newest)


class DefaultStorageClass:
    name = "DefaultStorageClass"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == ("", "persistentvolumeclaims", "", CREATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        claim = attributes.object or {}
        spec = claim.get("spec")
        if not isinstance(spec, dict) or spec.get("storageClassName") is not None:
            return
        if "volume.beta.kubernetes.io/storage-class" in meta.annotations(claim):
            return
        name = _default(
            self._view, "storage.k8s.io", "storageclasses", "storageclass.kubernetes.io/is-default-class"
        ) or _default(
            self._view, "storage.k8s.io", "storageclasses", "storageclass.beta.kubernetes.io/is-default-class"
        )
        if name:
            spec["storageClassName"] = name


class DefaultIngressClass:
    name = "DefaultIngressClass"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == ("networking.k8s.io", "ingresses", "", CREATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        ingress = attributes.object or {}
        spec = ingress.get("spec")
        if not isinstance(spec, dict) or spec.get("ingressClassName") is not None:
            return
        if "kubernetes.io/ingress.class" in meta.annotations(ingress):
            return
        name = _default(
            self._view, "networking.k8s.io", "ingressclasses", "ingressclass.kubernetes.io/is-default-class"
        )
        if name:
            spec["ingressClassName"] = name
