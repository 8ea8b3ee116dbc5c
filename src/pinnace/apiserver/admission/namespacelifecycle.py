"""NamespaceLifecycle: nothing is created in a namespace that is absent or ending; system namespaces stay."""

from __future__ import annotations

from pinnace.api import errors
from pinnace.apiserver.admission.base import CREATE, DELETE, View, refuse
from pinnace.apiserver.request import AdmissionAttributes

IMMORTAL = frozenset(("default", "kube-system", "kube-public"))


class NamespaceLifecycle:
    name = "NamespaceLifecycle"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        if group == "" and plural == "namespaces":
            return operation == DELETE and not subresource
        return operation not in (DELETE, "CONNECT") and (group, plural) != (
            "authorization.k8s.io",
            "localsubjectaccessreviews",
        )

    def admit(self, attributes: AdmissionAttributes) -> None:
        row, namespace = attributes.resource, attributes.namespace
        if row.plural == "namespaces" and not row.group:
            if attributes.name in IMMORTAL:
                raise refuse(attributes, "this namespace may not be deleted")
            return
        if not row.namespaced or not namespace:
            return
        found = self._view.get("", "namespaces", "", namespace)
        if found is None:
            raise errors.not_found("", "namespaces", namespace)
        if attributes.operation != CREATE or (found.get("status") or {}).get("phase") != "Terminating":
            return
        error = refuse(
            attributes, f"unable to create new content in namespace {namespace} because it is being terminated"
        )
        error.details = {
            **errors.details_of(error),
            "causes": [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {namespace} is being terminated",
                    "field": "metadata.namespace",
                }
            ],
        }
        raise error
