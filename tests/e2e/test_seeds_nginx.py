"""The seeds' nginx Deployment and its NodePort Service, unmodified, and their kubectl lines."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import MANIFESTS
from tests.machine import ADDRESS, Machine, eventually
from tests.tools import Kubectl

NODE_PORT = f"http://{ADDRESS}:30000"


@pytest.fixture(scope="module")
def nginx(kubectl: Kubectl) -> Iterator[None]:
    kubectl("apply", "-f", str(MANIFESTS / "nginx-deploy.yml"), "-f", str(MANIFESTS / "nginx-service.yml"))
    kubectl("rollout", "status", "deploy/nginx", "--timeout=60s", timeout=70)
    yield
    kubectl("delete", "-f", str(MANIFESTS / "nginx-deploy.yml"), "-f", str(MANIFESTS / "nginx-service.yml"))


def pods(kubectl: Kubectl) -> list[str]:
    return kubectl("get", "pods", "-l", "app=nginx", "-o", "name").split()


def test_three_pods_run(nginx: None, kubectl: Kubectl):
    assert len(pods(kubectl)) == 3
    shown = kubectl("get", "deploy", "nginx")
    assert "3/3" in shown
    assert "10.244." in kubectl("get", "pods", "-l", "app=nginx", "-o", "wide")


def test_the_service_serves_on_its_node_port(nginx: None, machine: Machine):
    page = eventually(lambda: machine.get(NODE_PORT))
    assert "Welcome to nginx!" in page


def test_and_on_its_cluster_ip_from_the_host_and_by_name_from_a_pod(nginx: None, machine: Machine, kubectl: Kubectl):
    address = kubectl("get", "svc", "nginx-svc", "-o", "jsonpath={.spec.clusterIP}")
    assert "Welcome" in eventually(lambda: machine.get(f"http://{address}:8080"))
    shown = kubectl(
        "run", "busybox", "--rm", "-i", "--restart=Never", "--image=busybox", "--",
        "sh", "-c", "cat /etc/resolv.conf; wget -q -O- nginx-svc.default:8080; wget -q -O- nginx-svc:8080",
    )  # fmt: skip
    assert shown.count("Welcome to nginx!") >= 2  # kubectl shows the logs again if the Pod ends before it attaches
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in shown


def test_its_endpoints_are_the_pods(nginx: None, kubectl: Kubectl):
    addresses = kubectl("get", "pods", "-l", "app=nginx", "-o", "jsonpath={.items[*].status.podIP}").split()
    shown = kubectl("describe", "ep", "nginx-svc")
    assert all(address in shown for address in addresses)


def test_scale_up_and_down(nginx: None, kubectl: Kubectl):
    for count in (4, 2):
        kubectl("scale", "deploy/nginx", f"--replicas={count}")
        kubectl("rollout", "status", "deploy/nginx", "--timeout=60s", timeout=70)
        eventually(lambda count=count: len(pods(kubectl)) == count, what=f"{count} pods")  # type: ignore[misc]


def test_set_image_history_and_undo(nginx: None, machine: Machine, kubectl: Kubectl):
    kubectl("set", "image", "deploy/nginx", "nginx=docker.io/nginx:v2")
    kubectl("rollout", "status", "deploy/nginx", "--timeout=60s", timeout=70)
    eventually(lambda: "nginx v2" in machine.get(NODE_PORT))
    history = kubectl("rollout", "history", "deploy/nginx")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2"]
    kubectl("rollout", "undo", "deploy/nginx", "--to-revision=1")
    kubectl("rollout", "status", "deploy/nginx", "--timeout=60s", timeout=70)
    eventually(lambda: "Welcome to nginx!" in machine.get(NODE_PORT))
    sets = json.loads(kubectl("get", "rs", "-l", "app=nginx", "-o", "json"))["items"]
    assert len(sets) == 2
    assert sorted(item["spec"]["replicas"] for item in sets) == [0, 2]


def test_describe_tells_the_story(nginx: None, kubectl: Kubectl):
    pod = pods(kubectl)[0]
    shown = kubectl("describe", pod)
    for word in ("Successfully assigned default/", "Pulled", "Created", "Started", "Controlled By:  ReplicaSet/nginx-"):
        assert word in shown
    shown = kubectl("describe", "deploy", "nginx")
    assert "ScalingReplicaSet" in shown
    assert "RollingUpdateStrategy:  25% max unavailable, 25% max surge" in shown


def test_logs_of_a_served_page(nginx: None, machine: Machine, kubectl: Kubectl):
    machine.get(NODE_PORT)
    eventually(lambda: any('"GET / HTTP/1.1" 200' in kubectl("logs", pod) for pod in pods(kubectl)))


def test_a_pod_that_is_deleted_is_replaced_and_leaves_the_service(nginx: None, machine: Machine, kubectl: Kubectl):
    gone = pods(kubectl)[0]
    kubectl("delete", gone)
    kubectl("rollout", "status", "deploy/nginx", "--timeout=60s", timeout=70)
    assert gone not in pods(kubectl)
    for _ in range(10):
        assert "Welcome" in machine.get(NODE_PORT)
