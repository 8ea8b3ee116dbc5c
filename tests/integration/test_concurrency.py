"""Several writers of one object: optimistic concurrency, and patches that do not lose each other."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from tests.clusters import Api
from tests.tools import Kubectl

STORES = ("sqlite", "etcd")

MERGE = {"Content-Type": "application/merge-patch+json"}


def path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def test_the_second_writer_is_refused(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=0")
    read = json.loads(kubectl("get", "cm", "c", "-o", "json"))
    read["data"]["a"] = "first"
    kubectl("replace", "-f", "-", input=json.dumps(read))
    read["data"]["a"] = "second"
    late = kubectl.run("replace", "-f", "-", input=json.dumps(read))
    assert late.returncode == 1
    assert late.stderr.startswith("Error from server (Conflict): ")
    assert late.stderr.rstrip().endswith(
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )
    assert kubectl("get", "cm", "c", "-o", "jsonpath={.data.a}") == "first"


def test_replace_without_a_version_wins(bare_api: Api, bare_namespace: str) -> None:
    bare_api("POST", path(bare_namespace), {"metadata": {"name": "c"}})
    body = {"metadata": {"name": "c"}, "data": {"a": "1"}}
    assert bare_api("PUT", path(bare_namespace, "c"), body).status == 200


def test_conditional_delete_of_what_changed(bare_api: Api, bare_namespace: str) -> None:
    made = bare_api("POST", path(bare_namespace), {"metadata": {"name": "c"}}).json
    bare_api("PATCH", path(bare_namespace, "c"), {"data": {"a": "1"}}, headers=MERGE)
    options = {"preconditions": {"resourceVersion": made["metadata"]["resourceVersion"]}}
    answer = bare_api("DELETE", path(bare_namespace, "c"), options)
    assert (answer.status, answer.json["reason"]) == (409, "Conflict")


def test_patches_side_by_side_all_count(bare_api: Api, bare_namespace: str) -> None:
    bare_api("POST", path(bare_namespace), {"metadata": {"name": "c"}})

    def change(number: int) -> int:
        body = {"data": {f"k{number}": str(number)}}
        return bare_api("PATCH", path(bare_namespace, "c"), body, headers=MERGE).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(change, range(64))) == {200}
    assert bare_api("GET", path(bare_namespace, "c")).json["data"] == {f"k{n}": str(n) for n in range(64)}


def test_increments_with_versions(bare_api: Api, bare_namespace: str) -> None:
    """Read, change, write, again on conflict: no increment is lost."""
    bare_api("POST", path(bare_namespace), {"metadata": {"name": "c"}, "data": {"n": "0"}})

    def increment(_: int) -> int:
        for tries in range(200):
            found = bare_api("GET", path(bare_namespace, "c")).json
            found["data"]["n"] = str(int(found["data"]["n"]) + 1)
            answer = bare_api("PUT", path(bare_namespace, "c"), found)
            if answer.status == 200:
                return tries
            assert answer.status == 409
        raise AssertionError("never got through")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(24)))
    assert bare_api("GET", path(bare_namespace, "c")).json["data"] == {"n": "24"}


def test_only_one_creates(bare_api: Api, bare_namespace: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(bare_api, "POST", path(bare_namespace), {"metadata": {"name": "same"}}) for _ in range(16)]
    assert sorted(future.result().status for future in made) == [201] + [409] * 15


def test_generated_names_differ(bare_api: Api, bare_namespace: str) -> None:
    names = {
        bare_api("POST", path(bare_namespace), {"metadata": {"generateName": "g-"}}).json["metadata"]["name"]
        for _ in range(20)
    }
    assert len(names) == 20
    assert all(name.startswith("g-") and len(name) == 7 for name in names)
