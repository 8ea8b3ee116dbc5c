import copy
from typing import Any

import pytest

from pinnace.api import defaults
from pinnace.api.defaults.pod import pull_policy
from pinnace.api.types import GVK

CONTAINER = {"name": "c", "image": "nginx:1.25"}
CONTAINER_DEFAULTS = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "IfNotPresent",
}
SPEC_DEFAULTS = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
TEMPLATE = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [CONTAINER]}}
TEMPLATE_AFTER = {
    "metadata": {"labels": {"app": "d"}},
    "spec": {"containers": [{**CONTAINER, **CONTAINER_DEFAULTS}], **SPEC_DEFAULTS},
}


def default(api_version: str, kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    """``obj`` with its defaults; checks that defaulting again changes nothing."""
    group, _, version = api_version.rpartition("/")
    gvk = GVK(group, version, kind)
    result = copy.deepcopy(obj)
    defaults.apply(gvk, result)
    again = copy.deepcopy(result)
    defaults.apply(gvk, again)
    assert again == result
    return result


def spec(api_version: str, kind: str, given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = default(api_version, kind, {"metadata": {"name": "x"}, "spec": given})["spec"]
    return found


def container(given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec("v1", "Pod", {"containers": [{**CONTAINER, **given}]})["containers"][0]
    return found


def test_pod() -> None:
    assert spec("v1", "Pod", {"containers": [CONTAINER]}) == {
        "containers": [{**CONTAINER, **CONTAINER_DEFAULTS}],
        **SPEC_DEFAULTS,
        "enableServiceLinks": True,
    }


def test_what_is_said_stays() -> None:
    given = {
        "containers": [{**CONTAINER, "imagePullPolicy": "Never"}],
        "terminationGracePeriodSeconds": 0,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "dnsPolicy": "None",
    }
    found = spec("v1", "Pod", given)
    assert found["containers"][0]["imagePullPolicy"] == "Never"
    assert {k: found[k] for k in given if k != "containers"} == {k: v for k, v in given.items() if k != "containers"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("host:5000/a/b", "Always"),
        ("host:5000/a/b:v1", "IfNotPresent"),
        ("a@sha256:" + "0" * 64, "IfNotPresent"),
        ("a:latest@sha256:" + "0" * 64, "Always"),
        ("", "IfNotPresent"),
        ("Bad Name", "IfNotPresent"),
        (None, "IfNotPresent"),
    ],
)
def test_pull_policy(image: str | None, policy: str) -> None:
    assert pull_policy(image) == policy


def test_probes_ports_and_environment() -> None:
    found = container(
        {
            "livenessProbe": {"httpGet": {"port": 80}},
            "readinessProbe": {"grpc": {"port": 9}, "periodSeconds": 3},
            "lifecycle": {"preStop": {"httpGet": {"port": 1, "scheme": "HTTPS"}}},
            "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
            "env": [
                {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
        }
    )
    counts = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    assert found["livenessProbe"] == {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, **counts}
    assert found["readinessProbe"] == {"grpc": {"port": 9, "service": ""}, **counts, "periodSeconds": 3}
    assert found["lifecycle"]["preStop"]["httpGet"] == {"port": 1, "scheme": "HTTPS", "path": "/"}
    assert [port["protocol"] for port in found["ports"]] == ["TCP", "UDP"]
    assert found["env"][0]["valueFrom"]["fieldRef"] == {"fieldPath": "metadata.name", "apiVersion": "v1"}
    assert found["env"][1]["valueFrom"]["resourceFieldRef"] == {"resource": "limits.cpu", "divisor": "0"}


def test_requests_follow_limits_in_pods_only() -> None:
    resources = {"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": "0.5"}}
    assert container({"resources": resources})["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "500m", "memory": "1Gi"},
    }
    template = {"spec": {"containers": [{**CONTAINER, "resources": {"limits": {"cpu": "1"}}}]}}
    found = spec("apps/v1", "Deployment", {"template": template})
    assert found["template"]["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1"}}


def test_resources_are_rounded_to_thousandths() -> None:
    assert container({"resources": {"requests": {"cpu": "0.0001"}}})["resources"]["requests"] == {"cpu": "1m"}


def test_volumes() -> None:
    volumes = [
        {"name": "none"},
        {"name": "e", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "s", "secret": {"secretName": "x"}},
        {"name": "c", "configMap": {"name": "x", "defaultMode": 256}},
        {"name": "h", "hostPath": {"path": "/"}},
        {
            "name": "p",
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"path": "t"}},
                    {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                ]
            },
        },
    ]
    assert spec("v1", "Pod", {"containers": [], "volumes": volumes})["volumes"] == [
        {"name": "none", "emptyDir": {}},
        {"name": "e", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}},
        {"name": "c", "configMap": {"name": "x", "defaultMode": 256}},
        {"name": "h", "hostPath": {"path": "/", "type": ""}},
        {
            "name": "p",
            "projected": {
                "defaultMode": 420,
                "sources": [
                    {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}},
                    {
                        "downwardAPI": {
                            "items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels", "apiVersion": "v1"}}]
                        }
                    },
                ],
            },
        },
    ]


def test_host_network_claims_host_ports_and_the_old_account_field_follows() -> None:
    given = {
        "hostNetwork": True,
        "serviceAccountName": "robot",
        "containers": [{**CONTAINER, "ports": [{"containerPort": 80}]}],
    }
    found = spec("v1", "Pod", given)
    assert found["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    assert found["serviceAccount"] == "robot"


def test_pod_level_resources_given_in_part() -> None:
    level = {"limits": {"cpu": "2", "memory": "1Gi"}}
    found = spec(
        "v1",
        "Pod",
        {"containers": [{**CONTAINER, "resources": {"requests": {"cpu": "250m"}}}], "resources": level},
    )
    assert found["resources"] == {
        "limits": {"cpu": "2", "memory": "1Gi"},
        "requests": {"cpu": "250m", "memory": "1Gi"},
    }


def test_pod_status() -> None:
    given = {"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "Ready", "status": "True"}]}
    assert default("v1", "Pod", {"spec": {}, "status": given})["status"] == {
        "podIP": "10.0.0.2",
        "podIPs": [{"ip": "10.0.0.2"}],
        "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": None}],
    }


def test_workloads() -> None:
    assert spec("apps/v1", "Deployment", {"template": TEMPLATE}) == {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "template": TEMPLATE_AFTER,
    }
    recreate = spec("apps/v1", "Deployment", {"replicas": 0, "strategy": {"type": "Recreate"}, "template": TEMPLATE})
    assert (recreate["replicas"], recreate["strategy"]) == (0, {"type": "Recreate"})
    assert spec("apps/v1", "ReplicaSet", {"template": TEMPLATE}) == {"replicas": 1, "template": TEMPLATE_AFTER}
    assert spec("apps/v1", "DaemonSet", {"template": TEMPLATE}) == {
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        "template": TEMPLATE_AFTER,
    }
    claim = {"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    stateful = spec("apps/v1", "StatefulSet", {"template": TEMPLATE, "volumeClaimTemplates": [claim]})
    assert stateful == {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "volumeClaimTemplates": [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "v"},
                "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "resources": {}},
                "status": {"phase": "Pending"},
            }
        ],
        "template": TEMPLATE_AFTER,
    }


def test_jobs() -> None:
    assert spec("batch/v1", "Job", {"template": TEMPLATE}) == {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "template": TEMPLATE_AFTER,
    }
    assert "completions" not in spec("batch/v1", "Job", {"parallelism": 2, "template": TEMPLATE})
    cron = spec("batch/v1", "CronJob", {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}})
    assert cron == {
        "schedule": "* * * * *",
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {}, "spec": {"template": TEMPLATE_AFTER}},
    }


def test_services() -> None:
    port = {"port": 80, "protocol": "TCP", "targetPort": 80}
    common = {"sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}
    assert spec("v1", "Service", {"ports": [{"port": 80}]}) == {"type": "ClusterIP", "ports": [port], **common}
    assert spec("v1", "Service", {"type": "NodePort", "ports": [{"port": 80, "targetPort": "web"}]}) == {
        "type": "NodePort",
        "ports": [{**port, "targetPort": "web"}],
        "externalTrafficPolicy": "Cluster",
        **common,
    }
    balanced = spec("v1", "Service", {"type": "LoadBalancer", "sessionAffinity": "ClientIP"})
    assert balanced["allocateLoadBalancerNodePorts"] is True
    assert balanced["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert "internalTrafficPolicy" not in spec("v1", "Service", {"type": "ExternalName", "externalName": "x.y"})


def test_small_core_kinds() -> None:
    assert default("v1", "Secret", {"data": {}}) == {"data": {}, "type": "Opaque"}
    namespace = default("v1", "Namespace", {"metadata": {"name": "n"}})
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    assert default("v1", "ConfigMap", {"data": {"a": "b"}}) == {"data": {"a": "b"}}
    node = default("v1", "Node", {"status": {"capacity": {"cpu": "4000m", "memory": "1048576Ki"}}})
    assert node["status"]["allocatable"] == {"cpu": "4", "memory": "1Gi"}
    assert node["status"]["nodeInfo"]["kubeletVersion"] == ""
    assert spec("v1", "Node", {"podCIDR": "10.0.0.0/24"})["podCIDRs"] == ["10.0.0.0/24"]
    limits = spec("v1", "LimitRange", {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "1"}}]})
    assert limits["limits"][0]["default"] == {"cpu": "1"}
    assert limits["limits"][0]["defaultRequest"] == {"cpu": "1", "memory": "1"}
    volume = default("v1", "PersistentVolume", {"spec": {"capacity": {"storage": "1024Mi"}}})
    assert volume["spec"] == {
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "volumeMode": "Filesystem",
    }


def test_other_groups() -> None:
    group = "rbac.authorization.k8s.io"
    binding = default(
        f"{group}/v1",
        "RoleBinding",
        {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]},
    )
    assert binding["roleRef"]["apiGroup"] == group
    assert binding["subjects"] == [{"kind": "User", "apiGroup": group}, {"kind": "ServiceAccount"}]
    policy = spec("networking.k8s.io/v1", "NetworkPolicy", {"egress": [{"ports": [{"port": 53}]}]})
    assert policy == {
        "podSelector": {},
        "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}],
        "policyTypes": ["Ingress", "Egress"],
    }
    assert spec("networking.k8s.io/v1", "NetworkPolicy", {})["policyTypes"] == ["Ingress"]
    assert default("scheduling.k8s.io/v1", "PriorityClass", {"value": 1})["preemptionPolicy"] == "PreemptLowerPriority"
    assert default("policy/v1", "PodDisruptionBudget", {}) == {"spec": {}}
    storage = default("storage.k8s.io/v1", "StorageClass", {})
    assert storage == {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}
    endpoints = default("discovery.k8s.io/v1", "EndpointSlice", {"ports": [{"port": 80}]})
    assert endpoints["ports"] == [{"port": 80, "name": "", "protocol": "TCP"}]
    definition = spec(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", {"names": {"kind": "Foo", "plural": "foos"}}
    )
    assert definition["names"] == {"kind": "Foo", "plural": "foos", "singular": "foo", "listKind": "FooList"}
    assert definition["conversion"] == {"strategy": "None"}


def test_autoscaling_versions_differ() -> None:
    assert spec("autoscaling/v1", "HorizontalPodAutoscaler", {"maxReplicas": 3}) == {"maxReplicas": 3, "minReplicas": 1}
    scaler = spec("autoscaling/v2", "HorizontalPodAutoscaler", {"maxReplicas": 3, "behavior": {"scaleDown": {}}})
    target = {"type": "Utilization", "averageUtilization": 80}
    assert scaler["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    assert scaler["behavior"]["scaleDown"] == {
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }
    assert scaler["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0


def test_webhooks() -> None:
    hook = {"name": "a.b.c", "clientConfig": {"service": {"name": "s", "namespace": "n"}}, "rules": [{"verbs": ["*"]}]}
    found = default("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", {"webhooks": [hook]})
    assert found["webhooks"] == [
        {
            "name": "a.b.c",
            "clientConfig": {"service": {"name": "s", "namespace": "n", "port": 443}},
            "rules": [{"verbs": ["*"], "scope": "*"}],
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "timeoutSeconds": 10,
            "namespaceSelector": {},
            "objectSelector": {},
            "reinvocationPolicy": "Never",
        }
    ]


@pytest.mark.parametrize("kind", ["Pod", "Service", "Namespace", "Node", "LimitRange", "PersistentVolumeClaim"])
@pytest.mark.parametrize("bad", [None, "text", 7, [], [1, "x"], {"containers": 3, "ports": "x", "limits": [None]}])
def test_malformed_parts_are_left_for_validation(kind: str, bad: object) -> None:
    defaults.apply(GVK("", "v1", kind), {"metadata": {"name": "x"}, "spec": bad, "status": bad})


def test_pods_of_one_template_share_the_work_but_nothing_else() -> None:
    made = []
    for name in ("a", "b"):
        spec = {"containers": [{"name": "c", "image": "nginx", "resources": {"limits": {"cpu": "1"}}}]}
        obj: dict[str, Any] = {"metadata": {"name": name}, "spec": spec}
        defaults.apply(GVK("", "v1", "Pod"), obj)
        assert obj["spec"] is spec
        made.append(obj)
    first, second = made
    assert first["spec"] == second["spec"]
    assert second["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1"}
    second["spec"]["containers"][0]["image"] = "other"
    assert first["spec"]["containers"][0]["image"] == "nginx"
    third: dict[str, Any] = {"metadata": {"name": "c"}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
    defaults.apply(GVK("", "v1", "Pod"), third)
    assert third["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
