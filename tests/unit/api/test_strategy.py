import base64
import copy
from typing import Any

import pytest

from pinnace.api import strategy
from pinnace.api.types import GVK

POD = GVK("", "v1", "Pod")
DEPLOYMENT = GVK("apps", "v1", "Deployment")
CREATED = "2026-11-21T09:00:00Z"


def create(gvk: GVK, obj: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(obj)
    strategy.prepare_create(gvk, result)
    return result


def update(gvk: GVK, new: dict[str, Any], old: dict[str, Any], subresource: str = "") -> dict[str, Any]:
    before = copy.deepcopy(old)
    result = copy.deepcopy(new)
    strategy.prepare_update(gvk, result, old, subresource)
    assert old == before
    return result


def deployment(replicas: int = 1, generation: int = 3, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "d", "generation": generation, **metadata},
        "spec": {"replicas": replicas},
        "status": {"replicas": 7},
    }


def test_create_drops_status_and_starts_the_generation() -> None:
    found = create(DEPLOYMENT, deployment(generation=9))
    assert found["status"] == {}
    assert found["metadata"]["generation"] == 1
    assert create(GVK("", "v1", "ConfigMap"), {"metadata": {}, "data": {}}) == {"metadata": {}, "data": {}}


def test_update_keeps_status_and_counts_changes_of_the_spec() -> None:
    changed = {**deployment(2, generation=0), "status": {"replicas": 99}}
    found = update(DEPLOYMENT, changed, deployment())
    assert found == deployment(2, generation=4)
    assert update(DEPLOYMENT, deployment(generation=50), deployment())["metadata"]["generation"] == 3
    annotated = update(DEPLOYMENT, deployment(annotations={"a": "b"}), deployment())
    assert annotated["metadata"]["generation"] == 4
    labelled = update(DEPLOYMENT, deployment(labels={"a": "b"}), deployment())
    assert labelled["metadata"]["generation"] == 3


def test_the_status_endpoint_changes_status_alone() -> None:
    new = {**deployment(50, labels={"x": "y"}), "status": {"replicas": 2}}
    found = update(DEPLOYMENT, new, deployment(labels={"a": "b"}), "status")
    assert found == {**deployment(labels={"a": "b"}), "status": {"replicas": 2}}


def test_the_scale_endpoint_counts_too() -> None:
    assert update(DEPLOYMENT, deployment(5), deployment(), "scale")["metadata"]["generation"] == 4


def test_a_new_pod_is_pending_with_its_class() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Running"}}
    found = create(POD, pod)
    assert found["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert found["metadata"]["generation"] == 1


def test_gated_pods_say_so() -> None:
    pod = {"metadata": {"creationTimestamp": CREATED}, "spec": {"containers": [], "schedulingGates": [{"name": "g"}]}}
    assert create(POD, pod)["status"]["conditions"] == [
        {
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": None,
            "lastTransitionTime": CREATED,
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }
    ]


def test_match_label_keys_become_this_pods_own_values() -> None:
    constraint = {"topologyKey": "zone", "matchLabelKeys": ["hash", "none"], "labelSelector": {}}
    pod = {"metadata": {"labels": {"hash": "x"}}, "spec": {"topologySpreadConstraints": [constraint]}}
    selector = create(POD, pod)["spec"]["topologySpreadConstraints"][0]["labelSelector"]
    assert selector == {"matchExpressions": [{"key": "hash", "operator": "In", "values": ["x"]}]}


def running_pod() -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "generation": 2, "labels": {"a": "b"}, "ownerReferences": [{"uid": "u"}]},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
        "status": {
            "phase": "Running",
            "qosClass": "Burstable",
            "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2}],
        },
    }


def test_pod_status_keeps_what_an_older_kubelet_would_lose() -> None:
    new = running_pod()
    new["metadata"].pop("ownerReferences")
    new["metadata"]["labels"] = {"c": "d"}
    new["spec"] = {}
    new["status"] = {"phase": "Failed", "conditions": [{"type": "Ready", "status": "False"}]}
    found = update(POD, new, running_pod(), "status")
    assert found["spec"] == running_pod()["spec"]
    assert found["metadata"]["ownerReferences"] == [{"uid": "u"}]
    assert found["metadata"]["labels"] == {"c": "d"}
    assert found["status"] == {
        "phase": "Failed",
        "qosClass": "Burstable",
        "observedGeneration": 2,
        "conditions": [{"type": "Ready", "status": "False", "observedGeneration": 2}],
    }


def test_ephemeral_containers_and_nothing_else() -> None:
    new = running_pod()
    new["spec"] = {"containers": [], "ephemeralContainers": [{"name": "debug"}]}
    new["metadata"]["labels"] = {}
    found = update(POD, new, running_pod(), "ephemeralcontainers")
    assert found["spec"] == {**running_pod()["spec"], "ephemeralContainers": [{"name": "debug"}]}
    assert found["metadata"]["labels"] == {"a": "b"}
    assert found["metadata"]["generation"] == 3


def test_resize_changes_resources_alone() -> None:
    new = running_pod()
    new["spec"]["containers"][0] |= {"image": "other", "resources": {"requests": {"cpu": "2"}}}
    found = update(POD, new, running_pod(), "resize")
    assert found["spec"]["containers"] == [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]
    assert found["metadata"]["generation"] == 3


def test_binding_raises_no_generation() -> None:
    new = running_pod()
    new["spec"]["nodeName"] = "n1"
    found = update(POD, new, running_pod(), "binding")
    assert (found["spec"]["nodeName"], found["metadata"]["generation"]) == ("n1", 2)


def test_namespaces_start_with_their_finalizer_and_lose_it_at_finalize_only() -> None:
    gvk = GVK("", "v1", "Namespace")
    created = create(gvk, {"metadata": {"name": "n"}})
    assert created["spec"] == {"finalizers": ["kubernetes"]}
    assert created["status"] == {"phase": "Active"}
    assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    emptied = {**created, "spec": {"finalizers": []}, "status": {"phase": "Odd"}}
    assert update(gvk, emptied, created)["spec"] == {"finalizers": ["kubernetes"]}
    finalized = update(gvk, emptied, created, "finalize")
    assert (finalized["spec"], finalized["status"]) == ({"finalizers": []}, {"phase": "Active"})
    terminating = update(gvk, {**emptied, "status": {"phase": "Terminating"}}, created, "status")
    assert (terminating["spec"], terminating["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Terminating"})


def test_jobs_get_a_selector_of_their_own() -> None:
    gvk = GVK("batch", "v1", "Job")
    found = create(gvk, {"metadata": {"name": "j", "uid": "u1"}, "spec": {"template": {"spec": {}}}})
    labels = {
        "batch.kubernetes.io/controller-uid": "u1",
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": "u1",
        "job-name": "j",
    }
    assert found["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}
    assert found["spec"]["template"]["metadata"]["labels"] == labels
    assert found["metadata"]["labels"] == labels
    assert found["metadata"]["generation"] == 1
    manual = {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}, "template": {}}
    assert create(gvk, {"metadata": {"name": "j"}, "spec": manual})["spec"] == manual


def test_string_data_becomes_data() -> None:
    gvk = GVK("", "v1", "Secret")
    secret = {"metadata": {}, "data": {"a": "QQ==", "b": "Qg=="}, "stringData": {"b": "héllo"}}
    expected = {"a": "QQ==", "b": base64.b64encode("héllo".encode()).decode()}
    found = create(gvk, secret)
    assert found == {"metadata": {}, "data": expected}
    assert update(gvk, secret, found)["data"] == expected


def test_daemon_sets_count_their_templates() -> None:
    gvk, key = GVK("apps", "v1", "DaemonSet"), "deprecated.daemonset.template.generation"
    old = create(gvk, {"metadata": {"name": "d"}, "spec": {"template": {"a": 1}}})
    assert old["metadata"]["annotations"] == {key: "1"}
    same = update(gvk, {"metadata": {"name": "d"}, "spec": {"template": {"a": 1}, "minReadySeconds": 1}}, old)
    assert (same["metadata"]["annotations"], same["metadata"]["generation"]) == ({key: "1"}, 2)
    assert update(gvk, {"metadata": {}, "spec": {"template": {"a": 2}}}, old)["metadata"]["annotations"] == {key: "2"}


def test_definitions_remember_the_versions_they_stored() -> None:
    gvk = GVK("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    old = create(gvk, {"metadata": {}, "spec": {"versions": [{"name": "v1", "storage": True}, {"name": "v2"}]}})
    assert old["status"]["storedVersions"] == ["v1"]
    switched = {"metadata": {}, "spec": {"versions": [{"name": "v1"}, {"name": "v2", "storage": True}]}}
    assert update(gvk, switched, old)["status"]["storedVersions"] == ["v1", "v2"]


def test_signing_requests_are_decided_at_their_own_endpoint() -> None:
    gvk = GVK("certificates.k8s.io", "v1", "CertificateSigningRequest")
    old = create(gvk, {"metadata": {}, "spec": {"request": "r"}, "status": {"conditions": [{"type": "Approved"}]}})
    assert old["status"] == {}
    approved = {"metadata": {}, "spec": {}, "status": {"certificate": "x", "conditions": [{"type": "Approved"}]}}
    found = update(gvk, approved, old, "approval")
    assert found["status"] == {"conditions": [{"type": "Approved"}]}
    assert found["spec"] == {"request": "r"}
    other = {"metadata": {}, "status": {"conditions": [{"type": "Approved"}, {"type": "Reviewed"}]}}
    assert update(gvk, other, found, "approval")["status"] == other["status"]
    changed = {"certificate": "x", "conditions": [{"type": "Mine"}, {"type": "Approved", "reason": "mine"}]}
    signed = update(gvk, {"metadata": {}, "status": changed}, found, "status")
    assert signed["status"] == {"certificate": "x", "conditions": [{"type": "Mine"}, {"type": "Approved"}]}
    forgotten = update(gvk, {"metadata": {}, "status": {"certificate": "x"}}, found, "status")
    assert forgotten["status"] == {"certificate": "x"}  # which validation refuses


@pytest.mark.parametrize(
    ("kind", "group", "status"),
    [
        ("Service", "", {"loadBalancer": {}}),
        ("PersistentVolumeClaim", "", {"phase": "Pending"}),
        ("ReplicaSet", "apps", {"replicas": 0}),
        ("Ingress", "networking.k8s.io", {"loadBalancer": {}}),
        ("CronJob", "batch", {}),
    ],
)
def test_first_status(kind: str, group: str, status: dict[str, Any]) -> None:
    assert create(GVK(group, "v1", kind), {"metadata": {}, "status": {"x": 1}})["status"] == status


def test_nodes_bring_their_status() -> None:
    node = {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "1"}}}
    assert create(GVK("", "v1", "Node"), node) == node
