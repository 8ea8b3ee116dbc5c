"""Deletion: preconditions, grace, finalizers, propagation, collections, namespaces."""

from __future__ import annotations

import json
from typing import Any

from tests.clusters import Api, wait_for
from tests.tools import Kubectl

STORES = ("sqlite", "etcd")


def path(namespace: str, name: str = "", kind: str = "configmaps") -> str:
    return f"/api/v1/namespaces/{namespace}/{kind}" + (f"/{name}" if name else "")


def create(api: Api, namespace: str, name: str, **metadata: Any) -> Any:
    answer = api("POST", path(namespace), {"metadata": {"name": name, **metadata}})
    assert answer.status == 201, answer.body
    return answer.json["metadata"]


def test_answer_tells_what_was_deleted(bare_api: Api, bare_namespace: str) -> None:
    made = create(bare_api, bare_namespace, "a")
    answer = bare_api("DELETE", path(bare_namespace, "a"))
    assert answer.status == 200
    assert answer.json["status"] == "Success"
    assert answer.json["details"] == {"name": "a", "kind": "configmaps", "uid": made["uid"]}
    again = bare_api("DELETE", path(bare_namespace, "a"))
    assert (again.status, again.json["reason"]) == (404, "NotFound")


def test_preconditions(bare_api: Api, bare_namespace: str) -> None:
    made = create(bare_api, bare_namespace, "a")
    other = "00000000-0000-0000-0000-000000000000"
    wrong = bare_api("DELETE", path(bare_namespace, "a"), {"preconditions": {"uid": other}})
    assert wrong.status == 409
    assert wrong.json["message"] == (
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition '
        f"({other}) does not match the UID in record ({made['uid']}). The object might have been deleted and then "
        "recreated"
    )
    stale = bare_api("DELETE", path(bare_namespace, "a"), {"preconditions": {"resourceVersion": "1"}})
    assert stale.status == 409
    right = {"preconditions": {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}}
    assert bare_api("DELETE", path(bare_namespace, "a"), right).status == 200


def test_finalizers_hold_an_object(kubectl: Kubectl) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "finalizers": ["example.com/hold"]}}
    kubectl("create", "-f", "-", input=json.dumps(manifest))
    kubectl("delete", "cm", "c", "--wait=false")
    held = json.loads(kubectl("get", "cm", "c", "-o", "json"))["metadata"]
    assert held["deletionTimestamp"]
    assert held["deletionGracePeriodSeconds"] == 0
    added = kubectl.run("patch", "cm", "c", "--type=merge", "-p", '{"metadata": {"finalizers": ["a/b", "c/d"]}}')
    assert "no new finalizers can be added if the object is being deleted" in added.stderr
    kubectl("patch", "cm", "c", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    kubectl("wait", "--for=delete", "cm/c", "--timeout=10s")


def test_grace(api: Api, kubectl: Kubectl) -> None:
    """A Pod on a node gets its time; one that nobody runs goes at once; --force does not wait."""
    kubectl("run", "runs", "--image=nginx")
    kubectl("wait", "--for=condition=Ready", "pod/runs", "--timeout=20s")
    kubectl("delete", "pod", "runs", "--grace-period=2", "--wait=false")
    held = kubectl.run("get", "pod", "runs", "-o", "json")
    if held.returncode == 0:  # it may already have ended well before its time
        assert json.loads(held.stdout)["metadata"]["deletionGracePeriodSeconds"] == 2
    kubectl("wait", "--for=delete", "pod/runs", "--timeout=20s")

    pending = '--overrides={"spec": {"nodeSelector": {"no": "where"}}}'
    kubectl("run", "waits", "--image=nginx", pending)
    kubectl("delete", "pod", "waits", "--timeout=5s")
    kubectl("run", "forced", "--image=nginx")
    forced = kubectl.run("delete", "pod", "forced", "--force", "--grace-period=0", "--timeout=5s")
    assert forced.returncode == 0
    assert "force deleted" in forced.stdout


def owned(kubectl: Kubectl) -> set[str]:
    return set(kubectl("get", "rs,pods", "-o", "name").split())


def deploy(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "d", "--image=nginx", "--replicas=2")
    kubectl("rollout", "status", "deployment/d", "--timeout=20s")


def test_background(kubectl: Kubectl) -> None:
    deploy(kubectl)
    kubectl("delete", "deployment", "d")
    wait_for(lambda: not owned(kubectl), "ReplicaSet and Pods to be collected")


def test_foreground(kubectl: Kubectl) -> None:
    deploy(kubectl)
    kubectl("delete", "deployment", "d", "--cascade=foreground", "--timeout=20s")
    assert not owned(kubectl)


def test_orphan(kubectl: Kubectl) -> None:
    deploy(kubectl)
    before = owned(kubectl)
    kubectl("delete", "deployment", "d", "--cascade=orphan", "--timeout=20s")
    assert owned(kubectl) == before
    (replica_set,) = (name for name in before if name.startswith("replicaset"))
    assert "ownerReferences" not in json.loads(kubectl("get", replica_set, "-o", "json"))["metadata"]


def test_unknown_propagation(bare_api: Api, bare_namespace: str) -> None:
    create(bare_api, bare_namespace, "a")
    answer = bare_api("DELETE", path(bare_namespace, "a"), query={"propagationPolicy": "Sideways"})
    assert answer.status == 422
    assert answer.json["message"] == (
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Sideways": '
        'supported values: "Foreground", "Background", "Orphan", "nil"'
    )
    both = bare_api("DELETE", path(bare_namespace, "a"), {"propagationPolicy": "Orphan", "orphanDependents": True})
    assert both.status == 422


def test_collection(bare_api: Api, bare_namespace: str) -> None:
    for number in range(6):
        create(bare_api, bare_namespace, f"c{number}", labels={"half": str(number // 3)})
    assert bare_api("DELETE", path(bare_namespace), query={"labelSelector": "half=0"}).status == 200
    left = bare_api("GET", path(bare_namespace)).json["items"]
    assert [item["metadata"]["name"] for item in left] == ["c3", "c4", "c5"]
    assert bare_api("DELETE", path(bare_namespace), query={"fieldSelector": "metadata.name=c4"}).status == 200
    assert bare_api("DELETE", path(bare_namespace)).json["kind"] == "ConfigMapList"
    assert bare_api("GET", path(bare_namespace)).json["items"] == []


def test_kubectl_delete_all_and_by_label(kubectl: Kubectl) -> None:
    for name in ("a", "b", "c"):
        kubectl("create", "secret", "generic", name, "--from-literal=x=1")
    kubectl("label", "secret", "a", "b", "set=1")
    assert kubectl("delete", "secret", "-l", "set=1").count("deleted") == 2
    kubectl("delete", "secret", "--all")
    assert kubectl("get", "secret", "-o", "name") == ""


def test_dry_run(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c")
    assert "server dry run" in kubectl("delete", "cm", "c", "--dry-run=server")
    kubectl("get", "cm", "c")


def test_namespace_takes_everything_with_it(kubectl: Kubectl) -> None:
    name = kubectl.namespace
    deploy(kubectl)
    kubectl("create", "configmap", "c")
    kubectl("create", "secret", "generic", "s")
    kubectl("delete", "namespace", name, "--timeout=30s")
    assert "not found" in kubectl.run("get", "namespace", name).stderr
    refused = kubectl.run("create", "configmap", "c")
    assert f'namespaces "{name}" not found' in refused.stderr


def test_ending_namespace_takes_nothing_new(kubectl: Kubectl) -> None:
    name = kubectl.namespace
    hold = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "finalizers": ["example.com/hold"]}}
    kubectl("create", "-f", "-", input=json.dumps(hold))
    kubectl("delete", "namespace", name, "--wait=false")
    assert kubectl("get", "namespace", name, "-o", "jsonpath={.status.phase}") == "Terminating"
    refused = kubectl.run("create", "configmap", "d")
    assert (
        f'configmaps "d" is forbidden: unable to create new content in namespace {name} because it is being terminated'
        in refused.stderr
    )
    wait_for(
        lambda: "NamespaceFinalizersRemaining" in kubectl("get", "namespace", name, "-o", "json"),
        "the namespace to say what it waits for",
    )


def test_protected_namespaces(kubectl37: Kubectl) -> None:
    for name in ("default", "kube-system", "kube-public"):
        refused = kubectl37.run("delete", "namespace", name)
        assert f'namespaces "{name}" is forbidden: this namespace may not be deleted' in refused.stderr
