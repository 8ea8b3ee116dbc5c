"""Every part as a process of its own, over HTTPS: a cluster that goes on when any of them is killed."""

from __future__ import annotations

import json
import shutil
import ssl
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Cluster, Process, pinnace, wait_for
from tests.etcd import Etcd
from tests.ports import unused_ports

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


class Parts:
    """An API server, and the other parts beside it, each with a kubeconfig of its own and no more."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.cluster = Cluster(directory)
        self._listen = f"127.0.0.1:{unused_ports(1)[0]}"
        self.start_api()
        stack.callback(self.cluster.stop_if_running)
        self.api = self.cluster.api()
        self._stack = stack

    def start_api(self) -> None:
        """Where the other parts look for it, also when it was there before."""
        self.cluster.up("--parts", "apiserver", "--listen", self._listen)

    def _start(self, log: str, *arguments: str) -> Process:
        process = Process(self.directory / f"{log}.log", *arguments)
        self._stack.callback(process.kill)
        return process

    def controllers(self, number: int = 0) -> Process:
        data = self.cluster.data_dir
        return self._start(
            f"controllers-{number}",
            *("controllers", "--kubeconfig", str(data / "controller-manager.conf"), "--secure-port", "0"),
            *("--cluster-signing-cert-file", str(data / "pki" / "ca.crt")),
            *("--cluster-signing-key-file", str(data / "pki" / "ca.key")),
        )

    def scheduler(self) -> Process:
        kubeconfig = self.cluster.data_dir / "scheduler.conf"
        return self._start("scheduler", "scheduler", "--kubeconfig", str(kubeconfig), "--secure-port", "0")

    def token(self) -> Path:
        made = pinnace("token", "create", "--data-dir", str(self.cluster.data_dir))
        assert made.returncode == 0, made.stderr
        file = self.directory / "bootstrap-kubelet.conf"
        file.write_text(made.stdout)
        return file

    def node(self, *arguments: str) -> Process:
        data = self.directory / "node"
        return self._start("node", "node", "--data-dir", str(data), "--runtime", "simulated", *arguments)

    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("GET", PODS).json["items"]
        return found

    def deployment(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api("GET", f"{DEPLOYMENTS}/web").json
        return found

    def is_rolled_out(self, image: str, replicas: int) -> bool:
        deployment = self.deployment()
        status = deployment["status"]
        pods = self.pods()
        return (
            status.get("observedGeneration") == deployment["metadata"]["generation"]
            and status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas") == replicas
            and len(pods) == replicas
            and all(pod["spec"]["containers"][0]["image"] == image for pod in pods)
        )

    def change(self, **spec: Any) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self.api("PATCH", f"{DEPLOYMENTS}/web", json.dumps({"spec": spec}).encode(), headers=headers)
        assert answer.status == 200, answer.body


def template(image: str) -> dict[str, Any]:
    containers = [{"name": "main", "image": image}]
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with ExitStack() as stack:
        yield Parts(tmp_path, stack)


def test_a_cluster_of_processes(parts: Parts) -> None:
    """Work goes on while each part is killed and started again: a rollout proceeds, no Pod is doubled or restarted."""
    controllers, scheduler = parts.controllers(), parts.scheduler()
    node = parts.node("--node-name", "one", "--bootstrap-kubeconfig", str(parts.token()))
    node.wait_told("node one works")
    spec = {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": template("a")}
    made = parts.api("POST", DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec})
    assert made.status == 201, made.body
    wait_for(lambda: parts.is_rolled_out("a", 4), "the Deployment")
    one = parts.pods()[0]
    assert one["spec"]["nodeName"] == "one"
    assert any(volume["name"].startswith("kube-api-access-") for volume in one["spec"]["volumes"])
    log = parts.api("GET", f"{PODS}/{one['metadata']['name']}/log")
    assert (log.status, b"is simulated" in log.body) == (200, True)

    parts.change(template=template("b"))
    for process in (controllers, scheduler):
        process.kill()
    most = Most(lambda: len([pod for pod in parts.pods() if "deletionTimestamp" not in pod["metadata"]]))
    controllers, scheduler = parts.controllers(), parts.scheduler()
    controllers.wait_told("kube-controller-manager works", 2, 45)  # 15 s after the last sign of its predecessor
    scheduler.wait_told("kube-scheduler works", 2, 45)
    wait_for(lambda: most.look() and parts.is_rolled_out("b", 4), "the rollout")
    assert most.value <= 5  # one of surge

    before = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"] for pod in parts.pods()}
    node.kill()
    parts.node().wait_told("node one works", 2)
    parts.cluster.kill()
    parts.start_api()
    parts.change(replicas=6)
    wait_for(lambda: parts.is_rolled_out("b", 6), "two more Pods after the API server's restart")
    after = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"] for pod in parts.pods()}
    assert {uid: after.get(uid) for uid in before} == before
    for name in ("controllers-0", "scheduler", "node"):
        told = (parts.directory / f"{name}.log").read_text()
        lines = Counter(line.partition(" WARNING ")[2] or line for line in told.splitlines())
        assert max(lines.values()) <= 12, told[-2000:]  # nobody asks again and again without a pause, or says so
        assert " is forbidden: User " not in told


class Most:
    """The largest number that was seen."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self.value = 0

    def look(self) -> bool:
        self.value = max(self.value, self._count())
        return True


def test_of_two_one_leads_and_lets_go_when_it_is_stopped(parts: Parts) -> None:
    first = parts.controllers(1).wait_told("kube-controller-manager works")
    second = parts.controllers(2).wait_told("system:kube-controller-manager at")
    lease = parts.api("GET", f"{LEASES}/kube-controller-manager").json["spec"]
    assert "works" not in second.log()
    assert first.stop() == 0
    second.wait_told("kube-controller-manager works")
    again = parts.api("GET", f"{LEASES}/kube-controller-manager").json["spec"]
    assert again["holderIdentity"] not in ("", lease["holderIdentity"])
    assert again["leaseTransitions"] == lease["leaseTransitions"] + 1
    assert second.stop() == 0


def test_who_loses_the_lease_ends(parts: Parts) -> None:
    scheduler = parts.scheduler().wait_told("kube-scheduler works")
    change = json.dumps({"spec": {"holderIdentity": "somebody-else"}}).encode()
    headers = {"Content-Type": "application/merge-patch+json"}
    assert parts.api("PATCH", f"{LEASES}/kube-scheduler", change, headers=headers).status == 200
    assert scheduler.wait() == 1
    assert "pinnace: leaderelection lost" in scheduler.log()


def test_many_simulated_nodes_with_one_identity(parts: Parts) -> None:
    kubeconfig = str(parts.cluster.data_dir / "simulated-nodes.conf")
    parts.controllers().wait_told("kube-controller-manager works")  # they sign the certificate of the nodes' server
    parts.node("--simulated-nodes", "30", "--kubeconfig", kubeconfig, "--node-name", "many")
    ready = "/api/v1/nodes"
    wait_for(lambda: len(parts.api("GET", ready).json["items"]) == 30, "30 nodes")
    pods = "/api/v1/namespaces/default/pods"
    spec = {"nodeName": "many-7", "containers": [{"name": "main", "image": "web"}]}
    wait_for(lambda: parts.api("POST", pods, {"metadata": {"name": "web"}, "spec": spec}).status == 201, "the Pod")
    kubectl = parts.cluster.kubectl()
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=20s")
    wait_for(lambda: kubectl("logs", "web"), "the nodes' server to have its certificate")
    assert kubectl("logs", "web") == "container main of Pod web is simulated: it writes no log\n"
    refused = kubectl.run("exec", "web", "--", "ls").stderr
    assert "this container is simulated: there is no process to run a command in" in refused
    status = pinnace("status", "--data-dir", str(parts.directory / "node"))
    assert (status.returncode, "simulated" in status.stdout) == (0, True)
    down = pinnace("down", "--data-dir", str(parts.directory / "node"))
    assert (down.returncode, down.stdout) == (0, "stopped\n")
    assert " is forbidden: User " not in (parts.directory / "node.log").read_text()


def test_it_waits_for_the_api_server_and_says_so(parts: Parts) -> None:
    parts.cluster.down()
    scheduler = parts.scheduler().wait_told("waiting for the API server at")
    parts.start_api()
    scheduler.wait_told("kube-scheduler works")
    assert scheduler.log().count("waiting for the API server") <= 2
    assert scheduler.stop() == 0


def run(*arguments: str) -> tuple[int, str]:
    done = pinnace(*arguments, timeout=20)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.returncode, done.stderr


def test_what_cannot_get_better_is_an_error_of_one_line(parts: Parts, tmp_path: Path) -> None:
    def scheduler(file: Path) -> tuple[int, str]:
        return run("scheduler", "--kubeconfig", str(file), "--secure-port", "0")

    code, told = scheduler(tmp_path / "nothing.conf")
    assert (code, "there is no kubeconfig" in told) == (2, True)
    broken = tmp_path / "broken.conf"
    broken.write_text("clusters: [")
    code, told = scheduler(broken)
    assert (code, "is no kubeconfig that can be used" in told) == (2, True)

    good = (parts.cluster.data_dir / "scheduler.conf").read_text()
    stranger = tmp_path / "stranger.conf"
    token = parts.token().read_text().replace("token: ", "token: abcdef.0123456789abcdef # ")
    stranger.write_text(token)
    code, told = scheduler(stranger)
    assert (code, "401 Unauthorized" in told) == (13, True)

    other = Cluster(tmp_path / "other")
    other.directory.mkdir()
    other.up("--parts", "apiserver")
    other.down()
    lines = good.splitlines()
    authority = next(line for line in lines if "certificate-authority-data" in line)
    foreign = (other.data_dir / "scheduler.conf").read_text().splitlines()
    mixed = tmp_path / "mixed.conf"
    mixed.write_text(good.replace(authority, next(line for line in foreign if "certificate-authority-data" in line)))
    code, told = scheduler(mixed)
    assert (code, "is not one that" in told) == (13, True)

    code, told = run("node", "--data-dir", str(tmp_path / "n"), "--runtime", "simulated")
    assert (code, "--bootstrap-kubeconfig" in told) == (2, True)
    code, told = run("token", "create", "--data-dir", str(tmp_path / "n"))
    assert code == 16


def test_a_token_joins_no_longer_than_it_lives(parts: Parts, tmp_path: Path) -> None:
    parts.controllers()
    made = pinnace("token", "create", "--ttl", "1s", "--data-dir", str(parts.cluster.data_dir))
    assert made.returncode == 0, made.stderr
    file = tmp_path / "short.conf"
    file.write_text(made.stdout)
    secrets = "/api/v1/namespaces/kube-system/secrets"
    wait_for(lambda: not parts.api("GET", secrets).json["items"], "the token cleaner")
    code, told = run(
        "node", "--data-dir", str(tmp_path / "n"), "--runtime", "simulated", "--bootstrap-kubeconfig", str(file)
    )
    assert (code, "401 Unauthorized" in told) == (13, True)


def test_health(parts: Parts) -> None:
    unused_port = unused_ports(1)[0]
    kubeconfig = str(parts.cluster.data_dir / "scheduler.conf")
    process = parts._start("health", "scheduler", "--kubeconfig", kubeconfig, "--secure-port", str(unused_port))
    process.wait_told("kube-scheduler works")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(f"https://127.0.0.1:{unused_port}/healthz", context=trusting, timeout=10) as answer:
        assert answer.read() == b"ok"
    taken = pinnace("scheduler", "--kubeconfig", kubeconfig, "--secure-port", str(unused_port))
    assert (taken.returncode, "--secure-port" in taken.stderr) == (10, True)


def test_processes_that_share_a_store_share_the_work(tmp_path: Path) -> None:
    """Two whole control planes on one etcd: one of them has the controllers and the scheduler, then the other."""
    with ExitStack() as stack:
        etcd = Etcd(tmp_path / "etcd", durable=False).start()
        stack.callback(etcd.stop)
        first, second = Cluster(tmp_path / "first"), Cluster(tmp_path / "second")
        for cluster in (first, second):
            stack.callback(cluster.stop_if_running)
        first.directory.mkdir()
        first.up("--store", etcd.url, "--parts", "apiserver,controllers,scheduler,node")
        shutil.copytree(first.data_dir / "pki", second.data_dir / "pki")
        second.up("--store", etcd.url, "--parts", "apiserver,controllers,scheduler")
        leases = [f"{LEASES}/{name}" for name in ("kube-controller-manager", "kube-scheduler")]
        holders = [first.api()("GET", lease).json["spec"]["holderIdentity"] for lease in leases]
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("a")}
        made = second.api()("POST", DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec})
        assert made.status == 201, made.body
        pods = second.api()
        wait_for(lambda: len([p for p in pods("GET", PODS).json["items"] if p["spec"].get("nodeName")]) == 2, "Pods")
        first.down()
        wait_for(
            lambda: all(pods("GET", lease).json["spec"]["holderIdentity"] not in ("", *holders) for lease in leases),
            "the other process",
        )
