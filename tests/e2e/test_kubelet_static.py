"""Static Pods from files, their mirrors, and Pods that the node does not take."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.nodes import PATIENCE, Node, real_node

from pinnace.api import meta
from pinnace.api.resources import NODES, PODS
from pinnace.kubelet.configuration import Configuration

pytestmark = pytest.mark.asyncio(loop_scope="module")
SLEEP = ["sleep", "1000"]
YAML = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"], env: [{name: X, value: "1"}]}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[Node]:
    async with real_node(Configuration(allowedUnsafeSysctls=["kernel.shm*"])) as started:
        yield started


def manifest(node: Node, name: str, text: str) -> Path:
    path = node.directory / "manifests" / name
    path.write_text(text)
    return path


async def mirror(node: Node, name: str, what: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The mirror once it is there and ``what`` is true of it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for pod in (await node.client.list(PODS, "default"))["items"]:
            if meta.name(pod) == name and what(pod):
                return pod
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def ready(pod: dict[str, Any]) -> bool:
    return meta.has_condition(pod, "Ready")


async def test_static_pods_run_are_mirrored_and_follow_their_files(node: Node) -> None:
    path = manifest(node, "web.yaml", YAML)
    manifest(node, "garbage.yaml", "{ not: [yaml")
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "json"}}
    container = {"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": SLEEP}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    other = manifest(node, "json.json", json.dumps({**body, "spec": spec}))
    first = await mirror(node, "web-node", ready)
    await mirror(node, "json-node", ready)
    annotations = meta.annotations(first)
    assert annotations["kubernetes.io/config.source"] == "file"
    assert annotations["kubernetes.io/config.mirror"] == annotations["kubernetes.io/config.hash"]
    owner = meta.metadata(first)["ownerReferences"][0]
    node_uid = meta.uid(await node.client.get(NODES, "node"))
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("Node", "node", node_uid, True)
    assert {"operator": "Exists", "effect": "NoExecute"} in first["spec"]["tolerations"]

    await node.client.delete(PODS, "web-node", "default")
    again = await mirror(node, "web-node", lambda pod: meta.uid(pod) != meta.uid(first) and ready(pod))
    same = [status["containerID"] for pod in (first, again) for status in pod["status"]["containerStatuses"]]
    assert same[0] == same[1], "deleting the mirror ends no container"

    path.write_text(YAML.replace('value: "1"', 'value: "2"'))
    changed = await mirror(node, "web-node", lambda pod: pod["spec"]["containers"][0]["env"][0]["value"] == "2")
    changed = await mirror(node, "web-node", lambda pod: meta.uid(pod) == meta.uid(changed) and ready(pod))
    assert changed["status"]["containerStatuses"][0]["containerID"] != same[0]

    path.write_text("spoilt")
    other.unlink()
    await node.wait_gone("json-node")
    assert ready(await node.get("web-node")), "a file that is spoilt does not end what it held"

    await node.kill_kubelet()
    await node.client.delete(PODS, "web-node", "default", grace_period_seconds=0)
    path.write_text(YAML.replace('value: "1"', 'value: "2"'))
    await node.start_kubelet()
    kept = await mirror(node, "web-node", ready)
    assert kept["status"]["containerStatuses"] == changed["status"]["containerStatuses"]
    path.unlink()
    await node.wait_gone("web-node")
    for _ in range(200):
        if not await node.kubelet.runtime.pods():
            break
        await asyncio.sleep(0.05)
    assert not await node.kubelet.runtime.pods()


async def test_pods_that_the_node_does_not_take(node: Node) -> None:
    container = {"name": "main", "command": SLEEP}
    tried: dict[str, tuple[dict[str, Any], str, str]] = {
        "sysctl": (
            {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}},
            "SysctlForbidden",
            'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted',
        ),
        "selector": (
            {"nodeSelector": {"disk": "ssd"}},
            "NodeAffinity",
            "Pod was rejected: Predicate NodeAffinity failed",
        ),
        "apparmor": (
            {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}},
            "AppArmor",
            "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host",
        ),
    }
    for name, (spec, _, _) in tried.items():
        await node.pod(name, {**spec, "containers": [container]})
    large = {**container, "resources": {"requests": {"cpu": "1000"}}}
    await node.pod("large", {"containers": [large]})
    sysctls = [{"name": "kernel.shm_rmid_forced", "value": "1"}, {"name": "kernel.shmmni", "value": "8192"}]
    await node.pod("allowed", {"securityContext": {"sysctls": sysctls}, "containers": [container]})
    for name, (_, reason, message) in tried.items():
        status = (await node.wait_phase(name, "Failed"))["status"]
        assert (status["reason"], status["message"]) == (reason, message)
        told = message.removeprefix("Pod was rejected: ")
        await node.wait_told(name, told)
        assert (reason, told) in await node.events(name)
    status = (await node.wait_phase("large", "Failed"))["status"]
    assert status["reason"] == "OutOfcpu"
    assert status["message"].startswith(
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000, used: 0, capacity: "
    )
    assert "containerStatuses" not in status
    await node.wait_ready("allowed")
    assert await node.exec("allowed", "cat", "/proc/sys/kernel/shmmni") == "8192\n"
    await node.client.delete(PODS, "large", "default")
    await node.wait_gone("large")


async def test_what_this_node_cannot_do_is_said_and_not_left_out(node: Node) -> None:
    container = {"name": "main", "command": SLEEP}
    await node.pod("users", {"hostUsers": False, "containers": [container]})
    mount = {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "Enabled"}
    spec = {"containers": [{**container, "volumeMounts": [mount]}], "volumes": [{"name": "v", "emptyDir": {}}]}
    await node.pod("recursive", spec)
    text = "recursive read-only mounts are not supported by the container runtime"

    def refused(pod: dict[str, Any]) -> bool:
        (status,) = pod["status"].get("containerStatuses") or [{}]
        waiting = status.get("state", {}).get("waiting")
        return bool(waiting == {"reason": "CreateContainerConfigError", "message": text})

    await node.wait("recursive", refused)
    why = 'Failed to create pod sandbox: RuntimeClass handler "" does not support user namespaces'
    deadline = time.monotonic() + PATIENCE
    while ("FailedCreatePodSandBox", why) not in await node.events("users"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
