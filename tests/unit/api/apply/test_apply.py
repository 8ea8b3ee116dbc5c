"""Server-side apply: merging, conflicts, force, removal, lists of every kind, what kubectl has left behind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.api.apply.objects import Server, deployment

from pinnace.api import meta
from pinnace.api.apply import apply, managers, merge, scale, typed
from pinnace.api.errors import ApiError

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def containers(*named: dict[str, Any]) -> dict[str, Any]:
    """A Deployment whose Pods have these containers."""
    made = deployment()
    made["spec"]["template"]["spec"]["containers"] = list(named)
    return made


def partial(**spec: Any) -> dict[str, Any]:
    """The rest is somebody else's."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": spec,
    }


def names(server: Server) -> list[str]:
    return [c["name"] for c in server.object["spec"]["template"]["spec"]["containers"]]


def test_an_apply_owns_what_it_names_and_no_defaults() -> None:
    server = Server()
    server.apply(deployment(), "me")
    assert server.object["spec"]["revisionHistoryLimit"] == 10
    assert server.owned("me") == {
        "f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:template": {
                "f:metadata": {"f:labels": {"f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"web"}': {
                            ".": {},
                            "f:image": {},
                            "f:name": {},
                            "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                        }
                    }
                },
            },
        },
    }


def test_the_same_again_changes_nothing() -> None:
    server = Server()
    server.apply(deployment(), "me")
    before = meta.copy(server.object)
    server.apply(deployment(), "me")
    assert server.object == before


def test_conflicts_name_manager_and_field() -> None:
    server = Server()
    server.write(deployment(), "kubectl-client-side-apply")
    with pytest.raises(ApiError) as refused:
        server.apply(deployment(replicas=5), "me")
    error = refused.value
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    )
    assert error.details == {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "kubectl-client-side-apply" using apps/v1',
                "field": ".spec.replicas",
            }
        ]
    }


def test_several_conflicts_are_told_by_manager() -> None:
    server = Server()
    server.apply(containers({"name": "web", "image": "a"}), "first")
    server.change("scaler", subresource="", replicas=7)
    wanted = containers({"name": "web", "image": "b"})
    with pytest.raises(ApiError) as refused:
        server.apply(wanted, "second")
    assert refused.value.message == (
        'Apply failed with 2 conflicts: conflicts with "first":\n'
        '- .spec.template.spec.containers[name="web"].image\n'
        'conflicts with "scaler" using apps/v1:\n'
        "- .spec.replicas"
    )


def test_force_takes_the_fields() -> None:
    server = Server()
    server.apply(deployment(), "first")
    server.apply(partial(replicas=5), "second", force=True)
    assert server.object["spec"]["replicas"] == 5
    assert "f:replicas" not in server.owned("first")["f:spec"]
    assert server.owned("second") == {"f:spec": {"f:replicas": {}}}


def test_equal_values_are_shared_and_do_not_conflict() -> None:
    server = Server()
    server.apply(deployment(), "first")
    server.apply(partial(replicas=2), "second")
    assert server.owned("second") == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" in server.owned("first")["f:spec"]
    config = deployment()
    del config["spec"]["replicas"]
    server.apply(config, "first")
    assert server.object["spec"]["replicas"] == 2  # the second still applies it


def test_what_is_no_longer_applied_goes() -> None:
    server = Server()
    config = containers(
        {"name": "web", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    )
    config["metadata"]["annotations"] = {"x": "y"}
    config["spec"]["minReadySeconds"] = 5
    server.apply(config, "me")
    server.apply(containers({"name": "web", "image": "a", "env": [{"name": "B", "value": "2"}]}), "me")
    container = server.object["spec"]["template"]["spec"]["containers"][0]
    assert container["env"] == [{"name": "B", "value": "2"}]
    assert "annotations" not in server.object["metadata"]
    assert "minReadySeconds" not in server.object["spec"]


def test_what_others_own_stays_when_it_is_no_longer_applied() -> None:
    """An element of a list in which somebody owns a field stays, with that field."""
    server = Server()
    server.apply(containers({"name": "web", "image": "a"}, {"name": "side", "image": "s"}), "me")
    env = {"name": "side", "env": [{"name": "X", "value": "1"}]}
    server.apply(partial(template={"spec": {"containers": [env]}}), "other")
    server.object["spec"]["template"]["spec"]["containers"][1]["workingDir"] = "/set-by-admission"  # nobody's
    server.apply(containers({"name": "web", "image": "a"}), "me")
    assert names(server) == ["web", "side"]
    side = server.object["spec"]["template"]["spec"]["containers"][1]
    assert side["env"] == [{"name": "X", "value": "1"}]
    assert side["workingDir"] == "/set-by-admission"
    assert "image" not in side


def test_a_field_that_somebody_updated_is_not_removed() -> None:
    server = Server()
    server.apply(deployment(), "me")
    server.change("scaler", replicas=9)
    config = deployment()
    del config["spec"]["replicas"]
    server.apply(config, "me")
    assert server.object["spec"]["replicas"] == 9


def test_keyed_lists_merge_by_their_keys() -> None:
    server = Server()
    server.apply(containers({"name": "web", "image": "a"}), "me")
    side = {"name": "side", "image": "s"}
    server.apply(partial(template={"spec": {"containers": [side]}}), "other")
    assert names(server) == ["web", "side"]
    server.apply(containers({"name": "new", "image": "n"}, {"name": "web", "image": "a"}), "me")
    assert names(server) == ["new", "web", "side"]


def test_keys_with_defaults_are_the_same_element() -> None:
    """A port without protocol is TCP's; UDP's is another element."""
    server = Server()
    server.apply(containers({"name": "web", "image": "a", "ports": [{"containerPort": 53}]}), "me")
    ports = [{"containerPort": 53, "protocol": "TCP", "name": "dns"}, {"containerPort": 53, "protocol": "UDP"}]
    server.apply(partial(template={"spec": {"containers": [{"name": "web", "ports": ports}]}}), "other")
    found = server.object["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert [(p["containerPort"], p["protocol"], p.get("name")) for p in found] == [
        (53, "TCP", "dns"),
        (53, "UDP", None),
    ]


def test_sets_merge_and_atomic_lists_do_not() -> None:
    server = Server()
    config = deployment()
    config["metadata"]["finalizers"] = ["a/a"]
    config["spec"]["template"]["spec"]["tolerations"] = [{"key": "x", "operator": "Exists"}]
    server.apply(config, "me")
    other = partial()
    other["metadata"]["finalizers"] = ["b/b"]
    server.apply(other, "other")
    assert server.object["metadata"]["finalizers"] == ["a/a", "b/b"]
    tolerations = {"spec": {"tolerations": [{"key": "y", "operator": "Exists"}]}}
    with pytest.raises(ApiError, match=r"\.spec\.template\.spec\.tolerations"):
        server.apply(partial(template=tolerations), "other")
    server.apply(partial(template=tolerations), "other", force=True)
    assert server.object["spec"]["template"]["spec"]["tolerations"] == [{"key": "y", "operator": "Exists"}]
    assert server.object["metadata"]["finalizers"] == ["a/a"]  # which the other no longer applies


def test_the_selector_is_one_leaf() -> None:
    server = Server()
    server.apply(deployment(), "me")
    with pytest.raises(ApiError) as refused:
        server.apply(partial(selector={"matchLabels": {"app": "web", "more": "x"}}), "other")
    assert refused.value.message.endswith('conflict with "me": .spec.selector')


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"foo": 1}, ".spec.foo: field not declared in schema"),
        ({"replicas": "x"}, ".spec.replicas: expected numeric (int or float), got string"),
        ({"paused": "x"}, ".spec.paused: expected boolean, got &{x}"),
        ({"selector": "x"}, ".spec.selector: expected map, got &{x}"),
        (
            {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "A", "value": 8080}]}]}}},
            '.spec.template.spec.containers[name="a"].env[name="A"].value: expected string, got '
            "&value.valueUnstructured{Value:8080}",
        ),
        (
            {"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}},
            '.spec.template.spec.containers: duplicate entries for key [name="a"]',
        ),
        (
            {"template": {"spec": {"containers": ["a"]}}},
            ".spec.template.spec.containers: element 0: associative list with keys may not have non-map elements",
        ),
        (
            {"template": {"spec": {"containers": {"name": "a"}}}},
            ".spec.template.spec.containers: expected list, got &{map[name:a]}",
        ),
        (
            {"replicas": "x", "paused": 1},
            "errors:\n  .spec.paused: expected boolean, got &{1}\n"
            "  .spec.replicas: expected numeric (int or float), got string",
        ),
    ],
)
def test_what_is_not_of_the_kind_is_refused_in_upstreams_words(spec: dict[str, Any], message: str) -> None:
    server = Server()
    with pytest.raises(ApiError) as refused:
        server.apply(partial(**spec), "me")
    assert refused.value.code == 500
    assert refused.value.message == (
        f"failed to create typed patch object (default/web; apps/v1, Kind=Deployment): {message}"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": ""}, "invalid object type: apps/v1, Kind="),
        ({"apiVersion": "v1"}, "invalid object type: /v1, Kind=Deployment"),
        ({"apiVersion": None, "kind": None}, "invalid object type: /, Kind="),
        ({"metadata": {"name": "web", "managedFields": []}}, "metadata.managedFields must be nil"),
    ],
)
def test_the_envelope_is_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as refused:
        Server().apply({**deployment(), **changes}, "me")
    assert (refused.value.code, refused.value.message) == (400, message)


def test_the_status_endpoint_owns_status_alone() -> None:
    server = Server()
    server.apply(deployment(), "me")
    config = partial(replicas=2)
    config["status"] = {"replicas": 1}
    server.apply(config, "controller", subresource="status")
    assert server.owned("controller", subresource="status") == {"f:status": {"f:replicas": {}}}
    with_status = {**deployment(), "status": {"replicas": 1}}
    server.apply(with_status, "me")
    assert "f:status" not in server.owned("me")


def test_kubectl_takes_over_what_it_applied_on_the_clients_side() -> None:
    """The annotation shows what was its own; what somebody else has changed since is a conflict all the same."""
    config = deployment()
    text = json.dumps(config)
    for manager, refused in (("kubectl", False), ("other", True)):
        server = Server()
        created = meta.copy(config)
        created["metadata"]["annotations"] = {LAST_APPLIED: text}
        server.write(created, "kubectl-client-side-apply")
        wanted = containers({"name": "web", "image": "nginx:1.26"})
        if refused:
            with pytest.raises(ApiError, match="kubectl-client-side-apply"):
                server.apply(wanted, manager)
            continue
        server.apply(wanted, manager)
        updated = server.object["metadata"]["annotations"][LAST_APPLIED]
        assert json.loads(updated) == wanted
        assert updated.endswith("\n")
    server = Server()
    created = meta.copy(config)
    created["metadata"]["annotations"] = {LAST_APPLIED: text}
    server.write(created, "kubectl-client-side-apply")
    server.change("scaler", replicas=8)
    with pytest.raises(ApiError, match=r'conflict with "scaler" using apps/v1: \.spec\.replicas'):
        server.apply(deployment(replicas=3), "kubectl")


def test_scale() -> None:
    """Replicas set through the scale endpoint are its manager's; all else stays."""
    server = Server()
    server.write(deployment(), "creator")
    path = ("f:spec", "f:replicas")
    shown = scale.to_scale(server.entries, path)
    assert [(e["manager"], e["apiVersion"], e["fieldsV1"]) for e in shown] == [
        ("creator", "autoscaling/v1", {"f:spec": {"f:replicas": {}}})
    ]
    assert scale.to_parent(server.entries, shown, "apps/v1", path) == server.entries
    mine = {"manager": "kubectl", "operation": "Update", "apiVersion": "autoscaling/v1", "fieldsType": "FieldsV1"}
    scaled = [{**mine, "fieldsV1": {"f:spec": {"f:replicas": {}}}, "subresource": "scale"}]
    after = scale.to_parent(server.entries, scaled, "apps/v1", path)
    assert after[0] == {
        "manager": "kubectl",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
        "subresource": "scale",
    }
    assert "f:replicas" not in after[1]["fieldsV1"]["f:spec"]
    assert "f:selector" in after[1]["fieldsV1"]["f:spec"]


def test_custom_resources_merge_by_their_schema() -> None:
    element = {"type": "object", "properties": {"key": {"type": "string"}, "value": {"type": "string"}}}
    properties = {
        "items": {
            "type": "array",
            "items": element,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["key"],
        },
        "plain": {"type": "array", "items": {"type": "string"}},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "box": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "port": {"x-kubernetes-int-or-string": True},
    }
    of = typed.of_structural({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})
    live = {"spec": {"items": [{"key": "a", "value": "1"}], "plain": ["x"], "tags": ["t"], "free": {"deep": {"a": 1}}}}
    config = {
        "metadata": {"name": "n"},
        "spec": {
            "items": [{"key": "b", "value": "2"}],
            "plain": ["y"],
            "tags": ["u"],
            "box": {"a": "b"},
            "free": {"deep": {"b": [2]}},
            "port": "http",
        },
    }
    merge.check(of, config)
    assert merge.merge(of, live, config)["spec"] == {
        "items": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}],
        "plain": ["y"],
        "tags": ["t", "u"],
        "box": {"a": "b"},
        "free": {"deep": {"a": 1, "b": [2]}},
        "port": "http",
    }
    assert apply.field_set(of, config)["f:spec"] == {
        "f:box": {},
        "f:free": {"f:deep": {".": {}, "f:b": {}}},
        "f:items": {'k:{"key":"b"}': {".": {}, "f:key": {}, "f:value": {}}},
        "f:plain": {},
        "f:port": {},
        "f:tags": {'v:"u"': {}},
    }
    with pytest.raises(ValueError, match=r"^\.spec\.nope: field not declared in schema$"):
        merge.check(of, {"spec": {"nope": 1}})


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ("abcd", "bd", "abcd"),
        ("abcd", "dbx", "acdbx"),
        ("ab", "xa", "xab"),
        ("abc", "cba", "cba"),
        ("ace", "bd", "acebd"),
        ("", "ab", "ab"),
    ],
)
def test_order_of_merged_lists(live: str, config: str, merged: str) -> None:
    """What both have comes in the configuration's order; what only the live list has, next to its neighbours."""
    of = typed.of_definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    made = merge.merge(of, {"finalizers": list(live)}, {"finalizers": list(config)})
    assert sorted(made["finalizers"]) == sorted(merged)
    assert [x for x in made["finalizers"] if x in config] == list(config)
    assert "".join(made["finalizers"]) == merged


def test_a_new_manager_with_the_same_values_has_no_time() -> None:
    server = Server()
    server.apply(deployment(), "first")
    server.apply(deployment(), "second")
    times = {entry["manager"]: entry.get("time") for entry in server.entries}
    assert times == {"first": "2026-01-01T00:00:01Z", "second": None}
    assert managers.read(server.entries).keys() == {
        managers.identity("first", "Apply", ""),
        managers.identity("second", "Apply", ""),
    }
