"""Schemas as clients meet them: unknown, duplicate and wrongly typed fields, and OpenAPI v2 and v3 read by kubectl."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clusters import Api
from tests.tools import Kubectl

POD: dict[str, Any] = {
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "x", "Image": "y"}], "nodeNmae": "n"},
}


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
def pods(bare_api: Api, bare_namespace: str) -> str:
    bare_api("POST", f"/api/v1/namespaces/{bare_namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    return f"/api/v1/namespaces/{bare_namespace}/pods"


def test_unknown_fields_are_refused_told_of_or_dropped(bare_api: Api, pods: str) -> None:
    strict = bare_api("POST", pods, POD, query={"fieldValidation": "Strict"})
    assert strict.status == 400
    assert strict.json["message"] == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
        'unknown field "spec.containers[0].Image", unknown field "spec.nodeNmae"'
    )
    told = bare_api("POST", pods, POD, query={"fieldValidation": "Warn", "dryRun": "All"})
    assert told.status == 201
    assert "nodeNmae" not in told.json["spec"] and "Image" not in told.json["spec"]["containers"][0]
    ignored = bare_api("POST", pods, POD, query={"fieldValidation": "Ignore"})
    assert ignored.status == 201
    wrong = bare_api("POST", pods, POD, query={"fieldValidation": "Sometimes"})
    assert wrong.status == 422


def test_fields_named_twice_are_refused(bare_api: Api, bare_namespace: str) -> None:
    path = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    body = b'{"metadata":{"name":"a"},"data":{"k":"1","k":"2"}}'
    refused = bare_api("POST", path, body, query={"fieldValidation": "Strict"})
    assert refused.status == 400
    assert 'strict decoding error: duplicate field "data.k"' in refused.json["message"]
    taken = bare_api("POST", path, body, query={"fieldValidation": "Ignore"})
    assert (taken.status, taken.json["data"]) == (201, {"k": "2"})


def test_wrong_types_are_refused_in_upstreams_words(bare_api: Api, pods: str) -> None:
    answer = bare_api("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": 5}]}})
    assert answer.status == 400
    assert answer.json["message"] == (
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field '
        "Container.spec.containers.name of type string"
    )


@pytest.mark.parametrize("depth", [200, 251, 300, 1000, 5000])
def test_deep_nesting_is_stored_or_refused(bare_api: Api, bare_namespace: str, depth: int) -> None:
    path = f"/apis/apps/v1/namespaces/{bare_namespace}/controllerrevisions"
    data = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"metadata":{"name":"deep"},"revision":1,"data":%b}' % data
    answer = bare_api("POST", path, body)
    if depth == 200:
        assert answer.status == 201
        assert bare_api("GET", path).status == 200
        assert bare_api("GET", path, headers={"Accept": TABLE}).json["kind"] == "Table"
    else:
        assert answer.status == 400
        assert "exceeded max depth" in answer.json["message"]
    assert bare_api("POST", path, body, query={"fieldValidation": "Strict"}).status in (400, 409)


@pytest.mark.parametrize(
    "options", [{"preconditions": 1}, {"gracePeriodSeconds": "x"}, {"preconditions": {"uid": 5}}, {"dryRun": "All"}]
)
def test_wrongly_typed_options_are_refused(bare_api: Api, bare_namespace: str, options: dict[str, Any]) -> None:
    path = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    bare_api("POST", path, {"metadata": {"name": "a"}})
    refused = bare_api("DELETE", f"{path}/a", options)
    assert (refused.status, refused.json["reason"]) == (400, "BadRequest")
    assert "json: cannot unmarshal" in refused.json["message"]
    assert bare_api("GET", f"{path}/a").status == 200


@pytest.mark.parametrize("metadata", [True, [[1]], "x", 5])
def test_patches_with_metadata_of_a_wrong_type_are_refused(bare_api: Api, bare_namespace: str, metadata: Any) -> None:
    path = f"/apis/apps/v1/namespaces/{bare_namespace}/deployments"
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    assert bare_api("POST", path, {"metadata": {"name": "d"}, "spec": spec}).status == 201
    for at in ("d", "d/scale", "d/status"):
        for kind in ("merge-patch", "strategic-merge-patch"):
            headers = {"Content-Type": f"application/{kind}+json"}
            answer = bare_api("PATCH", f"{path}/{at}", {"metadata": metadata}, headers=headers)
            assert (answer.status, answer.json["reason"]) in ((422, "Invalid"), (400, "BadRequest")), answer.body


def test_a_negative_limit_is_none(bare_api: Api, bare_namespace: str) -> None:
    path = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    for name in ("a", "b"):
        bare_api("POST", path, {"metadata": {"name": name}})
    listed = bare_api("GET", path, query={"limit": "-1"})
    assert (listed.status, len(listed.json["items"])) == (200, 2)


def test_versions_of_a_resource_are_the_same_objects(bare_api: Api, bare_namespace: str) -> None:
    at = f"/apis/autoscaling/{{}}/namespaces/{bare_namespace}/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 60}
    made = bare_api("POST", at.format("v1"), {"metadata": {"name": "h"}, "spec": spec})
    assert made.status == 201, made.body
    assert made.json["apiVersion"] == "autoscaling/v1"
    newer = bare_api("GET", at.format("v2") + "/h").json
    assert newer["apiVersion"] == "autoscaling/v2"
    assert newer["spec"]["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 60}
    assert bare_api("GET", at.format("v1") + "/h").json["spec"]["targetCPUUtilizationPercentage"] == 60


def test_kubectl_reads_openapi_v3_and_v2(kubectl: Kubectl) -> None:
    assert "FIELD: containers <[]Container>" in kubectl("explain", "pod.spec.containers")
    recursive = kubectl("explain", "pods", "--recursive")
    assert recursive.count("\n") > 1000 and "terminationGracePeriodSeconds\t<integer>" in recursive
    second = kubectl("explain", "pod.spec.containers", "--output=plaintext-openapiv2")
    assert "RESOURCE: containers <[]Object>" in second
    assert "List of containers belonging to the pod." in second
