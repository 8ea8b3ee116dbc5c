"""``kubectl apply``, client-side: creation, three-way merge, pruning, validation, diff, prune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from tests.tools import Kubectl

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def deployment(**changes: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "web", "image": "nginx:1.25", "env": [{"name": "A", "value": "1"}]}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web", "team": "a"}},
        "spec": {**spec, **changes},
    }


def apply(kubectl: Kubectl, *objects: dict[str, Any], arguments: tuple[str, ...] = ()) -> str:
    return kubectl("apply", "-f", "-", *arguments, input="---\n".join(yaml.safe_dump(o) for o in objects))


def read(kubectl: Kubectl, *what: str) -> Any:
    return json.loads(kubectl("get", *what, "-o", "json"))


def test_created_unchanged_configured(kubectl: Kubectl) -> None:
    assert apply(kubectl, deployment()) == "deployment.apps/web created\n"
    assert apply(kubectl, deployment()) == "deployment.apps/web unchanged\n"
    assert apply(kubectl, deployment(replicas=2)) == "deployment.apps/web configured\n"
    found = read(kubectl, "deployment", "web")
    assert found["spec"]["replicas"] == 2
    assert json.loads(found["metadata"]["annotations"][LAST_APPLIED])["spec"]["replicas"] == 2


def test_three_way_merge(kubectl: Kubectl) -> None:
    """What the manifest no longer has goes, what others have set stays, lists merge by their keys."""
    apply(kubectl, deployment())
    kubectl("scale", "deployment/web", "--replicas=3")
    kubectl("label", "deployment/web", "added=by-hand")
    kubectl("set", "env", "deployment/web", "B=2")
    sidecar = {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "side", "image": "busybox"}}
    kubectl("patch", "deployment/web", "--type=json", "-p", json.dumps([sidecar]))

    new = deployment()
    del new["spec"]["replicas"]
    del new["metadata"]["labels"]["team"]
    new["spec"]["template"]["spec"]["containers"][0] |= {"image": "nginx:1.26", "env": [{"name": "C", "value": "3"}]}
    apply(kubectl, new)
    found = read(kubectl, "deployment", "web")
    assert found["metadata"]["labels"] == {"app": "web", "added": "by-hand"}
    containers = {c["name"]: c for c in found["spec"]["template"]["spec"]["containers"]}
    assert set(containers) == {"web", "side"}
    assert containers["web"]["image"] == "nginx:1.26"
    assert {e["name"]: e["value"] for e in containers["web"]["env"]} == {"B": "2", "C": "3"}
    assert found["spec"]["replicas"] == 1  # was in the last applied manifest, so it falls back to the default


def test_several_documents_and_files(kubectl: Kubectl, tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n# nothing\n---\n")
    (folder / "b.json").write_text('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}')
    (folder / "list.yml").write_text(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n"
    )
    assert kubectl("apply", "-f", str(folder)).split("\n")[:3] == [
        "configmap/a created",
        "configmap/b created",
        "configmap/c created",
    ]
    assert kubectl("delete", "-f", str(folder), "--ignore-not-found").count("deleted") == 3


def test_strict_validation_names_the_unknown_field(kubectl: Kubectl) -> None:
    wrong = deployment(replica=2)
    text = yaml.safe_dump(wrong)
    refused = kubectl.run("apply", "--validate=strict", "-f", "-", input=text)
    assert refused.returncode == 1
    assert 'unknown field "spec.replica"' in refused.stderr
    warned = kubectl.run("apply", "--validate=warn", "-f", "-", input=text)
    assert warned.returncode == 0
    assert 'Warning: unknown field "spec.replica"' in warned.stderr
    assert "replica" not in read(kubectl, "deployment", "web")["spec"]
    quiet = kubectl.run("apply", "--validate=ignore", "-f", "-", input=text)
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_dry_run_server(kubectl: Kubectl) -> None:
    shown = kubectl("apply", "--dry-run=server", "-o", "json", "-f", "-", input=yaml.safe_dump(deployment()))
    assert json.loads(shown)["spec"]["strategy"]["type"] == "RollingUpdate"
    assert "not found" in kubectl.run("get", "deployment", "web").stderr


def test_diff(kubectl: Kubectl) -> None:
    apply(kubectl, deployment())
    same = kubectl.run("diff", "-f", "-", input=yaml.safe_dump(deployment()))
    assert (same.returncode, same.stdout) == (0, ""), same.stderr
    other = kubectl.run("diff", "-f", "-", input=yaml.safe_dump(deployment(replicas=5)))
    assert other.returncode == 1, other.stderr
    assert "-  replicas: 1\n+  replicas: 5\n" in other.stdout
    assert read(kubectl, "deployment", "web")["spec"]["replicas"] == 1


def test_prune(kubectl: Kubectl) -> None:
    one, two = (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": n, "labels": {"set": "x"}}} for n in ("a", "b")
    )
    apply(kubectl, one, two)
    shown = apply(kubectl, one, arguments=("--prune", "-l", "set=x", "--prune-allowlist=core/v1/ConfigMap"))
    assert "configmap/b pruned" in shown
    assert kubectl("get", "cm", "-l", "set=x", "-o", "name") == "configmap/a\n"


def test_immutable_field(kubectl: Kubectl) -> None:
    apply(kubectl, deployment())
    other = deployment(selector={"matchLabels": {"app": "other"}})
    other["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    refused = kubectl.run("apply", "-f", "-", input=yaml.safe_dump(other))
    assert refused.returncode == 1
    assert "spec.selector: Invalid value" in refused.stderr
    assert "field is immutable" in refused.stderr


def test_create_or_apply_twice_with_set_last_applied(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", input=yaml.safe_dump(deployment()))
    warned = kubectl.run("apply", "-f", "-", input=yaml.safe_dump(deployment()))
    assert warned.returncode == 0
    assert "missing the kubectl.kubernetes.io/last-applied-configuration annotation" in warned.stderr
    assert "replicas: 1" in kubectl("apply", "view-last-applied", "deployment/web")
