"""Every resource that discovery tells of: listed, as a table, and refused in order when what is sent makes no sense."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.clusters import Api, Cluster

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
NONSENSE: tuple[Any, ...] = (
    {},
    {"metadata": {"name": "x"}, "spec": []},
    {"metadata": {"name": "x"}, "spec": {}, "status": None},
    {"metadata": {"name": "x", "labels": {"a b": "c d"}, "finalizers": ["x"], "ownerReferences": [{}]}},
)


@pytest.fixture
def connection(bare: Cluster) -> Iterator[http.client.HTTPSConnection]:
    made = bare.api().connect()
    yield made
    made.close()


def ask(
    connection: http.client.HTTPSConnection, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def resources(api: Api) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path of the group version, resource) of everything in the older form of discovery."""
    versions = [v["groupVersion"] for group in api("GET", "/apis").json["groups"] for v in group["versions"]]
    for base in ("/api/v1", *(f"/apis/{version}" for version in versions)):
        found = api("GET", base).json
        assert found["kind"] == "APIResourceList"
        for resource in found["resources"]:
            yield base, resource


def collection(base: str, resource: dict[str, Any]) -> str:
    return f"{base}/namespaces/default/{resource['name']}" if resource["namespaced"] else f"{base}/{resource['name']}"


def test_every_resource_is_listed_in_every_shape(bare_api: Api, connection: http.client.HTTPSConnection) -> None:
    count = 0
    for base, resource in resources(bare_api):
        if "list" not in resource["verbs"] or "/" in resource["name"]:
            continue
        path = collection(base, resource)
        status, listed = ask(connection, "GET", path)
        assert (status, listed["kind"]) == (200, resource["kind"] + "List"), path
        assert f"/apis/{listed['apiVersion']}" == base or f"/api/{listed['apiVersion']}" == base
        status, table = ask(connection, "GET", path, Accept=TABLE)
        assert (status, table["kind"]) == (200, "Table"), path
        assert table["columnDefinitions"][0]["name"].lower() in ("name", "last seen"), path
        count += 1
    assert count > 60


def test_nonsense_is_refused_by_every_resource(bare_api: Api, connection: http.client.HTTPSConnection) -> None:
    """4xx with a Status, or taken because for that kind it is none; never 5xx, never a dropped connection."""
    for base, resource in resources(bare_api):
        if "create" not in resource["verbs"] or "/" in resource["name"]:
            continue
        path = collection(base, resource)
        for body in NONSENSE:
            status, answer = ask(connection, "POST", f"{path}?dryRun=All", body)
            assert 200 <= status < 500, (path, body, answer)
            if status >= 400:
                assert (answer["kind"], answer["status"], answer["code"]) == ("Status", "Failure", status)


def test_subresources_of_what_is_not_there(bare_api: Api, connection: http.client.HTTPSConnection) -> None:
    methods = {"get": "GET", "update": "PUT", "patch": "PATCH", "create": "POST"}
    for base, resource in resources(bare_api):
        if "/" not in resource["name"]:
            continue
        plural, _, below = resource["name"].partition("/")
        path = f"{collection(base, {**resource, 'name': plural})}/absent/{below}"
        for verb in resource["verbs"]:
            if verb not in methods:
                continue
            kind = {"Content-Type": "application/merge-patch+json"} if verb == "patch" else {}
            body = None if verb == "get" else {"metadata": {"name": "absent"}}
            status, answer = ask(connection, methods[verb], path, body, **kind)
            assert 400 <= status < 500 or (resource["name"] == "serviceaccounts/token"), (path, verb, answer)


def test_both_forms_of_discovery_tell_the_same(bare_api: Api) -> None:
    older = {
        (base.removeprefix("/apis/").removeprefix("/api/"), resource["name"], tuple(sorted(resource["verbs"])))
        for base, resource in resources(bare_api)
    }
    aggregated = set()
    for root in ("/api", "/apis"):
        answer = bare_api("GET", root, headers={"Accept": AGGREGATED})
        assert answer.json["kind"] == "APIGroupDiscoveryList"
        for group in answer.json["items"]:
            for version in group["versions"]:
                name = group["metadata"].get("name") or ""
                prefix = f"{name}/{version['version']}" if name else version["version"]
                for resource in version["resources"]:
                    aggregated.add((prefix, resource["resource"], tuple(sorted(resource["verbs"]))))
                    for below in resource.get("subresources") or ():
                        full = f"{resource['resource']}/{below['subresource']}"
                        aggregated.add((prefix, full, tuple(sorted(below["verbs"]))))
    assert older == aggregated


def test_openapi_describes_every_kind(bare_api: Api) -> None:
    index = bare_api("GET", "/openapi/v3").json["paths"]
    for base, resource in resources(bare_api):
        if "/" in resource["name"]:
            continue
        assert base.lstrip("/") in index
    document = bare_api("GET", index["apis/apps/v1"]["serverRelativeURL"]).json
    assert "io.k8s.api.apps.v1.Deployment" in document["components"]["schemas"]
    assert bare_api("GET", "/openapi/v2").json["swagger"] == "2.0"


def test_reviews_have_no_tables(connection: http.client.HTTPSConnection) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    asked = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    assert ask(connection, "POST", path, asked)[0] == 201
    status, refused = ask(connection, "POST", path, asked, Accept=TABLE)
    assert (status, refused["reason"]) == (406, "NotAcceptable")
