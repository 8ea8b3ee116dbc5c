"""What a kubelet's own certificate is good for: its own node, and what the Pods on it need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clusters import Api, Cluster

from pinnace.cluster import pki

NODE = "n1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("nodes"))
    yield made.up("--parts", "apiserver")
    made.down("--purge")


@pytest.fixture(scope="module")
def node(server: Cluster) -> Api:
    """The API as the kubelet of n1 reaches it, with one Pod bound to it and one elsewhere."""
    admin = server.api()
    admin("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    for name in ("mine", "other"):
        for resource in ("secrets", "configmaps"):
            admin("POST", f"/api/v1/namespaces/default/{resource}", {"metadata": {"name": name}})
    for name, where in (("mine", NODE), ("other", "n2")):
        volumes = [{"name": "s", "secret": {"secretName": name}}, {"name": "c", "configMap": {"name": name}}]
        container = {"name": "c", "image": "busybox"}
        spec = {"nodeName": where, "serviceAccountName": "default", "containers": [container], "volumes": volumes}
        made = admin("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": name}, "spec": spec})
        assert made.status == 201, made.body
    return kubelet(server, server.directory)


def kubelet(server: Cluster, directory: Path) -> Api:
    import time

    authority = pki.Pki(directory / "data" / "pki", now=time.time())
    authority.ensure(pki.api_server_names("127.0.0.1"), pki.node_leaves(NODE, ()))
    api = server.api(anonymous=True)
    leaf = f"nodes/{NODE}/kubelet-client"
    api.tls.load_cert_chain(authority.certificate(leaf), authority.key(leaf))
    return api


@pytest.mark.parametrize("resource", ["secrets", "configmaps"])
def test_reads_what_its_pods_name(node: Api, resource: str) -> None:
    path = f"/api/v1/namespaces/default/{resource}"
    assert node("GET", f"{path}/mine").status == 200
    assert node("GET", path, query={"fieldSelector": "metadata.name=mine"}).status == 200
    other = node("GET", f"{path}/other")
    assert other.status == 403
    assert other.json["message"].endswith("no relationship found between node 'n1' and this object")
    assert node("GET", path).status == 403
    assert node("DELETE", f"{path}/mine").status == 403


def test_gets_tokens_only_for_its_pods(server: Cluster, node: Api) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"

    def ask(name: str) -> tuple[int, str]:
        pod = server.api()("GET", f"/api/v1/namespaces/default/pods/{name}").json["metadata"]
        reference = {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": pod["uid"]}
        answer = node("POST", path, {"spec": {"boundObjectRef": reference}})
        return answer.status, answer.json.get("message", "")

    assert ask("mine")[0] == 201
    assert ask("other")[1].endswith("node requested token bound to a pod scheduled on a different node")
    unbound = node("POST", path, {"spec": {}})
    assert (unbound.status, unbound.json["message"]) == (
        403,
        'serviceaccounts "default" is forbidden: node requested token not bound to a pod',
    )


def test_keeps_its_own_node_and_lease(node: Api) -> None:
    made = node("POST", "/api/v1/nodes", {"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}})
    assert made.status == 201, made.body
    assert made.json["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert node("POST", "/api/v1/nodes", {"metadata": {"name": "n2"}}).status == 403
    merge = {"Content-Type": "application/merge-patch+json"}
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert node("PATCH", f"/api/v1/nodes/{NODE}/status", ready, headers=merge).status == 200
    untaint = node("PATCH", f"/api/v1/nodes/{NODE}", {"spec": {"taints": []}}, headers=merge)
    assert untaint.json["message"] == 'nodes "n1" is forbidden: node "n1" is not allowed to modify taints'
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    assert node("POST", leases, {"metadata": {"name": NODE}, "spec": {"holderIdentity": NODE}}).status == 201
    assert node("POST", leases, {"metadata": {"name": "n2"}, "spec": {"holderIdentity": "n2"}}).status == 403


def test_reports_only_its_own_pods(node: Api) -> None:
    merge = {"Content-Type": "application/merge-patch+json"}
    running = {"status": {"phase": "Running"}}
    pods = "/api/v1/namespaces/default/pods"
    assert node("PATCH", f"{pods}/mine/status", running, headers=merge).status == 200
    assert node("PATCH", f"{pods}/other/status", running, headers=merge).status == 403
    assert node("DELETE", f"{pods}/other").status == 403
    assert node("GET", "/api/v1/pods").status == 200
    assert node("POST", pods, {"metadata": {"name": "x"}, "spec": {"containers": []}}).status == 403
