"""Applies and patches of custom resources, word for word as upstream's own API server for them answers."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clusters import Api
from tests.crds import Custom, definition, install, message, object_schema, version

TEXT = {"type": "string"}
PORTS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": TEXT, "port": {"type": "integer", "default": 80}, "value": TEXT},
        "required": ["name"],
    },
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name", "port"],
}
SPEC = object_schema(
    text=TEXT,
    replicas={"type": "integer"},
    labels={"type": "object", "additionalProperties": TEXT},
    struct=object_schema(a=TEXT, b=TEXT),
    ports=PORTS,
)


@pytest.fixture
def custom(bare_api: Api, bare_namespace: str) -> Custom:
    schema = object_schema(spec=SPEC, status={"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    served = version("v1", schema, subresources={"status": {}, "scale": scale})
    return install(bare_api, definition(served), bare_namespace)


def apply(custom: Custom, spec: Any, manager: str = "m", subresource: str = "", **metadata: Any) -> Any:
    return custom.api(
        "PATCH",
        custom.item("a", "v1", subresource),
        custom.object("a", spec=spec, metadata=metadata),
        query={"fieldManager": manager},
        headers={"Content-Type": "application/apply-patch+yaml"},
    )


def owned(answer: Any) -> list[Any]:
    return [entry["fieldsV1"] for entry in answer.json["metadata"].get("managedFields", ())]


def test_a_key_that_is_left_out_has_its_default(custom: Custom) -> None:
    made = apply(custom, {"ports": [{"name": "a"}, {"name": "a", "port": 81}]})
    elements = owned(made)[0]["f:spec"]["f:ports"]
    assert list(elements) == ['k:{"name":"a","port":80}', 'k:{"name":"a","port":81}']
    twice = message(apply(custom, {"ports": [{"name": "a"}, {"name": "a", "port": 80}]}))
    assert twice.endswith('.spec.ports: duplicate entries for key [name="a",port=80]')


def test_what_is_emptied_by_an_apply_is_null(custom: Custom) -> None:
    apply(custom, {"labels": {"x": "1"}})
    said = message(apply(custom, {"labels": {}}))
    assert said.endswith('spec.labels: Invalid value: "null": spec.labels in body must be of type object: "null"')
    assert "labels" not in apply(custom, {"text": "a"}).json["spec"]
    assert 'spec.text in body must be of type string: "null"' in message(apply(custom, {"text": None}))


def test_a_creator_owns_what_it_sent_and_not_the_metadata_around(custom: Custom) -> None:
    named = custom.create("b", spec={"text": "t"}, metadata={"labels": {"x": "1"}})
    assert owned(named)[0]["f:metadata"] == {"f:labels": {".": {}, "f:x": {}}}
    generated = custom.object("", spec={}, metadata={"generateName": "g-"})
    made = custom.api("POST", custom.collection(), generated)
    assert owned(made)[0]["f:metadata"] == {"f:generateName": {}}


def test_a_status_with_a_default_has_it_from_the_start(bare_api: Api, bare_namespace: str) -> None:
    waiting = {"type": "Accepted", "status": "Unknown"}
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "default": {"conditions": [waiting]}}
    schema = object_schema(spec=SPEC, status=status)
    custom = install(bare_api, definition(version("v1", schema, subresources={"status": {}})), bare_namespace)
    made = custom.create("a", spec={}, status={"conditions": []})
    assert made.json["status"] == {"conditions": [waiting]}
    assert custom.get("a").json["status"] == {"conditions": [waiting]}
    assert custom.merge("a", {"spec": {"text": "b"}}).json["status"] == {"conditions": [waiting]}


def test_identity(custom: Custom) -> None:
    assert apply(custom, {"text": "a"}, resourceVersion="1").status == 201
    for answer in (apply(custom, {"text": "a"}, uid="other"), custom.merge("a", {"metadata": {"uid": "other"}})):
        assert answer.status == 422
        assert 'metadata.uid: Invalid value: "other": field is immutable' in message(answer)
    late = apply(custom, {"text": "b"}, resourceVersion="1")
    assert (late.status, late.json["reason"]) == (409, "Conflict")
    odd = custom.merge("a", {"metadata": {"resourceVersion": "x"}})
    assert (odd.status, message(odd)) == (500, 'strconv.ParseUint: parsing "x": invalid syntax')
    moved = message(custom.merge("a", {"metadata": {"namespace": "other"}}))
    assert moved == "the namespace of the provided object does not match the namespace sent on the request"
    assert message(custom.merge("a", {"kind": "Other"})).endswith(
        f'kind: Invalid value: "Other": must be {custom.kind}'
    )
    unconditional = message(custom.api("PUT", custom.item("a"), custom.object("a")))
    assert unconditional.startswith(f'{custom.plural}.{custom.group} "a" is invalid: metadata.resourceVersion')


def test_a_patch_that_makes_no_object_is_invalid(custom: Custom) -> None:
    apply(custom, {"text": "a"})
    answer = custom.merge("a", {"metadata": {"labels": {"x": 1}}})
    assert answer.status == 422
    assert message(answer).startswith(' "" is invalid: patch: Invalid value: "{')
    assert message(answer).endswith(
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    )


def test_wrong_types_are_told_in_order(custom: Custom) -> None:
    said = message(apply(custom, {"text": 1, "replicas": "x", "labels": []}))
    lines = [line.strip().partition(":")[0] for line in said.splitlines()[1:]]
    assert lines == [".spec.labels", ".spec.replicas", ".spec.text"]


def test_managed_fields_are_checked_and_forgotten(custom: Custom) -> None:
    apply(custom, {"text": "a"})
    entry = {"manager": "x", "operation": "Update", "apiVersion": f"{custom.group}/v1", "fieldsType": "FieldsV1"}
    long = message(custom.merge("a", {"metadata": {"managedFields": [{**entry, "subresource": "s" * 300}]}}))
    assert long.endswith("metadata.managedFields[0].subresource: Too long: may not be more than 256 bytes")
    assert len(owned(custom.merge("a", {"metadata": {"managedFields": []}}))) == 1
    assert owned(custom.merge("a", {"metadata": {"managedFields": [{}]}})) == []
    said = message(apply(custom, {"text": "b"}))
    assert (
        said == f'Apply failed with 1 conflict: conflict with "before-first-apply" using {custom.group}/v1: .spec.text'
    )


def test_no_replicas_and_none_are_told_apart(custom: Custom) -> None:
    apply(custom, {"text": "a"})
    unsaid = custom.merge("a", {"metadata": {"labels": {"x": "1"}}}, "scale")
    assert message(unsaid) == 'the spec replicas field ".spec.replicas" cannot be empty'
    assert custom.merge("a", {"spec": {"replicas": 0}}, "scale").status == 200
    assert custom.get("a").json["spec"]["replicas"] == 0
    below = message(custom.merge("a", {"spec": {"replicas": -3}}, "scale"))
    assert below.endswith(".spec.replicas: Invalid value: -3: should be a non-negative integer")


def test_lists_that_become_atomic_are_one_field(custom: Custom) -> None:
    apply(custom, {"struct": {"a": "1"}, "ports": [{"name": "a"}]})
    changed = object_schema(
        spec=object_schema(struct={**SPEC["properties"]["struct"], "x-kubernetes-map-type": "atomic"})
    )
    changed["properties"]["spec"]["properties"]["ports"] = {"type": "array", "items": PORTS["items"]}
    assert custom.change(versions=[version("v1", changed)]).status == 200
    merged = custom.merge("a", {"metadata": {"labels": {"x": "1"}}})
    mine = next(e for e in merged.json["metadata"]["managedFields"] if e["manager"] == "m")
    assert mine["fieldsV1"] == {"f:spec": {"f:ports": {}, "f:struct": {}}}
