"""Watches over HTTP: from a revision, bookmarks, selectors, 410 once compacted, tables for ``kubectl get -w``."""

from __future__ import annotations

import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

from tests.clusters import Api, Cluster, wait_for
from tests.tools import Kubectl

STORES = ("sqlite", "etcd")


def path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def create(api: Api, namespace: str, name: str, **labels: str) -> Any:
    answer = api("POST", path(namespace), {"metadata": {"name": name, "labels": labels}})
    assert answer.status == 201, answer.body
    return answer.json


def seen(events: Any, count: int) -> list[tuple[str, str]]:
    return [(e["type"], e["object"]["metadata"]["name"]) for e in islice(events, count)]


def test_from_a_revision(bare_api: Api, bare_namespace: str) -> None:
    first = create(bare_api, bare_namespace, "first")
    create(bare_api, bare_namespace, "second")
    bare_api("PATCH", path(bare_namespace, "first"), {"data": {"a": "1"}}, headers=MERGE)
    bare_api("DELETE", path(bare_namespace, "second"))
    version = first["metadata"]["resourceVersion"]
    with bare_api.watch(path(bare_namespace), resourceVersion=version) as events:
        assert seen(events, 3) == [("ADDED", "second"), ("MODIFIED", "first"), ("DELETED", "second")]
        create(bare_api, bare_namespace, "third")
        assert seen(events, 1) == [("ADDED", "third")]


MERGE = {"Content-Type": "application/merge-patch+json"}


def test_without_a_revision_starts_with_what_there_is(bare_api: Api, bare_namespace: str) -> None:
    create(bare_api, bare_namespace, "a")
    create(bare_api, bare_namespace, "b")
    with bare_api.watch(path(bare_namespace)) as events:
        assert set(seen(events, 2)) == {("ADDED", "a"), ("ADDED", "b")}


def test_deleted_event_has_the_revision_of_the_deletion(bare_api: Api, bare_namespace: str) -> None:
    made = create(bare_api, bare_namespace, "a")
    version = made["metadata"]["resourceVersion"]
    with bare_api.watch(path(bare_namespace), resourceVersion=version) as events:
        bare_api("DELETE", path(bare_namespace, "a"))
        deleted = next(events)
    assert deleted["type"] == "DELETED"
    assert int(deleted["object"]["metadata"]["resourceVersion"]) > int(version)


def test_selectors_turn_changes_into_additions_and_deletions(bare_api: Api, bare_namespace: str) -> None:
    create(bare_api, bare_namespace, "a", team="x")
    start = bare_api("GET", path(bare_namespace)).json["metadata"]["resourceVersion"]
    with bare_api.watch(path(bare_namespace), resourceVersion=start, labelSelector="team=y") as events:
        for team in ("y", "z"):
            change = {"metadata": {"labels": {"team": team}}}
            bare_api("PATCH", path(bare_namespace, "a"), change, headers=MERGE)
        assert seen(events, 2) == [("ADDED", "a"), ("DELETED", "a")]
    with bare_api.watch(path(bare_namespace), resourceVersion=start, fieldSelector="metadata.name=b") as events:
        create(bare_api, bare_namespace, "c")
        create(bare_api, bare_namespace, "b")
        assert seen(events, 1) == [("ADDED", "b")]


def test_bookmarks_and_the_initial_list(bare_api: Api, bare_namespace: str) -> None:
    create(bare_api, bare_namespace, "a")
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "5",
    }
    with bare_api.watch(path(bare_namespace), **query) as events:
        assert seen(events, 1) == [("ADDED", "a")]
        bookmark = next(events)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "ConfigMap"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert bookmark["object"]["metadata"]["resourceVersion"]


def test_bookmark_before_the_time_is_over(bare_api: Api, bare_namespace: str) -> None:
    create(bare_api, bare_namespace, "a")
    start = bare_api("GET", path(bare_namespace)).json["metadata"]["resourceVersion"]
    create(bare_api, "default", f"elsewhere-{bare_namespace}")
    query = {"allowWatchBookmarks": "true", "timeoutSeconds": "2", "resourceVersion": start}
    with bare_api.watch(path(bare_namespace), **query) as events:
        found = list(events)
    assert [e["type"] for e in found][-1:] == ["BOOKMARK"]
    assert int(found[-1]["object"]["metadata"]["resourceVersion"]) > int(start)


def test_ends_when_its_time_is_over(bare_api: Api, bare_namespace: str) -> None:
    with bare_api.watch(path(bare_namespace), timeoutSeconds="1") as events:
        assert list(events) == []


def test_one_object(bare_api: Api, bare_namespace: str) -> None:
    create(bare_api, bare_namespace, "a")
    start = create(bare_api, bare_namespace, "b")["metadata"]["resourceVersion"]
    with bare_api.watch(path(bare_namespace), fieldSelector="metadata.name=a", resourceVersion=start) as events:
        bare_api("DELETE", path(bare_namespace, "b"))
        bare_api("DELETE", path(bare_namespace, "a"))
        assert seen(events, 1) == [("DELETED", "a")]


def test_from_the_future(bare_api: Api, bare_namespace: str) -> None:
    answer = bare_api("GET", path(bare_namespace), query={"resourceVersion": "999999999"})
    assert answer.status == 504
    assert answer.json["message"].startswith("Timeout: Too large resource version: 999999999, current: ")
    assert answer.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_malformed_revision(bare_api: Api, bare_namespace: str) -> None:
    answer = bare_api("GET", path(bare_namespace), query={"watch": "1", "resourceVersion": "x"})
    assert answer.status == 400
    assert "invalid syntax" in answer.json["message"]


def test_kubectl_get_watch(cluster: Cluster, kubectl: Kubectl) -> None:
    command = [*kubectl.command, "get", "pods", "-w", "--no-headers", "-o", "wide"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(kubectl.environment())) as watching:
        assert watching.stdout is not None
        try:
            kubectl("run", "p", "--image=nginx")
            states = []
            while "Running" not in states:
                states.append(watching.stdout.readline().split()[2])
            kubectl("delete", "pod", "p", "--grace-period=1", "--wait=false")
            while "Terminating" not in states:
                states.append(watching.stdout.readline().split()[2])
        finally:
            watching.kill()
    assert states.index("Running") < states.index("Terminating")


def test_410_once_compacted(tmp_path: Path) -> None:
    """The store keeps a bounded history; who asks for what is gone is told to list again."""
    cluster = Cluster(tmp_path).up("--parts", "apiserver", "--store", "memory://")
    try:
        api = cluster.api()
        old = create(api, "default", "old")["metadata"]["resourceVersion"]
        create(api, "default", "other")
        listed = api("GET", path("default"), query={"limit": "1"}).json
        for number in range(110):
            change = {"data": {"large": str(number).zfill(500_000)}}
            assert api("PATCH", path("default", "old"), change, headers=MERGE).status == 200

        def expired() -> Any:
            with api.watch(path("default"), resourceVersion=old, timeoutSeconds="1") as events:
                first = next(events, None)
                return first if first is not None and first["type"] == "ERROR" else None

        error = wait_for(expired, "the revision to be compacted")["object"]
        assert (error["code"], error["reason"]) == (410, "Expired")
        assert error["message"].startswith(f"too old resource version: {old} (")
        exact = api("GET", path("default"), query={"resourceVersion": old, "resourceVersionMatch": "Exact"})
        assert (exact.status, exact.json["reason"]) == (410, "Expired")

        rest = api("GET", path("default"), query={"limit": "1", "continue": listed["metadata"]["continue"]})
        assert rest.status == 410
        assert rest.json["message"].startswith("The provided continue parameter is too old")
        resumed = api("GET", path("default"), query={"continue": rest.json["metadata"]["continue"]})
        assert resumed.status == 200
    finally:
        cluster.stop_if_running()
