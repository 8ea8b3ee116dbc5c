"""Which checks a kind has beyond its metadata, how its objects may be named, and which kinds have no namespace."""

from __future__ import annotations

from collections.abc import Callable

from pinnace.api.errors import FieldError
from pinnace.api.types import Object
from pinnace.api.validation import formats as f
from pinnace.api.validation import metadata, pods, storage

#: ``(errors, new, old, subresource)``: adds to ``errors``.
KindCheck = Callable[[list[FieldError], Object, Object | None, str], None]

_ADMISSION = "admissionregistration.k8s.io"
_RBAC = "rbac.authorization.k8s.io"

CLUSTER_SCOPED: frozenset[tuple[str, str]] = frozenset(
    {
        ("", "ComponentStatus"),
        ("", "Namespace"),
        ("", "Node"),
        ("", "PersistentVolume"),
        *((_ADMISSION, f"{how}AdmissionPolicy") for how in ("Mutating", "Validating")),
        *((_ADMISSION, f"{how}AdmissionPolicyBinding") for how in ("Mutating", "Validating")),
        *((_ADMISSION, f"{how}WebhookConfiguration") for how in ("Mutating", "Validating")),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("apiregistration.k8s.io", "APIService"),
        ("certificates.k8s.io", "CertificateSigningRequest"),
        ("certificates.k8s.io", "ClusterTrustBundle"),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
        ("internal.apiserver.k8s.io", "StorageVersion"),
        ("networking.k8s.io", "IPAddress"),
        ("networking.k8s.io", "IngressClass"),
        ("networking.k8s.io", "ServiceCIDR"),
        ("node.k8s.io", "RuntimeClass"),
        (_RBAC, "ClusterRole"),
        (_RBAC, "ClusterRoleBinding"),
        ("resource.k8s.io", "DeviceClass"),
        ("resource.k8s.io", "DeviceTaintRule"),
        ("resource.k8s.io", "ResourcePoolStatusRequest"),
        ("resource.k8s.io", "ResourceSlice"),
        ("scheduling.k8s.io", "PriorityClass"),
        *(("storage.k8s.io", kind) for kind in ("CSIDriver", "CSINode", "StorageClass", "VolumeAttachment")),
        ("storage.k8s.io", "VolumeAttributesClass"),
        ("storagemigration.k8s.io", "StorageVersionMigration"),
    }
)

#: Of kinds that are not named by a DNS subdomain.
NAMES: dict[tuple[str, str], metadata.NameCheck] = {
    ("", "Namespace"): metadata.label_name,
    ("", "Service"): metadata.label_name,
    ("apps", "StatefulSet"): metadata.label_name,
    ("apiregistration.k8s.io", "APIService"): metadata.path_segment_name,
    ("networking.k8s.io", "IPAddress"): lambda name, prefix: f.canonical_ip(name),
    (_RBAC, "ClusterRole"): metadata.path_segment_name,
    (_RBAC, "ClusterRoleBinding"): metadata.path_segment_name,
    (_RBAC, "Role"): metadata.path_segment_name,
    (_RBAC, "RoleBinding"): metadata.path_segment_name,
    ("certificates.k8s.io", "ClusterTrustBundle"): metadata.path_segment_name,
}

KINDS: dict[tuple[str, str], KindCheck] = {
    ("", "PersistentVolume"): storage.volume,
    ("", "PersistentVolumeClaim"): storage.claim,
    ("", "Pod"): pods.pod,
    ("storage.k8s.io", "StorageClass"): storage.storage_class,
    ("storage.k8s.io", "VolumeAttachment"): storage.volume_attachment,
}
