"""Pods: what is refused, in which words, and what an update may change."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pinnace.api import defaults, meta
from pinnace.api.types import GVK, Object
from pinnace.api.validation import validate

POD = GVK("", "v1", "Pod")


def pod(container: Object | None = None, **spec: Any) -> Object:
    obj: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": "b", "resourceVersion": "1"},
        "spec": {"containers": [{"name": "c", "image": "nginx", **(container or {})}], **spec},
    }
    defaults.apply(POD, obj)
    return obj


def said(obj: Object, old: Object | None = None, subresource: str = "") -> list[str]:
    return [str(error) for error in validate(POD, obj, old, subresource)]


def test_a_small_pod_is_valid_and_quick_to_check() -> None:
    obj = pod({"ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1", "memory": "64Mi"}}})
    assert said(obj) == []
    started = time.process_time()
    for _ in range(200):
        validate(POD, obj, None, "")
    assert (time.process_time() - started) / 200 < 0.002  # a wide margin over the 60 us budget, for slow machines


@pytest.mark.parametrize(
    ("container", "problem"),
    [
        ({"name": ""}, "name: Required value"),
        ({"image": ""}, "image: Required value"),
        ({"image": " a"}, 'image: Invalid value: " a": must not have leading or trailing whitespace'),
        (
            {"imagePullPolicy": "Often"},
            'imagePullPolicy: Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never"',
        ),
        (
            {"ports": [{"containerPort": 70000}]},
            "ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            {"ports": [{"containerPort": 1, "protocol": "X"}]},
            'ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
        ),
        (
            {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            'ports[1].name: Duplicate value: "a"',
        ),
        ({"env": [{"value": "x"}]}, "env[0].name: Required value"),
        (
            {"env": [{"name": "A=B"}]},
            'env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of printable ASCII '
            "characters other than '='",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.x"}}}]},
            'env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: field label not '
            "supported: spec.x",
        ),
        ({"volumeMounts": [{"name": "v", "mountPath": "/x"}]}, 'volumeMounts[0].name: Not found: "v"'),
        (
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            'resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            {"resources": {"limits": {"gpu": "1"}}},
            'resources.limits[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
        ),
        ({"livenessProbe": {"periodSeconds": 1}}, "livenessProbe: Required value: must specify a handler type"),
        (
            {"livenessProbe": {"tcpSocket": {"port": 0}}},
            "livenessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            {"lifecycle": {"preStop": {"exec": {}}}},
            "lifecycle.preStop.exec.command: Required value",
        ),
    ],
)
def test_containers(container: Object, problem: str) -> None:
    assert f"spec.containers[0].{problem}" in said(pod(container))


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        (
            {"restartPolicy": "Sometimes"},
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        ),
        (
            {"volumes": [{"name": "v"}, {"name": "w"}, {"name": "x", "hostPath": {}}]},
            "spec.volumes[2].hostPath.path: Required value",
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]},
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        ({"volumes": [{"name": "v", "secret": {}}]}, "spec.volumes[0].secret.secretName: Required value"),
        (
            {"activeDeadlineSeconds": 0},
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        (
            {"terminationGracePeriodSeconds": -1},
            "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"tolerations": [{"operator": "Equal"}]},
            'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which '
            'means "match all values and all keys"',
        ),
        (
            {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}},
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: "
            "can not be empty",
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            {"hostAliases": [{"ip": "1.2.3"}]},
            'spec.hostAliases[0].ip: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or '
            "2001:db8::ffff)",
        ),
        ({"dnsPolicy": "None"}, "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
        (
            {"initContainers": [{"name": "i", "image": "x", "readinessProbe": {"exec": {"command": ["a"]}}}]},
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without "
            "restartPolicy=Always",
        ),
        (
            {"ephemeralContainers": [{"name": "e", "image": "x"}]},
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ),
        (
            {"securityContext": {"runAsUser": -1}},
            "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ),
    ],
)
def test_spec(spec: Object, problem: str) -> None:
    assert problem in said(pod(**spec))


def test_problems_come_in_the_order_of_the_containers() -> None:
    obj = pod(containers=[{"name": "c"}, {"name": "c", "image": "x"}], restartPolicy="No")
    assert [text.partition(":")[0] for text in said(obj)] == [
        "spec.containers[0].image",
        "spec.containers[1].name",
        "spec.restartPolicy",
    ]


def test_updates_change_images_and_little_else() -> None:
    old = pod()
    new = meta.copy(old)
    new["spec"]["containers"][0]["image"] = "nginx:2"
    new["spec"]["tolerations"] = [{"key": "a", "operator": "Exists"}]
    new["spec"]["activeDeadlineSeconds"] = 5
    assert said(new, old) == []

    new = meta.copy(old)
    new["spec"]["restartPolicy"] = "Never"
    (problem,) = said(new, old)
    assert problem.startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
        "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n@@ "
    )
    assert '- "restartPolicy": "Always",\n+ "restartPolicy": "Never",\n' in problem

    new = meta.copy(old)
    new["spec"]["containers"].append({**new["spec"]["containers"][0], "name": "d"})
    assert said(new, old) == ["spec.containers: Forbidden: pod updates may not add or remove containers"]


def test_tolerations_are_only_added() -> None:
    old = pod(tolerations=[{"key": "a", "operator": "Exists"}])
    assert said(pod(), old) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


def test_gated_pods_may_be_narrowed() -> None:
    old = pod(schedulingGates=[{"name": "x"}], nodeSelector={"a": "b"})
    assert said(pod(nodeSelector={"a": "b", "c": "d"}), old) == []
    (problem,) = said(pod(nodeSelector={"c": "d"}), old)
    assert problem.endswith("only additions to spec.nodeSelector are allowed (no mutations or deletions)")


def test_ephemeral_containers_are_added_through_their_subresource() -> None:
    old = pod()
    new = pod(ephemeralContainers=[{"name": "debug", "image": "busybox"}])
    assert said(new, old, "ephemeralcontainers") == []
    assert said(old, new, "ephemeralcontainers") == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed\n'
    ]


def test_status_updates_look_at_the_status_alone() -> None:
    old = pod()
    new = {**old, "status": {"qosClass": "BestEffort", "podIPs": [{"ip": "x"}]}}
    assert [text.partition(":")[0] for text in said(new, old, "status")] == ["status.podIPs[0]"]


def test_resizes_change_cpu_and_memory_alone() -> None:
    old = pod({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}})
    new = meta.copy(old)
    new["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "500m"
    assert said(new, old, "resize") == []
    new["spec"]["containers"][0]["image"] = "other"
    assert said(new, old, "resize") == ["spec: Forbidden: only cpu and memory resources are mutable"]
    new = pod({"resources": {}})
    assert said(new, old, "resize") == [
        'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'
    ]


def with_token_volumes(*names: str) -> Object:
    volumes = [{"name": name, "projected": {"sources": [{"downwardAPI": {}}]}} for name in names]
    mounts = [{"name": names[0], "mountPath": "/x"}]
    return pod({"volumeMounts": mounts}, volumes=volumes, serviceAccountName="default")


def test_what_was_found_sound_once_says_nothing_of_what_is_not_the_same() -> None:
    """Pods of one template differ in the generated name of their token volume alone."""
    for name in ("kube-api-access-aaaaa", "kube-api-access-bbbbb"):
        assert said(with_token_volumes(name)) == []
    wrong = with_token_volumes("kube-api-access-ccccc")
    wrong["spec"]["containers"][0]["volumeMounts"][0]["name"] = "kube-api-access-ddddd"
    assert said(wrong) == ['spec.containers[0].volumeMounts[0].name: Not found: "kube-api-access-ddddd"']
    for name in ("kube-api-access-*", "*", "\0"):
        assert any("a lowercase RFC 1123 label" in problem for problem in said(with_token_volumes(name)))
    assert said(with_token_volumes("kube-api-access-aaaaa", "kube-api-access-bbbbb")) == []
    assert said(with_token_volumes("kube-api-access-aaaaa", "kube-api-access-aaaaa")) == [
        'spec.volumes[1].name: Duplicate value: "kube-api-access-aaaaa"'
    ]


def test_a_spec_that_was_found_sound_may_be_wrong_for_a_pod_of_another_name() -> None:
    ephemeral = {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}
    ephemeral["volumeClaimTemplate"]["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    obj = pod(volumes=[{"name": "v", "ephemeral": ephemeral}])
    assert said(obj) == []
    obj["metadata"]["name"] = "a" * 253
    assert any(problem.startswith("spec.volumes[0].name") for problem in said(obj))
