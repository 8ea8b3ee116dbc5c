"""What a CustomResourceDefinition may say: refusals in upstream's words, names, versions, the end of one."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.clusters import Api, wait_for
from tests.crds import DEFINITIONS, Custom, definition, install, message, object_schema, version

AT = "spec.validation.openAPIV3Schema"
SPEC = f"{AT}.properties[spec]"


def refusal(api: Api, made: Any) -> str:
    answer = api("POST", DEFINITIONS, made)
    assert answer.status == 422, answer.body
    return message(answer)


def with_schema(spec: Any, **more: Any) -> Any:
    return definition(version(schema=object_schema(spec=spec), **more))


def changed(made: Any, **spec: Any) -> Any:
    made["spec"] |= spec
    return made


REFUSED: dict[str, tuple[Any, str]] = {
    "name": (
        definition(group="a.example.com") | {"metadata": {"name": "x.example.com"}},
        'metadata.name: Invalid value: "x.example.com": must be spec.names.plural+"."+spec.group',
    ),
    "group": (
        definition(group="nodots"),
        'spec.group: Invalid value: "nodots": should be a domain with at least one dot',
    ),
    "scope": (
        changed(definition(), scope="World"),
        'spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"',
    ),
    "storage": (
        definition(version(), version("v2")),
        "must have exactly one version marked as storage version",
    ),
    "versions": (definition(version(), version(storage=False)), "must contain unique version names"),
    "no schema": (
        definition({"name": "v1", "served": True, "storage": True}),
        "spec.versions[0].schema.openAPIV3Schema: Required value",
    ),
    "kind": (
        changed(definition(), names={"plural": "widgets", "kind": "Wid get"}),
        'spec.names.kind: Invalid value: "Wid get": may have mixed case, but should otherwise match: a DNS-1035 label',
    ),
    "type": (
        with_schema({}),
        f"{SPEC}.type: Required value: must not be empty for specified object fields",
    ),
    "items": (with_schema({"type": "array"}), f"{SPEC}.items: Required value: must be specified"),
    "unknown type": (
        with_schema({"type": "int"}),
        f'{SPEC}.type: Unsupported value: "int": supported values: "array", "boolean", "integer", "number", '
        '"object", "string"',
    ),
    "unique items": (
        with_schema({"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        f"{SPEC}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity "
        "becomes quadratic",
    ),
    "additional properties": (
        with_schema(object_schema(a={"type": "string"}) | {"additionalProperties": {"type": "string"}}),
        f"{SPEC}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
    ),
    "nested type": (
        with_schema(object_schema(a={"type": "string"}) | {"anyOf": [{"properties": {"a": {"type": "string"}}}]}),
        f"{SPEC}.anyOf[0].properties[a].type: Forbidden: must be empty to be structural",
    ),
    "pattern": (
        with_schema({"type": "string", "pattern": "a("}),
        f'{SPEC}.pattern: Invalid value: "a(": must be a valid regular expression, but isn\'t: error '
        "parsing regexp: missing closing ): `a(`",
    ),
    "reference": (
        with_schema({"type": "object", "$ref": "#/x"}),
        f"{SPEC}.$ref: Forbidden: $ref is not supported",
    ),
    "default": (
        with_schema({"type": "string", "default": 1}),
        f'{SPEC}.default: Invalid value: "integer":  in body must be of type string: "integer"',
    ),
    "unknown field in a default": (
        with_schema(object_schema(a={"type": "string"}) | {"default": {"b": 1}}),
        f'{SPEC}.default: Invalid value: {{"b":1}}: must not have unknown fields',
    ),
    "list map": (
        with_schema({"type": "array", "items": object_schema(a={"type": "string"}), "x-kubernetes-list-type": "map"}),
        f"{SPEC}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
    ),
    "preserve": (
        changed(definition(), preserveUnknownFields=True),
        "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
        "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
    ),
    "column": (
        definition(version(additionalPrinterColumns=[{"name": "A", "type": "text", "jsonPath": "spec"}])),
        'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of '
        "boolean,date,integer,number,string",
    ),
    "column path": (
        definition(version(additionalPrinterColumns=[{"name": "A", "type": "string", "jsonPath": "spec"}])),
        'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "spec": must be a simple json path starting with .',
    ),
    "scale": (
        definition(version(subresources={"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.r"}})),
        'spec.subresources.scale.specReplicasPath: Invalid value: ".x": should be a json path under .spec',
    ),
    "selectable": (
        definition(
            version(
                schema=object_schema(spec=object_schema(a={"type": "object"})),
                selectableFields=[{"jsonPath": ".spec.a"}],
            )
        ),
        'spec.selectableFields[0].jsonPath: Invalid value: ".spec.a": must point to a field of type '
        "string, "
        "boolean or integer. Enum string fields and strings with formats are allowed.",
    ),
    "approval": (
        definition(group="x.k8s.io"),
        "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval "
        "annotation "
        '"api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
    ),
    "conversion": (
        changed(definition(), conversion={"strategy": "Webhook"}),
        "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
    ),
    "rule": (
        with_schema({"type": "integer", "x-kubernetes-validations": [{"rule": "self.foo > 1"}]}),
        "compilation failed: ERROR: <input>:1:5: type 'int' does not support field selection\n | self.foo > 1\n | "
        "....^",
    ),
    "rule's type": (
        with_schema({"type": "integer", "x-kubernetes-validations": [{"rule": "self"}]}),
        "cel expression must evaluate to a bool",
    ),
    "old value in a list": (
        with_schema(
            {
                "type": "array",
                "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]},
            }
        ),
        "oldSelf cannot be used on the uncorrelatable portion of the schema within " + f"{SPEC}",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(bare_api: Api, why: str) -> None:
    made, said = REFUSED[why]
    assert said in refusal(bare_api, made)


def test_a_name_goes_to_whoever_had_it_first(bare_api: Api) -> None:
    first = definition()
    first["spec"]["names"]["shortNames"] = ["w"]
    one = install(bare_api, first)
    second = definition(group=one.group, kind="Wadget")
    second["spec"]["names"]["shortNames"] = ["w"]
    assert bare_api("POST", DEFINITIONS, second).status == 201
    two = Custom(bare_api, second)
    wait_for(lambda: two.condition("NamesAccepted").get("status") == "False", "the conflict")
    assert two.condition("NamesAccepted")["reason"] == "ShortNamesConflict"
    assert two.condition("NamesAccepted")["message"] == '"w" is already in use'
    assert two.condition("Established")["reason"] == "NotAccepted"
    assert bare_api("GET", two.collection()).status == 404
    one.delete()
    wait_for(lambda: two.condition("Established").get("status") == "True", "the name that was given up")
    assert two.read()["status"]["acceptedNames"]["shortNames"] == ["w"]


def test_what_may_not_change(bare_api: Api) -> None:
    custom = install(bare_api, definition())
    assert 'spec.scope: Invalid value: "Cluster": field is immutable' in message(custom.change(scope="Cluster"))
    names = {"kind": "Other", "listKind": "OtherList"}
    assert 'spec.names.kind: Invalid value: "Other": field is immutable' in message(custom.change(names=names))


def test_approved_groups(bare_api: Api) -> None:
    made = definition(group="y.k8s.io")
    made["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}
    custom = install(bare_api, made)
    held = custom.condition("KubernetesAPIApprovalPolicyConformant")
    assert (held["status"], held["reason"]) == ("False", "UnapprovedAnnotation")


def test_deleting_a_definition_deletes_its_objects_first(bare_api: Api, bare_namespace: str) -> None:
    custom = install(bare_api, definition(), bare_namespace)
    custom.create("a")
    custom.create("b", metadata={"finalizers": ["example.com/hold"]})
    answer = bare_api("DELETE", custom.path).json
    assert answer["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert answer["status"]["conditions"][-1]["reason"] == "InstanceDeletionPending"
    wait_for(lambda: custom.get("a").status == 404, "the object without a finalizer to go")
    assert custom.condition("Terminating")["reason"] == "InstanceDeletionInProgress"
    refused = custom.create("c")
    assert refused.status == 403
    assert "create not allowed while custom resource definition is terminating" in message(refused)
    custom.merge("b", {"metadata": {"finalizers": None}})
    wait_for(lambda: bare_api("GET", custom.path).status == 404, "the definition to go")
    assert bare_api("GET", custom.collection()).status == 404
    again = install(bare_api, definition(group=custom.group), bare_namespace)
    assert again.api("GET", again.collection()).json["items"] == []


def test_versions_share_their_objects(bare_api: Api, bare_namespace: str) -> None:
    one = object_schema(spec=object_schema(a={"type": "string"}, old={"type": "string"}))
    two = object_schema(spec=object_schema(a={"type": "string"}, new={"type": "string", "default": "d"}))
    custom = install(bare_api, definition(version("v1", one), version("v2", two, storage=False)), bare_namespace)
    custom.create("x", spec={"a": "1", "old": "o"})
    shown = custom.get("x", "v2").json
    assert shown["apiVersion"] == f"{custom.group}/v2"
    assert shown["spec"] == {"a": "1", "new": "d"}
    listed = bare_api("GET", custom.collection("v2")).json
    assert listed["items"][0]["apiVersion"] == f"{custom.group}/v2"
    custom.create("y", "v2", spec={"a": "2", "new": "n"})
    assert custom.get("y").json["spec"] == {"a": "2"}
    with bare_api.watch(custom.collection("v2")) as events:
        assert {next(events)["object"]["apiVersion"] for _ in range(2)} == {f"{custom.group}/v2"}
    custom.change(versions=[version("v1", one, storage=False), version("v2", two)])
    assert custom.read()["status"]["storedVersions"] == ["v1", "v2"]
    assert custom.get("x", "v2").json["spec"] == {"a": "1", "new": "d"}
    assert custom.get("x").json["spec"] == {"a": "1", "old": "o"}
    assert bare_api("GET", f"/apis/{custom.group}").json["preferredVersion"]["version"] == "v2"
    stale, rewritten = custom.get("x", "v2").json, custom.get("y", "v2").json
    for obj in (stale, rewritten):  # what changes nothing moves them to the version that is stored now
        answer = bare_api("PUT", custom.item(obj["metadata"]["name"], "v2"), obj)
        assert answer.json["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]
    current = custom.get("x", "v2").json
    same = bare_api("PUT", custom.item("x", "v2"), current).json
    assert same["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
    missing = message(custom.change(versions=[version("v2", two)]))
    assert (
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage'
        in missing
    )
    merge = {"Content-Type": "application/merge-patch+json"}
    assert (
        bare_api("PATCH", f"{custom.path}/status", {"status": {"storedVersions": ["v2"]}}, headers=merge).status == 200
    )
    assert custom.change(versions=[version("v2", two)]).status == 200
    assert custom.get("x").status == 404
    assert custom.get("x", "v2").json["spec"] == {"a": "1", "new": "d"}


def test_objects_of_an_older_schema_are_read_as_the_new_one_has_them(bare_api: Api, bare_namespace: str) -> None:
    before = object_schema(spec=object_schema(a={"type": "string"}, b={"type": "string"}))
    custom = install(bare_api, definition(version(schema=before)), bare_namespace)
    custom.create("x", spec={"a": "1", "b": "2"})
    after = object_schema(spec=object_schema(a={"type": "string"}, c={"type": "integer", "default": 3}))
    custom.change(versions=[version(schema=after)])
    assert custom.get("x").json["spec"] == {"a": "1", "c": 3}
    assert bare_api("GET", custom.collection()).json["items"][0]["spec"] == {"a": "1", "c": 3}


def test_a_deprecated_version_warns(bare_api: Api) -> None:
    custom = install(
        bare_api, definition(version("v1beta1", storage=False, deprecated=True), version(), scope="Cluster")
    )
    answer = bare_api("GET", custom.collection("v1beta1"))
    expected = f"{custom.group}/v1beta1 Widget is deprecated; use {custom.group}/v1 Widget"
    assert expected in str(answer.headers.get("Warning"))
    assert bare_api("GET", custom.collection()).headers.get("Warning") is None


def test_a_definition_in_yaml(bare_api: Api) -> None:
    made = with_schema({"type": "string", "enum": ["=", "!="]})
    body = yaml.safe_dump(made).replace("'='", "=").encode()
    assert b"- =\n" in body
    answer = bare_api("POST", DEFINITIONS, body, headers={"Content-Type": "application/yaml"})
    assert answer.status == 201, answer.body
    held = answer.json["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert held["enum"] == ["=", "!="]
