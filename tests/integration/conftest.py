"""One cluster for all tests of a run, each in namespaces of its own; and one of an API server alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from tests.clusters import Api, Cluster, wait_for
from tests.etcd import Etcd
from tests.tools import KUBECTL_VERSIONS, Kubectl

_names = itertools.count()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Every part, one simulated node. Shared: do not stop it, do not change what is not namespaced and not yours."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made.up()
    made.down()
    refused = [line for line in made.log().splitlines() if " is forbidden: User " in line]
    assert not refused, "a part of the cluster lacks a right:\n" + "\n".join(refused)
    made.down("--purge")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module that names ``STORES`` has its tests of the API server alone run over each of them."""
    stores = getattr(metafunc.module, "STORES", ())
    if stores and "bare" in metafunc.fixturenames:
        metafunc.parametrize("bare", stores, indirect=True, scope="session")


@pytest.fixture(scope="session")
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The API server alone: nothing happens but what the test does. Shared."""
    made = Cluster(tmp_path_factory.mktemp("bare"))
    if getattr(request, "param", "sqlite") == "sqlite":
        yield made.up("--parts", "apiserver")
        made.down("--purge")
        return
    etcd = Etcd(made.directory / "etcd", durable=False).start()
    try:
        yield made.up("--parts", "apiserver", "--store", etcd.url)
        made.down("--purge")
    finally:
        made.stop_if_running()
        etcd.stop()


@pytest.fixture(params=KUBECTL_VERSIONS, ids=lambda version: f"kubectl-{version}")
def version(request: pytest.FixtureRequest) -> str:
    """Every stock kubectl that has to work."""
    found: str = request.param
    return found


@pytest.fixture
def api(cluster: Cluster) -> Api:
    """The cluster's API as its admin."""
    return cluster.api()


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A new namespace of the cluster in which Pods can be created."""
    name = f"test-{next(_names)}"
    api = cluster.api()
    assert api("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_for(lambda: api("GET", account).status == 200, "the namespace's service account")
    return name


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str, version: str) -> Kubectl:
    """Stock kubectl, each version in turn, in a namespace of its own."""
    return cluster.kubectl(version).within(namespace)


@pytest.fixture
def kubectl37(cluster: Cluster, namespace: str) -> Kubectl:
    """The newest stock kubectl, where one is enough."""
    return cluster.kubectl().within(namespace)


@pytest.fixture
def bare_api(bare: Cluster) -> Api:
    """The API server alone, as its admin."""
    return bare.api()


@pytest.fixture
def bare_namespace(bare: Cluster) -> str:
    """A new namespace of the API server alone."""
    name = f"test-{next(_names)}"
    answer = bare.api()("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.status == 201, answer.body
    return name
