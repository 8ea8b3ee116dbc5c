"""The columns of every built-in kind that has its own, as data: Kubernetes 1.37's server-side printing.

One line per resource: ``group/Kind`` and its columns, ``Header[:type][:name][+]``; the type is ``string`` if not given,
``:name`` marks the object's name, ``+`` a column that shows only with ``-o wide``. Kinds that are not listed have
``Name`` and ``Created At``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pinnace.api.registry import Column

_WORKLOAD = "Containers+ | Images+ | Selector+"
_BINDING = "Name:name | Role | Age | Users+ | Groups+ | ServiceAccounts+"
_EVENT = "Last Seen | Type | Reason | Object | Subobject+ | Source+ | Message | First Seen+ | Count+ | Name:name+"
_REPLICAS = f"Name:name | Desired:integer | Current:integer | Ready:integer | Age | {_WORKLOAD}"

_COLUMNS = {
    "/ComponentStatus": "Name:name | Status | Message | Error",
    "/ConfigMap": "Name:name | Data | Age",
    "/Endpoints": "Name:name | Endpoints | Age",
    "/Event": _EVENT,
    "/Namespace": "Name:name | Status | Age",
    "/Node": "Name:name | Status | Roles | Age | Version | Internal-IP+ | External-IP+ | OS-Image+ | Kernel-Version+"
    " | Container-Runtime+",
    "/PersistentVolume": "Name:name | Capacity | Access Modes | Reclaim Policy | Status | Claim | StorageClass"
    " | VolumeAttributesClass | Reason | Age | VolumeMode+",
    "/PersistentVolumeClaim": "Name:name | Status | Volume | Capacity | Access Modes | StorageClass"
    " | VolumeAttributesClass | Age | VolumeMode+",
    "/Pod": "Name:name | Ready | Status | Restarts | Age | IP+ | Node+ | Nominated Node+ | Readiness Gates+",
    "/PodTemplate": "Name:name | Containers | Images | Pod Labels",
    "/ReplicationController": _REPLICAS,
    "/ResourceQuota": "Name:name | Request | Limit | Age",
    "/Secret": "Name:name | Type | Data | Age",
    "/Service": "Name:name | Type | Cluster-IP | External-IP | Port(s) | Age | Selector+",
    "/ServiceAccount": "Name:name | Age",
    "admissionregistration.k8s.io/MutatingAdmissionPolicy": "Name:name | Mutations:integer | ParamKind | Age",
    "admissionregistration.k8s.io/MutatingAdmissionPolicyBinding": "Name:name | PolicyName | ParamRef | Age",
    "admissionregistration.k8s.io/MutatingWebhookConfiguration": "Name:name | Webhooks:integer | Age",
    "admissionregistration.k8s.io/ValidatingAdmissionPolicy": "Name:name | Validations:integer | ParamKind | Age",
    "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": "Name:name | PolicyName | ParamRef | Age",
    "admissionregistration.k8s.io/ValidatingWebhookConfiguration": "Name:name | Webhooks:integer | Age",
    "apiregistration.k8s.io/APIService": "Name:name | Service | Available | Age",
    "apps/ControllerRevision": "Name:name | Controller | Revision | Age",
    "apps/DaemonSet": "Name:name | Desired:integer | Current:integer | Ready:integer | Up-to-date:integer"
    f" | Available:integer | Node Selector | Age | {_WORKLOAD}",
    "apps/Deployment": f"Name:name | Ready | Up-to-date | Available | Age | {_WORKLOAD}",
    "apps/ReplicaSet": _REPLICAS,
    "apps/StatefulSet": "Name:name | Ready | Age | Containers+ | Images+",
    "autoscaling/HorizontalPodAutoscaler": "Name:name | Reference | Targets | MinPods | MaxPods | Replicas | Age",
    "autoscaling/Scale": "Name | Desired:integer | Available:integer | Age",
    "batch/CronJob": "Name:name | Schedule | Timezone | Suspend:boolean | Active:integer | Last Schedule | Age"
    f" | {_WORKLOAD}",
    "batch/Job": f"Name:name | Status | Completions | Duration | Age | {_WORKLOAD}",
    "certificates.k8s.io/CertificateSigningRequest": "Name:name | Age | SignerName | Requestor | RequestedDuration"
    " | Condition",
    "certificates.k8s.io/ClusterTrustBundle": "Name:name | SignerName",
    "certificates.k8s.io/PodCertificateRequest": "Name:name | PodName | ServiceAccountName | NodeName | SignerName"
    " | State | UnverifiedUserAnnotations",
    "coordination.k8s.io/Lease": "Name:name | Holder | Age",
    "coordination.k8s.io/LeaseCandidate": "Name:name | LeaseName | BinaryVersion | EmulationVersion | Age",
    "discovery.k8s.io/EndpointSlice": "Name:name | AddressType | Ports | Endpoints | Age",
    "events.k8s.io/Event": _EVENT,
    "flowcontrol.apiserver.k8s.io/FlowSchema": "Name:name | PriorityLevel | MatchingPrecedence | DistinguisherMethod"
    " | Age | MissingPL",
    "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": "Name:name | Type | NominalConcurrencyShares | Queues"
    " | HandSize | QueueLengthLimit | Age",
    "internal.apiserver.k8s.io/StorageVersion": "Name:name | CommonEncodingVersion | StorageVersions | Age",
    "networking.k8s.io/IPAddress": "Name:name | ParentRef",
    "networking.k8s.io/Ingress": "Name:name | Class | Hosts | Address | Ports | Age",
    "networking.k8s.io/IngressClass": "Name:name | Controller | Parameters | Age",
    "networking.k8s.io/NetworkPolicy": "Name:name | Pod-Selector | Age",
    "networking.k8s.io/ServiceCIDR": "Name:name | CIDRs | Age",
    "node.k8s.io/RuntimeClass": "Name:name | Handler | Age",
    "policy/PodDisruptionBudget": "Name:name | Min Available | Max Unavailable | Allowed Disruptions:integer | Age",
    "rbac.authorization.k8s.io/ClusterRoleBinding": _BINDING,
    "rbac.authorization.k8s.io/RoleBinding": _BINDING,
    "resource.k8s.io/DeviceClass": "Name:name | Age",
    "resource.k8s.io/DeviceTaintRule": "Name:name | Key | Value | Effect | TimeAdded | Age",
    "resource.k8s.io/ResourceClaim": "Name:name | State | Age",
    "resource.k8s.io/ResourceClaimTemplate": "Name:name | Age",
    "resource.k8s.io/ResourcePoolStatusRequest": "Name:name | Driver | Total | Available | Allocated | Unavailable"
    " | Errors | Pools:integer | Status | Completed",
    "resource.k8s.io/ResourceSlice": "Name:name | Node | Driver | Pool | Age",
    "scheduling.k8s.io/PodGroup": "Name:name | Policy | Workload | Status | Age",
    "scheduling.k8s.io/PriorityClass": "Name:name | Value:integer | Global-Default:boolean | Age | PreemptionPolicy",
    "scheduling.k8s.io/Workload": "Name:name | Age",
    "storage.k8s.io/CSIDriver": "Name:name | AttachRequired:boolean | PodInfoOnMount:boolean | StorageCapacity:boolean"
    " | TokenRequests | RequiresRepublish:boolean | Modes | Age",
    "storage.k8s.io/CSINode": "Name:name | Drivers:integer | Age",
    "storage.k8s.io/CSIStorageCapacity": "Name:name | StorageClassName | Capacity",
    "storage.k8s.io/StorageClass": "Name:name | Provisioner | ReclaimPolicy | VolumeBindingMode"
    " | AllowVolumeExpansion | Age",
    "storage.k8s.io/VolumeAttachment": "Name:name | Attacher:name | PV | Node | Attached:boolean | Age",
    "storage.k8s.io/VolumeAttributesClass": "Name:name | DriverName | Age",
    "storagemigration.k8s.io/StorageVersionMigration": "Name | Resource | Status",
}

_DESCRIPTIONS = {
    "Name": "Name must be unique within a namespace. Is required when creating resources, although some resources "
    "may allow a client to request the generation of an appropriate name automatically. Name is primarily "
    "intended for creation idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    "Age": "CreationTimestamp is a timestamp representing the server time when this object was created. It is not "
    "guaranteed to be set in happens-before order across separate operations. Clients may not set this "
    "value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for "
    "lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    "Created At": "Time at which the object was created.",
    "Containers": "Names of each container in the template.",
    "Images": "Images referenced by each container in the template.",
    "Selector": "The label query over the objects that belong to this one.",
    "Restarts": "The number of times the containers in this pod have been restarted and when the last container in this"
    " pod has restarted.",
}
_POD_DESCRIPTIONS = {
    "Ready": "The aggregate readiness state of this pod for accepting traffic.",
    "Status": "The aggregate status of the containers in this pod.",
    "IP": "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.",
    "Node": "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for "
    "scheduling by the scheduler defined in schedulerName. Once this field is set, the kubelet for this node "
    "becomes responsible for the lifecycle of this pod. This field should not be used to express a desire "
    "for the pod to be scheduled on a specific node. "
    "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename",
    "Nominated Node": ""
    "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled "
    "right away as preemption victims receive their graceful termination periods. This field does not "
    "guarantee that the pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere "
    "if other nodes become available sooner. Scheduler may also decide to give the resources on this node to "
    "a higher priority pod that is created after preemption. As a result, this field may be different than "
    "PodSpec.nodeName when the pod is scheduled.",
    "Readiness Gates": ""
    "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its "
    'containers are ready AND all conditions specified in the readiness gates have status equal to "True" '
    "More info: https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates",
}


def _parse(text: str, descriptions: Mapping[str, str]) -> tuple[Column, ...]:
    columns = []
    for part in text.split(" | "):
        wide = part.endswith("+")
        header, *marks = part.rstrip("+").split(":")
        format = "name" if "name" in marks else ""
        type = next((mark for mark in marks if mark != "name"), "string")
        columns.append(Column(header, type, format, int(wide), descriptions.get(header, f"{header} of the object.")))
    return tuple(columns)


#: The columns of kinds that have none of their own.
DEFAULT = (
    Column("Name", "string", "name", 0, _DESCRIPTIONS["Name"]),
    Column("Created At", "date", "", 0, _DESCRIPTIONS["Created At"]),
)
COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {}
for _key, _text in _COLUMNS.items():
    _group, _, _kind = _key.rpartition("/")
    COLUMNS[_group, _kind] = _parse(_text, _DESCRIPTIONS | _POD_DESCRIPTIONS if _key == "/Pod" else _DESCRIPTIONS)
