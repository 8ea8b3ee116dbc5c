"""Who owns what after creates, updates and patches, in the very fieldsV1 that a real API server writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.api.apply.objects import REGISTRY, Server, deployment

from pinnace.api import meta
from pinnace.api.apply import managers, reset, typed, update

CONTAINER = (
    '{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:ports":{".":{},'
    '"k:{\\"containerPort\\":80,\\"protocol\\":\\"TCP\\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},'
    '"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}'
)
CREATED = (
    '{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:progressDeadlineSeconds":{},"f:replicas":{},'
    '"f:revisionHistoryLimit":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},'
    '"f:maxUnavailable":{}},"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":'
    '{"f:containers":{"k:{\\"name\\":\\"web\\"}":' + CONTAINER + '},"f:dnsPolicy":{},"f:restartPolicy":{},'
    '"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}}}'
)


def compact(fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"))


def test_create_owns_what_it_and_the_defaults_set() -> None:
    """Byte for byte what kube-apiserver answers; the status sent along is not the creator's."""
    server = Server()
    server.write({**deployment(), "status": {"replicas": 1}}, "curl")
    (entry,) = server.entries
    assert compact(entry["fieldsV1"]) == CREATED
    assert {k: v for k, v in entry.items() if k != "fieldsV1"} == {
        "manager": "curl",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": "2026-01-01T00:00:01Z",
        "fieldsType": "FieldsV1",
    }
    assert list(entry) == ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"]


def test_structs_that_are_always_there_and_pointers() -> None:
    """``strategy`` is always there and no member, ``rollingUpdate`` and ``livenessProbe`` are pointers and members,
    empty structs are leaves, atomic maps and lists too."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "p-",
            "finalizers": ["b/x", "a/x"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u-1"}],
        },
        "spec": {
            "nodeSelector": {"a": "b"},
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "securityContext": {},
                    "livenessProbe": {"tcpSocket": {"port": 1}},
                    "command": ["x"],
                    "resources": {"limits": {"cpu": "1"}},
                }
            ],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "tolerations": [{"operator": "Exists"}],
        },
    }
    server = Server("", "v1", "pods")
    server.write(pod, "m")
    fields = server.owned("m", managers.UPDATE)
    assert compact(fields["f:metadata"]) == (
        '{"f:finalizers":{".":{},"v:\\"a/x\\"":{},"v:\\"b/x\\"":{}},"f:generateName":{},'
        '"f:ownerReferences":{".":{},"k:{\\"uid\\":\\"u-1\\"}":{}}}'
    )
    container = fields["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert container["f:securityContext"] == {}
    assert container["f:command"] == {}
    assert container["f:resources"]["f:limits"] == {".": {}, "f:cpu": {}}
    assert next(iter(container["f:livenessProbe"])) == "."
    assert container["f:livenessProbe"]["f:tcpSocket"] == {".": {}, "f:port": {}}
    assert fields["f:spec"]["f:nodeSelector"] == {}
    assert fields["f:spec"]["f:tolerations"] == {}
    assert "." not in fields["f:spec"]["f:containers"]
    assert fields["f:spec"]["f:volumes"] == {".": {}, 'k:{"name":"v"}': {".": {}, "f:emptyDir": {}, "f:name": {}}}


def test_what_go_always_writes_is_owned_with_the_element_it_is_in() -> None:
    """A condition's times are there even where nobody has set them."""
    server = Server("", "v1", "pods")
    spec = {"containers": [{"name": "c", "image": "i"}]}
    server.write({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}, "m")
    ready = {"type": "Ready", "status": "True"}
    server.change("kubelet", subresource="status", conditions=[ready])
    assert compact(server.owned("kubelet", managers.UPDATE, "status")) == (
        '{"f:status":{"f:conditions":{".":{},"k:{\\"type\\":\\"Ready\\"}":{".":{},"f:lastProbeTime":{},'
        '"f:lastTransitionTime":{},"f:status":{},"f:type":{}}}}}'
    )


def test_fields_change_hands() -> None:
    server = Server()
    server.write(deployment(), "creator")
    server.change("scaler", replicas=5)
    assert "f:replicas" not in server.owned("creator", managers.UPDATE)["f:spec"]
    assert server.owned("scaler", managers.UPDATE) == {"f:spec": {"f:replicas": {}}}
    server.change("creator", replicas=6)
    assert server.owned("scaler", managers.UPDATE) == {}
    assert compact(server.owned("creator", managers.UPDATE)) == CREATED
    assert [entry["time"][-3:-1] for entry in server.entries] == ["03"]


def test_no_change_leaves_everything_as_it_was() -> None:
    """Also what the client sends back, whether with the managed fields it was given or without any."""
    server = Server()
    server.write(deployment(), "creator")
    before = server.entries
    server.write(server.object, "other")
    assert server.entries == before
    bare = meta.copy(server.object)
    del bare["metadata"]["managedFields"]
    server.write(bare, "other")
    assert server.entries == before


def test_removed_fields_are_nobodys() -> None:
    server = Server()
    server.write(deployment(minReadySeconds=5), "creator")
    new = meta.copy(server.object)
    del new["spec"]["minReadySeconds"]
    del new["metadata"]["labels"]
    server.write(new, "remover")
    assert "f:minReadySeconds" not in compact(server.entries)
    assert "f:labels" not in server.owned("creator", managers.UPDATE).get("f:metadata", {})
    assert server.owned("remover", managers.UPDATE) == {}


def test_what_a_manager_removes_it_owns_no_more() -> None:
    server = Server()
    server.write(deployment(minReadySeconds=5), "creator")
    new = meta.copy(server.object)
    del new["spec"]["minReadySeconds"]
    new["spec"]["replicas"] = 7
    server.write(new, "creator")
    assert compact(server.owned("creator", managers.UPDATE)) == CREATED


def test_what_names_an_object_is_nobodys() -> None:
    server = Server()
    server.write(deployment(), "creator")
    new = meta.copy(server.object)
    new["metadata"] |= {"generation": 2, "uid": "u", "resourceVersion": "9"}
    server.write(new, "server")
    assert server.owned("server", managers.UPDATE) == {}
    assert compact(server.owned("creator", managers.UPDATE)) == CREATED


def test_status_is_its_endpoints() -> None:
    server = Server()
    server.write(deployment(), "creator")
    server.change("controller", subresource="status", replicas=1, observedGeneration=1)
    assert server.owned("controller", managers.UPDATE, "status") == {
        "f:status": {"f:observedGeneration": {}, "f:replicas": {}}
    }
    new = meta.copy(server.object)
    new["spec"]["replicas"] = 9  # the status endpoint ignores it
    new["status"]["replicas"] = 3
    server.write(new, "sneaky", subresource="status")
    assert server.owned("sneaky", managers.UPDATE, "status") == {"f:status": {"f:replicas": {}}}
    assert "f:replicas" in server.owned("creator", managers.UPDATE)["f:spec"]


@pytest.mark.parametrize("sent", [[], [{}]], ids=["none", "one-empty"])
def test_a_client_may_have_them_forgotten(sent: list[Any]) -> None:
    server = Server()
    server.write(deployment(), "creator")
    managed = server.entries
    assert update.claimed(managed, sent, "") == {}
    assert list(update.claimed(managed, sent, "status")) == list(managers.read(managed))


def test_a_client_may_set_them() -> None:
    server = Server()
    server.write(deployment(), "creator")
    new = meta.copy(server.object)
    new["metadata"]["managedFields"][0]["manager"] = "renamed"
    server.write(new, "somebody")
    assert [entry["manager"] for entry in server.entries] == ["renamed"]
    new = meta.copy(server.object)
    new["metadata"]["managedFields"] = [{"manager": "x", "operation": "Nonsense"}]
    server.write(new, "somebody")
    assert [entry["manager"] for entry in server.entries] == ["renamed"]  # what is malformed counts as none


def test_objects_without_entries_are_not_tracked_until_somebody_applies() -> None:
    server = Server()
    server.write(deployment(), "creator")
    del server.object["metadata"]["managedFields"]
    server.change("scaler", replicas=4)
    assert server.entries == []
    server.apply(deployment(replicas=4), "me")
    assert [entry["manager"] for entry in server.entries] == ["me", "before-first-apply"]
    assert server.owned("before-first-apply", managers.UPDATE)["f:spec"]["f:replicas"] == {}


def test_the_oldest_updates_become_ancient_changes() -> None:
    server = Server()
    server.write(deployment(), "creator")
    for number in range(12):
        new = meta.copy(server.object)
        new["metadata"]["labels"][f"l{number:02}"] = "x"
        server.write(new, f"m{number:02}")
    names = [entry["manager"] for entry in server.entries]
    assert names == ["ancient-changes", *[f"m{n:02}" for n in range(3, 12)]]
    ancient = server.owned("ancient-changes", managers.UPDATE)
    assert ancient["f:metadata"]["f:labels"] == {".": {}, "f:app": {}, "f:l00": {}, "f:l01": {}, "f:l02": {}}
    assert "f:replicas" in ancient["f:spec"]
    assert server.entries[0]["time"] == "2026-01-01T00:00:04Z"


def test_entries_of_other_versions_follow() -> None:
    """A change through v1 takes from who owns the field by its name in v2."""
    server = Server("autoscaling", "v2", "horizontalpodautoscalers")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    cpu = {"type": "Utilization", "averageUtilization": 50}
    server.write(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h", "namespace": "default"},
            "spec": {
                "maxReplicas": 3,
                "scaleTargetRef": target,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": cpu}}],
            },
        },
        "two",
    )
    assert server.owned("two", managers.UPDATE)["f:spec"]["f:metrics"] == {}
    first = server.at("v1")
    first.change("one", targetCPUUtilizationPercentage=70)
    entries = {entry["manager"]: entry for entry in first.entries}
    assert entries["one"]["apiVersion"] == "autoscaling/v1"
    assert entries["one"]["fieldsV1"] == {"f:spec": {"f:targetCPUUtilizationPercentage": {}}}
    assert "f:metrics" not in entries["two"]["fieldsV1"]["f:spec"]
    assert "f:maxReplicas" in entries["two"]["fieldsV1"]["f:spec"]


def test_user_agents() -> None:
    assert managers.user_agent_manager("kubectl/v1.37.1 (linux/amd64) kubernetes/abc") == "kubectl"
    assert managers.user_agent_manager("") == ""
    assert managers.identity("", managers.UPDATE, "v1").manager == "unknown"
    assert managers.user_agent_manager("a\tb/1") == "ab"
    assert len(managers.user_agent_manager("x" * 500)) == 128


def test_objects_that_differ_beside_their_spec_are_told_apart() -> None:
    """Custom resources without a status endpoint: their creator owns the status too."""
    of = typed.of_structural({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, preserve_unknown=True)
    base: dict[str, Any] = {"apiVersion": "e/v1", "kind": "E", "metadata": {"name": "e"}, "spec": {"a": 1}}
    spec = {"f:spec": {".": {}, "f:a": {}}}
    assert update.of_new(of, base, reset.NOTHING) == spec
    assert update.of_new(of, {**base, "status": {"b": 1}}, reset.NOTHING) == {**spec, "f:status": {".": {}, "f:b": {}}}
    assert update.of_new(of, {**base, "metadata": {"labels": {"x": "1"}}}, reset.NOTHING) == {
        "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
        **spec,
    }
    assert update.of_new(of, base, reset.NOTHING) == spec


def test_every_built_in_kind_has_a_type() -> None:
    """Keyed lists have keys that their elements declare."""
    seen: set[int] = set()

    def walk(of: typed.Type | None, where: str) -> None:
        if of is None or id(of) in seen:
            return
        seen.add(id(of))
        of.ready()
        if of.list_kind == typed.KEYED:
            assert of.element is not None
            assert set(of.keys) <= set(of.element.ready().fields), where
        for name, field in of.fields.items():
            walk(field, f"{where}.{name}")
        walk(of.element, f"{where}[]")
        walk(of.values, f"{where}{{}}")

    for row in REGISTRY:
        walk(typed.of_definition(row.definition), row.kind)
    assert len(seen) > 500
