"""Server-side apply and managed fields as users meet them: kubectl's verbs, and the API's own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.clusters import Api, wait_for
from tests.integration.test_apply import LAST_APPLIED, deployment, read
from tests.tools import Kubectl

APPLY = {"Content-Type": "application/apply-patch+yaml"}
CONFIG_MAP: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}


def apply(kubectl: Kubectl, obj: dict[str, Any], *arguments: str) -> str:
    return kubectl("apply", "--server-side", "-f", "-", *arguments, input=yaml.safe_dump(obj))


def refused(kubectl: Kubectl, obj: dict[str, Any], *arguments: str) -> str:
    done = kubectl.run("apply", "--server-side", "-f", "-", *arguments, input=yaml.safe_dump(obj))
    assert done.returncode == 1, done.stdout
    return done.stderr


def managers(obj: dict[str, Any]) -> set[tuple[str, str, str]]:
    entries = obj["metadata"].get("managedFields", ())
    return {(entry["manager"], entry["operation"], entry.get("subresource", "")) for entry in entries}


def managed(kubectl: Kubectl, *what: str) -> Any:
    return json.loads(kubectl("get", *what, "-o", "json", "--show-managed-fields"))


def scale(kubectl: Kubectl, name: str, replicas: int) -> None:
    """As ``scaler``: ``kubectl scale`` cannot be told whom to be."""
    patch = json.dumps({"spec": {"replicas": replicas}})
    as_whom = ("--subresource=scale", "--field-manager=scaler", "--type=merge")
    kubectl("patch", "deployment", name, *as_whom, "-p", patch)


def test_apply_conflict_force(kubectl: Kubectl) -> None:
    assert apply(kubectl, deployment()) == "deployment.apps/web serverside-applied\n"
    before = managed(kubectl, "deployment", "web")["metadata"]["managedFields"]
    assert apply(kubectl, deployment()) == "deployment.apps/web serverside-applied\n"
    after = managed(kubectl, "deployment", "web")["metadata"]["managedFields"]
    mine = [entry for entry in before if entry["operation"] == "Apply"]
    assert mine == [entry for entry in after if entry["operation"] == "Apply"]
    assert mine[0]["manager"] == "kubectl"

    scale(kubectl, "web", 3)
    said = refused(kubectl, deployment())
    conflict = 'conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas'
    assert f"Apply failed with 1 conflict: {conflict}" in said
    apply(kubectl, deployment(), "--force-conflicts")
    found = managed(kubectl, "deployment", "web")
    assert found["spec"]["replicas"] == 1
    assert ("scaler", "Update", "scale") not in managers(found)


def test_what_is_not_applied_any_more_goes(kubectl37: Kubectl) -> None:
    config = deployment()
    config["metadata"]["labels"]["mine"] = "x"
    apply(kubectl37, config)
    kubectl37("label", "deployment/web", "theirs=y")
    kubectl37("set", "env", "deployment/web", "B=2")
    config = deployment()
    config["spec"]["template"]["spec"]["containers"][0]["env"] = []
    apply(kubectl37, config)
    found = read(kubectl37, "deployment", "web")
    assert found["metadata"]["labels"] == {"app": "web", "team": "a", "theirs": "y"}
    assert found["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "B", "value": "2"}]


def test_managers_have_the_names_of_upstreams_components(kubectl37: Kubectl) -> None:
    apply(kubectl37, deployment())
    kubectl37("rollout", "status", "deployment/web", "--timeout=30s")
    found = managed(kubectl37, "deployment", "web")
    assert ("kube-controller-manager", "Update", "status") in managers(found)
    pod = managed(kubectl37, "pods")["items"][0]
    assert managers(pod) == {("kube-controller-manager", "Update", ""), ("kubelet", "Update", "status")}
    replica_set = managed(kubectl37, "replicasets")["items"][0]
    assert {name for name, _, _ in managers(replica_set)} == {"kube-controller-manager"}
    plain = read(kubectl37, "deployment", "web")
    assert "managedFields" not in plain["metadata"]


def test_from_client_side_apply_to_server_side_and_back(kubectl: Kubectl) -> None:
    """Without conflicts, and what the manifest no longer has goes although only the client's side had applied it."""
    manifest = yaml.safe_dump(deployment())
    kubectl("apply", "-f", "-", input=manifest)
    assert ("kubectl-client-side-apply", "Update", "") in managers(managed(kubectl, "deployment", "web"))
    changed = deployment(replicas=2)
    del changed["metadata"]["labels"]["team"]
    apply(kubectl, changed)
    found = managed(kubectl, "deployment", "web")
    assert found["spec"]["replicas"] == 2
    assert found["metadata"]["labels"] == {"app": "web"}
    assert ("kubectl-client-side-apply", "Update", "") not in managers(found)
    assert json.loads(found["metadata"]["annotations"][LAST_APPLIED])["spec"]["replicas"] == 2
    kubectl("apply", "-f", "-", input=yaml.safe_dump(deployment(replicas=3)))
    assert read(kubectl, "deployment", "web")["spec"]["replicas"] == 3


def test_diff(kubectl: Kubectl) -> None:
    """Shows what an apply would change, and changes nothing."""
    apply(kubectl, deployment())
    kubectl("rollout", "status", "deployment/web")  # its status is not to change in between
    changed = yaml.safe_dump(deployment(replicas=4))
    assert kubectl.run("diff", "--server-side", "-f", "-", input=yaml.safe_dump(deployment())).returncode == 0
    for arguments in (["--server-side"], []):
        done = kubectl.run("diff", *arguments, "-f", "-", input=changed)
        assert done.returncode == 1, done.stderr
        assert "-  replicas: 1\n+  replicas: 4\n" in done.stdout
    assert read(kubectl, "deployment", "web")["spec"]["replicas"] == 1
    other = {**CONFIG_MAP, "metadata": {"name": "not-there"}}
    done = kubectl.run("diff", "--server-side", "-f", "-", input=yaml.safe_dump(other))
    assert done.returncode == 1, done.stderr
    assert '+  a: "1"\n' in done.stdout
    assert kubectl.run("get", "configmap", "not-there").returncode == 1


def test_kustomization(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(deployment()))
    kustomization = {
        "resources": ["web.yaml"],
        "namePrefix": "k-",
        "configMapGenerator": [{"name": "settings", "literals": ["a=b"]}],
        "replicas": [{"name": "web", "count": 2}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    for arguments in ([], ["--server-side", "--force-conflicts"]):
        kubectl("apply", "-k", str(tmp_path), *arguments)
        assert read(kubectl, "deployment", "k-web")["spec"]["replicas"] == 2
    names = kubectl("get", "configmaps", "-o", "name").split()
    assert any(name.startswith("configmap/k-settings-") for name in names)


def test_edit(kubectl37: Kubectl, tmp_path: Path) -> None:
    apply(kubectl37, CONFIG_MAP)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/a: "1"/a: "2"/\' "$1"\n')
    editor.chmod(0o755)
    done = kubectl37.run("edit", "configmap/c", env={"KUBE_EDITOR": str(editor)})
    assert done.returncode == 0, done.stderr
    found = managed(kubectl37, "configmap", "c")
    assert found["data"] == {"a": "2"}
    assert ("kubectl-edit", "Update", "") in managers(found)
    assert 'conflict with "kubectl-edit" using v1: .data.a' in refused(kubectl37, CONFIG_MAP)


def test_unknown_fields_are_refused(kubectl37: Kubectl) -> None:
    wrong = deployment(nope=1)
    said = refused(kubectl37, wrong, "--validate=false")
    assert "failed to create typed patch object" in said
    assert said.rstrip().endswith("apps/v1, Kind=Deployment): .spec.nope: field not declared in schema")


def send(api: Api, namespace: str, body: Any, name: str = "c", **query: str) -> Any:
    path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = api("PATCH", path, data, query=query, headers=APPLY)
    return answer.status, answer.json


def test_the_api_itself(bare_api: Api, bare_namespace: str) -> None:
    """YAML, creation with 201, options, preconditions, dry run."""
    here = (bare_api, bare_namespace)
    status, found = send(*here, CONFIG_MAP)
    assert (status, found["message"]) == (
        422,
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    )
    assert send(*here, CONFIG_MAP, fieldManager="m", dryRun="All")[0] == 201
    assert bare_api("GET", f"/api/v1/namespaces/{bare_namespace}/configmaps/c").status == 404
    status, created = send(*here, yaml.safe_dump(CONFIG_MAP).encode(), fieldManager="m")
    assert status == 201
    assert created["metadata"]["managedFields"][0]["fieldsV1"] == {"f:data": {"f:a": {}}}
    status, found = send(*here, CONFIG_MAP, fieldManager="m")
    assert (status, found) == (200, created)
    newer = {**CONFIG_MAP, "data": {"a": "2"}}
    assert send(*here, newer, fieldManager="m", dryRun="All")[1]["data"] == {"a": "2"}
    stale = {**newer, "metadata": {"name": "c", "resourceVersion": "1"}}
    status, found = send(*here, stale, fieldManager="m")
    assert (status, found["reason"]) == (409, "Conflict")
    status, found = send(*here, newer, fieldManager="x" * 129)
    assert (status, found["details"]["causes"][0]["field"]) == (422, "fieldManager")
    status, found = send(*here, {**CONFIG_MAP, "metadata": {"name": "other"}}, fieldManager="m")
    assert (status, found["message"]) == (
        400,
        "the name of the object (other) does not match the name on the URL (c)",
    )
    status, found = send(*here, newer, fieldManager="n")
    assert (status, found["code"], found["reason"]) == (409, 409, "Conflict")
    assert found["message"] == 'Apply failed with 1 conflict: conflict with "m": .data.a'
    assert found["details"] == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "m"', "field": ".data.a"}]
    }
    status, found = send(*here, newer, fieldManager="n", force="true")
    assert (status, managers(found)) == (200, {("n", "Apply", "")})


def test_a_key_named_twice(bare_api: Api, bare_namespace: str) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: twice\ndata:\n  a: x\n  a: y\n"
    here = (bare_api, bare_namespace, text, "twice")
    status, found = send(*here, fieldManager="m", fieldValidation="Strict")
    assert status == 400
    assert found["message"] == (
        "error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n"
        '  line 7: key "a" already set in map'
    )
    assert send(*here, fieldManager="m", fieldValidation="Ignore")[0] == 201
    status, found = send(*here[:2], b"a: [", "twice", fieldManager="m")
    assert status == 400
    assert found["message"].startswith("error encoding patch: yaml: ")
    status, found = send(*here[:2], b"[]", "twice", fieldManager="m")
    assert (status, found["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("reset", [[], [{}]], ids=["none", "one-empty"])
def test_managed_fields_can_be_reset(bare_api: Api, bare_namespace: str, reset: list[Any]) -> None:
    path = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    assert send(bare_api, bare_namespace, CONFIG_MAP, fieldManager="m")[0] in (200, 201)
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": reset}]
    headers = {"Content-Type": "application/json-patch+json"}
    found = bare_api("PATCH", f"{path}/c", json.dumps(patch).encode(), headers=headers).json
    assert "managedFields" not in found["metadata"]
    merge = {"metadata": {"managedFields": reset}}
    send(bare_api, bare_namespace, CONFIG_MAP, fieldManager="m")
    headers = {"Content-Type": "application/merge-patch+json"}
    found = bare_api("PATCH", f"{path}/c", json.dumps(merge).encode(), headers=headers).json
    assert "managedFields" not in found["metadata"]
    _, found = send(bare_api, bare_namespace, {**CONFIG_MAP, "data": {"b": "2"}}, fieldManager="m")
    assert managers(found) == {("m", "Apply", ""), ("before-first-apply", "Update", "")}


def test_other_patches_do_not_take_force(bare_api: Api, bare_namespace: str) -> None:
    path = f"/api/v1/namespaces/{bare_namespace}/configmaps/c"
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = bare_api("PATCH", path, b"{}", query={"force": "true"}, headers=headers)
    assert (answer.status, answer.json["details"]["causes"][0]["field"]) == (422, "force")
    headers = {"Content-Type": "application/apply-patch+cbor"}
    assert bare_api("PATCH", path, b"\xa0", query={"fieldManager": "m"}, headers=headers).status == 415


def test_creating_by_apply_needs_the_right_to_create(kubectl37: Kubectl, api: Api, namespace: str) -> None:
    kubectl37("create", "role", "patcher", "--verb=patch", "--resource=configmaps")
    kubectl37("create", "rolebinding", "patcher", "--role=patcher", "--user=jane")
    said = refused(kubectl37, CONFIG_MAP, "--as=jane", "--validate=false")
    assert 'User "jane" cannot create resource "configmaps" in API group ""' in said
    apply(kubectl37, CONFIG_MAP)
    wait_for(lambda: read(kubectl37, "configmap", "c")["data"] == {"a": "1"}, "the ConfigMap")
    changed = {**CONFIG_MAP, "data": {"a": "1", "b": "2"}}
    apply(kubectl37, changed, "--as=jane", "--validate=false", "--field-manager=jane")
    assert read(kubectl37, "configmap", "c")["data"] == {"a": "1", "b": "2"}


def test_scale_and_status_by_apply(bare_api: Api, bare_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{bare_namespace}/deployments/web"
    query = {"fieldManager": "m"}
    assert bare_api("PATCH", path, json.dumps(deployment()).encode(), query=query, headers=APPLY).status == 201
    wanted = {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "web"},
        "spec": {"replicas": 5},
    }
    data = json.dumps(wanted).encode()
    answer = bare_api("PATCH", f"{path}/scale", data, query={"fieldManager": "s"}, headers=APPLY)
    assert (answer.status, answer.json["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "m": .spec.replicas',
    )
    answer = bare_api("PATCH", f"{path}/scale", data, query={"fieldManager": "s", "force": "true"}, headers=APPLY)
    assert (answer.status, answer.json["spec"]) == (200, {"replicas": 5})
    status = {**deployment(), "status": {"replicas": 5}}
    data = json.dumps(status).encode()
    answer = bare_api("PATCH", f"{path}/status", data, query={"fieldManager": "c"}, headers=APPLY)
    found = answer.json
    assert (answer.status, found["status"]["replicas"], found["spec"]["replicas"]) == (200, 5, 5)
    owned = {entry["manager"]: entry["fieldsV1"] for entry in found["metadata"]["managedFields"]}
    assert owned["s"] == {"f:spec": {"f:replicas": {}}}
    assert owned["c"] == {"f:status": {"f:replicas": {}}}
    assert "f:replicas" not in owned["m"]["f:spec"]


def test_custom_resources(kubectl37: Kubectl, api: Api) -> None:
    """Lists merge by the keys that the definition names; what it does not know is refused; replicas through scale."""
    part = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
    }
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    properties = {"replicas": {"type": "integer"}, "parts": {"type": "array", "items": part, **keyed}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.apply.example.com"},
        "spec": {
            "group": "apply.example.com",
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "kind": "Gadget"},
            "versions": [version],
        },
    }
    apply(kubectl37, definition)
    try:
        kubectl37("wait", "--for=condition=Established", "crd/gadgets.apply.example.com", "--timeout=30s")
        gadget = {"apiVersion": "apply.example.com/v1", "kind": "Gadget", "metadata": {"name": "g"}}
        apply(kubectl37, {**gadget, "spec": {"replicas": 1, "parts": [{"name": "a", "count": 1}]}})
        apply(kubectl37, {**gadget, "spec": {"parts": [{"name": "b", "count": 2}]}}, "--field-manager=other")
        found = read(kubectl37, "gadget", "g")
        assert found["spec"]["parts"] == [{"name": "a", "count": 1}, {"name": "b", "count": 2}]
        said = refused(kubectl37, {**gadget, "spec": {"parts": [{"name": "b", "count": 3}]}})
        assert 'conflict with "other": .spec.parts[name="b"].count' in said
        assert ".spec.nope: field not declared in schema" in refused(kubectl37, {**gadget, "spec": {"nope": 1}})
        kubectl37("scale", "gadget/g", "--replicas=3")
        entries = managed(kubectl37, "gadget", "g")["metadata"]["managedFields"]
        scaled = [entry["fieldsV1"] for entry in entries if entry.get("subresource") == "scale"]
        assert scaled == [{"f:spec": {"f:replicas": {}}}]
    finally:
        kubectl37("delete", "crd", "gadgets.apply.example.com")
