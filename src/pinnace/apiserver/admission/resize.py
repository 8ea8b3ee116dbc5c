"""PersistentVolumeClaimResize: a claim grows only if its StorageClass allows that."""

from __future__ import annotations

from pinnace.api import quantity
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import UPDATE, View, refuse
from pinnace.apiserver.request import AdmissionAttributes


class PersistentVolumeClaimResize:
    name = "PersistentVolumeClaimResize"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == ("", "persistentvolumeclaims", "", UPDATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        new, old = attributes.object or {}, attributes.old_object or {}
        before, after = _storage(old), _storage(new)
        try:
            if before is None or after is None or quantity.compare(after, before) <= 0:
                return
        except quantity.QuantityError:
            return  # validation says so
        if (old.get("status") or {}).get("phase") != "Bound":
            raise refuse(attributes, "Only bound persistent volume claims can be expanded")
        name = (old.get("spec") or {}).get("storageClassName")
        found = self._view.get("storage.k8s.io", "storageclasses", "", str(name)) if name else None
        if found is None or not found.get("allowVolumeExpansion"):
            raise refuse(
                attributes,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize",
            )


def _storage(claim: Object) -> str | None:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    asked = requests.get("storage")
    return None if asked is None else str(asked)
