"""Server-side tables: the rows that kubectl shows."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import builtin, table
from pinnace.api.types import GVK, Object
from pinnace.core.clock import timestamp

NOW = 1_700_000_000.0
CREATED = timestamp(NOW - 90)
REGISTRY = builtin.registry()


def row(gvk: GVK, *, name: str = "x", metadata: Object | None = None, **fields: Any) -> dict[str, Any]:
    obj = {"metadata": {"name": name, "creationTimestamp": CREATED, **(metadata or {})}, **fields}
    headers = [column.name for column in table.columns(gvk)]
    return dict(zip(headers, table.cells(gvk, obj, NOW), strict=True))


def core(kind: str, **fields: Any) -> dict[str, Any]:
    return row(GVK("", "v1", kind), **fields)


def status(
    name: str = "c", ready: bool = False, restarts: int = 0, last: Object | None = None, **state: Object
) -> Object:
    found: Object = {"name": name, "ready": ready, "restartCount": restarts, "state": state}
    return {**found, "lastState": last} if last else found


def pod(spec: Object | None = None, metadata: Object | None = None, **fields: Any) -> dict[str, Any]:
    return core("Pod", spec={"containers": [{"name": "c"}], **(spec or {})}, status=fields, metadata=metadata or {})


RUNNING = {"startedAt": CREATED}


def test_a_running_pod() -> None:
    shown = pod(
        {"nodeName": "n1"},
        phase="Running",
        podIPs=[{"ip": "10.0.0.5"}],
        containerStatuses=[status(ready=True, running=RUNNING)],
    )
    assert shown == {
        "Name": "x",
        "Ready": "1/1",
        "Status": "Running",
        "Restarts": "0",
        "Age": "90s",
        "IP": "10.0.0.5",
        "Node": "n1",
        "Nominated Node": "<none>",
        "Readiness Gates": "<none>",
    }


def test_restarts_tell_when() -> None:
    last = {"terminated": {"exitCode": 1, "finishedAt": timestamp(NOW - 180)}}
    crashing = status(restarts=2, last=last, waiting={"reason": "CrashLoopBackOff"})
    shown = pod(phase="Running", containerStatuses=[crashing])
    assert (shown["Status"], shown["Restarts"]) == ("CrashLoopBackOff", "2 (3m ago)")


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({"waiting": {"reason": "ContainerCreating"}}, "ContainerCreating"),
        ({"waiting": {"reason": "ImagePullBackOff"}}, "ImagePullBackOff"),
        ({"terminated": {"exitCode": 0, "reason": "Completed"}}, "Completed"),
        ({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "OOMKilled"),
        ({"terminated": {"exitCode": 3}}, "ExitCode:3"),
        ({"terminated": {"exitCode": 3, "signal": 9}}, "Signal:9"),
    ],
)
def test_a_containers_state_is_the_pods_status(state: Object, shown: str) -> None:
    assert pod(phase="Pending", containerStatuses=[status(**state)])["Status"] == shown


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ([{"terminated": {"exitCode": 0}}, {"running": RUNNING}], "Init:1/2"),
        ([{"running": RUNNING}, {}], "Init:0/2"),
        ([{"terminated": {"exitCode": 2, "reason": "Error"}}, {}], "Init:Error"),
        ([{"terminated": {"exitCode": 2}}, {}], "Init:ExitCode:2"),
        ([{"waiting": {"reason": "CrashLoopBackOff"}}, {}], "Init:CrashLoopBackOff"),
    ],
)
def test_init_containers_come_first(states: list[Object], shown: str) -> None:
    spec = {"initContainers": [{"name": "a"}, {"name": "b"}]}
    statuses = [status(name, **state) for name, state in zip("ab", states, strict=True)]
    waiting = [status(waiting={"reason": "PodInitializing"})]
    assert pod(spec, phase="Pending", initContainerStatuses=statuses, containerStatuses=waiting)["Status"] == shown


def test_sidecars_count_as_containers() -> None:
    spec = {"initContainers": [{"name": "s", "restartPolicy": "Always"}]}
    sidecar = {**status("s", ready=True, running=RUNNING), "started": True}
    shown = pod(
        spec,
        phase="Running",
        initContainerStatuses=[sidecar],
        containerStatuses=[status(ready=True, running=RUNNING)],
        conditions=[{"type": "Initialized", "status": "True"}],
    )
    assert (shown["Ready"], shown["Status"]) == ("2/2", "Running")


def test_deletion_and_lost_nodes() -> None:
    deleting = {"deletionTimestamp": CREATED}
    running = [status(ready=True, running=RUNNING)]
    assert pod(metadata=deleting, phase="Running", containerStatuses=running)["Status"] == "Terminating"
    assert pod(metadata=deleting, phase="Running", reason="NodeLost")["Status"] == "Unknown"
    assert pod(phase="Failed", reason="Evicted")["Status"] == "Evicted"
    gated = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
    assert pod(phase="Pending", conditions=gated)["Status"] == "SchedulingGated"


def test_nodes() -> None:
    shown = core(
        "Node",
        metadata={"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
        spec={"unschedulable": True},
        status={
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.1.1.1"}],
            "nodeInfo": {"kubeletVersion": "v1.37.0", "kernelVersion": "6.1", "architecture": "amd64"},
        },
    )
    assert shown["Status"] == "Ready,SchedulingDisabled"
    assert shown["Roles"] == "control-plane,worker"
    assert (shown["Internal-IP"], shown["External-IP"]) == ("10.1.1.1", "<none>")
    assert (shown["Kernel-Version"], shown["Container-Runtime"]) == ("6.1 (amd64)", "<unknown>")
    assert core("Node")["Status"] == "Unknown"


def test_services() -> None:
    ports = [{"port": 80, "nodePort": 30000, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    shown = core(
        "Service",
        spec={"type": "NodePort", "clusterIPs": ["10.96.0.1"], "ports": ports, "selector": {"b": "2", "a": "1"}},
    )
    assert shown["Port(s)"] == "80:30000/TCP,53/UDP"
    assert (shown["Cluster-IP"], shown["External-IP"], shown["Selector"]) == ("10.96.0.1", "<none>", "a=1,b=2")
    assert core("Service", spec={"type": "LoadBalancer"})["External-IP"] == "<pending>"
    assert core("Service", spec={"type": "ExternalName", "externalName": "a.b"})["External-IP"] == "a.b"


def test_workloads() -> None:
    template = {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}}
    spec = {"replicas": 3, "template": template, "selector": {"matchLabels": {"app": "d"}}}
    shown = row(GVK("apps", "v1", "Deployment"), spec=spec, status={"readyReplicas": 2, "updatedReplicas": 3})
    assert list(shown.values()) == ["x", "2/3", 3, 0, "90s", "a,b", "i,j", "app=d"]
    shown = row(GVK("apps", "v1", "ReplicaSet"), spec=spec, status={"replicas": 3})
    assert list(shown.values()) == ["x", 3, 3, 0, "90s", "a,b", "i,j", "app=d"]
    shown = row(GVK("apps", "v1", "StatefulSet"), spec=spec, status={})
    assert list(shown.values()) == ["x", "0/3", "90s", "a,b", "i,j"]
    expressions = {
        "matchExpressions": [
            {"key": "t", "operator": "In", "values": ["b", "a"]},
            {"key": "n", "operator": "DoesNotExist"},
        ]
    }
    shown = row(GVK("apps", "v1", "DaemonSet"), spec={"selector": expressions}, status={"numberReady": 1})
    assert (shown["Selector"], shown["Node Selector"], shown["Ready"]) == ("!n,t in (a,b)", "<none>", 1)


def test_jobs() -> None:
    job = GVK("batch", "v1", "Job")
    done = {"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1}
    done |= {"startTime": timestamp(NOW - 60), "completionTime": timestamp(NOW - 50)}
    shown = row(job, spec={"completions": 1}, status=done)
    assert (shown["Status"], shown["Completions"], shown["Duration"]) == ("Complete", "1/1", "10s")
    shown = row(job, spec={"parallelism": 3}, status={"startTime": timestamp(NOW - 60)})
    assert (shown["Status"], shown["Completions"], shown["Duration"]) == ("Running", "0/1 of 3", "60s")
    shown = row(GVK("batch", "v1", "CronJob"), spec={"schedule": "* * * * *", "suspend": False})
    assert (shown["Suspend"], shown["Last Schedule"], shown["Timezone"]) == ("False", "<none>", "<none>")


def test_events_of_both_groups() -> None:
    target = {"kind": "Pod", "name": "p"}
    old = core(
        "Event",
        involvedObject=target,
        lastTimestamp=timestamp(NOW - 5),
        message=" m\n",
        source={"component": "kubelet", "host": "n"},
    )
    assert (old["Last Seen"], old["Object"], old["Message"], old["Source"]) == ("5s", "pod/p", "m", "kubelet, n")
    assert old["Count"] == 1
    new = row(
        GVK("events.k8s.io", "v1", "Event"),
        regarding=target,
        note="m",
        eventTime="2023-11-14T22:13:10.000000Z",
        reportingController="scheduler",
        series={"count": 4, "lastObservedTime": timestamp(NOW - 2)},
    )
    assert (new["Last Seen"], new["First Seen"], new["Count"], new["Source"]) == ("2s", "10s", 4, "scheduler")


def test_endpoints_are_cut_after_three() -> None:
    subset = {"addresses": [{"ip": f"10.0.0.{i}"} for i in range(5)], "ports": [{"port": 80}]}
    assert core("Endpoints", subsets=[subset])["Endpoints"] == "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more..."
    assert core("Endpoints")["Endpoints"] == "<none>"
    shown = row(
        GVK("discovery.k8s.io", "v1", "EndpointSlice"), addressType="IPv4", endpoints=[{"addresses": ["10.0.0.1"]}]
    )
    assert (shown["Endpoints"], shown["Ports"]) == ("10.0.0.1", "<unset>")


def test_small_ones() -> None:
    assert core("ConfigMap", data={"a": "", "b": ""}, binaryData={"c": ""})["Data"] == 3
    assert core("Secret", type="Opaque", data={"a": ""})["Data"] == 1
    assert core("Namespace", status={"phase": "Active"})["Status"] == "Active"
    assert row(GVK("coordination.k8s.io", "v1", "Lease"), spec={"holderIdentity": "n"})["Holder"] == "n"
    assert row(GVK("rbac.authorization.k8s.io", "v1", "Role"))["Created At"] == CREATED
    subjects = [{"kind": "ServiceAccount", "namespace": "n", "name": "s"}, {"kind": "User", "name": "u"}]
    shown = row(
        GVK("rbac.authorization.k8s.io", "v1", "RoleBinding"), roleRef={"kind": "Role", "name": "r"}, subjects=subjects
    )
    assert (shown["Role"], shown["Users"], shown["ServiceAccounts"]) == ("Role/r", "u", "n/s")


GARBAGE: list[Any] = [None, 1, -1.5, True, "x", "", [], [None], [1, "a"], [[]], {}, {"a": None}, "not a time"]
FIELDS = [
    "spec",
    "status",
    "data",
    "subsets",
    "webhooks",
    "subjects",
    "template",
    "ports",
    "endpoints",
    "roleRef",
    "handler",
    "message",
    "series",
    "regarding",
]


@pytest.mark.parametrize("kind", sorted((r.group, r.version, r.kind) for r in REGISTRY))
def test_garbage_never_fails_a_list(kind: tuple[str, str, str]) -> None:
    gvk = GVK(*kind)
    inner = (
        "conditions",
        "containers",
        "containerStatuses",
        "initContainerStatuses",
        "replicas",
        "ports",
        "type",
        "rules",
    )
    for junk in GARBAGE:
        for metadata in (None, {"name": "x", "creationTimestamp": junk, "labels": junk, "ownerReferences": junk}):
            flat = {"metadata": metadata, **dict.fromkeys(FIELDS, junk)}
            deep = {"metadata": metadata, **{key: dict.fromkeys(inner, junk) for key in FIELDS}}
            deeper = {key: {name: [junk, {name: junk}] for name in inner} for key in FIELDS}
            for obj in (flat, deep, {"metadata": metadata, **deeper}):
                assert len(table.cells(gvk, obj, NOW)) == len(table.columns(gvk))


def test_a_table_of_pods() -> None:
    resource = REGISTRY.get("", "v1", "pods")
    assert resource is not None
    done = {"metadata": {"name": "a", "resourceVersion": "7"}, "status": {"phase": "Succeeded"}}
    shown = table.table(resource, [done], NOW, "Metadata")
    assert (shown["kind"], shown["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert shown["metadata"] == {"resourceVersion": "7"}
    assert shown["columnDefinitions"][0]["format"] == "name"
    (only,) = shown["rows"]
    assert only["cells"][:5] == ["a", "0/0", "Succeeded", "0", "<unknown>"]
    assert only["conditions"][0] == {
        "type": "Completed",
        "status": "True",
        "reason": "Succeeded",
        "message": "The pod has completed successfully.",
    }
    assert only["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "a", "resourceVersion": "7"},
    }
    assert table.table(resource, [done], NOW, "Object")["rows"][0]["object"] is done
    assert table.table(resource, [done], NOW, "None")["rows"][0]["object"] is None


def test_a_default_storage_class_is_marked() -> None:
    mark = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    assert row(GVK("storage.k8s.io", "v1", "StorageClass"), metadata=mark)["Name"] == "x (default)"
    assert row(GVK("storage.k8s.io", "v1", "StorageClass"))["Name"] == "x"
