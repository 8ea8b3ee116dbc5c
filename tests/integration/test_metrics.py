"""``kubectl top`` and the metrics API, of simulated nodes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from tests.clusters import Api, Cluster, wait_for
from tests.tools import Kubectl

from pinnace.testing import ApiError, Pinnace

METRICS = "/apis/metrics.k8s.io/v1beta1"
_names = itertools.count()


def pod(name: str, cpu: str, memory: str, **labels: str) -> dict[str, object]:
    annotations = {"pinnace.dev/cpu-usage.main": cpu, "pinnace.dev/memory-usage.main": memory}
    containers = [{"name": "main", "image": "web"}, {"name": "log", "image": "agent"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations, "labels": labels},
        "spec": {"containers": containers},
    }


@pytest.fixture
def pods(api: Api, namespace: str) -> Callable[[str], str]:
    """A small and a large Pod that run; the path of a namespaced resource."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    for body in (pod("small", "20m", "16Mi"), pod("large", "1500m", "1Gi", tier="front")):
        assert api("POST", path, body).status == 201

    def running() -> bool:
        return [item["status"]["phase"] for item in api("GET", path).json["items"]] == ["Running", "Running"]

    wait_for(running)
    return lambda resource: f"{METRICS}/namespaces/{namespace}/{resource}"


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_kubectl_top(kubectl: Kubectl, pods: Callable[[str], str]):
    assert lines(kubectl("top", "pods")) == [
        ["NAME", "CPU(cores)", "MEMORY(bytes)"],
        ["large", "1501m", "1025Mi"],
        ["small", "21m", "17Mi"],
    ]
    assert lines(kubectl("top", "pods", "--sort-by=cpu", "--no-headers"))[0][0] == "large"
    assert lines(kubectl("top", "pods", "-l", "tier=front", "--no-headers")) == [["large", "1501m", "1025Mi"]]
    assert lines(kubectl("top", "pod", "small", "--containers", "--no-headers")) == [
        ["small", "log", "1m", "1Mi"],
        ["small", "main", "20m", "16Mi"],
    ]
    assert ["small", "21m", "17Mi"] in [line[1:] for line in lines(kubectl("top", "pods", "--all-namespaces"))]
    (node,) = lines(kubectl("top", "nodes", "--no-headers"))
    assert node[0] == "simulated-0"
    assert int(node[1].removesuffix("m")) >= 1522
    assert int(node[3].removesuffix("Mi")) >= 1042


def test_the_api_as_clients_see_it(api: Api, kubectl37: Kubectl, pods: Callable[[str], str]):
    one = api("GET", pods("pods/small")).json
    assert (one["kind"], one["apiVersion"], one["window"]) == ("PodMetrics", "metrics.k8s.io/v1beta1", "1s")
    assert one["containers"] == [
        {"name": "log", "usage": {"cpu": "1000000n", "memory": "1024Ki"}},
        {"name": "main", "usage": {"cpu": "20000000n", "memory": "16384Ki"}},
    ]
    assert lines(kubectl37("get", "podmetrics", "--no-headers")) == [
        ["large", "1501m", "1025Mi", "1s"],
        ["small", "21m", "17Mi", "1s"],
    ]
    listed = api("GET", pods("pods"), query={"fieldSelector": "metadata.name=large"}).json
    assert (listed["kind"], [item["metadata"]["labels"] for item in listed["items"]]) == (
        "PodMetricsList",
        [{"tier": "front"}],
    )
    missing = api("GET", pods("pods/none")).json
    assert (missing["code"], missing["message"]) == (404, 'pods "none" not found')
    assert api("POST", pods("pods"), {}).json["code"] == 405
    assert "nodes/status" not in str(api("GET", METRICS).json)
    assert kubectl37("api-resources", "--api-group=metrics.k8s.io", "--no-headers").split() == [
        *("nodes", "metrics.k8s.io/v1beta1", "false", "NodeMetrics"),
        *("pods", "metrics.k8s.io/v1beta1", "true", "PodMetrics"),
    ]
    assert "containers\t<[]Object> -required-" in kubectl37("explain", "pods", "--api-version=metrics.k8s.io/v1beta1")


def test_a_pod_that_does_not_run_has_no_metrics(api: Api, namespace: str):
    waiting = pod("waiting", "1m", "1Mi")
    waiting["spec"] = {"nodeSelector": {"no": "node"}, "containers": [{"name": "main", "image": "web"}]}
    assert api("POST", f"/api/v1/namespaces/{namespace}/pods", waiting).status == 201
    answer = api("GET", f"{METRICS}/namespaces/{namespace}/pods/waiting").json
    assert answer["message"] == f'podmetrics.metrics.k8s.io "{namespace}/waiting" not found'
    assert (answer["reason"], answer["details"]["group"]) == ("NotFound", "metrics.k8s.io")
    assert api("GET", f"{METRICS}/namespaces/{namespace}/pods").json["items"] == []


def test_who_may_view_may_see_what_is_used(kubectl37: Kubectl, pods: Callable[[str], str]):
    kubectl37("create", "rolebinding", "viewers", "--clusterrole=view", "--user=jane")
    assert lines(kubectl37("top", "pods", "--as=jane", "--no-headers"))[1] == ["small", "21m", "17Mi"]
    refused = kubectl37.run("top", "pods", "--as=joe").stderr
    assert 'User "joe" cannot list resource "pods" in API group "metrics.k8s.io"' in refused
    assert 'cannot list resource "nodes"' in kubectl37.run("top", "nodes", "--as=jane").stderr


def test_the_api_server_alone_has_no_metrics(bare: Cluster):
    assert bare.api()("GET", METRICS).status == 404


@pytest.mark.pinnace(virtual_time=True, simulated_nodes=3)
def test_use_can_be_changed_by_a_test_and_time_may_stand_still(pinnace: Pinnace):
    with pinnace.namespace(f"metrics-{next(_names)}") as namespace:
        client = pinnace.client(namespace=namespace)
        client.create(pod("web", "100m", "1Mi"))
        client.wait("pods", "web", "Ready")

        def used() -> str:
            return str(client.get("podmetrics", "web")["containers"][1]["usage"]["cpu"])

        assert used() == "100000000n"
        client.patch("pods", "web", {"metadata": {"annotations": {"pinnace.dev/cpu-usage.main": "2"}}})
        assert used() == "2000000000n"
        pinnace.advance("10m")
        assert len(client.list("nodemetrics")) == 3
        node = client.get("pods", "web")["spec"]["nodeName"]
        pinnace.nodes.stop(node)
        pinnace.advance("2m")
        with pytest.raises(ApiError, match=f'podmetrics.metrics.k8s.io "{namespace}/web" not found'):
            used()
        pinnace.nodes.start(node)
