"""Admission policies, as their users see them with stock kubectl."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.clusters import Api, Cluster, wait_for
from tests.tools import Kubectl

GROUP = "/apis/admissionregistration.k8s.io/v1"
_names = itertools.count()
Bind = Callable[..., str]


@pytest.fixture
def kubectl(bare: Cluster, bare_namespace: str) -> Kubectl:
    return bare.kubectl().within(bare_namespace)


@pytest.fixture
def policy(bare_api: Api, bare_namespace: str) -> Iterator[Bind]:
    """Makes a policy of validations for ConfigMaps, bound to the test's namespace; gives its name."""
    made: list[str] = []

    def new(*validations: Any, binding: Any = None, rules: Any = None, **spec: Any) -> str:
        name = f"policy-{next(_names)}"
        body = {
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": rules or [rule("configmaps")]},
                "validations": list(validations),
                **spec,
            },
        }
        bound = {
            "metadata": {"name": f"{name}-binding"},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": bare_namespace}}
                },
                **(binding or {}),
            },
        }
        for kind, data in (("validatingadmissionpolicies", body), ("validatingadmissionpolicybindings", bound)):
            answer = bare_api("POST", f"{GROUP}/{kind}", data)
            assert answer.status == 201, answer.body
            made.append(f"{GROUP}/{kind}/{data['metadata']['name']}")
        return name

    yield new
    for url in made:
        assert bare_api("DELETE", url).status == 200


def rule(*resources: str, groups: tuple[str, ...] = ("",), operations: tuple[str, ...] = ("CREATE", "UPDATE")) -> Any:
    return {
        "apiGroups": list(groups),
        "apiVersions": ["*"],
        "operations": list(operations),
        "resources": list(resources),
    }


def test_the_documentations_example(kubectl: Kubectl, policy: Bind) -> None:
    name = policy({"expression": "object.spec.replicas <= 5"}, rules=[rule("deployments", groups=("apps",))])
    kubectl("create", "deployment", "few", "--image=web", "--replicas=5")
    done = kubectl.run("create", "deployment", "many", "--image=web", "--replicas=6")
    assert done.returncode == 1
    denied = f"ValidatingAdmissionPolicy '{name}' with binding '{name}-binding' denied request: "
    failed = "failed expression: object.spec.replicas <= 5"
    assert done.stderr == (
        f'error: failed to create deployment: deployments.apps "many" is forbidden: {denied}{failed}\n'
    )
    assert kubectl.run("scale", "deployment", "few", "--replicas=9").returncode == 0  # scale is another resource
    done = kubectl.run("label", "deployment", "few", "a=b")
    assert denied in done.stderr


def test_messages_reasons_and_variables(bare_api: Api, bare_namespace: str, policy: Bind) -> None:
    name = policy(
        {
            "expression": "variables.bad.size() == 0",
            "messageExpression": "'not these: ' + variables.bad.join(', ') + ' of ' + string(variables.count)",
            "message": "not used",
            "reason": "Forbidden",
        },
        {"expression": "object.metadata.name != 'b'", "message": " said plainly "},
        variables=[
            {"name": "keys", "expression": "has(object.data) ? object.data.map(k, k) : []"},
            {"name": "count", "expression": "variables.keys.size()"},
            {"name": "bad", "expression": "variables.keys.filter(k, k.startsWith('x'))"},
        ],
    )
    maps = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    assert bare_api("POST", maps, {"metadata": {"name": "a"}, "data": {"y": "1"}}).status == 201
    refused = bare_api("POST", maps, {"metadata": {"name": "c"}, "data": {"x1": "1", "x2": "2", "y": "3"}})
    denied = f"ValidatingAdmissionPolicy '{name}' with binding '{name}-binding' denied request: "
    assert (refused.status, refused.json["reason"]) == (403, "Forbidden")
    assert refused.json["message"] == f'configmaps "c" is forbidden: {denied}not these: x1, x2 of 3'
    assert refused.json["details"] == {
        "name": "c",
        "kind": "configmaps",
        "causes": [{"message": f"{denied}not these: x1, x2 of 3"}],
    }
    plain = bare_api("POST", maps, {"metadata": {"name": "b"}})
    assert (plain.status, plain.json["reason"]) == (422, "Invalid")
    assert plain.json["message"].endswith(f"{denied}said plainly")


def test_warnings_instead_of_a_denial(kubectl: Kubectl, policy: Bind) -> None:
    warns = {"validationActions": ["Warn", "Audit"]}
    name = policy({"expression": "object.metadata.name == 'x'", "message": "wrong name"}, binding=warns)
    done = kubectl.run("create", "configmap", "a")
    assert (done.returncode, done.stdout) == (0, "configmap/a created\n")
    said = f"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}-binding': wrong name"
    assert done.stderr == f"Warning: {said}\n"


def test_parameters(bare_api: Api, bare_namespace: str, policy: Bind) -> None:
    maps = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    limits = {"metadata": {"name": "limits", "labels": {"limits": "yes"}}, "data": {"most": "2"}}
    policy(
        {"expression": "params == null || !has(object.data) || object.data.size() <= int(params.data.most)"},
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        matchConditions=[{"name": "others", "expression": "object.metadata.name != 'limits'"}],
        binding={"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}},
    )
    missing = bare_api("POST", maps, {"metadata": {"name": "a"}})
    why = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert missing.json["message"].endswith(why)
    other = f"{GROUP}/validatingadmissionpolicybindings"
    assert bare_api("POST", maps, limits).status == 422, "params are looked for before conditions"
    [name] = [b["metadata"]["name"] for b in bare_api("GET", other).json["items"]]
    change = {"spec": {"paramRef": {"parameterNotFoundAction": "Allow"}}}
    assert bare_api("PATCH", f"{other}/{name}", change, headers=MERGE).status == 200
    assert bare_api("POST", maps, limits).status == 201
    for count, status in ((2, 201), (3, 422)):
        body = {"metadata": {"name": f"m{count}"}, "data": {f"k{i}": "" for i in range(count)}}
        assert bare_api("POST", maps, body).status == status
    change = {"spec": {"paramRef": {"name": None, "selector": {"matchLabels": {"limits": "no"}}}}}
    assert bare_api("PATCH", f"{other}/{name}", change, headers=MERGE).status == 200
    body["metadata"] = {"name": "free"}
    assert bare_api("POST", maps, body).status == 201


MERGE = {"Content-Type": "application/merge-patch+json"}


def test_failures_deny_unless_they_are_ignored(bare_api: Api, bare_namespace: str, policy: Bind) -> None:
    maps = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    policy({"expression": "object.data.missing == 'x'"}, failurePolicy="Ignore")
    assert bare_api("POST", maps, {"metadata": {"name": "a"}, "data": {"b": "c"}}).status == 201
    policy({"expression": "object.data.missing == 'x'"})
    refused = bare_api("POST", maps, {"metadata": {"name": "b"}, "data": {"b": "c"}})
    failed = "expression 'object.data.missing == 'x'' resulted in error: no such key: missing"
    assert refused.json["message"].endswith(f"denied request: {failed}")
    policy({"expression": "true"}, paramKind={"apiVersion": "none.example.com/v1", "kind": "None"})
    assert bare_api("DELETE", f"{maps}/a").status == 200


def test_what_expressions_may_look_at(bare_api: Api, bare_namespace: str, kubectl: Kubectl, policy: Bind) -> None:
    policy(
        {"expression": "oldObject == null || !has(oldObject.data) || object.data == oldObject.data"},
        {"expression": "namespaceObject.metadata.name == request.namespace"},
        {"expression": "request.operation in ['CREATE', 'UPDATE'] && request.resource.resource == 'configmaps'"},
        {"expression": "authorizer.group('').resource('configmaps').namespace('default').check('create').allowed()"},
        {"expression": "authorizer.requestResource.check('delete').allowed()"},
        {"expression": "!authorizer.serviceAccount('default', 'default').path('/metrics').check('get').allowed()"},
    )
    kubectl("create", "configmap", "a", "--from-literal=x=1")
    assert "failed expression: oldObject" in kubectl.run("patch", "configmap", "a", "-p", '{"data":{"x":"2"}}').stderr
    kubectl("label", "configmap", "a", "l=v")
    kubectl("create", "serviceaccount", "me")
    kubectl("create", "rolebinding", "me", "--clusterrole=edit", f"--serviceaccount={bare_namespace}:me")
    me = f"--as=system:serviceaccount:{bare_namespace}:me"
    assert "namespace('default').check('create')" in kubectl.run("create", "configmap", "b", me).stderr


def test_exclusions_and_names(bare_api: Api, bare_namespace: str, policy: Bind) -> None:
    maps = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    named = {**rule("configmaps"), "resourceNames": ["spared"]}
    policy(
        {"expression": "false", "message": "no"},
        matchConstraints={"resourceRules": [rule("*")], "excludeResourceRules": [rule("secrets"), named]},
    )
    assert bare_api("POST", maps, {"metadata": {"name": "a"}}).status == 422
    assert bare_api("POST", maps, {"metadata": {"name": "spared"}}).status == 201
    assert bare_api("POST", maps.replace("configmaps", "secrets"), {"metadata": {"name": "a"}}).status == 201


def test_a_policy_that_is_not_bound_does_nothing_and_one_that_is_gone_too(
    kubectl: Kubectl, bare_api: Api, policy: Bind
) -> None:
    name = policy({"expression": "false"})
    assert kubectl.run("create", "configmap", "a").returncode == 1
    url = f"{GROUP}/validatingadmissionpolicybindings/{name}-binding"
    held = bare_api("GET", url).json
    assert bare_api("DELETE", url).status == 200
    kubectl("create", "configmap", "a")
    held["metadata"] = {"name": held["metadata"]["name"]}
    assert bare_api("POST", f"{GROUP}/validatingadmissionpolicybindings", held).status == 201
    assert kubectl.run("create", "configmap", "b").returncode == 1


def test_dear_expressions_are_stopped(bare_api: Api, bare_namespace: str, policy: Bind) -> None:
    dear = "[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, " * 3 + "true" + "))" * 3
    policy({"expression": dear})
    refused = bare_api("POST", f"/api/v1/namespaces/{bare_namespace}/configmaps", {"metadata": {"name": "a"}})
    assert refused.status == 422
    assert "cost" in json.dumps(refused.json)


def test_a_field_that_there_is_not_is_warned_of_in_the_status(cluster: Cluster) -> None:
    api = cluster.api()
    name = f"checked-{next(_names)}"
    url = f"{GROUP}/validatingadmissionpolicies"
    spec = {
        "matchConstraints": {"resourceRules": [rule("deployments", groups=("apps",)) | {"apiVersions": ["v1"]}]},
        "validations": [{"expression": "object.replicas > 1"}],
    }
    assert api("POST", url, {"metadata": {"name": name}, "spec": spec}).status == 201
    try:
        status = wait_for(lambda: api("GET", f"{url}/{name}").json.get("status"))
        [warning] = status["typeChecking"]["expressionWarnings"]
        assert "undefined field 'replicas'" in warning["warning"]
        change = {"spec": {"validations": [{"expression": "object.spec.replicas > 1"}]}}
        assert api("PATCH", f"{url}/{name}", change, headers=MERGE).status == 200
        wanted = {"observedGeneration": 2, "typeChecking": {}}
        wait_for(lambda: api("GET", f"{url}/{name}").json["status"] == wanted)
    finally:
        assert api("DELETE", f"{url}/{name}").status == 200
