"""The ``pinnace`` fixture as a test has it: client, time, faults, nodes."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import kubernetes
import pytest
from tests.tools import Kubectl

from pinnace.testing import ApiError, Pinnace, start

START = "2026-03-01T00:00:00Z"
_names = itertools.count()


@pytest.fixture
def namespace(pinnace: Pinnace) -> Iterator[str]:
    """As the plugin's own, which this suite's conftest hides."""
    with pinnace.namespace(f"own-{next(_names)}") as name:
        yield name


def pod(name: str = "web", **annotations: str) -> dict[str, object]:
    told = {f"pinnace.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": told},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "web"}]},
    }


def deployment(name: str, replicas: int) -> dict[str, object]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "web"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def cronjob(schedule: str) -> dict[str, object]:
    annotations = {"pinnace.dev/run-for": "30s"}
    containers = [{"name": "main", "image": "backup"}]
    template = {"metadata": {"annotations": annotations}, "spec": {"restartPolicy": "Never", "containers": containers}}
    spec = {"schedule": schedule, "jobTemplate": {"spec": {"template": template}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "backup"}, "spec": spec}


# -- the client


def test_a_pod_runs_and_the_client_gives_dicts_of_the_tests_own(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)
    made = client.create(pod())
    assert made["metadata"]["namespace"] == namespace
    ready = client.wait("po", "web", "Ready")
    assert ready is not None
    assert ready["status"]["phase"] == "Running"
    ready["status"]["phase"] = "changed by the test"
    assert client.get("Pod", "web")["status"]["phase"] == "Running"
    assert client.patch("pods", "web", {"metadata": {"labels": {"tier": "front"}}})["metadata"]["labels"]
    assert [found["kind"] for found in client.list("pods", label_selector="tier=front")] == ["Pod"]
    client.delete("pods", "web", grace_period=0)
    assert client.wait("pods", "web", "deleted") is None


def test_the_client_can_be_somebody_else(pinnace: Pinnace, namespace: str):
    with pytest.raises(ApiError, match='User "jane" cannot list resource "pods"') as refused:
        pinnace.client(namespace=namespace, user="jane").list("pods")
    assert (refused.value.code, refused.value.reason) == (403, "Forbidden")


def test_what_the_cluster_does_not_serve_is_told(pinnace: Pinnace):
    with pytest.raises(LookupError, match="no 'podz'; name a resource as kubectl does"):
        pinnace.client().get("podz", "x")
    with pytest.raises(LookupError, match=r"no Crate of example\.com/v1"):
        pinnace.client().create({"apiVersion": "example.com/v1", "kind": "Crate", "metadata": {"name": "x"}})


def test_waiting_ends_and_says_what_it_saw(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)
    client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}})
    with pytest.raises(TimeoutError, match=r"configmaps 'settings' .* waited 0.05 s for 'Ready'; it is .*'a': '1'"):
        client.wait("configmaps", "settings", "Ready", timeout=0.05)


def test_each_test_has_a_namespace_of_its_own_that_goes(pinnace: Pinnace):
    client = pinnace.client()
    with pinnace.namespace("short-lived") as name:
        client.create(pod(), namespace=name)
    client.wait("namespaces", "short-lived", "deleted")


def test_kubectl_and_client_libraries_are_led_here(pinnace: Pinnace, namespace: str):
    assert os.environ["KUBECONFIG"] == str(pinnace.kubeconfig)
    assert Kubectl(pinnace.kubeconfig)("version", "-o", "json")
    kubernetes.config.load_kube_config()
    with kubernetes.client.ApiClient() as client:
        found = kubernetes.client.CoreV1Api(client).list_node()
    assert [node.metadata.name for node in found.items] == ["simulated-0"]
    assert kubernetes.client.Configuration.get_default_copy().host == pinnace.url


async def test_it_works_from_asynchronous_tests(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)
    client.create(pod())
    assert await asyncio.to_thread(client.wait, "pods", "web", "Ready")


def test_a_cluster_on_the_machines_time_does_not_advance(pinnace: Pinnace):
    assert abs(pinnace.now() - datetime.now(UTC)) < timedelta(seconds=10)
    with pytest.raises(RuntimeError, match="start it with virtual_time=True"):
        pinnace.advance("1m")


def test_starting_one_takes_no_time_and_leaves_nothing():
    threads = threading.active_count()
    began = time.process_time()
    with start(parts="apiserver") as cluster:
        assert time.process_time() - began < 2.0
        directory = cluster.kubeconfig.parent
        cluster.client().create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "alone"}})
    assert not directory.exists()
    assert threading.active_count() == threads
    with pytest.raises(RuntimeError, match="stopped"):
        cluster.client()


# -- virtual time


@pytest.mark.pinnace(virtual_time=START)
def test_a_week_of_a_daily_cronjob_takes_no_week(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)
    begin = pinnace.now()
    pinnace.advance(86400 - begin.timestamp() % 86400 + 1)  # other tests have moved it: go on from a midnight
    client.create(cronjob("0 0 * * *"))
    began = time.process_time()
    midnight = pinnace.now() - timedelta(seconds=1)
    assert pinnace.advance("7d") == midnight + timedelta(days=7, seconds=1)
    assert time.process_time() - began < 5.0
    status = client.get("cronjobs", "backup")["status"]
    assert status["lastScheduleTime"] == f"{midnight + timedelta(days=7):%Y-%m-%dT00:00:00Z}"
    jobs = sorted(job["status"].get("completionTime", "") for job in client.list("jobs"))
    assert jobs == ["", *(f"{midnight + timedelta(days=day):%Y-%m-%dT00:00:30Z}" for day in (4, 5, 6))]


@pytest.mark.pinnace(virtual_time=START)
def test_a_jobs_back_off_follows_the_clock(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)
    template = {"metadata": pod(exit_code="1")["metadata"], "spec": pod()["spec"]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "doomed"}}
    client.create({**job, "spec": {"backoffLimit": 2, "template": template}})

    def failed() -> int:
        return int(client.get("jobs", "doomed")["status"].get("failed", 0))

    pinnace.advance("2s")
    assert failed() == 1
    pinnace.advance("7s")
    assert failed() == 1, "the second try waits ten seconds"
    pinnace.advance("5s")
    assert failed() == 2
    pinnace.advance("30s")
    conditions = client.get("jobs", "doomed")["status"]["conditions"]
    assert [condition["reason"] for condition in conditions if condition["type"] == "Failed"] == [
        "BackoffLimitExceeded"
    ]


@pytest.mark.pinnace(virtual_time=START, simulated_nodes=2)
def test_a_node_that_stops_is_noticed_and_its_pods_go_elsewhere(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)
    client.create(deployment("web", 2))
    pinnace.advance("5s")

    def homes() -> set[str]:
        return {
            found["spec"]["nodeName"] for found in client.list("pods") if not found["metadata"].get("deletionTimestamp")
        }

    assert homes() == {"simulated-0", "simulated-1"}
    pinnace.nodes.stop("simulated-0")
    pinnace.advance("20s")
    assert client.wait("nodes", "simulated-0", "Ready")
    pinnace.advance("31s")
    assert client.wait("nodes", "simulated-0", "Ready=Unknown")
    pinnace.advance("4m")
    assert homes() == {"simulated-0", "simulated-1"}, "Pods tolerate it for five minutes"
    pinnace.advance("90s")
    assert homes() == {"simulated-1"}
    pinnace.nodes.start("simulated-0")
    pinnace.advance("1s")
    assert client.wait("nodes", "simulated-0", "Ready")
    assert len(client.list("pods")) == 2, "the Pods that were to go are gone"
    with pytest.raises(LookupError, match="there are simulated-0, simulated-1"):
        pinnace.nodes.stop("simulated-9")


@pytest.mark.pinnace(virtual_time=START)
def test_controllers_and_scheduler_fail_and_come_back(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)

    def available() -> int:
        return int(client.get("deployments", "web")["status"].get("availableReplicas", 0))

    for part in ("controllers", "scheduler"):
        pinnace.parts.stop(part)
    client.create(deployment("web", 2))
    pinnace.advance("10m")
    assert client.list("pods") == []
    pinnace.parts.start("controllers")
    pinnace.advance("5s")
    assert [found["status"]["phase"] for found in client.list("pods")] == ["Pending", "Pending"]
    assert available() == 0
    pinnace.parts.start("scheduler")
    pinnace.advance("5s")
    assert available() == 2
    with pytest.raises(LookupError, match="those are: controllers, scheduler"):
        pinnace.parts.stop("apiserver")


@pytest.mark.pinnace(virtual_time=START)
def test_the_same_happens_every_time(pinnace: Pinnace):
    def run() -> list[tuple[str, str]]:
        with start(virtual_time=START) as cluster:
            client = cluster.client()
            client.create(cronjob("*/7 * * * *"))
            client.create(deployment("web", 3))
            cluster.advance("1h")
            events = client.list("events")
            return sorted((event["firstTimestamp"], event["reason"]) for event in events)

    assert run() == run()


@pytest.mark.pinnace(virtual_time=START)
def test_tokens_expire_on_the_clusters_clock_and_certificates_do_not(pinnace: Pinnace, namespace: str):
    kubectl = Kubectl(pinnace.kubeconfig).within(namespace)
    token = kubectl("create", "token", "default", "--duration", "10m").strip()

    def refusal() -> str:
        asked = ["auth", "whoami", "--token", token, "--kubeconfig", "/dev/null", "--server", pinnace.url]
        done = subprocess.run(
            [kubectl.command[0], *asked, "--insecure-skip-tls-verify"], capture_output=True, text=True, check=False
        )
        return done.stderr

    assert refusal() == ""
    pinnace.advance("11m1s")  # a minute of leeway, and a second
    assert "Unauthorized" in refusal()
    pinnace.advance("60w")
    assert kubectl("get", "serviceaccounts")


@pytest.mark.pinnace(virtual_time=START)
def test_clients_outside_keep_pace(pinnace: Pinnace, namespace: str):
    """A controller in another thread, over HTTPS: it sees each Pod end and makes the next one before time goes on."""
    kubernetes.config.load_kube_config()
    ended: list[str] = []
    with kubernetes.client.ApiClient() as connection:
        api = kubernetes.client.CoreV1Api(connection)
        ready = threading.Event()
        watch = kubernetes.watch.Watch()

        def control() -> None:
            version = api.list_namespaced_pod(namespace).metadata.resource_version
            events = watch.stream(api.list_namespaced_pod, namespace, resource_version=version)
            ready.set()
            for event in events:
                found = event["object"]
                if found.status.phase == "Succeeded" and found.metadata.name not in ended:
                    ended.append(found.metadata.name)
                    if len(ended) == 5:
                        return
                    pinnace_pod = pod(f"step-{len(ended)}", run_for="1m")
                    kubernetes.client.CoreV1Api(connection).create_namespaced_pod(namespace, pinnace_pod)

        thread = threading.Thread(target=control, daemon=True)
        thread.start()
        ready.wait(10)
        pinnace.client(namespace=namespace).create(pod("step-0", run_for="1m"))
        pinnace.advance("6m")
        thread.join(10)
    assert ended == [f"step-{number}" for number in range(5)]


# -- faults


def test_a_request_fails_as_often_as_it_was_to(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)
    with pinnace.faults.fail(503, verb="create", resource="pods", namespace=namespace, times=1) as fault:
        with pytest.raises(ApiError, match="a fault that the test asked for") as failed:
            client.create(pod())
        client.create(pod())
    assert (failed.value.code, failed.value.reason) == (503, "ServiceUnavailable")
    assert [str(hit) for hit in fault.hits] == [f"create pods {namespace} by kubernetes-admin"]


def test_controllers_live_through_failures(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)
    with pinnace.faults.fail(500, verb="create", resource="pods", namespace=namespace, times=3) as fault:
        client.create(deployment("web", 2))
        assert client.wait("deployments", "web", "Available")
    assert {hit.user for hit in fault.hits} == {"system:serviceaccount:kube-system:replicaset-controller"}


def test_a_conflict_reaches_kubectl_in_upstreams_words(pinnace: Pinnace, namespace: str):
    kubectl = Kubectl(pinnace.kubeconfig).within(namespace)
    kubectl("create", "configmap", "settings")
    with pinnace.faults.conflict(resource="configmaps", user_agent="kubectl*") as fault:
        refused = kubectl.run("label", "configmap", "settings", "a=b").stderr
    assert "the object has been modified; please apply your changes to the latest version" in refused
    assert fault.hits[0].verb == "patch"


def test_a_dropped_connection_is_one_whether_it_was_done_or_not(pinnace: Pinnace, namespace: str):
    kubernetes.config.load_kube_config()
    configuration = kubernetes.client.Configuration.get_default_copy()
    configuration.retries = False
    with kubernetes.client.ApiClient(configuration) as connection:
        api = kubernetes.client.CoreV1Api(connection)

        def create(name: str) -> None:
            api.create_namespaced_config_map(namespace, {"metadata": {"name": name}})

        for name, done in (("never", False), ("done", True)):
            dropping = pinnace.faults.drop(done=done, resource="configmaps", times=1)
            with dropping, pytest.raises(Exception, match=r"Remote end closed connection|Connection aborted"):
                create(name)
    client = pinnace.client(namespace=namespace)
    assert [found["metadata"]["name"] for found in client.list("configmaps", field_selector="metadata.name=done")]
    assert not client.list("configmaps", field_selector="metadata.name=never")


@pytest.mark.parametrize("expired", [False, True], ids=["ended", "expired"])
def test_watches_end_and_those_who_watched_come_back(pinnace: Pinnace, namespace: str, expired: bool):
    client = pinnace.client(namespace=namespace)
    fault = pinnace.faults.drop_watch(resource="pods", expired=expired)
    assert {hit.user for hit in fault.hits} >= {"system:kube-scheduler", "system:kube-controller-manager"}
    client.create(deployment("web", 1))
    assert client.wait("deployments", "web", "Available")


def test_a_request_is_delayed(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)
    with pinnace.faults.delay("250ms", verb="create", resource="configmaps", namespace=namespace):
        began = time.monotonic()
        client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}})
    assert time.monotonic() - began >= 0.25


@pytest.mark.pinnace(virtual_time=START)
def test_a_request_times_out_on_the_clusters_clock_though_it_was_done(pinnace: Pinnace, namespace: str):
    client = pinnace.client(namespace=namespace)
    with pinnace.faults.time_out("30s", done=True, verb="create", resource="configmaps", namespace=namespace):
        answers: list[BaseException] = []

        def ask() -> None:
            try:
                client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lost"}})
            except ApiError as error:
                answers.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        client.wait("configmaps", "lost", lambda found: found is not None)
        assert answers == []
        pinnace.advance("31s")
        asking.join(10)
    assert isinstance(answers[0], ApiError)
    assert (answers[0].code, answers[0].reason) == (504, "Timeout")
