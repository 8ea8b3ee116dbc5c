"""Fields that an endpoint leaves as they are whatever a client sends: nobody comes to own them through it.

They are what upstream's strategies say (``GetResetFields`` and ``GetResetFieldsFilter``), kind by kind: mostly an
object leaves its status alone, and its status endpoint everything but the status, with or without the metadata.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from pinnace.api.apply import fieldset
from pinnace.api.apply.fieldset import EMPTY, Set, of_paths
from pinnace.api.types import GVK

#: What is never anybody's: it names the object, or is the server's own.
NEVER: Set = of_paths(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *[
        ("f:metadata", f"f:{name}")
        for name in (
            "clusterName",
            "creationTimestamp",
            "generation",
            "managedFields",
            "name",
            "namespace",
            "resourceVersion",
            "selfLink",
            "uid",
        )
    ],
)


class Ignored(NamedTuple):
    """``paths`` with all that is below them or, where ``only`` says something, all that it does not match."""

    paths: Set = EMPTY
    only: Set = EMPTY

    def rest(self, fields: Set) -> Set:
        """``fields`` without what is ignored."""
        return fieldset.matching(fields, self.only) if self.only else fieldset.without(fields, self.paths)


NOTHING = Ignored()
_STATUS = Ignored(of_paths(("f:status",)))
_SPEC = Ignored(of_paths(("f:spec",)))
_SPEC_AND_METADATA = Ignored(of_paths(("f:spec",), ("f:metadata",)))
_SPEC_AND_LABELS = Ignored(of_paths(("f:spec",), ("f:metadata", "f:labels")))
_CONTAINERS = [("f:spec", f"f:{kind}", fieldset.ANY) for kind in ("containers", "initContainers")]

#: Kinds whose status endpoint leaves the metadata alone too; those of the others leave the spec.
_STATUS_ONLY = {
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("apiregistration.k8s.io", "APIService"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("internal.apiserver.k8s.io", "StorageVersion"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("resource.k8s.io", "DeviceTaintRule"),
    ("resource.k8s.io", "ResourceClaim"),
    ("resource.k8s.io", "ResourcePoolStatusRequest"),
    ("scheduling.k8s.io", "PodGroup"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storagemigration.k8s.io", "StorageVersionMigration"),
}
_SPECIAL: dict[tuple[str, str, str], Ignored] = {
    ("", "Namespace", "finalize"): _STATUS,
    ("", "Pod", "status"): Ignored(
        of_paths(("f:spec",), ("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences"))
    ),
    ("", "Pod", "ephemeralcontainers"): Ignored(only=of_paths(("f:spec", "f:ephemeralContainers"))),
    ("", "Pod", "resize"): Ignored(
        only=of_paths(*[(*path, field) for path in _CONTAINERS for field in ("f:resources", "f:resizePolicy")])
    ),
    ("apps", "Deployment", "status"): _SPEC_AND_LABELS,
    ("certificates.k8s.io", "CertificateSigningRequest", ""): Ignored(of_paths(("f:spec",), ("f:status",))),
    ("certificates.k8s.io", "CertificateSigningRequest", "approval"): Ignored(
        of_paths(("f:spec",), ("f:status", "f:certificate"))
    ),
    ("certificates.k8s.io", "CertificateSigningRequest", "status"): Ignored(
        of_paths(("f:spec",), ("f:status", "f:conditions"))
    ),
    ("certificates.k8s.io", "PodCertificateRequest", ""): NOTHING,
}


@cache
def fields(gvk: GVK, subresource: str, *, custom: bool = False, has_status: bool = True) -> Ignored:
    """What ``subresource`` ("" for the object itself) ignores of an object of ``gvk``."""
    if custom:
        if not has_status:
            return NOTHING
        return _SPEC_AND_METADATA if subresource == "status" else _STATUS
    special = _SPECIAL.get((gvk.group, gvk.kind, subresource))
    if special is not None:
        return special
    from pinnace.api.strategy import rules_of  # not before the first write: a start does without

    if subresource not in ("", "status") or not rules_of(gvk).status:
        return NOTHING
    if subresource == "":
        return _STATUS
    return _SPEC_AND_METADATA if (gvk.group, gvk.kind) in _STATUS_ONLY else _SPEC
