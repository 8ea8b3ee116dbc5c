"""The operator against a cluster in this process: what it makes, what it changes, what it survives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kopf.testing import KopfRunner

from pinnace.testing import Client, Pinnace

HERE = Path(__file__).parent


@pytest.fixture
def client(pinnace: Pinnace, namespace: str) -> Client:
    client = pinnace.client(namespace=namespace)
    client.apply(yaml.safe_load((HERE / "crd.yaml").read_text()))
    client.wait("crd", "websites.example.com", "Established")
    return client


@pytest.fixture
def operator(client: Client, namespace: str) -> Iterator[KopfRunner]:
    """It runs in a thread, and finds the cluster as it always does: by KUBECONFIG."""
    with KopfRunner(["run", "--standalone", "--namespace", namespace, str(HERE / "website.py")], timeout=30) as runner:
        yield runner
    assert runner.exception is None, runner.output
    assert runner.exit_code == 0, runner.output


def website(page: str = "Hello", **spec: Any) -> dict[str, Any]:
    spec = {"page": page, **spec}
    return {"apiVersion": "example.com/v1", "kind": "Website", "metadata": {"name": "home"}, "spec": spec}


def ready(number: int) -> Any:
    return lambda site: site is not None and site.get("status", {}).get("ready") == number


def test_a_website_gets_its_pods(client: Client, operator: KopfRunner) -> None:
    client.create(website(replicas=2))
    client.wait("websites", "home", ready(2))
    assert client.get("configmaps", "home")["data"] == {"index.html": "Hello"}


def test_a_change_reaches_them(client: Client, operator: KopfRunner) -> None:
    client.create(website())
    client.wait("websites", "home", ready(1))
    client.patch("websites", "home", {"spec": {"page": "Good evening", "replicas": 3}})
    client.wait("websites", "home", ready(3))
    client.wait("configmaps", "home", lambda found: found and found["data"] == {"index.html": "Good evening"})


def test_they_go_with_it(client: Client, operator: KopfRunner) -> None:
    client.create(website())
    client.wait("websites", "home", ready(1))
    client.delete("websites", "home")
    client.wait("websites", "home", "deleted")
    client.wait("deployments", "home", "deleted")
    client.wait("configmaps", "home", "deleted")


def test_it_tries_again_when_the_api_server_fails(pinnace: Pinnace, client: Client, operator: KopfRunner) -> None:
    with pinnace.faults.fail(503, verb="create", resource="deployments", times=2) as fault:
        client.create(website())
        client.wait("websites", "home", ready(1))
    assert len(fault.hits) == 2


def test_it_comes_back_after_its_watches_broke(pinnace: Pinnace, client: Client, operator: KopfRunner) -> None:
    client.create(website())
    client.wait("websites", "home", ready(1))
    assert pinnace.faults.drop_watch(resource=("websites", "deployments"), user_agent="kopf*", expired=True).hits
    client.patch("websites", "home", {"spec": {"replicas": 2}})
    client.wait("websites", "home", ready(2))


@pytest.mark.pinnace(virtual_time=True, simulated_nodes=2)
def test_a_dead_node_is_told_of_and_made_up_for(pinnace: Pinnace, client: Client, operator: KopfRunner) -> None:
    """Seven minutes of the cluster's time, while the operator keeps pace."""
    client.create(website(replicas=2))
    client.wait("websites", "home", ready(2))
    pinnace.nodes.stop("simulated-0")
    pinnace.advance("1m")
    client.wait("websites", "home", ready(1))
    pinnace.advance("6m")
    client.wait("websites", "home", ready(2))
