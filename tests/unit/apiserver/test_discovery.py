"""What clients find out about the server: groups, versions, resources, in the older and the aggregated form."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from pinnace.api import builtin
from pinnace.api.registry import Registry
from pinnace.apiserver.discovery import AGGREGATED, Discovery

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return builtin.registry()


@pytest.fixture
def discovery(registry: Registry) -> Discovery:
    return Discovery(registry, "192.0.2.1:6443")


def get(discovery: Discovery, path: str, accept: str = "") -> Any:
    answer = discovery.handle(path, accept)
    assert answer is not None and answer.status == 200
    assert isinstance(answer.body, bytes)
    return orjson.loads(answer.body)


def test_the_core_versions_and_the_address_of_the_server(discovery: Discovery) -> None:
    assert get(discovery, "/api") == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "192.0.2.1:6443"}],
    }


def test_groups_come_in_upstreams_order_and_prefer_stable_versions(discovery: Discovery) -> None:
    groups = get(discovery, "/apis")["groups"]
    assert [group["name"] for group in groups[:4]] == [
        "apiregistration.k8s.io",
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
    ]
    preferred = {group["name"]: group["preferredVersion"]["version"] for group in groups}
    assert preferred["autoscaling"] == "v2"
    assert preferred["networking.k8s.io"] == "v1"
    autoscaling = next(group for group in groups if group["name"] == "autoscaling")
    assert [version["groupVersion"] for version in autoscaling["versions"]] == ["autoscaling/v2", "autoscaling/v1"]
    assert get(discovery, "/apis/autoscaling") == {"kind": "APIGroup", "apiVersion": "v1"} | autoscaling


def test_resources_of_the_core_group(discovery: Discovery) -> None:
    listed = get(discovery, "/api/v1")
    assert listed["groupVersion"] == "v1" and "apiVersion" not in listed
    rows = {row["name"]: row for row in listed["resources"]}
    assert rows["pods"] == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",  # as kube-apiserver computes it
    }
    assert rows["pods/exec"]["kind"] == "PodExecOptions" and rows["pods/exec"]["verbs"] == ["create", "get"]
    assert rows["pods/eviction"] | {"verbs": []} == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
        "verbs": [],
    }
    assert rows["componentstatuses"]["verbs"] == ["get", "list"]
    assert [row["name"] for row in listed["resources"] if "/" not in row["name"]] == sorted(
        name for name in rows if "/" not in name
    )


@pytest.mark.parametrize(
    ("accept", "served"),
    [
        (f"{V2},application/json", "v2"),
        (f"{AGGREGATED['v2beta1']},application/json", "v2beta1"),
        (f"application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList,{V2}", "v2"),
        ("application/json", ""),
        (f"application/json,{V2}", ""),
    ],
)
def test_the_aggregated_form_is_negotiated(discovery: Discovery, accept: str, served: str) -> None:
    answer = discovery.handle("/apis", accept)
    assert answer is not None
    assert answer.content_type == (AGGREGATED[served] if served else "application/json")
    kind = get(discovery, "/apis", accept)["kind"]
    assert kind == ("APIGroupDiscoveryList" if served else "APIGroupList")


def test_the_aggregated_form_has_every_resource_once(discovery: Discovery, registry: Registry) -> None:
    found = []
    for path in ("/api", "/apis"):
        for group in get(discovery, path, V2)["items"]:
            for version in group["versions"]:
                found += [
                    (group["metadata"].get("name", ""), version["version"], row["resource"])
                    for row in version["resources"]
                ]
    assert sorted(found) == sorted(tuple(row.gvr) for row in registry)


def test_the_aggregated_form_names_kinds_of_other_groups(discovery: Discovery) -> None:
    apps = next(item for item in get(discovery, "/apis", V2)["items"] if item["metadata"]["name"] == "apps")
    deployments = next(row for row in apps["versions"][0]["resources"] if row["resource"] == "deployments")
    assert deployments["responseKind"] == {"group": "", "version": "", "kind": "Deployment"}
    assert deployments["subresources"][0] == {
        "subresource": "scale",
        "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
        "verbs": ["get", "patch", "update"],
    }


def test_an_unchanged_document_is_not_sent_again(discovery: Discovery) -> None:
    answer = discovery.handle("/apis", V2)
    assert answer is not None
    etag = dict(answer.headers)["Etag"]
    again = discovery.handle("/apis", V2, etag)
    assert again is not None and (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["/apis/none", "/apis/apps/v7", "/api/v2", "/apis//v1", "/apis/apps/v1/x"])
def test_unknown_groups_and_versions_are_not_found(discovery: Discovery, path: str) -> None:
    assert discovery.handle(path) is None


def test_a_resource_added_at_run_time_appears_after_the_built_in_ones() -> None:
    registry = builtin.registry()
    discovery = Discovery(registry)
    assert discovery.handle("/apis/example.com/v1") is None
    pods = registry.get("", "v1", "pods")
    assert pods is not None
    custom = pods._replace(group="example.com", plural="crons", kind="Cron", definition="", subresources={})
    registry.add(custom)
    registry.add(custom._replace(version="v1beta1"))
    assert get(discovery, "/apis")["groups"][-1]["name"] == "example.com"
    assert get(discovery, "/apis/example.com")["preferredVersion"]["version"] == "v1"
    registry.remove(custom.gvr)
    assert discovery.handle("/apis/example.com/v1") is None
