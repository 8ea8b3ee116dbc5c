"""Services and cluster DNS as Pods, the host and stock kubectl meet them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import MANIFESTS
from tests.machine import ADDRESS, Machine, eventually
from tests.tools import CLIENTS, ROOT, Kubectl

NAMESPACE = "services"
NODE_PORT = f"http://{ADDRESS}:30081/"


@pytest.fixture(scope="module")
def services(kubectl: Kubectl) -> Iterator[Kubectl]:
    there = kubectl.within(NAMESPACE)
    kubectl("create", "namespace", NAMESPACE)
    try:
        there("apply", "-f", "-", input=(MANIFESTS / "services.yml").read_text().replace("CLIENTS", str(CLIENTS)))
        there("rollout", "status", "deploy/web", "--timeout=60s", timeout=70)
        there("wait", "--for=condition=Ready", "pod/client", "--timeout=60s", timeout=70)
        yield there
    finally:
        there.run("delete", "deploy,pods", "--all", "--grace-period=1")
        kubectl("delete", "namespace", NAMESPACE)


def inside(services: Kubectl, *command: str) -> str:
    return services("exec", "client", "--", *command)


def fetch(services: Kubectl, url: str) -> str:
    return inside(services, "wget", "-q", "-O-", url).strip()


def pods(services: Kubectl) -> dict[str, str]:
    """Name to address of the web server's Pods."""
    listed = json.loads(services("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    return {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in listed}


def answered(shown: str) -> set[str]:
    """The addresses that nslookup prints, but its server's."""
    return set(re.findall(r"Address(?: \d+)?: (\d+\.\d+\.\d+\.\d+)$", shown, re.MULTILINE))


def test_both_endpoints_serve_pods_and_the_host(services: Kubectl, machine: Machine) -> None:
    address = services("get", "svc", "web", "-o", "jsonpath={.spec.clusterIP}")
    names = set(pods(services))
    seen: dict[str, set[str]] = {"pod": set(), "host": set(), "node port": set(), "node port from a pod": set()}

    def all_seen() -> bool:
        script = f"for n in 1 2 3 4 5 6; do wget -q -O- http://web; wget -q -O- {NODE_PORT} >&2; done"
        done = services.run("exec", "client", "--", "sh", "-c", script)
        assert done.returncode == 0, done.stderr
        seen["pod"].update(done.stdout.split())
        seen["node port from a pod"].update(done.stderr.split())
        seen["host"].add(machine.get(f"http://{address}/").strip())
        seen["node port"].add(machine.get(NODE_PORT).strip())
        return all(value == names for value in seen.values())

    eventually(all_seen, what=f"everybody reaches both: {seen}")


def test_names(services: Kubectl, machine: Machine) -> None:
    cluster_ip = services("get", "svc", "web", "-o", "jsonpath={.spec.clusterIP}")
    for name in ("web", f"web.{NAMESPACE}", f"web.{NAMESPACE}.svc.cluster.local"):
        assert fetch(services, f"http://{name}/") in pods(services)
    whole = f"web.{NAMESPACE}.svc.cluster.local"
    assert answered(inside(services, "nslookup", "-type=a", whole)) == {cluster_ip}
    shown = inside(services, "nslookup", "-type=srv", f"_http._tcp.{whole}")
    assert re.search(rf"service = \d+ \d+ 80 {re.escape(whole)}", shown), shown
    assert f"name = {whole}" in inside(services, "nslookup", cluster_ip)
    missing = services.run("exec", "client", "--", "nslookup", "-type=a", f"none.{NAMESPACE}.svc.cluster.local")
    assert missing.returncode == 1
    assert "NXDOMAIN" in missing.stdout
    conf = inside(services, "cat", "/etc/resolv.conf").splitlines()
    assert conf[:3] == [
        f"search {NAMESPACE}.svc.cluster.local svc.cluster.local cluster.local", "nameserver 10.96.0.10",
        "options ndots:5",
    ]  # fmt: skip


def test_a_headless_service_has_its_pods_addresses(services: Kubectl) -> None:
    name = f"each.{NAMESPACE}.svc.cluster.local"
    wanted = set(pods(services).values())
    assert answered(inside(services, "nslookup", "-type=a", name)) == wanted
    shown = inside(services, "nslookup", "-type=srv", f"_http._tcp.{name}")
    assert len(re.findall(rf"service = \d+ \d+ 8080 \S+\.{re.escape(name)}", shown)) == 2, shown


def test_a_load_balancer_has_an_address_of_its_own(services: Kubectl, machine: Machine) -> None:
    """Out of the box: an address of the pool that leads from this machine and its Pods to the endpoints."""
    address = eventually(
        lambda: services("get", "svc", "front", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}"), what="one"
    )
    assert address.startswith("10.98.0.")
    line = services("get", "svc", "front", "--no-headers").split()
    assert line[1] == "LoadBalancer" and line[3] == address
    assert "EnsuredLoadBalancer" in services("describe", "svc", "front")
    own = {machine.get(f"http://{address}/").strip() for _ in range(5)}
    assert len(own) == 1 and own < set(pods(services)), "one of them, always the same"
    assert fetch(services, f"http://{address}/") in pods(services)
    check = services("get", "svc", "front", "-o", "jsonpath={.spec.healthCheckNodePort}")
    answer = json.loads(machine.get(f"http://127.0.0.1:{check}/healthz"))
    assert answer == {
        "service": {"namespace": NAMESPACE, "name": "front"}, "localEndpoints": 2, "serviceProxyHealthy": True,
    }  # fmt: skip
    services("patch", "svc", "front", "-p", '{"spec":{"type":"ClusterIP"}}')
    eventually(lambda: services("get", "svc", "front", "-o", "jsonpath={.status}") == '{"loadBalancer":{}}')
    program = f"import urllib.request as r; r.urlopen('http://{address}/', timeout=20)"
    assert "Connection refused" in machine.run(sys.executable, "-c", program, check=False).stderr
    services("delete", "svc", "front")


def test_a_service_without_endpoints_refuses_at_once(services: Kubectl, machine: Machine) -> None:
    address = services("get", "svc", "nobody", "-o", "jsonpath={.spec.clusterIP}")
    began = time.monotonic()
    done = services.run("exec", "client", "--", "wget", "-q", "-O-", "http://nobody/")
    assert "Connection refused" in done.stderr
    program = f"import urllib.request as r; r.urlopen('http://{address}/', timeout=20)"
    refused = machine.run(sys.executable, "-c", program, check=False)
    assert "Connection refused" in refused.stderr
    assert time.monotonic() - began < 10


def test_names_of_the_world_outside(services: Kubectl, machine: Machine) -> None:
    """The name server that this computer asks, played by one on the machine."""
    lines = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
    server = next((line[1] for line in lines if line[:1] == ["nameserver"]), "")
    assert server, "/etc/resolv.conf names no name server"
    machine.run("ip", "addr", "replace", f"{server}/32", "dev", "lo")
    command = ["nsenter", f"--net=/run/netns/{machine.name}", sys.executable, "-m", "tests.resolver"]
    resolver = subprocess.Popen(
        [*command, server, "www.example.org=198.51.100.9"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert resolver.stdout is not None
        assert resolver.stdout.readline() == "ready\n"
        assert answered(inside(services, "nslookup", "-type=a", "www.example.org")) == {"198.51.100.9"}
        shown = inside(services, "nslookup", "-type=a", f"outside.{NAMESPACE}.svc.cluster.local")
        assert "198.51.100.9" in answered(shown)
        assert "NXDOMAIN" in services.run("exec", "client", "--", "nslookup", "-type=a", "no.example.org").stdout
    finally:
        resolver.kill()
        resolver.communicate()
        machine.run("ip", "addr", "del", f"{server}/32", "dev", "lo", check=False)


def test_a_pod_that_is_not_ready_gets_no_connections(services: Kubectl) -> None:
    sick, well = sorted(pods(services))
    services("exec", sick, "--", "rm", "/www/healthy")
    services("wait", "--for=condition=Ready=false", f"pod/{sick}", "--timeout=20s")
    count = "jsonpath={.items[*].endpoints[*].conditions.ready}"
    slices = ("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", count)
    eventually(lambda: sorted(services(*slices).split()) == ["false", "true"])
    script = "for n in $(seq 20); do wget -q -O- http://web; done"
    eventually(lambda: set(inside(services, "sh", "-c", script).split()) == {well})
    assert pods(services)[sick] not in services("get", "endpoints", "web")
    services("exec", sick, "--", "touch", "/www/healthy")
    services("wait", "--for=condition=Ready", f"pod/{sick}", "--timeout=20s")
    eventually(lambda: set(inside(services, "sh", "-c", script).split()) == {sick, well})


def test_a_pod_calls_the_api_with_its_own_identity(services: Kubectl) -> None:
    """Stock kubectl inside the Pod: in-cluster configuration, CA verified, rights by RBAC."""
    own = ("env", "-u", "KUBECONFIG", "/clients/kubectl-1.37")
    assert set(inside(services, *own, "get", "pods", "-o", "name").split()) == {
        "pod/client", *(f"pod/{name}" for name in pods(services)),
    }  # fmt: skip
    assert f"system:serviceaccount:{NAMESPACE}:reader" in inside(services, *own, "auth", "whoami")
    refused = services.run("exec", "client", "--", *own, "get", "secrets")
    assert refused.returncode == 1
    words = f'User "system:serviceaccount:{NAMESPACE}:reader" cannot list resource "secrets"'
    assert words in refused.stderr
    named = (*own, "--server=https://kubernetes.default.svc", "get", "pods", "client", "-o", "name")
    directory = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = f"exec {' '.join(named)} --certificate-authority={directory}/ca.crt --token=$(cat {directory}/token)"
    assert inside(services, "sh", "-c", script) == "pod/client\n"
