"""Tables as the API server prints them (meta.k8s.io/v1 Table), for every built-in kind.

``cells`` never raises on what is stored: missing, null or malformed fields show as empty or ``<unknown>``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pinnace.api import meta
from pinnace.api.registry import Column, Resource
from pinnace.api.table import cluster, core, network, pods, workloads
from pinnace.api.table import values as v
from pinnace.api.table.columns import COLUMNS, DEFAULT
from pinnace.api.types import GVK, Object

Printer = Callable[[Object, float], list[Any]]

_RBAC, _STORAGE, _DEVICES = "rbac.authorization.k8s.io", "storage.k8s.io", "resource.k8s.io"
_ADMISSION, _FLOW = "admissionregistration.k8s.io", "flowcontrol.apiserver.k8s.io"
_NETWORKING, _CERTIFICATES = "networking.k8s.io", "certificates.k8s.io"

_PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "ComponentStatus"): core.component_status,
    ("", "ConfigMap"): core.config_map,
    ("", "Endpoints"): core.endpoints,
    ("", "Event"): core.event,
    ("", "Namespace"): core.namespace,
    ("", "Node"): core.node,
    ("", "PersistentVolume"): core.persistent_volume,
    ("", "PersistentVolumeClaim"): core.persistent_volume_claim,
    ("", "Pod"): pods.pod,
    ("", "PodTemplate"): workloads.pod_template,
    ("", "ReplicationController"): workloads.replication_controller,
    ("", "ResourceQuota"): core.resource_quota,
    ("", "Secret"): core.secret,
    ("", "Service"): network.service,
    ("", "ServiceAccount"): core.aged,
    (_ADMISSION, "MutatingAdmissionPolicy"): cluster.mutating_policy,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): cluster.policy_binding,
    (_ADMISSION, "MutatingWebhookConfiguration"): cluster.webhook_configuration,
    (_ADMISSION, "ValidatingAdmissionPolicy"): cluster.validating_policy,
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): cluster.policy_binding,
    (_ADMISSION, "ValidatingWebhookConfiguration"): cluster.webhook_configuration,
    ("apiregistration.k8s.io", "APIService"): cluster.api_service,
    ("apps", "ControllerRevision"): workloads.controller_revision,
    ("apps", "DaemonSet"): workloads.daemon_set,
    ("apps", "Deployment"): workloads.deployment,
    ("apps", "ReplicaSet"): workloads.replica_set,
    ("apps", "StatefulSet"): workloads.stateful_set,
    ("autoscaling", "HorizontalPodAutoscaler"): workloads.horizontal_pod_autoscaler,
    ("autoscaling", "Scale"): workloads.scale,
    ("batch", "CronJob"): workloads.cron_job,
    ("batch", "Job"): workloads.job,
    (_CERTIFICATES, "CertificateSigningRequest"): cluster.certificate_signing_request,
    (_CERTIFICATES, "ClusterTrustBundle"): cluster.cluster_trust_bundle,
    (_CERTIFICATES, "PodCertificateRequest"): cluster.pod_certificate_request,
    ("coordination.k8s.io", "Lease"): core.lease,
    ("coordination.k8s.io", "LeaseCandidate"): core.lease_candidate,
    ("discovery.k8s.io", "EndpointSlice"): network.endpoint_slice,
    ("events.k8s.io", "Event"): core.event,
    (_FLOW, "FlowSchema"): cluster.flow_schema,
    (_FLOW, "PriorityLevelConfiguration"): cluster.priority_level,
    ("internal.apiserver.k8s.io", "StorageVersion"): cluster.storage_version,
    (_NETWORKING, "IPAddress"): network.ip_address,
    (_NETWORKING, "Ingress"): network.ingress,
    (_NETWORKING, "IngressClass"): network.ingress_class,
    (_NETWORKING, "NetworkPolicy"): network.network_policy,
    (_NETWORKING, "ServiceCIDR"): network.service_cidr,
    ("node.k8s.io", "RuntimeClass"): cluster.runtime_class,
    ("policy", "PodDisruptionBudget"): workloads.pod_disruption_budget,
    (_RBAC, "ClusterRoleBinding"): cluster.binding,
    (_RBAC, "RoleBinding"): cluster.binding,
    (_DEVICES, "DeviceClass"): core.aged,
    (_DEVICES, "DeviceTaintRule"): cluster.device_taint_rule,
    (_DEVICES, "ResourceClaim"): cluster.resource_claim,
    (_DEVICES, "ResourceClaimTemplate"): core.aged,
    (_DEVICES, "ResourcePoolStatusRequest"): cluster.resource_pool_status_request,
    (_DEVICES, "ResourceSlice"): cluster.resource_slice,
    ("scheduling.k8s.io", "PodGroup"): cluster.pod_group,
    ("scheduling.k8s.io", "PriorityClass"): core.priority_class,
    ("scheduling.k8s.io", "Workload"): core.aged,
    (_STORAGE, "CSIDriver"): cluster.csi_driver,
    (_STORAGE, "CSINode"): cluster.csi_node,
    (_STORAGE, "CSIStorageCapacity"): cluster.csi_storage_capacity,
    (_STORAGE, "StorageClass"): cluster.storage_class,
    (_STORAGE, "VolumeAttachment"): cluster.volume_attachment,
    (_STORAGE, "VolumeAttributesClass"): cluster.volume_attributes_class,
    ("storagemigration.k8s.io", "StorageVersionMigration"): cluster.storage_version_migration,
}


def columns(gvk: GVK) -> tuple[Column, ...]:
    """The columns of a kind, in the order of ``cells``; ``Name`` and ``Created At`` for kinds without their own."""
    return COLUMNS.get((gvk.group, gvk.kind), DEFAULT)


def cells(gvk: GVK, obj: Object, now: float) -> list[Any]:
    """An object's cells, in the order of ``columns(gvk)``. Promises not to raise, whatever the object holds."""
    printer = _PRINTERS.get((gvk.group, gvk.kind))
    if printer is None:
        return [v.name(obj), v.text(obj, "metadata", "creationTimestamp")]
    return printer(obj, now)


def row(resource: Resource, obj: Object, now: float, include: str) -> Object:
    """One object's table row, with the condition ``Completed`` if it is a Pod that has ended."""
    row: Object = {"cells": resource.cells(obj, now)}
    if resource.gvk == ("", "v1", "Pod") and (conditions := pods.row_conditions(obj)):
        row["conditions"] = conditions
    row["object"] = None
    if include == "Object":
        row["object"] = obj
    elif include == "Metadata":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta.metadata(obj),
        }
    return row


def table(
    resource: Resource,
    objects: Iterable[Object],
    now: float,
    include: str = "Metadata",
    list_metadata: Object | None = None,
    *,
    columns: bool = True,
) -> Object:
    """The meta.k8s.io/v1 Table of ``objects``; ``include`` is what of each is in its row: ``Metadata``, ``Object`` or
    ``None``. A watch tells the columns once. ``list_metadata`` is the list's own (resourceVersion, continue, ...);
    without it, the table of a single object carries that object's resourceVersion."""
    items = list(objects)
    if list_metadata is None:
        list_metadata = {"resourceVersion": meta.resource_version(items[0])} if len(items) == 1 else {}
    definitions = [
        {"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority}
        for c in resource.columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": definitions if columns else [],
        "rows": [row(resource, obj, now, include) for obj in items],
    }
