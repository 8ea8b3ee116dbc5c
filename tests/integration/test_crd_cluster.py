"""Custom resources beside built-in ones: owners, namespaces, quota, aggregated roles, restarts, clients of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Api, Cluster, wait_for
from tests.crds import Custom, definition, install, object_schema, version


@pytest.fixture
def widgets(api: Api, namespace: str) -> Custom:
    return install(api, definition(), namespace)


def owner(obj: Any) -> Any:
    metadata = obj["metadata"]
    reference = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return {"ownerReferences": [reference]}


def test_owners_and_dependents_of_both_kinds(widgets: Custom) -> None:
    api, space = widgets.api, f"/api/v1/namespaces/{widgets.namespace}/configmaps"
    parent = widgets.create("parent").json
    child = api("POST", space, {"metadata": {"name": "child", **owner(parent)}}).json
    widgets.create("grandchild", metadata=owner({**child, "apiVersion": "v1", "kind": "ConfigMap"}))
    api("DELETE", widgets.item("parent"))
    wait_for(lambda: api("GET", f"{space}/child").status == 404, "the ConfigMap to follow its owner")
    wait_for(lambda: widgets.get("grandchild").status == 404, "the custom resource to follow the ConfigMap")


def test_foreground_deletion_waits_for_dependents(widgets: Custom) -> None:
    parent = widgets.create("parent").json
    widgets.create("child", metadata={**owner(parent), "finalizers": ["example.com/hold"]})
    wait_for(lambda: widgets.get("child").status == 200, "the child")
    answer = widgets.api("DELETE", widgets.item("parent"), {"propagationPolicy": "Orphan"})
    assert answer.status == 200
    wait_for(lambda: widgets.get("parent").status == 404, "the parent to go without its child")
    assert not widgets.get("child").json["metadata"].get("ownerReferences")
    widgets.merge("child", {"metadata": {"finalizers": None}})


def test_a_namespace_takes_its_custom_resources_with_it(api: Api) -> None:
    name = "with-widgets"
    api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    widgets = install(api, definition(), name)
    widgets.create("a")
    widgets.create("b", metadata={"finalizers": ["example.com/hold"]})
    api("DELETE", f"/api/v1/namespaces/{name}")
    wait_for(lambda: widgets.get("a").status == 404, "the content of the namespace to go")

    def remaining() -> bool:
        conditions = api("GET", f"/api/v1/namespaces/{name}").json["status"].get("conditions") or []
        shown = {condition["type"]: condition["message"] for condition in conditions}
        return f"{widgets.plural}.{widgets.group} has 1 resource instances" in shown.get(
            "NamespaceContentRemaining", ""
        )

    wait_for(remaining, "the namespace to say what is left in it")
    widgets.merge("b", {"metadata": {"finalizers": None}})
    wait_for(lambda: api("GET", f"/api/v1/namespaces/{name}").status == 404, "the namespace to go")


def test_quota_counts_custom_resources(widgets: Custom) -> None:
    api, space = widgets.api, f"/api/v1/namespaces/{widgets.namespace}/resourcequotas"
    counted = f"count/{widgets.plural}.{widgets.group}"
    api("POST", space, {"metadata": {"name": "q"}, "spec": {"hard": {counted: "1"}}})
    used = f"{space}/q"
    wait_for(lambda: (api("GET", used).json.get("status") or {}).get("used", {}).get(counted) == "0", "the first count")
    assert widgets.create("a").status == 201
    refused = widgets.create("b")
    assert refused.status == 403
    assert (
        f"exceeded quota: q, requested: {counted}=1, used: {counted}=1, limited: {counted}=1" in refused.json["message"]
    )


def test_aggregated_roles_take_in_roles_for_custom_resources(api: Api, cluster: Cluster, widgets: Custom) -> None:
    role = {
        "metadata": {
            "name": f"widgets-{widgets.namespace}",
            "labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"},
        },
        "rules": [{"apiGroups": [widgets.group], "resources": ["widgets"], "verbs": ["get", "create"]}],
    }
    assert api("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role).status == 201
    account = {"kind": "ServiceAccount", "name": "default", "namespace": widgets.namespace}
    binding = {
        "metadata": {"name": "edits"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [account],
    }
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{widgets.namespace}/rolebindings"
    assert api("POST", path, binding).status == 201
    user = f"system:serviceaccount:{widgets.namespace}:default"
    kubectl = cluster.kubectl().within(widgets.namespace)
    wait_for(
        lambda: kubectl.run("auth", "can-i", "create", f"widgets.{widgets.group}", f"--as={user}").returncode == 0,
        "the right to create widgets",
    )
    assert kubectl.run("auth", "can-i", "delete", f"widgets.{widgets.group}", f"--as={user}").returncode != 0


def test_definitions_are_served_from_the_first_moment_after_a_restart(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.up("--parts", "apiserver")
    try:
        schema = object_schema(spec=object_schema(a={"type": "integer"}))
        widgets = install(cluster.api(), definition(version(schema=schema)), "default")
        assert widgets.create("a", spec={"a": 1}).status == 201
        cluster.kill()
        cluster.up("--parts", "apiserver")
        again = Custom(cluster.api(), widgets.made, "default")
        assert again.get("a").json["spec"] == {"a": 1}
        assert again.create("b", spec={"a": "x"}).status == 422
    finally:
        cluster.stop_if_running()


def test_the_kubernetes_client_and_lightkube(cluster: Cluster, widgets: Custom) -> None:
    import kubernetes
    import lightkube
    from lightkube.generic_resource import create_namespaced_resource

    client = kubernetes.config.new_client_from_config(str(cluster.kubeconfig))
    custom = kubernetes.client.CustomObjectsApi(client)
    where = (widgets.group, "v1", widgets.namespace, "widgets")
    custom.create_namespaced_custom_object(*where, widgets.object("a", spec={"x": 1}))
    custom.patch_namespaced_custom_object(*where, "a", {"spec": {"x": 2}})
    assert custom.get_namespaced_custom_object(*where, "a")["spec"] == {"x": 2}
    client.rest_client.pool_manager.clear()
    client.close()

    widget = create_namespaced_resource(widgets.group, "v1", "Widget", "widgets")
    light = lightkube.Client(lightkube.KubeConfig.from_file(str(cluster.kubeconfig)), namespace=widgets.namespace)
    light.apply(widget(metadata={"name": "b"}, spec={"y": 1}), field_manager="test")
    assert {found.metadata.name for found in light.list(widget)} == {"a", "b"}
    assert light.get(widget, "b").spec == {"y": 1}
    light.delete(widget, "b")
    light.close()
