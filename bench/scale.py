"""Thousands of simulated nodes and as many Pods in one process: how fast they are ready, what memory they take."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.cluster import Running, cluster
from bench.startup import memory_mb

NODES = 5_000
PODS = 5_000
#: Seconds after which what a burst left behind is gone.
SETTLED = 8.0
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
LABELS = {"app": "many"}
DEPLOYMENT = {
    "metadata": {"name": "many"},
    "spec": {
        "replicas": PODS,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "nginx:1.27",
                        "ports": [{"containerPort": 80}],
                        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                    }
                ]
            },
        },
    },
}


def figures() -> tuple[float, float, float]:
    """Nodes and Pods made ready per second, and the process's memory in MB (Pss) once all are."""
    with cluster("--runtime", "simulated", "--simulated-nodes", str(NODES), "--timeout", "300s") as running:
        began = time.perf_counter()
        wait(lambda: registered(running) == NODES)
        nodes = NODES / (time.perf_counter() - began)
        began = time.perf_counter()
        running.request("POST", DEPLOYMENTS, DEPLOYMENT)
        wait(lambda: ready_pods(running) == PODS)
        pods = PODS / (time.perf_counter() - began)
        time.sleep(SETTLED)
        return nodes, pods, memory_mb(running.process.pid)


def wait(done: Callable[[], bool]) -> None:
    """Returns once it is; the measurement's own limit ends it if it never is."""
    while not done():
        time.sleep(0.05)


def registered(running: Running) -> int:
    """How many nodes there are; one that is there says of itself that it is Ready."""
    page = running.request("GET", "/api/v1/nodes?limit=1")
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount") or 0)


def ready_pods(running: Running) -> int:
    return int(running.request("GET", f"{DEPLOYMENTS}/many")["status"].get("readyReplicas") or 0)
