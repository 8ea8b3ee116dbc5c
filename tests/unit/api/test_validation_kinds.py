"""The other kinds: required fields, enums, immutability, in upstream's words and order."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import defaults, meta
from pinnace.api.errors import invalid
from pinnace.api.types import GVK, Object
from pinnace.api.validation import validate
from pinnace.api.validation.kinds import CLUSTER_SCOPED, KINDS

TEMPLATE: Object = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}


def made(api_version: str, kind: str, **fields: Any) -> Object:
    obj: Object = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "d"}, **meta.copy(fields)}
    group = api_version.rpartition("/")[0]
    if (group, kind) not in CLUSTER_SCOPED:
        obj["metadata"]["namespace"] = "x"
    defaults.apply(meta.gvk(obj), obj)
    return obj


def said(obj: Object, old: Object | None = None, subresource: str = "") -> list[str]:
    if old is not None:
        obj["metadata"]["resourceVersion"] = "1"
    return [str(error) for error in validate(meta.gvk(obj), obj, old, subresource)]


def deployment(**spec: Any) -> Object:
    fields = {"selector": {"matchLabels": {"app": "d"}}, "template": TEMPLATE, **spec}
    return made("apps/v1", "Deployment", spec=fields)


def test_deployment() -> None:
    assert said(deployment()) == []
    assert said(deployment(replicas=-1)) == ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
    problems = validate(
        GVK("apps", "v1", "Deployment"),
        made("apps/v1", "Deployment", spec={"template": {**TEMPLATE, "metadata": {}}}),
        None,
        "",
    )
    assert invalid("apps", "Deployment", "d", problems).message == (
        'Deployment.apps "d" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: '
        "null: `selector` does not match template `labels`]"
    )


def test_a_deployments_selector_is_fixed() -> None:
    new = deployment(selector={"matchLabels": {"app": "other"}})
    assert said(new, deployment()) == [
        'spec.template.metadata.labels: Invalid value: {"app":"d"}: `selector` does not match template `labels`',
        'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable',
    ]


def test_deployment_strategy() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}
    at = "spec.strategy.rollingUpdate"
    assert said(deployment(strategy=rolling)) == [
        f"{at}.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"
    ]
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "120%", "maxSurge": "x"}}
    assert said(deployment(strategy=rolling)) == [
        f'{at}.maxSurge: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '
        "'%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        f'{at}.maxUnavailable: Invalid value: "120%": must not be greater than 100%',
    ]
    assert said(deployment(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}})) == [
        f"{at}: Forbidden: may not be specified when strategy `type` is 'Recreate'"
    ]


@pytest.mark.parametrize("kind", ["DaemonSet", "ReplicaSet", "StatefulSet"])
def test_controllers_restart_always(kind: str) -> None:
    template = meta.copy(TEMPLATE)
    assert said(made("apps/v1", kind, spec={"selector": {"matchLabels": {"app": "d"}}, "template": template})) == []
    template["spec"]["restartPolicy"] = "Never"
    obj = made("apps/v1", kind, spec={"selector": {"matchLabels": {"app": "d"}}, "template": template})
    assert said(obj) == ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"']


def test_a_stateful_sets_pods_may_mount_its_claims() -> None:
    template = meta.copy(TEMPLATE)
    template["spec"]["containers"][0]["volumeMounts"] = [{"name": "www", "mountPath": "/x"}]
    claim = {
        "metadata": {"name": "www"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    spec = {"selector": {"matchLabels": {"app": "d"}}, "template": template, "volumeClaimTemplates": [claim]}
    assert said(made("apps/v1", "StatefulSet", spec=spec)) == []


def job(restart: str | None = "Never", **spec: Any) -> Object:
    labels = {
        f"{prefix}{key}": value
        for prefix in ("", "batch.kubernetes.io/")
        for key, value in (("controller-uid", "u"), ("job-name", "d"))
    }
    pod = {"containers": [{"name": "c", "image": "x"}], **({"restartPolicy": restart} if restart else {})}
    template = {"metadata": {"labels": labels}, "spec": pod}
    selector = {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    obj = made("batch/v1", "Job", spec={"selector": selector, "template": template, **spec})
    obj["metadata"]["uid"] = "u"
    return obj


def test_job() -> None:
    assert said(job()) == []
    assert said(job(restart=None)) == [
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    ]
    assert said(job(parallelism=-1)) == ["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"]
    assert said(job(completions=5), job(completions=1)) == ["spec.completions: Invalid value: 5: field is immutable"]
    assert said(job(completionMode="Indexed", parallelism=2))[0] == (
        "spec.completions: Required value: when completion mode is Indexed"
    )


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("*/5 * * * *", ""),
        ("0 9 1,15 jan-mar MON", ""),
        ("@hourly", ""),
        ("x", "expected exactly 5 fields, found 1: [x]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("* * * * */0", "step of range should be a positive number: */0"),
        ("TZ=UTC * * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
    ],
)
def test_cron_schedules(schedule: str, problem: str) -> None:
    pod = {"containers": [{"name": "c", "image": "x"}], "restartPolicy": "Never"}
    spec = {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    wanted = [f'spec.schedule: Invalid value: "{schedule}": {problem}'.replace('"a"": ', '"a": ')] if problem else []
    assert said(made("batch/v1", "CronJob", spec=spec)) == wanted


def service(**spec: Any) -> Object:
    return made("v1", "Service", spec={"ports": [{"port": 80}], **spec})


def test_service() -> None:
    assert said(service()) == []
    assert said(service(ports=[])) == ["spec.ports: Required value"]
    assert said(service(ports=[{"port": 80, "name": "a"}, {"port": 81}])) == ["spec.ports[1].name: Required value"]
    assert said(service(ports=[{"port": 80, "nodePort": 30000}])) == [
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"
    ]
    assert said(service(type="Other"))[0].startswith(
        'spec.type: Unsupported value: "Other": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
        '"NodePort"'
    )
    assert said(service(type="ExternalName", ports=[])) == ["spec.externalName: Required value"]


def test_a_services_cluster_ip_stays() -> None:
    old = service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"], ipFamilies=["IPv4"])
    new = service(clusterIP="10.0.0.2", clusterIPs=["10.0.0.2"], ipFamilies=["IPv4"])
    assert said(new, old) == ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set']


def test_config_map_and_secret_keys() -> None:
    assert said(made("v1", "ConfigMap", data={"z/y": "1"})) == [
        "data[z/y]: Invalid value: \"z/y\": a valid config key must consist of alphanumeric characters, '-', '_' or "
        "'.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    ]
    assert said(made("v1", "Secret", type="kubernetes.io/tls", data={})) == [
        "data[tls.crt]: Required value",
        "data[tls.key]: Required value",
    ]
    big = made("v1", "Secret", data={"a": "A" * (2 * 1024 * 1024)})
    assert said(big) == ["data: Too long: may not be more than 1048576 bytes"]


def test_immutable_config_maps() -> None:
    old = made("v1", "ConfigMap", data={"a": "1"}, immutable=True)
    assert said(made("v1", "ConfigMap", data={"a": "2"}, immutable=True), old) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]


def test_rbac() -> None:
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    old = made("rbac.authorization.k8s.io/v1", "RoleBinding", roleRef=ref, subjects=[{"kind": "User", "name": "u"}])
    assert said(old) == []
    new = made("rbac.authorization.k8s.io/v1", "RoleBinding", roleRef={**ref, "name": "other"})
    assert said(new, old) == [
        'roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"other"}: field is '
        "immutable"
    ]
    assert said(made("rbac.authorization.k8s.io/v1", "Role", rules=[{"verbs": ["get"]}])) == [
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[0].resources: Required value: resource rules must supply at least one resource",
    ]


def test_networking() -> None:
    rules = [{"host": "A_b", "http": {"paths": [{"path": "x", "pathType": "Prefix", "backend": {}}]}}]
    problems = said(made("networking.k8s.io/v1", "Ingress", spec={"rules": rules}))
    assert [text.partition(":")[0] for text in problems] == [
        "spec.rules[0].host",
        "spec.rules[0].http.paths[0].path",
        "spec.rules[0].http.paths[0].backend",
    ]
    spec = {"egress": [{"to": [{"ipBlock": {"cidr": "bad"}}]}], "policyTypes": ["Sideways"]}
    assert said(made("networking.k8s.io/v1", "NetworkPolicy", spec=spec)) == [
        'spec.egress[0].to[0].ipBlock.cidr: Invalid value: "bad": must be a valid CIDR value, (e.g. 10.9.8.0/24 or '
        "2001:db8::/64)",
        'spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"',
    ]


def test_endpoints_must_be_reachable() -> None:
    slice = made("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", endpoints=[{"addresses": ["127.0.0.1"]}])
    assert said(slice) == [
        'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'
    ]


def test_claims_need_a_size() -> None:
    assert said(made("v1", "PersistentVolumeClaim", spec={"accessModes": ["ReadWriteOnce"]})) == [
        "spec.resources[storage]: Required value"
    ]


def test_nodes_taints() -> None:
    taint = {"key": "a", "effect": "NoSchedule"}
    problems = said(made("v1", "Node", spec={"taints": [taint, taint, {"key": "b"}]}))
    assert problems == [
        'metadata.taints[1]: Duplicate value: {"effect":"NoSchedule","key":"a"}: taints must be unique by key and '
        "effect pair",
        "metadata.taints[2].effect: Required value",
    ]


def test_crds_name_their_storage_version() -> None:
    names = {"plural": "ds", "singular": "d", "kind": "D", "listKind": "DList"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    crd = made("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec=spec)
    crd["metadata"]["name"] = "ds.example.com"
    crd["status"] = {"storedVersions": ["v1"]}
    assert said(crd) == []
    crd["spec"]["versions"][0]["storage"] = False
    crd["metadata"]["name"] = "d.example.com"
    problems = said(crd)
    assert problems[0] == 'metadata.name: Invalid value: "d.example.com": must be spec.names.plural+"."+spec.group'
    assert problems[1].endswith("must have exactly one version marked as storage version")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_bare_objects_are_refused_not_crashed_on(kind: tuple[str, str]) -> None:
    bare: list[Object] = [{}, {"metadata": {"name": "a"}, "spec": {}}, {"spec": {"template": {}, "rules": [{}]}}]
    for obj in bare:
        for old in (None, {}, obj):
            for subresource in ("", "status"):
                validate(GVK(kind[0], "v1", kind[1]), obj, old, subresource)


def test_events_of_the_newer_group_say_more_and_stay() -> None:
    fields = {"reportingController": "a/b", "reportingInstance": "i", "action": "Did", "reason": "R", "type": "Normal"}
    fields |= {"eventTime": "2026-01-01T00:00:00.000000Z", "regarding": {"namespace": "x"}, "note": "n"}
    old = made("events.k8s.io/v1", "Event", **fields)
    assert said(old) == []
    assert said(made("events.k8s.io/v1", "Event", **{**fields, "note": "m"}), old) == [
        'message: Invalid value: "m": field is immutable'
    ]
    assert said(made("events.k8s.io/v1", "Event", **{**fields, "action": ""})) == ["action: Required value"]
    assert said(made("v1", "Event", involvedObject={"namespace": "y"})) == [
        'involvedObject.namespace: Invalid value: "y": does not match event.namespace'
    ]
