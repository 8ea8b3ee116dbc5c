"""Which checks a kind has beyond its metadata, how its objects may be named, and which kinds have no namespace."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import cast

from pinnace.api import formats as f
from pinnace.api.errors import FieldError
from pinnace.api.types import Object
from pinnace.api.validation import metadata

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
    ("", "Event"): metadata.path_segment_name,
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

#: Each kind's check as ``module.function``; modules are imported when the first object of such a kind is checked, so
#: that start-up does not wait for all of them.
KINDS: dict[tuple[str, str], str] = {
    ("", "Binding"): "core.binding",
    ("", "ConfigMap"): "core.config_map",
    ("", "Endpoints"): "network.endpoints",
    ("", "Event"): "core.event",
    ("", "LimitRange"): "core.limit_range",
    ("", "Namespace"): "core.namespace",
    ("", "Node"): "core.node",
    ("", "PersistentVolume"): "storage.volume",
    ("", "PersistentVolumeClaim"): "storage.claim",
    ("", "Pod"): "pods.pod",
    ("", "PodTemplate"): "workloads.pod_template",
    ("", "ReplicationController"): "workloads.replication_controller",
    ("", "ResourceQuota"): "core.resource_quota",
    ("", "Secret"): "core.secret",
    ("", "Service"): "network.service",
    (_ADMISSION, "MutatingAdmissionPolicy"): "policies.mutating_policy",
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): "policies.binding",
    (_ADMISSION, "MutatingWebhookConfiguration"): "webhooks.webhook_configuration",
    (_ADMISSION, "ValidatingAdmissionPolicy"): "policies.validating_policy",
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): "policies.validating_binding",
    (_ADMISSION, "ValidatingWebhookConfiguration"): "webhooks.webhook_configuration",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "definitions.custom_resource_definition",
    ("apiregistration.k8s.io", "APIService"): "cluster.api_service",
    ("apps", "ControllerRevision"): "workloads.controller_revision",
    ("apps", "DaemonSet"): "workloads.daemon_set",
    ("apps", "Deployment"): "workloads.deployment",
    ("apps", "ReplicaSet"): "workloads.replica_set",
    ("apps", "StatefulSet"): "workloads.stateful_set",
    ("autoscaling", "HorizontalPodAutoscaler"): "workloads.horizontal_pod_autoscaler",
    ("autoscaling", "Scale"): "workloads.scale",
    ("batch", "CronJob"): "batch.cron_job",
    ("batch", "Job"): "batch.job",
    ("certificates.k8s.io", "CertificateSigningRequest"): "cluster.certificate_signing_request",
    ("coordination.k8s.io", "Lease"): "core.lease",
    ("discovery.k8s.io", "EndpointSlice"): "network.endpoint_slice",
    ("events.k8s.io", "Event"): "core.event",
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): "cluster.flow_schema",
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): "cluster.priority_level",
    ("networking.k8s.io", "IPAddress"): "networking.ip_address",
    ("networking.k8s.io", "Ingress"): "networking.ingress",
    ("networking.k8s.io", "IngressClass"): "networking.ingress_class",
    ("networking.k8s.io", "NetworkPolicy"): "networking.network_policy",
    ("networking.k8s.io", "ServiceCIDR"): "networking.service_cidr",
    ("node.k8s.io", "RuntimeClass"): "cluster.runtime_class",
    ("policy", "PodDisruptionBudget"): "workloads.pod_disruption_budget",
    (_RBAC, "ClusterRole"): "rbac.cluster_role",
    (_RBAC, "ClusterRoleBinding"): "rbac.cluster_role_binding",
    (_RBAC, "Role"): "rbac.role",
    (_RBAC, "RoleBinding"): "rbac.role_binding",
    ("scheduling.k8s.io", "PriorityClass"): "core.priority_class",
    ("storage.k8s.io", "CSIDriver"): "cluster.csi_driver",
    ("storage.k8s.io", "CSINode"): "cluster.csi_node",
    ("storage.k8s.io", "StorageClass"): "storage.storage_class",
    ("storage.k8s.io", "VolumeAttachment"): "storage.volume_attachment",
}


@cache
def check_of(group: str, kind: str) -> KindCheck | None:
    """What a kind is checked by beyond its metadata; None if by nothing."""
    named = KINDS.get((group, kind))
    if named is None:
        return None
    module, _, function = named.partition(".")
    return cast(KindCheck, getattr(import_module(f"pinnace.api.validation.{module}"), function))
