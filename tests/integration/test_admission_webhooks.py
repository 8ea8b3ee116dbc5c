"""Admission webhooks, as their users see them: with stock kubectl, and a webhook of its own authority."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clusters import Api, Cluster
from tests.crds import definition, install, object_schema, version
from tests.tools import Kubectl
from tests.webhooks import ALLOW, Authority, Webhook, deny, patch, serving

GROUP = "/apis/admissionregistration.k8s.io/v1"
_names = itertools.count()
Configure = Callable[..., str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    with serving(tmp_path_factory.mktemp("webhook"), "hook.default.svc") as webhook:
        yield webhook


@pytest.fixture
def webhook(server: Webhook) -> Webhook:
    server.answers.clear()
    server.raw.clear()
    server.requests.clear()
    server.headers.clear()
    return server


@pytest.fixture
def configure(bare_api: Api, bare_namespace: str, webhook: Webhook) -> Iterator[Configure]:
    """Makes a configuration with one webhook for the test's namespace, by default for ConfigMaps and all operations."""
    made: list[str] = []

    def new(how: str = "validating", path: str = "/", **hook: Any) -> str:
        name = f"hook-{next(_names)}"
        body = {
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": f"{name}.example.com",
                    "clientConfig": webhook.config(path),
                    "rules": [rule("configmaps")],
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": bare_namespace}},
                    **hook,
                }
            ],
        }
        url = f"{GROUP}/{how}webhookconfigurations"
        answer = bare_api("POST", url, body)
        assert answer.status == 201, answer.body
        made.append(f"{url}/{name}")
        return f"{name}.example.com"

    yield new
    for url in made:
        assert bare_api("DELETE", url).status in (200, 404)


def rule(*resources: str, groups: tuple[str, ...] = ("",), operations: tuple[str, ...] = ("*",), **more: Any) -> Any:
    return {
        "apiGroups": list(groups),
        "apiVersions": ["*"],
        "operations": list(operations),
        "resources": list(resources),
        **more,
    }


@pytest.fixture
def kubectl(bare: Cluster, bare_namespace: str) -> Kubectl:
    return bare.kubectl().within(bare_namespace)


def test_a_denial_is_shown_with_its_message(kubectl: Kubectl, configure: Configure, webhook: Webhook) -> None:
    webhook.answers["/"] = lambda _: deny("no, thanks", reason="Forbidden")
    name = configure()
    done = kubectl.run("create", "configmap", "a")
    assert done.returncode == 1
    denied = f'admission webhook "{name}" denied the request: no, thanks'
    assert done.stderr == f"error: failed to create configmap: {denied}\n"
    assert kubectl("get", "configmaps", "-o", "name") == ""


def test_code_reason_and_details_of_a_denial_are_the_webhooks(
    bare_api: Api, bare_namespace: str, configure: Configure, webhook: Webhook
) -> None:
    name = configure()
    maps = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    for status, code, reason, message in (
        ({"message": "why", "code": 418, "reason": "Teapot", "details": {"kind": "pot"}}, 418, "Teapot", ": why"),
        ({"reason": "Because"}, 400, "Because", ": Because"),
        ({"code": 200}, 400, None, " without explanation"),
    ):
        webhook.answers["/"] = lambda _, status=status: {"allowed": False, "status": status}  # type: ignore[misc]
        answer = bare_api("POST", maps, {"metadata": {"name": "a"}})
        assert answer.status == code
        assert answer.json.get("reason") == reason
        assert answer.json["message"] == f'admission webhook "{name}" denied the request{message}'
        assert answer.json.get("details") == status.get("details")


def test_a_patch_changes_the_object_and_warnings_are_shown(
    kubectl: Kubectl, configure: Configure, webhook: Webhook
) -> None:
    container = {"name": "added", "image": "sidecar"}
    webhook.answers["/"] = lambda _: {
        **patch(
            {"op": "add", "path": "/spec/containers/-", "value": container},
            {"op": "add", "path": "/metadata/labels", "value": {"by": "webhook"}},
        ),
        "warnings": ["a sidecar comes along"],
    }
    configure("mutating", rules=[rule("pods")])
    done = kubectl.run("run", "a", "--image=web")
    assert (done.returncode, done.stdout) == (0, "pod/a created\n"), done.stderr
    assert done.stderr == "Warning: a sidecar comes along\n"
    shown = kubectl("get", "pod", "a", "-o", "jsonpath={.metadata.labels}{.spec.containers[1].imagePullPolicy}")
    assert shown == '{"by":"webhook"}Always'  # defaults too are filled in where it has changed something
    [request] = webhook.requests
    assert "uid" not in request["object"]["metadata"]
    assert request["object"]["spec"]["containers"][0]["imagePullPolicy"] == "Always"


def test_what_a_webhook_has_made_is_validated_and_nobodys(
    bare_api: Api, bare_namespace: str, configure: Configure, webhook: Webhook
) -> None:
    maps = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    configure("mutating")
    webhook.answers["/"] = lambda _: patch({"op": "add", "path": "/data", "value": {"a": "b"}})
    made = bare_api("POST", f"{maps}?fieldManager=me", {"metadata": {"name": "a"}, "immutable": False}).json
    assert made["data"] == {"a": "b"}
    assert [entry["fieldsV1"] for entry in made["metadata"]["managedFields"]] == [{"f:immutable": {}}]
    webhook.answers["/"] = lambda _: patch({"op": "add", "path": "/data", "value": {"a b": "b"}})
    refused = bare_api("POST", maps, {"metadata": {"name": "b"}})
    assert (refused.status, refused.json["reason"]) == (422, "Invalid")
    webhook.answers["/"] = lambda _: patch({"op": "add", "path": "/data", "value": 1})
    assert bare_api("POST", maps, {"metadata": {"name": "c"}}).status == 500
    webhook.answers["/"] = lambda _: patch({"op": "remove", "path": "/data/none"})
    failed = bare_api("POST", maps, {"metadata": {"name": "d"}})
    assert failed.json["message"].startswith("Internal error occurred: remove operation does not apply")
    webhook.answers["/"] = lambda _: patch({"op": "add", "path": "/metadata/namespace", "value": "default"})
    assert bare_api("POST", maps, {"metadata": {"name": "e"}}).status == 400
    assert webhook.requests[0]["options"]["fieldManager"] == "me"


def test_every_way_of_writing_is_asked_about(
    kubectl: Kubectl, configure: Configure, webhook: Webhook, bare_namespace: str
) -> None:
    webhook.answers["/"] = lambda _: ALLOW
    configure()
    configure("mutating")
    kubectl("create", "configmap", "a", "--from-literal=x=1")
    kubectl("patch", "configmap", "a", "-p", '{"data":{"x":"2"}}')
    kubectl("label", "configmap", "a", "l=v")
    kubectl("apply", "--server-side", "-f", "-", input='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}')
    kubectl("delete", "configmap", "a", "--cascade=foreground", "--wait=false")
    kubectl("delete", "configmaps", "--all")
    seen = [(r["operation"], r["name"], r["oldObject"] is not None, r["object"] is not None) for r in webhook.requests]
    assert seen[::2] == seen[1::2], "each is asked once for mutation and once for validation"
    assert seen[:10:2] == [
        ("CREATE", "a", False, True),
        ("UPDATE", "a", True, True),
        ("UPDATE", "a", True, True),
        ("CREATE", "b", False, True),
        ("DELETE", "a", True, False),
    ]
    mutating, validating = webhook.of("a")[:2]
    assert mutating["uid"] != validating["uid"]
    assert mutating["userInfo"]["username"] == "kubernetes-admin"
    assert "system:authenticated" in mutating["userInfo"]["groups"]
    assert mutating["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert mutating["kind"] == mutating["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert (mutating["namespace"], mutating["dryRun"]) == (bare_namespace, False)
    assert mutating["options"]["kind"] == "CreateOptions"
    assert mutating["options"]["fieldManager"] == "kubectl-create"
    old, new = (webhook.of("a")[2][which]["data"] for which in ("oldObject", "object"))
    assert (old, new) == ({"x": "1"}, {"x": "2"})
    deletion = next(r for r in webhook.requests if r["operation"] == "DELETE")
    assert deletion["options"] == {
        "kind": "DeleteOptions",
        "apiVersion": "meta.k8s.io/v1",
        "propagationPolicy": "Foreground",
    }


def test_a_dry_run_is_said_to_be_one_and_writes_nothing(
    kubectl: Kubectl, configure: Configure, webhook: Webhook
) -> None:
    webhook.answers["/"] = lambda _: patch({"op": "add", "path": "/data", "value": {"a": "b"}})
    configure("mutating", sideEffects="NoneOnDryRun")
    shown = kubectl("create", "configmap", "a", "--dry-run=server", "-o", "jsonpath={.data}")
    assert shown == '{"a":"b"}'
    assert [(r["dryRun"], r["options"]["dryRun"]) for r in webhook.requests] == [(True, ["All"])]
    assert kubectl("get", "configmaps", "-o", "name") == ""


def test_subresources_are_asked_about_as_what_they_are(
    bare_api: Api, bare_namespace: str, kubectl: Kubectl, configure: Configure, webhook: Webhook
) -> None:
    webhook.answers["/"] = lambda _: ALLOW
    configure(rules=[rule("pods/*", "deployments/scale", "serviceaccounts/token", groups=("*",))])
    kubectl("create", "deployment", "d", "--image=web")
    assert not webhook.requests
    kubectl("scale", "deployment", "d", "--replicas=3")
    [scale] = webhook.requests
    assert (scale["subResource"], scale["kind"]["kind"]) == ("scale", "Scale")
    assert (scale["oldObject"]["spec"], scale["object"]["spec"]) == ({"replicas": 1}, {"replicas": 3})
    webhook.requests.clear()
    kubectl("create", "serviceaccount", "me")
    kubectl("create", "token", "me")
    assert [r["kind"]["kind"] for r in webhook.requests] == ["TokenRequest"]
    webhook.requests.clear()
    pods = f"/api/v1/namespaces/{bare_namespace}/pods"
    kubectl("run", "a", "--image=web", "--overrides", '{"spec":{"serviceAccountName":"me"}}')
    assert bare_api("POST", f"{pods}/a/binding", {"target": {"kind": "Node", "name": "n"}}).status == 201
    assert bare_api("PATCH", f"{pods}/a/status", {"status": {"message": "m"}}, headers=MERGE).status == 200
    kubectl.run("exec", "a", "--", "date")
    bare_api("POST", f"{pods}/a/portforward", query={"ports": "80"})
    bare_api("GET", f"{pods}/a/proxy/some/path")
    assert bare_api("POST", f"{pods}/a/eviction", {"metadata": {"name": "a"}}).status == 201
    asked = [(r["operation"], r.get("subResource", ""), r["object"]["kind"]) for r in webhook.requests]
    assert sorted(set(asked)) == [
        ("CONNECT", "exec", "PodExecOptions"),
        ("CONNECT", "portforward", "PodPortForwardOptions"),
        ("CONNECT", "proxy", "PodProxyOptions"),
        ("CREATE", "", "Pod"),  # ``pods/*`` takes in Pods themselves
        ("CREATE", "binding", "Binding"),
        ("CREATE", "eviction", "Eviction"),
        ("UPDATE", "status", "Pod"),
    ]
    options = next(r["object"] for r in webhook.requests if r["object"]["kind"] == "PodExecOptions")
    assert (options["command"], options["stdout"]) == (["date"], True)


def test_scale_and_exec_can_be_changed_and_refused(kubectl: Kubectl, configure: Configure, webhook: Webhook) -> None:
    kubectl("create", "deployment", "d", "--image=web")
    webhook.answers["/"] = lambda _: patch({"op": "replace", "path": "/spec/replicas", "value": 2})
    configure("mutating", rules=[rule("deployments/scale", groups=("apps",))])
    kubectl("scale", "deployment", "d", "--replicas=9")
    assert kubectl("get", "deployment", "d", "-o", "jsonpath={.spec.replicas}") == "2"
    webhook.answers["/no"] = lambda _: deny("not in there")
    configure(path="/no", rules=[rule("pods/exec", operations=("CONNECT",))])
    done = kubectl.run("exec", "none", "--", "date")
    assert done.returncode == 1
    assert "denied the request: not in there" in done.stderr or "not found" in done.stderr


MERGE = {"Content-Type": "application/merge-patch+json"}


def test_failures_are_told_or_ignored_as_the_policy_says(
    kubectl: Kubectl, configure: Configure, webhook: Webhook
) -> None:
    configure(path="/raw", failurePolicy="Ignore")
    webhook.raw["/raw"] = 500, b"broken"
    assert kubectl("create", "configmap", "ignored") == "configmap/ignored created\n"
    name = configure(path="/raw")
    called = f'Internal error occurred: failed calling webhook "{name}"'

    def failed(status: int, body: bytes) -> str:
        webhook.raw["/raw"] = status, body
        done = kubectl.run("create", "configmap", "a")
        assert done.returncode == 1
        return done.stderr.removeprefix("error: failed to create configmap: ").strip()

    prevented = 'an error on the server ("broken") has prevented the request from succeeding'
    assert failed(500, b"broken") == f"{called}: failed to call webhook: {prevented}"
    missing = "the server could not find the requested resource"
    assert failed(404, b"") == f"{called}: failed to call webhook: {missing}"
    assert failed(200, b"{}") == f"{called}: received invalid webhook response: webhook response was absent"
    assert "json parse error" in failed(200, b"<html>")
    assert 'expected response.uid="' in failed(200, b'{"response": {"uid": "other", "allowed": true}}')


def test_a_webhook_that_cannot_be_reached_or_trusted(
    kubectl: Kubectl, configure: Configure, webhook: Webhook, tmp_path: Path
) -> None:
    def failure(**config: Any) -> str:
        name = configure(clientConfig={**webhook.config(), **config}, timeoutSeconds=1)
        done = kubectl.run("create", "configmap", "a")
        head, _, why = done.stderr.strip().partition(f'failed calling webhook "{name}": failed to call webhook: ')
        assert head.endswith("Internal error occurred: "), done.stderr
        kubectl("delete", "validatingwebhookconfiguration", name.partition(".")[0])
        return why

    def hang(_: Any) -> dict[str, Any]:
        webhook.hang.wait(5)
        return ALLOW

    url = f"https://127.0.0.1:{webhook.port}/?timeout=1s"
    unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    assert failure(caBundle=Authority(tmp_path).bundle) == f'Post "{url}": {unknown}'
    assert failure(caBundle=None).endswith(unknown)
    refused = 'Post "https://127.0.0.1:1/?timeout=1s": dial tcp 127.0.0.1:1: connect: connection refused'
    assert failure(url="https://127.0.0.1:1/") == refused
    webhook.answers["/"] = hang
    assert failure() == f'Post "{url}": context deadline exceeded'
    webhook.hang.set()
    nowhere = 'Post "https://none.default.svc:443/?timeout=1s": service "none" not found'
    assert failure(url=None, service={"namespace": "default", "name": "none"}) == nowhere


def test_a_service_is_called_by_its_name_and_a_rotated_authority_counts_at_once(
    bare_api: Api, kubectl: Kubectl, configure: Configure, webhook: Webhook, tmp_path: Path
) -> None:
    service = {"metadata": {"name": "hook"}, "spec": {"type": "ExternalName", "externalName": "localhost"}}
    assert bare_api("POST", "/api/v1/namespaces/default/services", service).status == 201
    webhook.answers["/check"] = lambda _: ALLOW
    reference = {"namespace": "default", "name": "hook", "port": webhook.port, "path": "/check"}
    name = configure(clientConfig={"service": reference, "caBundle": webhook.authority.bundle})
    kubectl("create", "configmap", "a")
    assert webhook.headers[0]["Host"] == f"hook.default.svc:{webhook.port}"
    context = webhook.context
    try:
        rotated = Authority(tmp_path)
        webhook.context = rotated.context("hook.default.svc")
        change = {"webhooks": [{"name": name, "clientConfig": {"caBundle": rotated.bundle}}]}
        body = json.dumps(change)
        kubectl("patch", "validatingwebhookconfiguration", name.partition(".")[0], "--type=strategic", "-p", body)
        kubectl("create", "configmap", "b")
        assert len(webhook.requests) == 2
    finally:
        webhook.context = context
        assert bare_api("DELETE", "/api/v1/namespaces/default/services/hook").status == 200


def test_connections_are_used_again(kubectl: Kubectl, configure: Configure, webhook: Webhook) -> None:
    webhook.answers["/"] = lambda _: ALLOW
    configure()
    kubectl("create", "configmap", "first")
    before = webhook.connections
    for name in "abcde":
        kubectl("create", "configmap", name)
    assert (webhook.connections, len(webhook.requests)) == (before, 6)


def test_webhooks_see_what_others_made_and_some_are_asked_again(
    bare_api: Api, bare_namespace: str, configure: Configure, webhook: Webhook
) -> None:
    def note(mark: str) -> Callable[[Any], dict[str, Any]]:
        def answer(request: Any) -> dict[str, Any]:
            trail = (request["object"].get("data") or {}).get("trail", "")
            if mark in trail:
                return ALLOW
            return patch({"op": "add", "path": "/data", "value": {"trail": trail + mark}})

        return answer

    for mark in "abc":
        webhook.answers[f"/{mark}"] = note(mark)
    configure("mutating", "/a", reinvocationPolicy="IfNeeded")
    configure("mutating", "/b")
    configure("mutating", "/c", reinvocationPolicy="IfNeeded")
    webhook.answers["/look"] = lambda request: deny(request["object"]["data"]["trail"])
    configure(path="/look")
    answer = bare_api("POST", f"/api/v1/namespaces/{bare_namespace}/configmaps", {"metadata": {"name": "x"}})
    assert answer.json["message"].endswith("denied the request: abc")
    trails = [(r["object"].get("data") or {}).get("trail", "") for r in webhook.requests]
    assert trails == ["", "a", "ab", "abc", "abc"]  # the first again, since others changed the object after it


def test_selectors_and_conditions_choose(
    bare_api: Api, bare_namespace: str, configure: Configure, webhook: Webhook
) -> None:
    maps = f"/api/v1/namespaces/{bare_namespace}/configmaps"
    webhook.answers["/"] = lambda _: ALLOW
    configure(
        objectSelector={"matchLabels": {"look": "yes"}},
        matchConditions=[
            {"name": "not-system", "expression": "!request.userInfo.username.startsWith('system:')"},
            {"name": "has-data", "expression": "has(object.data) && object.data['n'] != 'skip'"},
        ],
    )
    yes = {"look": "yes"}
    for name, labels, data in (("a", yes, "x"), ("b", {}, "x"), ("c", yes, "skip"), ("d", yes, None)):
        body = {"metadata": {"name": name, "labels": labels}, **({"data": {"n": data}} if data else {})}
        assert bare_api("POST", maps, body).status == 201
    assert [r["name"] for r in webhook.requests] == ["a"]
    configure(matchConditions=[{"name": "fails", "expression": "object.data.missing == 'x'"}])
    refused = bare_api("POST", maps, {"metadata": {"name": "e"}, "data": {"n": "x"}})
    assert refused.status == 403
    failed = "expression 'object.data.missing == 'x'' resulted in error: no such key: missing"
    assert refused.json["message"] == f'configmaps "e" is forbidden: {failed}'


def test_equivalent_resources_are_matched_in_their_version(
    bare_api: Api, bare_namespace: str, configure: Configure, webhook: Webhook
) -> None:
    webhook.answers["/"] = lambda _: patch({"op": "add", "path": "/metadata/labels", "value": {"seen": "v1"}})
    only = {**rule("horizontalpodautoscalers", groups=("autoscaling",)), "apiVersions": ["v1"]}
    configure("mutating", rules=[only])
    configure("mutating", rules=[only], matchPolicy="Exact")
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    body = {"metadata": {"name": "a"}, "spec": {"maxReplicas": 3, "scaleTargetRef": target, "metrics": [CPU]}}
    made = bare_api("POST", f"/apis/autoscaling/v2/namespaces/{bare_namespace}/horizontalpodautoscalers", body)
    assert made.json["metadata"]["labels"] == {"seen": "v1"}
    assert made.json["spec"]["metrics"] == [CPU]
    [request] = webhook.requests
    assert (request["kind"]["version"], request["requestKind"]["version"]) == ("v1", "v2")
    assert request["object"]["apiVersion"] == "autoscaling/v1"
    assert request["object"]["spec"]["targetCPUUtilizationPercentage"] == 50


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}


def test_names_that_are_generated_are_not_known_before(
    bare_api: Api, bare_namespace: str, configure: Configure, webhook: Webhook
) -> None:
    webhook.answers["/"] = lambda _: ALLOW
    configure("mutating")
    webhook.answers["/late"] = lambda _: ALLOW
    configure(path="/late")
    made = bare_api("POST", f"/api/v1/namespaces/{bare_namespace}/configmaps", {"metadata": {"generateName": "x-"}})
    early, late = webhook.requests
    assert "name" not in early
    assert "name" not in early["object"]["metadata"]
    assert late["object"]["metadata"]["name"] == made.json["metadata"]["name"]


def test_nobody_can_lock_themselves_out(kubectl: Kubectl, configure: Configure, webhook: Webhook) -> None:
    webhook.answers["/"] = lambda _: deny("never")
    everything = [rule("*/*", groups=("*",))]
    name = configure(rules=everything, namespaceSelector={}).partition(".")[0]
    try:
        assert "denied" in kubectl.run("create", "namespace", "x").stderr
        assert kubectl.run("auth", "can-i", "create", "pods").stdout == "yes\n"
    finally:
        change = '[{"op":"remove","path":"/webhooks/0/rules/0"}]'
        kubectl("patch", "validatingwebhookconfiguration", name, "--type=json", "-p", change)


def test_built_in_checks_see_what_webhooks_have_made(
    kubectl: Kubectl, bare_namespace: str, configure: Configure, webhook: Webhook
) -> None:
    kubectl("label", "namespace", bare_namespace, "pod-security.kubernetes.io/enforce=baseline")
    limits = {"default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}, "type": "Container"}
    body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [limits]}}
    kubectl("apply", "-f", "-", input=json.dumps(body))
    secure = {"op": "replace", "path": "/spec/hostNetwork", "value": False}
    added = {"op": "add", "path": "/spec/containers/-", "value": {"name": "added", "image": "x"}}
    webhook.answers["/"] = lambda _: patch(secure, added)
    configure("mutating", rules=[rule("pods", operations=("CREATE",))])
    kubectl("run", "a", "--image=web", "--overrides", '{"spec":{"hostNetwork":true}}')
    requests = kubectl("get", "pod", "a", "-o", "jsonpath={.spec.containers[*].resources.requests.cpu}")
    assert requests == "1 1"
    privileged = {"op": "add", "path": "/spec/containers/0/securityContext", "value": {"privileged": True}}
    webhook.answers["/"] = lambda _: patch(privileged)
    refused = kubectl.run("run", "b", "--image=web").stderr
    assert 'pods "b" is forbidden: violates PodSecurity "baseline:latest": privileged' in refused


def test_deletions_are_decided_by_what_is_deleted(kubectl: Kubectl, configure: Configure, webhook: Webhook) -> None:
    webhook.answers["/"] = lambda request: (
        deny("it is held") if (request["oldObject"].get("data") or {}).get("held") else ALLOW
    )
    configure(rules=[rule("configmaps", operations=("DELETE",))])
    kubectl("create", "configmap", "free")
    kubectl("create", "configmap", "held", "--from-literal=held=yes")
    assert "denied the request: it is held" in kubectl.run("delete", "configmap", "free", "held").stderr
    assert "denied the request: it is held" in kubectl.run("delete", "configmaps", "--all").stderr
    assert kubectl("get", "configmaps", "-o", "name") == "configmap/held\n"


def test_custom_resources_are_pruned_and_defaulted_again(
    bare_api: Api, bare_namespace: str, configure: Configure, webhook: Webhook
) -> None:
    spec = object_schema(size={"type": "integer", "default": 1}, color={"type": "string"})
    custom = install(bare_api, definition(version("v1", object_schema(spec=spec))), bare_namespace)
    webhook.answers["/"] = lambda _: patch({"op": "add", "path": "/spec", "value": {"color": "red", "unknown": True}})
    configure("mutating", rules=[rule(custom.plural, groups=(custom.group,))])
    assert custom.create("a").json["spec"] == {"color": "red", "size": 1}
    webhook.answers["/"] = lambda _: patch({"op": "add", "path": "/spec", "value": {"color": 1}})
    assert custom.create("b").status == 422


def test_a_change_that_came_first_is_looked_at_again(
    bare_api: Api, bare_namespace: str, configure: Configure, webhook: Webhook
) -> None:
    one = f"/api/v1/namespaces/{bare_namespace}/configmaps/a"
    assert bare_api("POST", one.removesuffix("/a"), {"metadata": {"name": "a"}}).status == 201

    def answer(_: Any) -> dict[str, Any]:
        if len(webhook.requests) == 1:
            assert bare_api("PATCH", one, {"metadata": {"labels": {"came": "first"}}}, headers=MERGE).status == 200
        return ALLOW

    webhook.answers["/"] = answer
    configure(rules=[rule("configmaps", operations=("UPDATE",))])
    done = bare_api("PATCH", one, {"data": {"came": "second"}}, headers=MERGE)
    assert (done.status, done.json["metadata"]["labels"], done.json["data"]) == (
        200,
        {"came": "first"},
        {"came": "second"},
    )
    before = [(request["oldObject"]["metadata"].get("labels") or {}) for request in webhook.requests]
    assert before == [{}, {}, {"came": "first"}]


def test_webhooks_of_old_are_spoken_to_as_of_old(
    bare_api: Api, bare_namespace: str, configure: Configure, webhook: Webhook
) -> None:
    configure("mutating", path="/raw", admissionReviewVersions=["v1beta1", "v1"])
    encoded = patch({"op": "add", "path": "/data", "value": {"a": "b"}})["patch"]
    answer = {"response": {"allowed": True, "patch": encoded}}  # neither uid nor type were asked for then
    webhook.raw["/raw"] = 200, json.dumps(answer).encode()
    made = bare_api("POST", f"/api/v1/namespaces/{bare_namespace}/configmaps", {"metadata": {"name": "a"}})
    assert made.json["data"] == {"a": "b"}
