"""Pods on a real containerd: from spec to processes and back."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from tests.nodes import NODE_IP, Node, real_node

from pinnace.api import meta
from pinnace.api.resources import CONFIG_MAPS, PODS, SECRETS
from pinnace.kubelet.volumes.claims import CLAIMS, VOLUMES

pytestmark = pytest.mark.asyncio(loop_scope="module")
SLEEP = ["sleep", "1000"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[Node]:
    async with real_node() as started:
        yield started


def shell(script: str, name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "command": ["sh", "-c", script], **more}


def state_of(pod: dict[str, Any], position: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = pod["status"]["containerStatuses"][position]["state"]
    return found


def waits_for(reason: str) -> Any:
    def check(pod: dict[str, Any]) -> bool:
        statuses = pod["status"].get("containerStatuses")
        return bool(statuses) and statuses[0]["state"].get("waiting", {}).get("reason") == reason

    return check


async def config_map(node: Node, name: str, data: dict[str, str]) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}
    await node.client.create(CONFIG_MAPS, body)


async def secret(node: Node, name: str, data: dict[str, str]) -> None:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": encoded}
    await node.client.create(SECRETS, body)


async def test_a_pod_starts_runs_and_goes(node: Node) -> None:
    await node.pod("web", {"containers": [{"name": "main", "command": SLEEP}]})
    status = (await node.wait_ready("web"))["status"]
    assert status["podIP"].startswith("10.231.0.")
    assert status["hostIP"] == "172.31.255.1"
    assert status["qosClass"] == "BestEffort"
    container = status["containerStatuses"][0]
    assert container["containerID"].startswith("containerd://")
    assert container["image"] == "docker.io/library/busybox:latest"
    assert await node.exec("web", "hostname") == "web\n"
    reasons = [reason for reason, _ in await node.events("web")]
    assert reasons == ["Pulled", "Created", "Started"]
    await node.client.delete(PODS, "web", "default")
    await node.wait_gone("web")
    assert ("Killing", "Stopping container main") in await node.events("web")


async def test_containers_share_a_volume(node: Node) -> None:
    mount = [{"name": "shared", "mountPath": "/shared"}]
    containers = [
        shell("echo hello >/shared/hello; sleep 1000", "producer", volumeMounts=mount),
        shell("while ! cat /shared/hello; do sleep 0.1; done; sleep 1000", "consumer", volumeMounts=mount),
    ]
    await node.pod("both", {"containers": containers, "volumes": [{"name": "shared", "emptyDir": {}}]})
    await node.wait_ready("both")
    for _ in range(50):
        if " stdout F hello\n" in await node.log("both", "consumer"):
            break
        await asyncio.sleep(0.1)
    assert " stdout F hello\n" in await node.log("both", "consumer")


async def test_environment(node: Node) -> None:
    await config_map(node, "settings", {"color": "red", "size": "big"})
    await secret(node, "login", {"user": "ann", "password": "s3cret"})
    env = [
        {"name": "PLAIN", "value": "a-$(COLOR)-$$(COLOR)"},
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
        {"name": "LATER", "value": "$(COLOR)"},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
        {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "x", "optional": True}}},
        {"name": "MYNAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "MYIP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
    ]
    container = {
        **shell("env; echo $0 arg", env=env, envFrom=[{"prefix": "CM_", "configMapRef": {"name": "settings"}}]),
        "args": ["arg-$(COLOR)"],
        "resources": {"limits": {"cpu": "250m"}},
    }
    await node.pod("env", {"containers": [container], "restartPolicy": "Never"})
    pod = await node.wait_phase("env", "Succeeded")
    shown = await node.log("env")
    for line in (
        "PLAIN=a-$(COLOR)-$(COLOR)",
        "COLOR=red",
        "LATER=red",
        "PASSWORD=s3cret",
        "MYNAME=env",
        f"MYIP={pod['status']['podIP']}",
        "CPU=250",
        "CM_size=big",
        "arg-red arg",
    ):
        assert f" F {line}\n" in shown, shown
    assert "GONE" not in shown


async def test_volumes_of_api_data_follow_their_objects(node: Node) -> None:
    await config_map(node, "page", {"index.html": "one", "other": "x", "old": "y"})
    await secret(node, "key", {"key": "k1"})
    volumes = [
        {"name": "page", "configMap": {"name": "page"}},
        {"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}},
        {
            "name": "all",
            "projected": {
                "sources": [
                    {"configMap": {"name": "page", "items": [{"key": "other", "path": "deep/other"}]}},
                    {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                ]
            },
        },
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}", "readOnly": True} for volume in volumes]
    spec = {"containers": [{"name": "main", "command": SLEEP, "volumeMounts": mounts}], "volumes": volumes}
    await node.pod("vols", spec, labels={"app": "vols"})
    await node.wait_ready("vols")
    assert await node.exec("vols", "cat", "/page/index.html") == "one"
    assert (await node.exec("vols", "stat", "-L", "-c", "%a", "/key/key")).strip() == "400"
    assert "tmpfs" in await node.exec("vols", "sh", "-c", "mount | grep ' /key '")
    assert await node.exec("vols", "cat", "/all/deep/other", "/all/labels") == 'xapp="vols"'
    await node.client.patch(CONFIG_MAPS, "page", {"data": {"index.html": "two", "old": None}}, "default")
    await node.client.patch(PODS, "vols", {"metadata": {"labels": {"app": "new"}}}, "default")
    for _ in range(30):
        if await node.exec("vols", "cat", "/page/index.html") == "two":
            break
        await asyncio.sleep(0.1)
    assert await node.exec("vols", "ls", "/page") == "index.html\nother\n"
    assert await node.exec("vols", "cat", "/all/labels") == 'app="new"'


async def test_missing_config_map_is_waited_for(node: Node) -> None:
    volumes = [{"name": "late", "configMap": {"name": "late"}}]
    mounts = [{"name": "late", "mountPath": "/late"}]
    containers = [{"name": "main", "command": SLEEP, "volumeMounts": mounts}]
    await node.pod("late", {"containers": containers, "volumes": volumes})
    await node.wait("late", waits_for("ContainerCreating"))
    for _ in range(50):
        if any(reason == "FailedMount" for reason, _ in await node.events("late")):
            break
        await asyncio.sleep(0.05)
    text = 'MountVolume.SetUp failed for volume "late" : configmap "late" not found'
    assert ("FailedMount", text) in await node.events("late")
    await config_map(node, "late", {"a": "b"})
    await node.wait_ready("late")


async def test_missing_key_is_a_config_error(node: Node) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "nowhere", "key": "a"}}}]
    await node.pod("noenv", {"containers": [{"name": "main", "command": SLEEP, "env": env}]})
    pod = await node.wait("noenv", waits_for("CreateContainerConfigError"))
    assert state_of(pod)["waiting"]["message"] == 'configmap "nowhere" not found'
    assert ("Failed", 'Error: configmap "nowhere" not found') in await node.events("noenv")


async def test_exit_codes_and_restart_policies(node: Node) -> None:
    await node.pod("fails", {"containers": [shell("exit 3")], "restartPolicy": "Never"})
    await node.pod("works", {"containers": [shell("exit 0")], "restartPolicy": "OnFailure"})
    await node.pod("loops", {"containers": [shell("echo run; exit 1")]})
    fails = await node.wait_phase("fails", "Failed")
    ended = state_of(fails)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert ended["startedAt"] and ended["finishedAt"] and ended["containerID"].startswith("containerd://")
    ready = meta.condition(fails, "Ready")
    assert ready is not None and (ready["status"], ready["reason"]) == ("False", "PodFailed")
    works = await node.wait_phase("works", "Succeeded")
    assert state_of(works)["terminated"]["reason"] == "Completed"
    loops = await node.wait("loops", waits_for("CrashLoopBackOff"))
    status = loops["status"]["containerStatuses"][0]
    identity = f"loops_default({meta.uid(loops)})"
    assert status["state"]["waiting"]["message"] == f"back-off 10s restarting failed container=main pod={identity}"
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert status["restartCount"] == 1
    assert "run" in await node.log("loops", attempt=1)


async def test_liveness_probe_restarts(node: Node) -> None:
    probe = {
        "exec": {"command": ["cat", "/tmp/healthy"]},
        "initialDelaySeconds": 1,
        "periodSeconds": 1,
        "failureThreshold": 2,
    }
    await node.pod("live", {"containers": [shell("sleep 1000", livenessProbe=probe)]})
    pod = await node.wait("live", lambda p: p["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1)
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
    events = await node.events("live")
    assert ("Killing", "Container main failed liveness probe, will be restarted") in events
    assert any(reason == "Unhealthy" and "can't open '/tmp/healthy'" in text for reason, text in events)


async def test_readiness_probes(node: Node) -> None:
    web = shell(
        "mkdir -p /www; httpd -p 8080 -h /www; sleep 1000",
        readinessProbe={"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1},
        ports=[{"name": "http", "containerPort": 8080}],
    )
    tcp = shell("sleep 1000", "tcp", readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1})
    await node.pod("ready", {"containers": [web, tcp]})
    pod = await node.wait("ready", lambda p: p["status"].get("phase") == "Running")
    assert not meta.has_condition(pod, "Ready")
    await node.wait_told("ready", "HTTP probe failed with statuscode: 404")
    assert not meta.has_condition(await node.get("ready"), "Ready")
    await node.exec("ready", "touch", "/www/ready", container="main")
    await node.wait_ready("ready")


async def test_init_containers_and_sidecars(node: Node) -> None:
    mount = [{"name": "v", "mountPath": "/v"}]
    inits = [
        shell("echo 1 >>/v/order", "first", image="busybox", volumeMounts=mount),
        shell("echo side >>/v/order; sleep 1000", "side", image="busybox", restartPolicy="Always", volumeMounts=mount),
        shell("sleep 0.3; echo 2 >>/v/order", "second", image="busybox", volumeMounts=mount),
    ]
    for init in inits:
        init["imagePullPolicy"] = "IfNotPresent"
    main = shell("cat /v/order; exit 0", volumeMounts=mount)
    spec = {"initContainers": inits, "containers": [main], "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]}
    await node.pod("inits", {**spec, "restartPolicy": "Never"})
    pod = await node.wait_phase("inits", "Succeeded")
    log = await node.log("inits")
    assert [line.split(" F ")[1] for line in log.splitlines()] == ["1", "side", "2"]
    assert pod["status"]["initContainerStatuses"][1]["state"]["terminated"]["exitCode"] == 137


async def test_failing_init_container(node: Node) -> None:
    init = {**shell("exit 7", "bad"), "image": "busybox", "imagePullPolicy": "IfNotPresent"}
    spec = {"initContainers": [init], "containers": [{"name": "main", "command": SLEEP}], "restartPolicy": "Never"}
    await node.pod("badinit", spec)
    pod = await node.wait_phase("badinit", "Failed")
    assert state_of(pod) == {"waiting": {"reason": "PodInitializing"}}


async def test_out_of_memory(node: Node) -> None:
    container = shell("tail /dev/zero", resources={"limits": {"memory": "16Mi"}})
    await node.pod("oom", {"containers": [container], "restartPolicy": "Never"})
    pod = await node.wait_phase("oom", "Failed")
    ended = state_of(pod)["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


async def test_termination_is_graceful(node: Node) -> None:
    script = "trap 'echo bye >/dev/termination-log; exit 5' TERM; while :; do sleep 0.1; done"
    await node.pod("trap", {"containers": [shell(script)], "terminationGracePeriodSeconds": 20}, finalizers=["t/hold"])
    await node.wait_ready("trap")
    await asyncio.sleep(0.2)
    await node.client.delete(PODS, "trap", "default")
    pod = await node.wait("trap", lambda p: "terminated" in state_of(p))
    ended = state_of(pod)["terminated"]
    assert (ended["exitCode"], ended["message"]) == (5, "bye\n")
    await node.wait_phase("trap", "Failed")
    await node.client.patch(PODS, "trap", {"metadata": {"finalizers": None}}, "default")
    await node.wait_gone("trap")


async def test_forced_deletion_and_a_namesake(node: Node) -> None:
    await node.pod("twin", {"containers": [{"name": "main", "command": SLEEP}]})
    first = await node.wait_ready("twin")
    await node.client.delete(PODS, "twin", "default", grace_period_seconds=0)
    await node.pod("twin", {"containers": [{"name": "main", "command": SLEEP}]})
    second = await node.wait_ready("twin")
    assert meta.uid(second) != meta.uid(first)
    for _ in range(100):
        if meta.uid(first) not in await node.kubelet.runtime.pods():
            break
        await asyncio.sleep(0.1)
    assert meta.uid(first) not in await node.kubelet.runtime.pods()
    assert not (node.directory / "k" / "pods" / meta.uid(first)).exists()
    assert (await node.get("twin"))["status"]["containerStatuses"] == second["status"]["containerStatuses"]


async def test_a_deletion_interrupts_a_start(node: Node) -> None:
    inits = [{"name": "wait", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": SLEEP}]
    await node.pod("early", {"initContainers": inits, "containers": [{"name": "main", "command": SLEEP}]})
    await node.wait("early", lambda p: "running" in p["status"].get("initContainerStatuses", [{}])[0].get("state", {}))
    await node.client.delete(PODS, "early", "default")
    await node.wait_gone("early")
    await node.pod(
        "pulls", {"containers": [{"name": "main", "image": "192.0.2.1:1/none:1", "imagePullPolicy": "Always"}]}
    )
    await node.wait("pulls", waits_for("ContainerCreating"))
    await node.client.delete(PODS, "pulls", "default")
    await node.wait_gone("pulls", 5)


async def test_images_that_cannot_be_had(node: Node) -> None:
    never = {"name": "main", "image": "example.invalid/none:1", "imagePullPolicy": "Never"}
    await node.pod("never", {"containers": [never]})
    await node.pod("absent", {"containers": [{"name": "main", "image": "127.0.0.1:9/none:1"}]})
    pod = await node.wait("never", waits_for("ErrImageNeverPull"))
    message = 'Container image "example.invalid/none:1" is not present with pull policy of Never'
    assert state_of(pod)["waiting"]["message"] == message
    await node.wait("absent", waits_for("ErrImagePull"))
    pod = await node.wait("absent", waits_for("ImagePullBackOff"))
    assert state_of(pod)["waiting"]["message"].startswith('Back-off pulling image "127.0.0.1:9/none:1"')
    events = await node.events("absent")
    assert ("Pulling", 'Pulling image "127.0.0.1:9/none:1"') in events
    assert ("Failed", "Error: ErrImagePull") in events
    assert ("BackOff", 'Back-off pulling image "127.0.0.1:9/none:1"') in events


async def test_host_paths_are_checked(node: Node) -> None:
    volumes = [{"name": "h", "hostPath": {"path": "/does/not/exist", "type": "Directory"}}]
    containers = [{"name": "main", "command": SLEEP, "volumeMounts": [{"name": "h", "mountPath": "/h"}]}]
    await node.pod("host", {"containers": containers, "volumes": volumes})
    text = 'MountVolume.SetUp failed for volume "h" : hostPath type check failed: /does/not/exist is not a directory'
    for _ in range(60):
        if ("FailedMount", text) in await node.events("host"):
            break
        await asyncio.sleep(0.05)
    assert ("FailedMount", text) in await node.events("host")


async def test_claims_on_directories_of_the_node(node: Node) -> None:
    local = node.directory / "local"
    local.mkdir()
    for name, source in (("pv-host", {"hostPath": {"path": str(node.directory / "made")}}), ("pv-local", local)):
        spec: dict[str, Any] = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
        if isinstance(source, dict):
            spec |= source
        else:
            term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]}]}
            spec |= {
                "local": {"path": str(source)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
                "storageClassName": "local",
            }
        volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
        await node.client.create(VOLUMES, volume)
    for name in ("pv-host", "pv-local"):
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeName": name,
                "storageClassName": "",
            },
        }
        await node.client.create(CLAIMS, body)
        if name == "pv-host":
            change = {"status": {"phase": "Bound"}}
            await node.client.patch(CLAIMS, name, change, "default", subresource="status")
    volumes = [{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in ("pv-host", "pv-local")]
    mounts = [{"name": n, "mountPath": f"/{n}"} for n in ("pv-host", "pv-local")]
    spec = {"containers": [shell("echo a >/pv-host/x; echo b >/pv-local/y; sleep 1000", volumeMounts=mounts)]}
    await node.pod("claims", {**spec, "volumes": volumes, "securityContext": {"fsGroup": 3000}})
    text = 'MountVolume.SetUp failed for volume "pv-local" : persistentvolumeclaim "pv-local" not bound'
    for _ in range(60):
        if ("FailedMount", text) in await node.events("claims"):
            break
        await asyncio.sleep(0.05)
    assert ("FailedMount", text) in await node.events("claims")
    await node.client.patch(CLAIMS, "pv-local", {"status": {"phase": "Bound"}}, "default", subresource="status")
    await node.wait_ready("claims")
    for _ in range(50):
        if (local / "y").exists():
            break
        await asyncio.sleep(0.05)
    assert ((node.directory / "made" / "x").read_text(), (local / "y").read_text()) == ("a\n", "b\n")
    assert ((local / "y").stat().st_gid, (local / "y").parent.stat().st_mode & 0o2070) == (3000, 0o2070)
    assert (node.directory / "made" / "x").stat().st_gid == 0, "a directory of the node's own is nobody's to give"


async def test_names_are_resolved_as_the_policy_says(node: Node) -> None:
    await node.pod("dns", {"containers": [{"name": "main", "command": SLEEP}]})
    config = {"nameservers": ["192.0.2.7"], "searches": ["here"], "options": [{"name": "ndots", "value": "2"}]}
    spec = {
        "containers": [{"name": "main", "command": SLEEP}],
        "dnsPolicy": "None",
        "dnsConfig": config,
        "hostname": "me",
        "subdomain": "us",
        "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["other"]}],
    }
    await node.pod("owndns", spec)
    await node.wait_ready("dns")
    pod = await node.wait_ready("owndns")
    conf = await node.exec("dns", "cat", "/etc/resolv.conf")
    assert "nameserver 10.96.0.10" in conf
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in conf
    assert "options ndots:5" in conf
    conf = await node.exec("owndns", "cat", "/etc/resolv.conf")
    assert conf.split() == ["search", "here", "nameserver", "192.0.2.7", "options", "ndots:2"]
    hosts = await node.exec("owndns", "cat", "/etc/hosts")
    assert f"{pod['status']['podIP']}\tme.us.default.svc.cluster.local\tme\n" in hosts
    assert "192.0.2.9\tother\n" in hosts


async def test_security_contexts(node: Node) -> None:
    context = {"runAsUser": 1000, "runAsGroup": 2000, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    container = shell("id; touch /x; grep CapEff /proc/self/status; stat -c '%g %a' /v; sleep 1000")
    container |= {"securityContext": context, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    volumes = [{"name": "v", "emptyDir": {}}]
    await node.pod("sec", {"containers": [container], "volumes": volumes, "securityContext": {"fsGroup": 3000}})
    await node.pod("root", {"containers": [shell("id")], "securityContext": {"runAsNonRoot": True}})
    await node.wait_ready("sec")
    await asyncio.sleep(0.3)
    log = await node.log("sec")
    assert "uid=1000 gid=2000 groups=2000,3000" in log
    assert "Read-only file system" in log
    assert "CapEff:\t0000000000000000" in log
    assert "3000 2777" in log
    pod = await node.wait("root", waits_for("CreateContainerConfigError"))
    assert state_of(pod)["waiting"]["message"].startswith("container has runAsNonRoot and image will run as root (pod:")


async def test_limits_reach_the_kernel(node: Node) -> None:
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    await node.pod("lim", {"containers": [{"name": "main", "command": SLEEP, "resources": resources}]})
    pod = await node.wait_ready("lim")
    assert pod["status"]["qosClass"] == "Burstable"
    status = pod["status"]["containerStatuses"][0]
    assert status["allocatedResources"] == resources["requests"]
    assert status["resources"] == resources
    script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us /proc/1/oom_score_adj"
    memory, quota, score = (await node.exec("lim", "sh", "-c", script)).split()
    assert (memory, quota) == (str(64 << 20), "50000")
    assert 900 < int(score) < 1000


async def test_a_command_that_is_not_there(node: Node) -> None:
    await node.pod("nocmd", {"containers": [{"name": "main", "command": ["/does/not/exist"]}]})
    pod = await node.wait("nocmd", waits_for("RunContainerError"))
    assert "no such file or directory" in state_of(pod)["waiting"]["message"].lower()
    pod = await node.wait("nocmd", waits_for("CrashLoopBackOff"))
    last = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("StartError", 128)
    assert any(
        reason == "Failed" and "no such file or directory" in text.lower()
        for reason, text in await node.events("nocmd")
    )


async def test_hooks(node: Node) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started >/v/post"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >/h/pre"]}},
    }
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "h", "mountPath": "/h", "subPath": "deep/er"}]
    path = node.directory / "hooks"
    volumes = [
        {"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
        {"name": "h", "hostPath": {"path": str(path), "type": "DirectoryOrCreate"}},
    ]
    spec = {"containers": [{"name": "main", "command": SLEEP, "lifecycle": hooks, "volumeMounts": mounts}]}
    await node.pod("hooks", {**spec, "volumes": volumes, "terminationGracePeriodSeconds": 3})
    await node.wait_ready("hooks")
    assert await node.exec("hooks", "cat", "/v/post") == "started\n"
    assert "4096" in (await node.exec("hooks", "df", "-k", "/v")).splitlines()[1]
    await node.client.delete(PODS, "hooks", "default")
    await node.wait_gone("hooks")
    assert (path / "deep/er/pre").read_text() == "stopping\n"


async def test_a_failing_hook_restarts_the_container(node: Node) -> None:
    hooks = {"postStart": {"exec": {"command": ["sh", "-c", "echo no; exit 3"]}}}
    await node.pod("badhook", {"containers": [{"name": "main", "command": SLEEP, "lifecycle": hooks}]})
    for _ in range(100):
        if any(reason == "FailedPostStartHook" for reason, _ in await node.events("badhook")):
            break
        await asyncio.sleep(0.05)
    texts = [text for reason, text in await node.events("badhook") if reason == "FailedPostStartHook"]
    assert texts and "command exited with 3" in texts[0] and "no" in texts[0]


async def test_a_startup_probe_holds_up_the_others(node: Node) -> None:
    probes = {
        "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30},
        "livenessProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1},
    }
    await node.pod("slow", {"containers": [shell("sleep 2; touch /tmp/up; sleep 1000", **probes)]})
    pod = await node.wait("slow", lambda p: p["status"].get("phase") == "Running")
    assert pod["status"]["containerStatuses"][0]["started"] is False
    pod = await node.wait_ready("slow")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_grpc_probes(node: Node) -> None:
    """The health service itself runs here; the container passes on what comes to its port."""
    ill = {b"ready"}

    async def check(request: bytes, context: Any) -> bytes:
        return b"\x08\x02" if request[2:] in ill else b"\x08\x01"

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})])
    port = server.add_insecure_port(f"{NODE_IP}:0")
    await server.start()
    try:
        common = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 1}
        probes = {
            f"{kind}Probe": {"grpc": {"port": 50051, "service": service}, **common}
            for kind, service in (("startup", ""), ("readiness", "ready"), ("liveness", "live"))
        }
        probes["startupProbe"]["failureThreshold"] = 30
        serve = ["nc", "-ll", "-p", "50051", "-e", "nc", NODE_IP, str(port)]
        await node.pod("grpc", {"containers": [{"name": "main", "command": serve, **probes}]})
        await node.wait_told("grpc", 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")')
        assert not meta.has_condition(await node.get("grpc"), "Ready")
        ill.clear()
        pod = await node.wait_ready("grpc")
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
        ill.add(b"live")
        await node.wait_told("grpc", 'Liveness probe failed: service unhealthy (responded with "NOT_SERVING")')
        ill.clear()
        await node.wait("grpc", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1)
        await node.wait_ready("grpc")
    finally:
        await server.stop(None)


async def test_active_deadline(node: Node) -> None:
    await node.pod("short", {"containers": [{"name": "main", "command": SLEEP}], "activeDeadlineSeconds": 1})
    pod = await node.wait_phase("short", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert pod["status"]["message"] == "Pod was active on the node longer than the specified deadline"


async def test_a_changed_image_restarts_the_container(node: Node) -> None:
    await node.pod("change", {"containers": [{"name": "main", "command": SLEEP}]})
    await node.wait_ready("change")
    patch = [{"op": "replace", "path": "/spec/containers/0/image", "value": "docker.io/library/busybox:latest"}]
    await node.client.patch(PODS, "change", patch, "default", content_type="application/json-patch+json")
    await node.wait("change", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1)
    text = "Container main definition changed, will be restarted"
    assert ("Killing", text) in await node.events("change")


async def test_a_dead_sandbox_is_made_anew(node: Node) -> None:
    await node.pod("box", {"containers": [{"name": "main", "command": SLEEP}]})
    pod = await node.wait_ready("box")
    state = await node.kubelet.runtime.pod(meta.uid(pod))
    await node.kubelet.runtime.stop_sandbox(state.sandboxes[0].id)
    pod = await node.wait("box", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1)
    await node.wait_ready("box")
    text = "Pod sandbox changed, it will be killed and re-created."
    assert ("SandboxChanged", text) in await node.events("box")


async def test_nothing_is_left_behind(node: Node) -> None:
    """Last: every Pod goes, and with it everything on the machine."""
    for pod in (await node.client.list(PODS, "default"))["items"]:
        await node.client.delete(PODS, meta.name(pod), "default", grace_period_seconds=1)
    for pod in (await node.client.list(PODS, "default"))["items"]:
        await node.wait_gone(meta.name(pod), 40)
    for _ in range(100):
        left = await node.kubelet.runtime.pods()
        directories = [entry for part in ("pods", "logs") for entry in (node.directory / "k" / part).iterdir()]
        if not left and not directories:
            break
        await asyncio.sleep(0.1)
    assert left == {}
    assert directories == []
    assert str(node.directory / "k") not in Path("/proc/self/mountinfo").read_text()
