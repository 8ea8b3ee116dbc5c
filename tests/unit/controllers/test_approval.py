"""Which requests of nodes are approved without anybody's word: those that kubelets make, for what they are."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from pinnace.api.types import Object
from pinnace.cluster import x509make
from pinnace.controllers import approval, tokencleaner

NODES = ("system:nodes",)
KEY = x509make.new_key()


def request(
    common_name: str = "system:node:one",
    organizations: tuple[str, ...] = NODES,
    *names: str,
    signer: str = approval.CLIENT,
    usages: tuple[str, ...] = ("digital signature", "client auth"),
    username: str = "system:bootstrap:abcdef",
    groups: tuple[str, ...] = (),
) -> Object:
    pem = x509make.make_request(KEY, common_name, organizations, frozenset(names))
    spec: dict[str, Any] = {
        "request": b64encode(pem).decode(),
        "signerName": signer,
        "usages": list(usages),
        "username": username,
        "groups": list(groups),
    }
    return {"metadata": {"name": "csr-1"}, "spec": spec}


def kinds(made: Object) -> list[str]:
    return [kind for kind, _ in approval.client_kinds(made)]


def test_a_machine_that_joins() -> None:
    assert kinds(request()) == ["nodeclient"]
    assert kinds(request(usages=("key encipherment", "digital signature", "client auth"))) == ["nodeclient"]


def test_a_node_that_renews() -> None:
    assert kinds(request(username="system:node:one")) == ["selfnodeclient", "nodeclient"]


@pytest.mark.parametrize(
    "made",
    [
        request("kubernetes-admin"),
        request(organizations=("system:masters",)),
        request(organizations=("system:nodes", "system:masters")),
        request(organizations=()),
        request("system:node:one", NODES, "one"),
        request(usages=("digital signature", "client auth", "server auth")),
        request(usages=("client auth",)),
        request(signer="kubernetes.io/kube-apiserver-client"),
    ],
)
def test_what_no_kubelet_asks_for(made: Object) -> None:
    assert kinds(made) == []


SERVING: dict[str, Any] = {
    "signer": approval.SERVING,
    "usages": ("digital signature", "server auth"),
    "username": "system:node:one",
    "groups": ("system:nodes", "system:authenticated"),
}
NODE: Object = {
    "metadata": {"name": "one"},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": "one"}]},
}


def test_a_node_serves_as_itself() -> None:
    made = request("system:node:one", NODES, "one", "192.0.2.1", **SERVING)
    assert approval.serving_node(made) == "one"
    assert approval.serves_as(made, NODE)


@pytest.mark.parametrize("names", [("one", "192.0.2.2"), ("kubernetes.default",), ("other", "192.0.2.1"), ()])
def test_and_as_nobody_else(names: tuple[str, ...]) -> None:
    assert not approval.serves_as(request("system:node:one", NODES, *names, **SERVING), NODE)


def test_nobody_asks_for_another_node() -> None:
    assert approval.serving_node(request("system:node:two", NODES, "two", **SERVING)) == ""
    assert approval.serving_node(request("system:node:one", NODES, "one", **{**SERVING, "groups": ()})) == ""


def test_the_host_of_simulated_nodes_serves_as_one_of_them() -> None:
    host = {**SERVING, "username": approval.SIMULATED_NODE_HOST, "groups": ("system:authenticated",)}
    made = request("system:node:one", NODES, "one", "192.0.2.1", **host)
    assert approval.serving_node(made) == "one"
    assert not approval.serves_as(made, NODE), "a real node's name is not its own"
    simulated = {**NODE, "metadata": {"name": "one", "annotations": {approval.SIMULATED: "true"}}}
    assert approval.serves_as(made, simulated)
    assert not approval.serves_as(request("system:node:one", NODES, "192.0.2.2", **host), simulated)


@pytest.mark.parametrize(
    ("expiration", "expected"),
    [("2020-09-13T12:26:40Z", 1_600_000_000.0), ("soon", None), ("", None), ("2020-09-13", None)],
)
def test_when_a_token_ends(expiration: str, expected: float | None) -> None:
    secret = {"data": {"expiration": b64encode(expiration.encode()).decode()} if expiration else {}}
    assert tokencleaner.expires_at(secret) == expected
