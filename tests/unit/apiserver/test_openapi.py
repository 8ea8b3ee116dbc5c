"""The OpenAPI documents, as far as kubectl and client libraries rely on them."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Coroutine, Iterator
from typing import Any

import orjson
import pytest

from pinnace.api import builtin
from pinnace.api.registry import Registry
from pinnace.apiserver.openapi import OpenApi
from pinnace.apiserver.request import Request
from pinnace.apiserver.response import Response

PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
DEPLOYMENT = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return builtin.registry()


async def fetch(api: OpenApi, path: str, **headers: str) -> Response:
    path, _, query = path.partition("?")
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = api.answer(Request("GET", path, query, names, b""))
    if isinstance(answer, Coroutine):
        answer = await answer
    assert answer is not None
    return answer


def body(answer: Response) -> bytes:
    assert isinstance(answer.body, bytes)
    return answer.body


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


async def test_the_index_names_every_group_version_with_its_hash(registry: Registry) -> None:
    paths = orjson.loads(body(await fetch(OpenApi(registry), "/openapi/v3")))["paths"]
    served = {f"apis/{row.api_version}" if row.group else f"api/{row.version}" for row in registry}
    assert set(paths) == served
    assert paths["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")


async def test_every_reference_of_every_document_resolves(registry: Registry) -> None:
    api = OpenApi(registry)
    for path in orjson.loads(body(await fetch(api, "/openapi/v3")))["paths"]:
        document = orjson.loads(body(await fetch(api, f"/openapi/v3/{path}")))
        known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        assert set(references(document)) <= known, path


async def test_kubectl_finds_what_it_needs_to_apply(registry: Registry) -> None:
    document = orjson.loads(body(await fetch(OpenApi(registry), "/openapi/v3/apis/apps/v1")))
    patch = document["paths"][DEPLOYMENT]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert patch["x-kubernetes-action"] == "patch"
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    assert {"dryRun", "fieldValidation", "fieldManager"} <= {parameter["name"] for parameter in patch["parameters"]}
    schemas = document["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    strategy = schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"]
    assert strategy["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}]
    assert strategy["x-kubernetes-patch-strategy"] == "retainKeys"


async def test_explain_finds_descriptions_and_the_kind(registry: Registry) -> None:
    document = orjson.loads(body(await fetch(OpenApi(registry), "/openapi/v3/api/v1")))
    pod = document["components"]["schemas"]["io.k8s.api.core.v1.Pod"]
    assert pod["description"].startswith("Pod is a collection of containers")
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    assert pod["properties"]["spec"]["description"].startswith("Specification of the desired behavior of the pod")
    policy = document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["restartPolicy"]
    assert policy["enum"] == ["Always", "Never", "OnFailure"]
    quantity = document["components"]["schemas"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert quantity["oneOf"] == [{"type": "string"}, {"type": "number"}]


async def test_version_2_as_json_has_all_groups(registry: Registry) -> None:
    answer = await fetch(OpenApi(registry), "/openapi/v2", accept="application/json")
    document = orjson.loads(body(answer))
    assert document["swagger"] == "2.0"
    assert document["paths"][DEPLOYMENT]["patch"]["consumes"] == [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ]
    assert set(references(document)) <= {f"#/definitions/{name}" for name in document["definitions"]}


def decoded(message: bytes) -> dict[int, list[bytes]]:
    """Protobuf's length-delimited fields by number."""
    found: dict[int, list[bytes]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            varint()
            continue
        length = varint()
        found.setdefault(tag >> 3, []).append(message[at : at + length])
        at += length
    return found


async def test_version_2_in_protobuf_is_the_same_document(registry: Registry) -> None:
    api = OpenApi(registry)
    answer = await fetch(api, "/openapi/v2", accept=f"{PROTOBUF},application/json")
    assert answer.content_type == PROTOBUF.replace("@", ".")
    message = decoded(body(answer))
    assert message[1] == [b"2.0"]
    document = orjson.loads(body(await fetch(api, "/openapi/v2")))
    paths = [decoded(item)[1][0].decode() for item in decoded(message[8][0])[2]]
    assert paths == list(document["paths"])
    definitions = {decoded(item)[1][0].decode(): decoded(item)[2][0] for item in decoded(message[9][0])[1]}
    assert list(definitions) == list(document["definitions"])
    name = "io.k8s.api.apps.v1.DeploymentSpec"
    schema = decoded(definitions[name])
    assert [text.decode() for text in schema[19]] == document["definitions"][name]["required"]
    properties = [decoded(item)[1][0].decode() for item in decoded(schema[25][0])[1]]
    assert properties == list(document["definitions"][name]["properties"])


async def test_documents_are_compressed_and_validated_by_their_etag(registry: Registry) -> None:
    api = OpenApi(registry)
    plain = await fetch(api, "/openapi/v3/apis/batch/v1")
    packed = await fetch(api, "/openapi/v3/apis/batch/v1?hash=X", accept_encoding="gzip")
    headers = dict(packed.headers)
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body(packed)) == body(plain)
    assert (await fetch(api, "/openapi/v3/apis/batch/v1", if_none_match=headers["Etag"])).status == 304


@pytest.mark.parametrize("path", ["/openapi", "/openapi/v3/apis/apps", "/openapi/v4", "/openapi/v3/apis/none/v1"])
def test_other_paths_are_unknown(registry: Registry, path: str) -> None:
    assert OpenApi(registry).answer(Request("GET", path, "", {}, b"")) is None


async def test_formats_that_are_not_served_are_refused(registry: Registry) -> None:
    api = OpenApi(registry)
    for path in ("/openapi/v3/apis/apps/v1", "/openapi/v2"):
        assert (await fetch(api, path, accept="text/html")).status == 406


async def test_a_document_asked_for_by_many_at_once_is_the_same(registry: Registry) -> None:
    api = OpenApi(registry)
    answers = await asyncio.gather(*(fetch(api, "/openapi/v3/apis/apps/v1") for _ in range(5)))
    assert len({body(answer) for answer in answers}) == 1


async def test_a_kind_without_a_schema_is_described_as_open() -> None:
    registry = builtin.registry()
    api = OpenApi(registry)
    before = body(await fetch(api, "/openapi/v3"))
    pods = registry.get("", "v1", "pods")
    assert pods is not None
    registry.add(pods._replace(group="stable.example.com", plural="crons", kind="Cron", definition="", subresources={}))
    assert body(await fetch(api, "/openapi/v3")) != before
    document = orjson.loads(body(await fetch(api, "/openapi/v3/apis/stable.example.com/v1")))
    cron = document["components"]["schemas"]["com.example.stable.v1.Cron"]
    assert cron["x-kubernetes-preserve-unknown-fields"] is True
    second = orjson.loads(body(await fetch(api, "/openapi/v2")))["definitions"]["com.example.stable.v1.Cron"]
    assert (second["type"], second.keys() & {"properties", "x-kubernetes-preserve-unknown-fields"}) == ("object", set())
    item = document["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/crons/{name}"]
    assert "application/strategic-merge-patch+json" not in item["patch"]["requestBody"]["content"]
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known
