"""Validation rules in CEL, transitions, ratcheting, embedded objects and list types of custom resources, over HTTPS."""

from __future__ import annotations

from typing import Any

from tests.clusters import Api
from tests.crds import Custom, definition, install, message, object_schema, version


def with_spec(api: Api, namespace: str, spec: Any) -> Custom:
    return install(api, definition(version(schema=object_schema(spec=spec), subresources={"status": {}})), namespace)


def test_rules(bare_api: Api, bare_namespace: str) -> None:
    spec = object_schema(min={"type": "integer"}, max={"type": "integer"}, name={"type": "string", "maxLength": 9})
    spec["x-kubernetes-validations"] = [
        {"rule": "self.min <= self.max", "message": "min must not be more than max"},
        {"rule": "self.min != 13", "reason": "FieldValueForbidden", "fieldPath": ".min"},
        {"rule": "!has(self.name) || self.name.startsWith('w')", "messageExpression": "'bad name ' + self.name"},
    ]
    custom = with_spec(bare_api, bare_namespace, spec)
    assert custom.create("a", spec={"min": 1, "max": 2, "name": "w"}).status == 201
    refused = custom.create("b", spec={"min": 13, "max": 2, "name": "x"})
    assert refused.status == 422
    assert [(c["reason"], c["field"], c["message"]) for c in refused.json["details"]["causes"]] == [
        ("FieldValueInvalid", "spec", "Invalid value: min must not be more than max"),
        ("FieldValueForbidden", "spec.min", "Forbidden: failed rule: self.min != 13"),
        ("FieldValueInvalid", "spec", "Invalid value: bad name x"),
    ]
    failed = message(custom.create("c", spec={"min": 1}))
    assert 'spec: Invalid value: "object": no such key: max evaluating rule: min must not be more than max' in failed
    blocked = message(custom.create("c", spec={"min": "1", "max": 2}))
    assert (
        "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid" in blocked
    )


def test_transition_rules_see_the_old_value(bare_api: Api, bare_namespace: str) -> None:
    spec = object_schema(
        size={
            "type": "integer",
            "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "may only grow"}],
        },
        once={
            "type": "string",
            "x-kubernetes-validations": [
                {"rule": "oldSelf.orValue(self) == self", "optionalOldSelf": True, "message": "immutable"}
            ],
        },
    )
    custom = with_spec(bare_api, bare_namespace, spec)
    assert custom.create("a", spec={"size": 5, "once": "x"}).status == 201
    assert custom.merge("a", {"spec": {"size": 6}}).status == 200
    assert "spec.size: Invalid value: 4: may only grow" in message(custom.merge("a", {"spec": {"size": 4}}))
    assert 'spec.once: Invalid value: "y": immutable' in message(custom.merge("a", {"spec": {"once": "y"}}))


def test_what_was_wrong_before_and_is_not_touched_is_let_be(bare_api: Api, bare_namespace: str) -> None:
    custom = with_spec(bare_api, bare_namespace, object_schema(a={"type": "string"}, b={"type": "integer"}))
    assert custom.create("x", spec={"a": "long", "b": 1}).status == 201
    rule = {"rule": "self != 'long'", "message": "not long"}
    tight = object_schema(
        a={"type": "string", "maxLength": 2, "x-kubernetes-validations": [rule]},
        b={"type": "integer"},
    )
    custom.change(versions=[version(schema=object_schema(spec=tight), subresources={"status": {}})])
    assert custom.merge("x", {"spec": {"b": 2}}).status == 200
    assert "spec.a: Too long: may not be more than 2 bytes" in message(custom.merge("x", {"spec": {"a": "other"}}))
    assert "Too long" in message(custom.create("y", spec={"a": "long"}))


def test_a_rule_that_costs_too_much_is_stopped(bare_api: Api, bare_namespace: str) -> None:
    rule = {"rule": "self.all(x, self.all(y, self.all(z, x + y + z >= 0)))"}
    spec = {"type": "array", "maxItems": 90, "items": {"type": "integer"}, "x-kubernetes-validations": [rule]}
    custom = with_spec(bare_api, bare_namespace, spec)
    assert custom.create("a", spec=[1, 2]).status == 201
    said = message(custom.create("b", spec=list(range(90))))
    assert "no further validation rules will be run due to call cost exceeds limit for rule" in said


def test_patterns_take_linear_time(bare_api: Api, bare_namespace: str) -> None:
    custom = with_spec(bare_api, bare_namespace, {"type": "string", "pattern": "^(a+)+$"})
    assert "should match '^(a+)+$'" in message(custom.create("a", spec="a" * 5000 + "b"))


def test_alternatives_nulls_and_lists(bare_api: Api, bare_namespace: str) -> None:
    spec = object_schema(
        one={"type": "string"},
        two={"type": "string"},
        maybe={"type": "string", "nullable": True},
        tags={"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    ) | {"oneOf": [{"required": ["one"]}, {"required": ["two"]}]}
    custom = with_spec(bare_api, bare_namespace, spec)
    kept = custom.create("a", spec={"one": "1", "maybe": None, "tags": ["x"]}).json["spec"]
    assert kept == {"one": "1", "maybe": None, "tags": ["x"]}
    dropped = custom.create("b", spec={"one": "1", "two": None}).json["spec"]
    assert dropped == {"one": "1"}
    both = message(custom.create("c", spec={"one": "1", "two": "2"}))
    assert '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid' in both
    assert 'spec.tags[1]: Duplicate value: "x"' in message(custom.create("c", spec={"one": "", "tags": ["x", "x"]}))


def test_embedded_objects(bare_api: Api, bare_namespace: str) -> None:
    spec = object_schema(
        template={
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        }
    )
    custom = with_spec(bare_api, bare_namespace, spec)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "unknown": 1}, "spec": {"x": 1}}
    made = custom.create("a", spec={"template": pod}).json["spec"]["template"]
    assert made == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"x": 1}}
    assert "spec.template.kind: Required value" in message(custom.create("b", spec={"template": {"apiVersion": "v1"}}))
