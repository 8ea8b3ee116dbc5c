"""What is wrong with admission webhooks and policies, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import meta
from pinnace.api.types import GVK, Object
from pinnace.api.validation import validate

GROUP = "admissionregistration.k8s.io"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "*"}
HOOK: Object = {
    "name": "a.example.com",
    "rules": [RULE],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "clientConfig": {"url": "https://hook.example.com/path"},
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "timeoutSeconds": 10,
}
POLICY: Object = {
    "failurePolicy": "Fail",
    "matchConstraints": {"resourceRules": [RULE], "matchPolicy": "Equivalent"},
    "validations": [{"expression": "object.spec.replicas < 5"}],
}


def problems(kind: str, old: Object | None = None, **fields: Any) -> list[str]:
    obj = {"kind": kind, "apiVersion": f"{GROUP}/v1", "metadata": {"name": "x"}, **fields}
    if old is not None:
        obj["metadata"] = old["metadata"] = {"name": "x", "resourceVersion": "1", "uid": "u"}
    return [str(error) for error in validate(GVK(GROUP, "v1", kind), obj, old, "")]


def hook(**changes: Any) -> list[str]:
    return problems("MutatingWebhookConfiguration", webhooks=[{**HOOK, **changes}])


def rules(**changes: Any) -> list[str]:
    return [text.removeprefix("webhooks[0].rules[0].") for text in hook(rules=[{**RULE, **changes}])]


def test_a_good_webhook() -> None:
    assert hook() == []
    assert hook(clientConfig={"service": {"name": "a", "namespace": "b", "port": 443, "path": "/a/b.c"}}) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "name: Required value"),
        (
            {"name": "a.b"},
            'name: Invalid value: "a.b": should be a domain with at least three segments separated by dots',
        ),
        ({"sideEffects": None}, "sideEffects: Required value: must specify one of None, NoneOnDryRun"),
        (
            {"sideEffects": "Some"},
            'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
        ),
        (
            {"timeoutSeconds": 31},
            "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        (
            {"reinvocationPolicy": "Always"},
            'reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never"',
        ),
        ({"admissionReviewVersions": []}, "admissionReviewVersions: Required value: must specify one of v1, v1beta1"),
        (
            {"admissionReviewVersions": ["v2"]},
            'admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1',
        ),
        (
            {"admissionReviewVersions": ["v1", "v1"]},
            'admissionReviewVersions[1]: Invalid value: "v1": duplicate version',
        ),
        ({"clientConfig": {}}, "clientConfig: Required value: exactly one of url or service is required"),
        (
            {"clientConfig": {"url": "http://a"}},
            "clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: "
            "https://host[/path]",
        ),
        (
            {"clientConfig": {"url": "https://a/?b"}},
            'clientConfig.url: Invalid value: "b": query parameters are not permitted in the URL',
        ),
        (
            {"clientConfig": {"service": {"name": "a", "namespace": "b", "path": "ab"}}},
            "clientConfig.service.path: Invalid value: \"ab\": must start with a '/'",
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "object."}]},
            'matchConditions[0].expression: Invalid value: "object.": compilation failed: ERROR: <input>:1:8: Syntax',
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "1"}]},
            'matchConditions[0].expression: Invalid value: "1": must evaluate to bool but got int',
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "params.x"}]},
            'matchConditions[0].expression: Invalid value: "params.x": compilation failed: ERROR: <input>:1:1: '
            "undeclared reference to 'params'",
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "true"}] * 2},
            'matchConditions[1].name: Duplicate value: "a"',
        ),
        ({"matchConditions": [{"expression": "true"}]}, "matchConditions[0].name: Required value"),
    ],
)
def test_webhooks(changes: Any, said: str) -> None:
    [found] = hook(**changes)
    assert found.startswith(f"webhooks[0].{said}")


def test_names_of_webhooks_are_told_apart() -> None:
    assert problems("ValidatingWebhookConfiguration", webhooks=[HOOK, HOOK]) == [
        'webhooks[1].name: Duplicate value: "a.example.com"'
    ]


def test_rules() -> None:
    assert rules(operations=[]) == ["operations: Required value"]
    assert rules(operations=["*", "CREATE"]) == [
        'operations: Invalid value: ["*","CREATE"]: if \'*\' is present, must not specify other operations'
    ]
    assert rules(operations=["READ"]) == [
        'operations[0]: Unsupported value: "READ": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"'
    ]
    assert rules(apiGroups=["*", "apps"]) == [
        'apiGroups: Invalid value: ["*","apps"]: if \'*\' is present, must not specify other API groups'
    ]
    assert rules(resources=["*", "pods"]) == [
        'resources: Invalid value: ["*","pods"]: if \'*\' is present, must not specify other resources without '
        "subresources"
    ]
    assert rules(resources=["pods/*", "pods/exec"]) == [
        "resources[1]: Invalid value: \"pods/exec\": if 'pods/*' is present, must not specify pods/exec"
    ]
    assert rules(resources=["*/*", "pods"]) == [
        'resources: Invalid value: ["*/*","pods"]: if \'*/*\' is present, must not specify other resources'
    ]
    assert rules(resources=["*", "pods/exec"]) == []
    assert rules(scope="Nowhere") == [
        'scope: Unsupported value: "Nowhere": supported values: "*", "Cluster", "Namespaced"'
    ]


def test_conditions_that_are_not_changed_are_not_checked_again() -> None:
    broken = {**HOOK, "matchConditions": [{"name": "a", "expression": "gone(object)"}]}
    old = {"webhooks": [broken]}
    assert problems("ValidatingWebhookConfiguration", old, webhooks=[{**broken, "timeoutSeconds": 1}]) == []
    changed = {**broken, "matchConditions": [{"name": "b", "expression": "gone(object)"}]}
    assert len(problems("ValidatingWebhookConfiguration", meta.copy(old), webhooks=[changed])) == 1


def policy(**changes: Any) -> list[str]:
    return problems("ValidatingAdmissionPolicy", spec={**POLICY, **changes})


def test_a_good_policy() -> None:
    assert policy() == []
    assert (
        policy(
            paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
            variables=[{"name": "a", "expression": "1"}, {"name": "b", "expression": "variables.a + 1"}],
            matchConditions=[{"name": "c", "expression": "authorizer.path('/x').check('get').allowed()"}],
            validations=[
                {"expression": "variables.b == int(params.data.x)", "messageExpression": "'of ' + params.data.x"}
            ],
            auditAnnotations=[{"key": "k", "valueExpression": "'v'"}],
        )
        == []
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"matchConstraints": None}, "matchConstraints: Required value"),
        ({"matchConstraints": {"matchPolicy": "Exact"}}, "matchConstraints.resourceRules: Required value"),
        (
            {"validations": []},
            "validations: Required value: validations or auditAnnotations must contain at least one item",
        ),
        (
            {"validations": [{"expression": " "}]},
            "validations[0].expression: Required value: expression is not specified",
        ),
        (
            {"validations": [{"expression": "object.x"}]},
            'validations[0].expression: Invalid value: "object.x": must evaluate to bool but got dyn',
        ),
        (
            {"validations": [{"expression": "request.nothing == ''"}]},
            "validations[0].expression: Invalid value: \"request.nothing == ''\": compilation failed: ERROR: "
            "<input>:1:8: undefined field 'nothing'",
        ),
        (
            {"validations": [{"expression": "variables.a"}]},
            'validations[0].expression: Invalid value: "variables.a": compilation failed: ERROR: <input>:1:10: '
            "undefined field 'a'",
        ),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            'validations[0].messageExpression: Invalid value: "1": must evaluate to string but got int',
        ),
        (
            {"validations": [{"expression": "true", "messageExpression": "authorizer"}]},
            'validations[0].messageExpression: Invalid value: "authorizer": compilation failed: ',
        ),
        (
            {"validations": [{"expression": "true", "message": "a\nb"}]},
            'validations[0].message: Invalid value: "a\\nb": message must not contain line breaks',
        ),
        (
            {"validations": [{"expression": "true", "reason": "Gone"}]},
            'validations[0].reason: Unsupported value: "Gone": supported values: "Forbidden", "Invalid", '
            '"RequestEntityTooLarge"',
        ),
        (
            {"variables": [{"name": "in", "expression": "1"}]},
            'variables[0].name: Invalid value: "in": name is not a valid CEL identifier',
        ),
        (
            {"paramKind": {"apiVersion": "a/b/c", "kind": "X"}},
            'paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        ),
        (
            {"auditAnnotations": [{"key": "k", "valueExpression": "1"}]},
            'auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type] but '
            "got int",
        ),
    ],
)
def test_policies(changes: Any, said: str) -> None:
    found = policy(**changes)
    assert found[0].startswith(f"spec.{said}"), found


def test_bindings() -> None:
    def found(**spec: Any) -> list[str]:
        return problems(
            "ValidatingAdmissionPolicyBinding", spec={"policyName": "p", "validationActions": ["Deny"], **spec}
        )

    assert found() == []
    assert found(policyName="") == ["spec.policyName: Required value"]
    assert found(validationActions=[]) == [
        "spec.validationActions: Required value: at least one validation action is required"
    ]
    assert found(validationActions=["Deny", "Warn"])[0].startswith(
        'spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn'
    )
    assert found(validationActions=["Audit", "Audit"]) == ['spec.validationActions[1]: Duplicate value: "Audit"']
    assert found(paramRef={"parameterNotFoundAction": "Deny"}) == [
        "spec.paramRef: Required value: one of name or selector must be specified"
    ]
    both = {"name": "a", "selector": {}, "parameterNotFoundAction": "Deny"}
    assert found(paramRef=both) == [
        "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
        "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
    ]
