"""The three patch types through ``kubectl patch``, and what each refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.clusters import Api
from tests.tools import Kubectl

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"a": "1"}},
    "spec": {
        "containers": [{"name": "one", "image": "x:1"}, {"name": "two", "image": "y:1"}],
        "nodeSelector": {"no": "where"},
    },
}


def patch(kubectl: Kubectl, type: str, change: Any, *what: str) -> Any:
    arguments = ("patch", *(what or ("pod", "p")), f"--type={type}", "-p", json.dumps(change), "-o", "json")
    return json.loads(kubectl(*arguments))


def refused(kubectl: Kubectl, type: str, change: Any, *what: str) -> str:
    done = kubectl.run("patch", *(what or ("pod", "p")), f"--type={type}", "-p", json.dumps(change))
    assert done.returncode == 1, done.stdout
    return done.stderr


@pytest.fixture(autouse=True)
def pod(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", input=json.dumps(POD))


def images(pod: Any) -> dict[str, str]:
    return {c["name"]: c["image"] for c in pod["spec"]["containers"]}


def test_json_patch(kubectl: Kubectl) -> None:
    changed = patch(
        kubectl,
        "json",
        [
            {"op": "test", "path": "/metadata/labels/a", "value": "1"},
            {"op": "replace", "path": "/metadata/labels/a", "value": "2"},
            {"op": "add", "path": "/metadata/labels/b~1c", "value": "3"},
            {"op": "replace", "path": "/spec/containers/1/image", "value": "y:2"},
        ],
    )
    assert changed["metadata"]["labels"] == {"a": "2", "b/c": "3"}
    assert images(changed) == {"one": "x:1", "two": "y:2"}


def test_merge_patch(kubectl: Kubectl) -> None:
    changed = patch(kubectl, "merge", {"metadata": {"labels": {"a": None, "b": "2"}}})
    assert changed["metadata"]["labels"] == {"b": "2"}
    assert "may not" in refused(kubectl, "merge", {"spec": {"containers": [{"name": "one", "image": "x:2"}]}})


def test_strategic_merge_patch(kubectl: Kubectl) -> None:
    changed = patch(kubectl, "strategic", {"spec": {"containers": [{"name": "two", "image": "y:2"}]}})
    assert images(changed) == {"one": "x:1", "two": "y:2"}


def test_strategic_directives(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "d", "--image=x:1", "--replicas=0")
    what = ("deployment", "d")
    template = {"spec": {"containers": [{"name": "side", "image": "s:1"}]}}
    assert images(patch(kubectl, "strategic", {"spec": {"template": template}}, *what)["spec"]["template"]) == {
        "x": "x:1",
        "side": "s:1",
    }
    template = {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}
    assert images(patch(kubectl, "strategic", {"spec": {"template": template}}, *what)["spec"]["template"]) == {
        "x": "x:1"
    }
    template = {"spec": {"containers": [{"name": "only", "image": "o:1"}, {"$patch": "replace"}]}}
    assert images(patch(kubectl, "strategic", {"spec": {"template": template}}, *what)["spec"]["template"]) == {
        "only": "o:1"
    }
    strategy = {"$retainKeys": ["type"], "type": "Recreate"}
    assert patch(kubectl, "strategic", {"spec": {"strategy": strategy}}, *what)["spec"]["strategy"] == {
        "type": "Recreate"
    }


def test_what_patches_refuse(kubectl: Kubectl) -> None:
    assert "the server rejected our request due to an error in our request" in refused(
        kubectl, "json", [{"op": "test", "path": "/metadata/labels/a", "value": "9"}]
    )
    assert "the server rejected our request" in refused(kubectl, "json", [{"op": "remove", "path": "/nothing/here"}])
    assert "cannot unmarshal" in refused(kubectl, "merge", [1, 2])
    assert "pod updates may not change fields other than" in refused(
        kubectl, "merge", {"spec": {"restartPolicy": "Never"}}
    )
    assert "the name of the object (q) does not match the name on the URL (p)" in refused(
        kubectl, "merge", {"metadata": {"name": "q"}}
    )
    assert "the object has been modified; please apply your changes to the latest version and try again" in refused(
        kubectl, "merge", {"metadata": {"resourceVersion": "1", "labels": {"a": "9"}}}
    )


def test_unchanged_patch_writes_nothing(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=1")
    before = json.loads(kubectl("get", "cm", "c", "-o", "json"))
    assert kubectl("patch", "cm", "c", "-p", '{"data": {"a": "1"}}') == "configmap/c patched (no change)\n"
    assert json.loads(kubectl("get", "cm", "c", "-o", "json")) == before


def test_status_subresource(kubectl: Kubectl) -> None:
    change = {"status": {"message": "by hand"}, "metadata": {"labels": {"a": "ignored"}}}
    done = kubectl("patch", "pod", "p", "--subresource=status", "--type=merge", "-p", json.dumps(change), "-o", "json")
    assert json.loads(done)["status"]["message"] == "by hand"
    through_main = patch(kubectl, "merge", {"status": {"message": "other"}})
    assert through_main["status"]["message"] == "by hand"


def test_unknown_patch_type(api: Api, namespace: str, kubectl37: Kubectl) -> None:
    kubectl37("create", "configmap", "c")
    answer = api("PATCH", f"/api/v1/namespaces/{namespace}/configmaps/c", b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status == 415
    assert answer.json["reason"] == "UnsupportedMediaType"
