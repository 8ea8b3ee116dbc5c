"""Deployments, Jobs and the nodes under them, run by the real controllers on simulated nodes."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.clusters import Cluster, wait_for
from tests.tools import Kubectl


def read(kubectl: Kubectl, *what: str) -> Any:
    return json.loads(kubectl("get", *what, "-o", "json"))


def images(kubectl: Kubectl, selector: str) -> list[str]:
    pods = read(kubectl, "pods", "-l", selector)["items"]
    return [p["spec"]["containers"][0]["image"] for p in pods if not p["metadata"].get("deletionTimestamp")]


def deploy(kubectl: Kubectl, replicas: int = 3) -> None:
    kubectl("create", "deployment", "web", "--image=nginx:1", f"--replicas={replicas}")
    rolled_out(kubectl)


def rolled_out(kubectl: Kubectl) -> None:
    assert kubectl("rollout", "status", "deployment/web", "--timeout=30s").endswith("successfully rolled out\n")


def test_rolling_update_and_undo(kubectl: Kubectl) -> None:
    deploy(kubectl)
    assert kubectl("set", "image", "deployment/web", "nginx=nginx:2") == "deployment.apps/web image updated\n"
    rolled_out(kubectl)
    assert images(kubectl, "app=web") == ["nginx:2"] * 3
    kubectl("annotate", "deployment/web", "kubernetes.io/change-cause=to two")
    history = kubectl("rollout", "history", "deployment/web")
    assert re.search(r"^1 +<none>$", history, re.MULTILINE)
    wait_for(
        lambda: re.search(r"^2 +to two$", kubectl("rollout", "history", "deployment/web"), re.MULTILINE),
        "the change cause in the history",
    )
    assert "nginx:1" in kubectl("rollout", "history", "deployment/web", "--revision=1")
    assert kubectl("rollout", "undo", "deployment/web") == "deployment.apps/web rolled back\n"
    rolled_out(kubectl)
    assert images(kubectl, "app=web") == ["nginx:1"] * 3
    assert kubectl("get", "rs", "-o", "name").count("replicaset") == 2
    assert re.search(r"^3 ", kubectl("rollout", "history", "deployment/web"), re.MULTILINE)
    kubectl("rollout", "undo", "deployment/web", "--to-revision=2")
    rolled_out(kubectl)
    assert images(kubectl, "app=web") == ["nginx:2"] * 3


def test_surge_and_unavailable_bounds(kubectl: Kubectl) -> None:
    deploy(kubectl, 4)
    strategy = {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}}
    kubectl("patch", "deployment", "web", "-p", json.dumps(strategy))
    kubectl("set", "image", "deployment/web", "nginx=nginx:2")
    rolled_out(kubectl)
    sizes = [
        int(match.group(1))
        for match in re.finditer(
            r"Scaled (?:up|down) replica set \S+ from \d+ to (\d+)", kubectl("describe", "deployment", "web")
        )
    ]
    assert sorted(sizes) == [0, 1, 1, 2, 2, 3, 3, 4] or sorted(sizes) == [0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_recreate(kubectl: Kubectl) -> None:
    deploy(kubectl, 2)
    strategy = {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
    kubectl("patch", "deployment", "web", "-p", json.dumps(strategy))
    kubectl("set", "image", "deployment/web", "nginx=nginx:2")
    rolled_out(kubectl)
    assert images(kubectl, "app=web") == ["nginx:2"] * 2


def test_pause_and_resume(kubectl: Kubectl) -> None:
    deploy(kubectl, 1)
    kubectl("rollout", "pause", "deployment/web")
    kubectl("set", "image", "deployment/web", "nginx=nginx:2")
    kubectl("set", "resources", "deployment/web", "--requests=cpu=10m")
    generation = read(kubectl, "deployment", "web")["metadata"]["generation"]
    kubectl("wait", f"--for=jsonpath={{.status.observedGeneration}}={generation}", "deployment/web", "--timeout=20s")
    assert images(kubectl, "app=web") == ["nginx:1"]
    kubectl("rollout", "resume", "deployment/web")
    rolled_out(kubectl)
    assert images(kubectl, "app=web") == ["nginx:2"]
    assert kubectl("get", "rs", "-o", "name").count("replicaset") == 2


def test_scale_restart_and_status_columns(kubectl: Kubectl) -> None:
    deploy(kubectl, 1)
    kubectl("scale", "deployment/web", "--replicas=4")
    rolled_out(kubectl)
    assert kubectl("get", "deployment", "web").splitlines()[1].split()[:4] == ["web", "4/4", "4", "4"]
    before = set(kubectl("get", "pods", "-o", "name").split())
    kubectl("rollout", "restart", "deployment/web")
    rolled_out(kubectl)
    wait_for(lambda: before.isdisjoint(kubectl("get", "pods", "-o", "name").split()), "new Pods only")
    kubectl("scale", "deployment/web", "--replicas=0")
    wait_for(lambda: not kubectl("get", "pods", "-o", "name"), "no Pods")


def test_a_deleted_pod_comes_back(kubectl: Kubectl) -> None:
    deploy(kubectl, 2)
    (first, *_) = kubectl("get", "pods", "-o", "name").split()
    kubectl("delete", first, "--wait=false")
    wait_for(lambda: read(kubectl, "deployment", "web")["status"].get("readyReplicas") == 2, "two Pods again")
    kubectl("wait", "--for=delete", first, "--timeout=40s")
    assert len(kubectl("get", "pods", "-o", "name").split()) == 2


def test_a_relabelled_pod_is_released_and_replaced(kubectl: Kubectl) -> None:
    deploy(kubectl, 1)
    (pod,) = kubectl("get", "pods", "-o", "name").split()
    kubectl("label", "--overwrite", pod, "app=other")
    wait_for(lambda: len(kubectl("get", "pods", "-l", "app=web", "-o", "name").split()) == 1, "a new Pod")
    wait_for(lambda: "ownerReferences" not in read(kubectl, pod)["metadata"], "the Pod's release")


def job(name: str, annotations: dict[str, str], **spec: Any) -> str:
    """A Job whose simulated containers end as the annotations say."""
    template = {
        "metadata": {"annotations": annotations},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]},
    }
    return json.dumps(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template, **spec}}
    )


SUCCEEDS = {"pinnace.dev/exit-code": "0"}
FAILS = {"pinnace.dev/exit-code": "3"}


def test_job_with_completions(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", input=job("j", SUCCEEDS, completions=4, parallelism=2))
    kubectl("wait", "--for=condition=Complete", "job/j", "--timeout=30s")
    assert kubectl("get", "job", "j").splitlines()[1].split()[:3] == ["j", "Complete", "4/4"]
    status = read(kubectl, "job", "j")["status"]
    assert status["succeeded"] == 4
    assert status["completionTime"]
    pods = read(kubectl, "pods", "-l", "job-name=j")["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Succeeded"] * 4
    kubectl("delete", "job", "j")
    wait_for(lambda: not kubectl("get", "pods", "-o", "name"), "the Job's Pods to be collected")


def test_indexed_job(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", input=job("j", SUCCEEDS, completions=3, parallelism=3, completionMode="Indexed"))
    kubectl("wait", "--for=condition=Complete", "job/j", "--timeout=30s")
    assert read(kubectl, "job", "j")["status"]["completedIndexes"] == "0-2"
    indexes = kubectl(
        "get", "pods", "-o", r"jsonpath={.items[*].metadata.labels.batch\.kubernetes\.io/job-completion-index}"
    )
    assert sorted(indexes.split()) == ["0", "1", "2"]


def test_failing_job(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", input=job("j", FAILS, backoffLimit=0))
    kubectl("wait", "--for=condition=Failed", "job/j", "--timeout=30s")
    (failed,) = (c for c in read(kubectl, "job", "j")["status"]["conditions"] if c["type"] == "Failed")
    assert failed["reason"] == "BackoffLimitExceeded"
    assert failed["message"] == "Job has reached the specified backoff limit"
    assert "Error" in kubectl("get", "pods")


def test_events_tell_what_happened(kubectl: Kubectl) -> None:
    deploy(kubectl, 2)
    reasons = kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").split()
    assert {"ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Started"} <= set(reasons)
    described = kubectl("describe", "deployment", "web")
    assert re.search(r"Normal +ScalingReplicaSet .*Scaled up replica set web-\w+ from 0 to 2", described)
    assert "NewReplicaSet:   web-" in described


def test_stateful_set(kubectl: Kubectl) -> None:
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "s"},
        "spec": {
            "selector": {"matchLabels": {"app": "s"}},
            "template": {
                "metadata": {"labels": {"app": "s"}},
                "spec": {"containers": [{"name": "c", "image": "x"}]},
            },
        },
    }
    kubectl("create", "-f", "-", input=json.dumps(manifest))
    spec = read(kubectl, "statefulset", "s")["spec"]
    assert (spec["replicas"], spec["podManagementPolicy"]) == (1, "OrderedReady")
    kubectl("rollout", "status", "statefulset/s", "--timeout=20s")
    assert kubectl("get", "pods", "-o", "name") == "pod/s-0\n"


def test_services_find_their_pods(kubectl: Kubectl) -> None:
    deploy(kubectl, 3)
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")

    def addresses() -> set[str]:
        slices = read(kubectl, "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
        return {a for s in slices for e in s["endpoints"] or () if e["conditions"]["ready"] for a in e["addresses"]}

    def pods() -> set[str]:
        return {p["status"]["podIP"] for p in read(kubectl, "pods", "-l", "app=web")["items"]}

    wait_for(lambda: addresses() == pods(), "the addresses of three Pods")
    assert len(addresses()) == 3
    kubectl("scale", "deployment/web", "--replicas=1")
    wait_for(lambda: len(addresses()) == 1, "one address")
    assert "Endpoints:" in kubectl("describe", "service", "web")


def test_service_accounts_and_root_certificate(kubectl: Kubectl) -> None:
    assert "BEGIN CERTIFICATE" in kubectl("get", "cm", "kube-root-ca.crt", "-o", r"jsonpath={.data.ca\.crt}")
    kubectl("delete", "serviceaccount", "default")
    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=10s")
    kubectl("delete", "configmap", "kube-root-ca.crt")
    kubectl("wait", "--for=create", "configmap/kube-root-ca.crt", "--timeout=10s")


# -- nodes


def test_pods_leave_a_node_that_is_not_ready(cluster: Cluster, kubectl37: Kubectl) -> None:
    """Not ready -> tainted -> Pods that do not tolerate it are deleted, the others stay."""
    kubectl = kubectl37

    def status(ready: str) -> dict[str, Any]:
        return {"status": {"conditions": [{"type": "Ready", "status": ready, "reason": "Test", "message": "-"}]}}

    def report(ready: str) -> None:
        kubectl("patch", "node", "by-hand", "--subresource=status", "-p", json.dumps(status(ready)))

    def taints() -> set[str]:
        return {f"{t['key']}:{t['effect']}" for t in read(kubectl, "node", "by-hand")["spec"].get("taints") or ()}

    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "by-hand"}, **status("True")}
    kubectl("create", "-f", "-", input=json.dumps(node))
    try:
        wait_for(lambda: not taints(), "the taints of a new node to go")
        for name, seconds in (("leaves", 0), ("stays", 300)):
            toleration = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
            tolerations = [{"key": f"node.kubernetes.io/{why}", **toleration} for why in ("not-ready", "unreachable")]
            spec = {
                "nodeName": "by-hand",
                "containers": [{"name": "c", "image": "x"}],
                "tolerations": tolerations,
            }
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
            kubectl("create", "-f", "-", input=json.dumps(pod))
        report("False")
        expected = {"node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"}
        wait_for(lambda: taints() == expected, "the taints of a node that is not ready")
        assert kubectl("get", "node", "by-hand").splitlines()[1].split()[1] == "NotReady"
        wait_for(lambda: read(kubectl, "pod", "leaves")["metadata"].get("deletionTimestamp"), "the Pod to be evicted")
        assert "TaintManagerEviction" in kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")
        assert "deletionTimestamp" not in read(kubectl, "pod", "stays")["metadata"]
        report("True")
        wait_for(lambda: not taints(), "the taints to go")
    finally:
        kubectl("delete", "pod", "--all", "--force", "--grace-period=0")
        kubectl("delete", "node", "by-hand")


def test_nodes_report_themselves(kubectl: Kubectl) -> None:
    lease = read(kubectl, "lease", "-n", "kube-node-lease", "simulated-0")
    assert lease["spec"]["holderIdentity"] == "simulated-0"
    node = read(kubectl, "node", "simulated-0")
    conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    assert conditions == {
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }
    assert node["spec"]["podCIDR"].startswith("10.244.")
    assert {"cpu", "memory", "pods"} <= set(node["status"]["allocatable"])
    described = kubectl("describe", "node", "simulated-0")
    assert "Allocated resources:" in described
