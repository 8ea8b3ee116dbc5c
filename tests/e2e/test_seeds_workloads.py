"""The seeds' DaemonSets, Jobs, CronJob, sidecar and probes with real containers, and their Deployment by kustomize."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.conftest import SEEDS
from tests.machine import Machine, eventually
from tests.tools import Kubectl

NAMESPACE = "seeds-workloads"
DAEMONS = ("ds-fluentd-mended", "ds-node-exporter", "ds-istio-proxy", "ds-calico-node")


@pytest.fixture(scope="module")
def seeds(kubectl: Kubectl) -> Iterator[Kubectl]:
    """With the Job and the DaemonSets at work."""
    kubectl("create", "namespace", NAMESPACE)
    there = kubectl.within(NAMESPACE)
    there("apply", *(f"--filename={SEEDS / name}.yml" for name in ("job-pi-mended", *DAEMONS)))
    yield there
    kubectl("delete", "namespace", NAMESPACE)


def pod_ip(seeds: Kubectl, selector: str) -> str:
    return seeds("get", "pods", "-l", selector, "-o", "jsonpath={.items[0].status.podIP}")


def test_a_sidecar_reads_the_servers_log(seeds: Kubectl, machine: Machine) -> None:
    seeds("apply", "-f", str(SEEDS / "sidecar-demo.yml"))
    seeds("wait", "--for=condition=Ready", "pod/sidecar-demo", "--timeout=60s", timeout=70)
    address = seeds("get", "pod", "sidecar-demo", "-o", "jsonpath={.status.podIP}")
    assert "Welcome to nginx!" in machine.get(f"http://{address}/")
    eventually(lambda: '"GET / HTTP/1.1" 200' in seeds("logs", "sidecar-demo", "-c", "sidecar-container"))
    assert seeds("get", "pod", "sidecar-demo", "--no-headers").split()[1] == "2/2"


def test_a_daemon_of_each_kind_on_the_node(seeds: Kubectl, machine: Machine) -> None:
    refused = seeds.run("apply", "-f", str(SEEDS / "ds-fluentd.yml"))
    assert refused.returncode == 1
    assert 'strict decoding error: unknown field "spec.volumes"' in refused.stderr
    for name in ("fluentd", "node-exporter", "istio-proxy", "calico-node"):
        seeds("rollout", "status", f"ds/{name}", "--timeout=60s", timeout=70)
    lines = seeds("get", "daemonsets").splitlines()
    head = ["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE", "SELECTOR", "AGE"]
    assert lines[0].split() == head
    assert {tuple(line.split()[:7]) for line in lines[1:]} == {
        (name, "1", "1", "1", "1", "1", "<none>") for name in ("fluentd", "node-exporter", "istio-proxy", "calico-node")
    }
    address = pod_ip(seeds, "name=node-exporter")
    assert eventually(lambda: machine.get(f"http://{address}:9100/metrics")) == "node_load1 0.21\n"
    mounted = seeds("exec", "ds/fluentd", "--", "sh", "-c", "grep ' /var/log ' /proc/self/mounts")
    assert "/var/log" in mounted


def test_a_daemon_set_replaces_its_pods_one_by_one(seeds: Kubectl) -> None:
    before = seeds("get", "pods", "-l", "name=fluentd", "-o", "name")
    seeds("set", "env", "ds/fluentd", "ROUND=2")
    seeds("rollout", "status", "ds/fluentd", "--timeout=60s", timeout=70)
    assert seeds("exec", "ds/fluentd", "--", "sh", "-c", "echo $ROUND") == "2\n"
    assert before.strip() not in eventually(lambda: seeds("get", "pods", "-l", "name=fluentd", "-o", "name"))
    seeds("rollout", "undo", "ds/fluentd")
    seeds("rollout", "status", "ds/fluentd", "--timeout=60s", timeout=70)
    eventually(lambda: seeds.run("exec", "ds/fluentd", "--", "sh", "-c", "echo $ROUND").stdout == "\n")


def test_a_daemon_set_on_delete_waits(seeds: Kubectl) -> None:
    strategy = {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}}
    seeds("patch", "ds", "calico-node", "-p", json.dumps(strategy))
    seeds("set", "env", "ds/calico-node", "ROUND=2")

    def numbers() -> list[str]:
        return seeds("get", "ds", "calico-node", "--no-headers").split()[1:6]

    eventually(lambda: numbers() == ["1", "1", "1", "0", "1"], what="not up to date, and left alone")
    seeds("delete", "pods", "-l", "name=calico-node", "--grace-period=1")
    eventually(lambda: numbers() == ["1", "1", "1", "1", "1"])
    assert seeds("exec", "ds/calico-node", "--", "sh", "-c", "echo $ROUND") == "2\n"


def test_a_taint_keeps_pods_away_unless_they_tolerate_it(seeds: Kubectl) -> None:
    node = seeds("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    seeds("taint", "node", node, "key=value:NoSchedule")
    toleration = [{"key": "key", "operator": "Equal", "value": "value", "effect": "NoSchedule"}]
    try:
        for name, tolerations in (("avoids", []), ("tolerates", toleration)):
            spec = {"tolerations": tolerations, "terminationGracePeriodSeconds": 1}
            overrides = json.dumps({"apiVersion": "v1", "spec": spec})
            seeds("run", name, "--image=nginx", "--labels=app=nginx", f"--overrides={overrides}")
        seeds("wait", "--for=condition=Ready", "pod/tolerates", "--timeout=60s", timeout=70)
        assert "1 node(s) had untolerated taint(s)" in eventually(
            lambda: seeds("get", "pod", "avoids", "-o", "jsonpath={.status.conditions[0].message}")
        )
        new = "jsonpath={.status.numberMisscheduled}"
        assert eventually(lambda: seeds("get", "ds", "node-exporter", "-o", new)) == "1", "it stays where it is"
    finally:
        seeds("taint", "node", node, "key=value:NoSchedule-")
    seeds("wait", "--for=condition=Ready", "pod/avoids", "--timeout=60s", timeout=70)
    seeds("delete", "pod", "avoids", "tolerates")


def test_node_affinity(seeds: Kubectl) -> None:
    node = seeds("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    expression = [{"key": "disktype", "operator": "In", "values": ["ssd"]}]
    hard = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": expression}]}}
    soft = {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": expression}}
        ]
    }
    for name, affinity in (("hard", hard), ("soft", soft)):
        spec = {"affinity": {"nodeAffinity": affinity}, "terminationGracePeriodSeconds": 1}
        seeds("run", name, "--image=nginx", f"--overrides={json.dumps({'apiVersion': 'v1', 'spec': spec})}")
    seeds("wait", "--for=condition=Ready", "pod/soft", "--timeout=60s", timeout=70)
    assert seeds("get", "pod", "hard", "--no-headers").split()[2] == "Pending"
    seeds("label", "node", node, "disktype=ssd")
    try:
        seeds("wait", "--for=condition=Ready", "pod/hard", "--timeout=60s", timeout=70)
    finally:
        seeds("label", "node", node, "disktype-")
    seeds("delete", "pod", "hard", "soft")


def test_a_readiness_probe_and_how_fast_an_update_may_go(seeds: Kubectl, machine: Machine) -> None:
    """The seeds' ``readinessProbe`` and ``strategy``, with a delay that suits a test."""
    probe = {
        "httpGet": {"scheme": "HTTP", "path": "/metrics", "port": 9100},
        "initialDelaySeconds": 1,
        "periodSeconds": 1,
    }
    container = {"name": "main", "image": "prom/node-exporter", "readinessProbe": probe}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "probed"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "probed"}},
            "strategy": {"rollingUpdate": {"maxSurge": "30%", "maxUnavailable": "30%"}},
            "template": {"metadata": {"labels": {"app": "probed"}}, "spec": {"containers": [container]}},
        },
    }
    seeds("apply", "-f", "-", input=json.dumps(deployment))
    seeds("rollout", "status", "deploy/probed", "--timeout=60s", timeout=70)
    probe["httpGet"]["path"] = "/nothing"  # type: ignore[index]
    seeds("apply", "-f", "-", input=json.dumps(deployment))

    def counts() -> tuple[int, int, int]:
        status = json.loads(seeds("get", "deploy", "probed", "-o", "json"))["status"]
        return status["replicas"], status["availableReplicas"], status["updatedReplicas"]

    eventually(lambda: counts() == (4, 3, 1), what="one more than three, and none of the three goes")
    told = "Readiness probe failed: HTTP probe failed with statuscode: 404"
    eventually(lambda: told in seeds("get", "events", "--field-selector=reason=Unhealthy"))
    assert counts() == (4, 3, 1), "the update does not go on with Pods that never get ready"
    seeds("rollout", "undo", "deploy/probed")
    seeds("rollout", "status", "deploy/probed", "--timeout=60s", timeout=70)
    seeds("delete", "deploy", "probed")


def test_kustomize(seeds: Kubectl, machine: Machine) -> None:
    seeds("apply", "-k", str(SEEDS / "my-nginx"))
    seeds("rollout", "status", "deploy/my-nginx", "--timeout=60s", timeout=70)
    address = seeds("get", "service", "my-nginx", "-o", "jsonpath={.spec.clusterIP}")
    assert "Welcome to nginx!" in eventually(lambda: machine.get(f"http://{address}/"))
    assert seeds("get", "deploy", "my-nginx", "--no-headers").split()[1] == "2/2"
    assert seeds.run("diff", "-k", str(SEEDS / "my-nginx")).returncode == 0
    seeds("delete", "-k", str(SEEDS / "my-nginx"))


def test_a_job_of_four_two_at_a_time(seeds: Kubectl) -> None:
    refused = seeds.run("apply", "-f", str(SEEDS / "job-pi.yml"))
    assert refused.returncode == 1
    assert "error converting YAML to JSON" in refused.stderr or "error parsing" in refused.stderr
    seeds("wait", "--for=condition=Complete", "job/pi", "--timeout=60s", timeout=70)
    pods = json.loads(seeds("get", "pods", "-l", "job-name=pi", "-o", "json"))["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Succeeded"] * 4
    spans = [
        (state["startedAt"], state["finishedAt"])
        for pod in pods
        for state in [pod["status"]["containerStatuses"][0]["state"]["terminated"]]
    ]
    assert all(sum(begin < other[1] and other[0] < end for other in spans) <= 2 for begin, end in spans)
    logged = seeds("logs", pods[0]["metadata"]["name"])
    assert logged.startswith("3.14159265358979323846") and len(logged) > 1900
    assert seeds("get", "job", "pi", "--no-headers").split()[1:3] == ["Complete", "4/4"]
    seeds("delete", "job", "pi")
    eventually(lambda: seeds("get", "pods", "-l", "job-name=pi", "-o", "name") == "")


def job(name: str, script: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script]}
    template = {"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": template, **spec},
    }


def test_jobs_that_are_indexed_limited_in_time_fail_or_vanish(seeds: Kubectl) -> None:
    fatal = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    jobs = [
        job("indexed", "echo index $JOB_COMPLETION_INDEX", completionMode="Indexed", completions=3, parallelism=3),
        job("late", "sleep 1000", activeDeadlineSeconds=2),
        job("fails", "exit 1", backoffLimit=0),
        job("fatal", "exit 42", backoffLimit=6, podFailurePolicy={"rules": [fatal]}),
        job("vanishes", "true", ttlSecondsAfterFinished=1),
    ]
    seeds("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": jobs}))
    seeds("wait", "--for=condition=Complete", "job/indexed", "--timeout=60s", timeout=70)
    assert seeds("get", "job", "indexed", "-o", "jsonpath={.status.completedIndexes}") == "0-2"
    logged = seeds("logs", "-l", "job-name=indexed", "--prefix=false").splitlines()
    assert sorted(logged) == ["index 0", "index 1", "index 2"]
    for name, reason in (
        ("late", "DeadlineExceeded"),
        ("fails", "BackoffLimitExceeded"),
        ("fatal", "PodFailurePolicy"),
    ):
        seeds("wait", "--for=condition=Failed", f"job/{name}", "--timeout=60s", timeout=70)
        failed = "jsonpath={.status.conditions[?(@.type=='Failed')].reason}"
        assert seeds("get", "job", name, "-o", failed) == reason
    assert seeds("get", "job", "fatal", "-o", "jsonpath={.status.failed}") == "1", "no second try"
    eventually(lambda: seeds.run("get", "job", "vanishes").returncode == 1, what="it is cleared away")
    seeds("delete", "job", "indexed", "late", "fails", "fatal")


def test_a_daemon_set_that_starts_the_new_pod_first(seeds: Kubectl) -> None:
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    change = {"spec": {"updateStrategy": {"rollingUpdate": rolling}}}
    seeds("patch", "ds", "istio-proxy", "-p", json.dumps(change))
    old = seeds("get", "pods", "-l", "app=istio-proxy", "-o", "jsonpath={.items[0].metadata.name}")
    seeds("set", "env", "ds/istio-proxy", "ROUND=2")
    seeds("rollout", "status", "ds/istio-proxy", "--timeout=60s", timeout=70)
    eventually(lambda: seeds.run("get", "pod", old).returncode == 1)
    new = json.loads(seeds("get", "pods", "-l", "app=istio-proxy", "-o", "json"))["items"][0]
    ready = next(c["lastTransitionTime"] for c in new["status"]["conditions"] if c["type"] == "Ready")
    events = json.loads(seeds("get", "events", f"--field-selector=involvedObject.name={old}", "-o", "json"))["items"]
    (killed,) = [event["firstTimestamp"] for event in events if event["reason"] == "Killing"]
    assert ready <= killed


def test_the_liveness_probe_restarts_the_container(kubectl: Kubectl):
    """Late: the Pod was created when the session began and takes over a minute."""

    def restarts() -> int:
        shown = kubectl("get", "pod", "liveness", "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
        return int(shown or 0)

    eventually(lambda: restarts() >= 1, limit=120, what="the container is restarted")
    shown = kubectl("describe", "pod", "liveness")
    assert "Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory" in shown
    assert "Container liveness failed liveness probe, will be restarted" in shown
    kubectl("delete", "pod", "liveness", "--grace-period=1")


def test_the_job_of_every_minute(kubectl: Kubectl) -> None:
    """Last in the file: it was made when the session began."""

    def log() -> str:
        jobs = json.loads(kubectl("get", "jobs", "-o", "json"))["items"]
        own = [j for j in jobs if (j["metadata"].get("ownerReferences") or [{}])[0].get("name") == "hello"]
        done = [j["metadata"]["name"] for j in own if j["status"].get("succeeded")]
        return kubectl("logs", f"job/{done[0]}") if done else ""

    assert "Hello from the Kubernetes cluster" in eventually(log, limit=90, what="a Job of the CronJob has run")
    name = kubectl("get", "jobs", "-o", "jsonpath={.items[0].metadata.name}")
    stem, _, minutes = name.rpartition("-")
    assert stem == "hello" and minutes.isdigit() and len(minutes) == 8
    shown = kubectl("get", "cronjob", "hello", "--no-headers").split()
    assert shown[:3] == ["hello", "*/1", "*"]
    assert kubectl("get", "pods", "-l", f"job-name={name}", "-o", "name").startswith(f"pod/{name}-")
    kubectl("delete", "cronjob", "hello")
    eventually(lambda: kubectl("get", "pods", "-l", f"job-name={name}", "-o", "name") == "")
