"""Endpoints below an object: status, scale, binding, eviction, token."""

from __future__ import annotations

import json

from tests.clusters import Api, Cluster
from tests.tools import Kubectl

MERGE = {"Content-Type": "application/merge-patch+json"}


def pod(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "x"}]}}


def test_scale(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "d", "--image=nginx", "--replicas=1")
    assert kubectl("scale", "deployment/d", "--replicas=3") == "deployment.apps/d scaled\n"
    kubectl("rollout", "status", "deployment/d", "--timeout=20s")
    scale = json.loads(kubectl("get", "deployment", "d", "--subresource=scale", "-o", "json"))
    assert scale["kind"] == "Scale"
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 3, "selector": "app=d"}
    wrong = kubectl.run("scale", "deployment/d", "--current-replicas=7", "--replicas=1")
    assert "Expected replicas to be 7, was 3" in wrong.stderr


def test_negative_scale(bare_api: Api, bare_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{bare_namespace}/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    assert bare_api("POST", path, body).status == 201
    answer = bare_api("PATCH", path + "/d/scale", {"spec": {"replicas": -1}}, headers=MERGE)
    assert answer.status == 422
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in answer.json["message"]


def test_status_and_spec_are_kept_apart(bare_api: Api, bare_namespace: str) -> None:
    path = f"/api/v1/namespaces/{bare_namespace}/pods"
    made = bare_api("POST", path, {**pod("p"), "status": {"phase": "Running"}}).json
    assert made["status"]["phase"] == "Pending"
    body = {"spec": {"activeDeadlineSeconds": 5}, "status": {"phase": "Running", "podIP": "10.244.0.9"}}
    changed = bare_api("PATCH", path + "/p/status", body, headers=MERGE).json
    assert "activeDeadlineSeconds" not in changed["spec"]
    assert (changed["status"]["phase"], changed["status"]["podIPs"]) == ("Running", [{"ip": "10.244.0.9"}])
    changed = bare_api("PATCH", path + "/p", body | {"status": {"phase": "Failed"}}, headers=MERGE).json
    assert changed["spec"]["activeDeadlineSeconds"] == 5
    assert changed["status"]["phase"] == "Running"


def test_binding(bare_api: Api, bare_namespace: str) -> None:
    path = f"/api/v1/namespaces/{bare_namespace}/pods"
    bare_api("POST", path, pod("p"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "somewhere"}}
    answer = bare_api("POST", path + "/p/binding", binding)
    assert (answer.status, answer.json["status"]) == (201, "Success")
    bound = bare_api("GET", path + "/p").json
    assert bound["spec"]["nodeName"] == "somewhere"
    (scheduled,) = (c for c in bound["status"]["conditions"] if c["type"] == "PodScheduled")
    assert scheduled["status"] == "True"
    again = bare_api("POST", path + "/p/binding", binding)
    assert again.status == 409
    assert again.json["message"].endswith('pod p is already assigned to node "somewhere"')


def test_a_pod_learns_the_zone_and_region_of_its_node(bare_api: Api, bare_namespace: str) -> None:
    node = {
        "metadata": {"name": f"node-{bare_namespace}", "labels": {"topology.kubernetes.io/zone": "z1", "other": "x"}}
    }
    node["metadata"]["labels"]["topology.kubernetes.io/region"] = "r1"
    assert bare_api("POST", "/api/v1/nodes", node).status == 201
    pods = f"/api/v1/namespaces/{bare_namespace}/pods"
    spec = {"containers": [{"name": "c", "image": "busybox"}], "schedulerName": "none"}
    assert bare_api("POST", pods, {"metadata": {"name": "a", "labels": {"app": "a"}}, "spec": spec}).status == 201
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": f"node-{bare_namespace}"}}
    assert bare_api("POST", f"{pods}/a/binding", binding).status == 201
    assert bare_api("GET", f"{pods}/a").json["metadata"]["labels"] == {
        "app": "a",
        "topology.kubernetes.io/zone": "z1",
        "topology.kubernetes.io/region": "r1",
    }
    assert bare_api("DELETE", f"/api/v1/nodes/node-{bare_namespace}").status == 200


def test_eviction(kubectl: Kubectl) -> None:
    kubectl("run", "p", "--image=nginx", "--labels=app=p")
    kubectl("create", "pdb", "guard", "--selector=app=p", "--min-available=1")
    kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": kubectl.namespace}}
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/p/eviction"
    refused = kubectl.run("create", "--raw", path, "-f", "-", input=json.dumps(body))
    assert "Cannot evict pod as it would violate the pod's disruption budget." in refused.stderr
    kubectl("delete", "pdb", "guard")
    kubectl("patch", "pod", "p", "--type=merge", "--patch", '{"metadata": {"finalizers": ["example.com/stay"]}}')
    kubectl("create", "--raw", path, "-f", "-", input=json.dumps(body))
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/p", "--timeout=40s")
    why = "jsonpath={.status.conditions[?(@.type=='DisruptionTarget')].reason}"
    assert kubectl("get", "pod", "p", "--output", why) == "EvictionByEvictionAPI"
    kubectl("patch", "pod", "p", "--type=merge", "--patch", '{"metadata": {"finalizers": null}}')
    kubectl("wait", "--for=delete", "pod/p", "--timeout=40s")


def test_token(cluster: Cluster, kubectl: Kubectl) -> None:
    token = kubectl("create", "token", "default", "--duration=10m").strip()
    answer = cluster.api(token=token)("GET", "/api/v1/nodes")
    assert answer.status == 403
    user = f"system:serviceaccount:{kubectl.namespace}:default"
    assert answer.json["message"] == (
        f'nodes is forbidden: User "{user}" cannot list resource "nodes" in API group "" at the cluster scope'
    )
    absent = kubectl.run("create", "token", "nobody")
    assert 'serviceaccounts "nobody" not found' in absent.stderr


def test_unknown_subresource(bare_api: Api, bare_namespace: str) -> None:
    path = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    bare_api("POST", path, {"metadata": {"name": "c"}})
    for below in ("status", "scale", "nonsense"):
        answer = bare_api("GET", f"{path}/c/{below}")
        assert answer.status == 404
        assert answer.json["message"] == "the server could not find the requested resource"
