"""Lists: pages that are consistent, selectors, revisions, what a malformed question is answered."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clusters import Api
from tests.tools import Kubectl

STORES = ("sqlite", "etcd")


def fill(api: Api, namespace: str, count: int) -> str:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for number in range(count):
        labels = {"parity": "odd" if number % 2 else "even", "number": str(number)}
        answer = api("POST", path, {"metadata": {"name": f"c{number:02}", "labels": labels}})
        assert answer.status == 201
    return path


def names(listed: Any) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


def test_pages_are_one_consistent_list(bare_api: Api, bare_namespace: str) -> None:
    path = fill(bare_api, bare_namespace, 7)
    page = bare_api("GET", path, query={"limit": "3"}).json
    assert (page["kind"], page["apiVersion"]) == ("ConfigMapList", "v1")
    assert page["metadata"]["remainingItemCount"] == 4
    version = page["metadata"]["resourceVersion"]
    found = names(page)
    bare_api("DELETE", path + "/c06")
    bare_api("POST", path, {"metadata": {"name": "c055"}})
    while token := page["metadata"].get("continue"):
        page = bare_api("GET", path, query={"limit": "3", "continue": token}).json
        assert page["metadata"]["resourceVersion"] == version
        found += names(page)
    assert found == [f"c{number:02}" for number in range(7)]
    assert "remainingItemCount" not in page["metadata"]
    assert names(bare_api("GET", path).json) == ["c00", "c01", "c02", "c03", "c04", "c05", "c055"]


def test_pages_with_a_selector(bare_api: Api, bare_namespace: str) -> None:
    path = fill(bare_api, bare_namespace, 9)
    query = {"limit": "2", "labelSelector": "parity=odd"}
    page = bare_api("GET", path, query=query).json
    assert names(page) == ["c01", "c03"]
    assert "remainingItemCount" not in page["metadata"]
    rest = bare_api("GET", path, query={**query, "continue": page["metadata"]["continue"]}).json
    assert names(rest) == ["c05", "c07"]


def test_at_a_past_revision(bare_api: Api, bare_namespace: str) -> None:
    path = fill(bare_api, bare_namespace, 2)
    version = bare_api("GET", path).json["metadata"]["resourceVersion"]
    bare_api("DELETE", path + "/c00")
    exact = bare_api("GET", path, query={"resourceVersion": version, "resourceVersionMatch": "Exact"}).json
    assert names(exact) == ["c00", "c01"]
    assert exact["metadata"]["resourceVersion"] == version
    newer = bare_api("GET", path, query={"resourceVersion": version, "resourceVersionMatch": "NotOlderThan"}).json
    assert names(newer) == ["c01"]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("parity=even", ["c00", "c02", "c04"]),
        ("parity==even,number!=2", ["c00", "c04"]),
        ("number in (1,2)", ["c01", "c02"]),
        ("number notin (1,2,3)", ["c00", "c04"]),
        ("parity", ["c00", "c01", "c02", "c03", "c04"]),
        ("!parity", []),
        ("number>2", ["c03", "c04"]),
        ("number<1", ["c00"]),
    ],
)
def test_label_selectors(listed: tuple[Api, str], selector: str, expected: list[str]) -> None:
    api, path = listed
    assert names(api("GET", path, query={"labelSelector": selector}).json) == expected


@pytest.fixture
def listed(bare_api: Api, bare_namespace: str) -> tuple[Api, str]:
    return bare_api, fill(bare_api, bare_namespace, 5)


def test_field_selectors(listed: tuple[Api, str]) -> None:
    api, path = listed
    assert names(api("GET", path, query={"fieldSelector": "metadata.name=c03"}).json) == ["c03"]
    assert names(api("GET", path, query={"fieldSelector": "metadata.name!=c03,metadata.name!=c00"}).json) == [
        "c01",
        "c02",
        "c04",
    ]
    refused = api("GET", path, query={"fieldSelector": "data.x=1"})
    assert refused.status == 400
    assert refused.json["message"] == (
        '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )


def test_field_selectors_of_pods(kubectl: Kubectl) -> None:
    kubectl("run", "runs", "--image=nginx")
    kubectl("run", "waits", "--image=nginx", '--overrides={"spec": {"nodeSelector": {"no": "where"}}}')
    kubectl("wait", "--for=condition=Ready", "pod/runs", "--timeout=20s")

    def found(selector: str) -> str:
        return kubectl("get", "pods", "-o", "name", "--field-selector", selector)

    assert found("status.phase=Running") == "pod/runs\n"
    assert found("spec.nodeName=simulated-0") == "pod/runs\n"
    assert found("spec.nodeName=") == "pod/waits\n"
    assert found("status.phase!=Running,metadata.name=waits") == "pod/waits\n"
    refused = kubectl.run("get", "pods", "--field-selector", "spec.image=x")
    assert "field label not supported: spec.image" in refused.stderr


@pytest.mark.parametrize(
    ("query", "status", "part"),
    [
        ({"limit": "x"}, 400, "invalid syntax"),
        ({"continue": "%%%"}, 400, "continue key is not valid"),
        ({"continue": "garbage"}, 400, "continue key is not valid: it is none that a list gave"),
        ({"labelSelector": "a=="}, 200, ""),
        ({"labelSelector": "a in ("}, 400, "unable to parse requirement"),
        ({"labelSelector": "=b"}, 400, "found '=', expected: !, identifier, or 'end of string'"),
        ({"fieldSelector": "metadata.name"}, 400, "invalid selector"),
        ({"resourceVersionMatch": "Exact"}, 422, "forbidden unless resourceVersion is provided"),
        ({"resourceVersion": "-1"}, 400, "invalid syntax"),
    ],
)
def test_malformed_questions(bare_api: Api, query: dict[str, str], status: int, part: str) -> None:
    answer = bare_api("GET", "/api/v1/namespaces/default/configmaps", query=query)
    assert answer.status == status, answer.body
    assert part in answer.json.get("message", "")


def test_all_namespaces_and_an_absent_one(bare_api: Api, listed: tuple[Api, str]) -> None:
    everywhere = bare_api("GET", "/api/v1/configmaps").json
    assert {"c00", "c04"} <= set(names(everywhere))
    assert names(bare_api("GET", "/api/v1/namespaces/absent/configmaps").json) == []


def test_tables_and_metadata_only(listed: tuple[Api, str]) -> None:
    api, path = listed
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = api("GET", path, headers={"Accept": accept}).json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert [row["cells"][0] for row in table["rows"]] == ["c00", "c01", "c02", "c03", "c04"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    partial = api("GET", path, headers={"Accept": accept}).json
    assert partial["kind"] == "PartialObjectMetadataList"
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}


def test_kubectl_chunks(kubectl: Kubectl) -> None:
    for number in range(5):
        kubectl("create", "configmap", f"c{number}")
    shown = kubectl("get", "cm", "--chunk-size=2", "-o", "name")
    assert len(shown.split()) == 6
