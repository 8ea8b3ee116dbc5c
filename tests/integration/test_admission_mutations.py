"""Mutating admission policies, as their users see them with stock kubectl."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Api, Cluster
from tests.tools import Kubectl
from tests.webhooks import patch, serving

GROUP = "/apis/admissionregistration.k8s.io/v1"
_names = itertools.count()
Bind = Callable[..., str]
POD = {"spec": {"containers": [{"name": "main", "image": "web"}]}}
SIDECAR = """
!has(object.metadata.labels) || !('plain' in object.metadata.labels) ?
  Object{
    metadata: Object.metadata{labels: {'by': 'policy'}},
    spec: Object.spec{
      initContainers: [Object.spec.initContainers{name: 'mesh', image: 'mesh:1', restartPolicy: 'Always'}]
    }
  } : Object{}
"""


@pytest.fixture
def kubectl(bare: Cluster, bare_namespace: str) -> Kubectl:
    return bare.kubectl().within(bare_namespace)


@pytest.fixture
def policy(bare_api: Api, bare_namespace: str) -> Iterator[Bind]:
    """Makes a policy of mutations, bound to the test's namespace; gives its name."""
    made: list[str] = []

    def new(resource: str, *mutations: str, **spec: Any) -> str:
        name = f"mutation-{next(_names)}"
        group, _, plural = resource.rpartition("/")
        rule = {"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [plural]}
        body = {
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "mutations": [mutation(text) for text in mutations],
                "reinvocationPolicy": "Never",
                **spec,
            },
        }
        ours = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": bare_namespace}}}
        bound = {"metadata": {"name": f"{name}-binding"}, "spec": {"policyName": name, "matchResources": ours}}
        for kind, data in (("mutatingadmissionpolicies", body), ("mutatingadmissionpolicybindings", bound)):
            answer = bare_api("POST", f"{GROUP}/{kind}", data)
            assert answer.status == 201, answer.body
            made.append(f"{GROUP}/{kind}/{data['metadata']['name']}")
        return name

    yield new
    for url in made:
        assert bare_api("DELETE", url).status == 200


def mutation(text: str) -> Any:
    if text.lstrip().startswith("["):
        return {"patchType": "JSONPatch", "jsonPatch": {"expression": text}}
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}


def test_a_sidecar_is_applied(kubectl: Kubectl, policy: Bind) -> None:
    policy("pods", SIDECAR)
    kubectl("run", "a", "--image=web")
    shown = json.loads(kubectl("get", "pod", "a", "-o", "json", "--show-managed-fields"))
    assert shown["metadata"]["labels"] == {"run": "a", "by": "policy"}
    [sidecar] = shown["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"], sidecar["imagePullPolicy"]) == ("mesh", "Always", "IfNotPresent")
    assert "initContainers" not in json.dumps(shown["metadata"]["managedFields"])
    kubectl("run", "b", "--image=web", "--labels=plain=yes")
    assert "initContainers" not in kubectl("get", "pod", "b", "-o", "yaml")


def test_a_json_patch(bare_api: Api, bare_namespace: str, policy: Bind) -> None:
    policy(
        "configmaps",
        """[
          JSONPatch{op: 'test', path: '/data/mode', value: 'auto'},
          JSONPatch{op: 'replace', path: '/data/mode', value: variables.mode},
          JSONPatch{op: 'add', path: '/metadata/labels', value: {}},
          JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('example.com/by'), value: 'policy'}
        ]""",
        variables=[{"name": "mode", "expression": "'set-for-' + object.metadata.name"}],
    )
    maps = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    made = bare_api("POST", maps, {"metadata": {"name": "a"}, "data": {"mode": "auto"}}).json
    assert made["data"] == {"mode": "set-for-a"}
    assert made["metadata"]["labels"] == {"example.com/by": "policy"}
    left = bare_api("POST", maps, {"metadata": {"name": "b"}, "data": {"mode": "mine"}}).json
    assert (left["data"], left["metadata"].get("labels")) == ({"mode": "mine"}, None)


def test_lists_are_merged_by_their_keys(bare_api: Api, bare_namespace: str, policy: Bind) -> None:
    policy(
        "apps/deployments",
        """Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
             containers: object.spec.template.spec.containers.map(c, Object.spec.template.spec.containers{
               name: c.name,
               env: [Object.spec.template.spec.containers.env{name: 'ADDED', value: 'yes'}]
             })
           }}}}""",
    )
    containers = [{"name": name, "image": "web", "env": [{"name": "OWN", "value": name}]} for name in ("a", "b")]
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    made = bare_api("POST", f"/apis/apps/v1/namespaces/{bare_namespace}/deployments", body).json
    found = made["spec"]["template"]["spec"]["containers"]
    assert [[e["name"] for e in c["env"]] for c in found] == [["OWN", "ADDED"], ["OWN", "ADDED"]]
    assert [c["image"] for c in found] == ["web", "web"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "Object{spec: Object.other{x: 1}}",
            'type mismatch: unexpected type name "Object.other", expected "Object.spec", which matches field name path '
            "from root Object type",
        ),
        (
            "Object{spec: Object.spec{nothing: 1}}",
            "error applying patch: failed to convert patch object to typed object: .spec.nothing: field not declared "
            "in schema",
        ),
        ("Object{metadata: Object.metadata{labels: {'a': object.gone}}}", "resulted in error: no such key: gone"),
        ("[JSONPatch{op: 'remove', path: '/metadata/none'}]", "JSON Patch: remove operation does not apply"),
        (
            "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'main', command: ['a']}]}}",
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.containers[0].command",
        ),
    ],
)
def test_failures(bare_api: Api, bare_namespace: str, policy: Bind, text: str, why: str) -> None:
    name = policy("pods", text)
    pods = f"/api/v1/namespaces/{bare_namespace}/pods"
    refused = bare_api("POST", pods, {"metadata": {"name": "a"}, **POD})
    assert (refused.status, refused.json["reason"]) == (403, "Invalid")
    assert refused.json["message"].startswith(f"policy '{name}' with binding '{name}-binding' denied request: ")
    assert why in refused.json["message"]
    change = [{"op": "replace", "path": "/spec/failurePolicy", "value": "Ignore"}]
    url = f"{GROUP}/mutatingadmissionpolicies/{name}"
    patched = bare_api("PATCH", url, change, headers={"Content-Type": "application/json-patch+json"})
    assert patched.status == 200, patched.body
    assert bare_api("POST", pods, {"metadata": {"name": "a"}, **POD}).status == 201


def test_policies_come_before_webhooks_and_again_if_they_want(
    bare_api: Api, bare_namespace: str, policy: Bind, tmp_path: Path
) -> None:
    policy(
        "configmaps",
        """[JSONPatch{
             op: 'add', path: '/data', value: {'seen': has(object.data) ? object.data['from'] : 'nothing'}
           }]""",
        reinvocationPolicy="IfNeeded",
    )
    with serving(tmp_path) as webhook:
        webhook.answers["/"] = lambda request: patch(
            {"op": "add", "path": "/data", "value": {"from": f"webhook after {request['object']['data'].get('seen')}"}}
        )
        hook = {
            "name": "again.example.com",
            "clientConfig": webhook.config(),
            "rules": [{"apiGroups": [""], "apiVersions": ["*"], "operations": ["*"], "resources": ["configmaps"]}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": bare_namespace}},
        }
        url = f"{GROUP}/mutatingwebhookconfigurations"
        assert bare_api("POST", url, {"metadata": {"name": "again"}, "webhooks": [hook]}).status == 201
        try:
            made = bare_api("POST", f"/api/v1/namespaces/{bare_namespace}/configmaps", {"metadata": {"name": "a"}}).json
        finally:
            assert bare_api("DELETE", f"{url}/again").status == 200
    assert made["data"] == {"seen": "webhook after nothing"}
    assert len(webhook.requests) == 1


def test_what_is_wrong_with_a_policy_is_said_when_it_is_written(bare_api: Api) -> None:
    def problem(**change: Any) -> str:
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        spec = {
            "matchConstraints": {"resourceRules": [rule]},
            "mutations": [mutation("Object{}")],
            "reinvocationPolicy": "Never",
            **change,
        }
        url = f"{GROUP}/mutatingadmissionpolicies?dryRun=All"
        answer = bare_api("POST", url, {"metadata": {"name": "x"}, "spec": spec})
        return "" if answer.status == 201 else answer.json["details"]["causes"][0]["message"]

    assert problem() == ""
    assert "must evaluate to Object but got Object.spec" in problem(mutations=[mutation("Object.spec{}")])
    assert "must evaluate to list(JSONPatch) but got list(string)" in problem(mutations=[mutation("['a']")])
    wrong = "expected type of field 'op' is 'string' but provided type is 'int'"
    assert wrong in problem(mutations=[mutation("[JSONPatch{op: 1}]")])
    assert "undeclared reference to 'Other' (in container '')" in problem(mutations=[mutation("Other{}")])
    assert "Required value" in problem(mutations=[])
