"""``kill -9`` of Pinnace and the next ``up``: running containers go on, unseen changes are caught up with."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.machine import Machine, eventually
from tests.tools import Kubectl

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {text: before}
---
apiVersion: v1
kind: Pod
metadata: {name: stays}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'n=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done']
    volumeMounts: [{name: page, mountPath: /page}]
    readinessProbe: {exec: {command: [cat, /page/text]}, periodSeconds: 1}
  volumes: [{name: page, configMap: {name: page}}]
"""


@pytest.fixture(scope="module")
def there(archives: list[Path]) -> Iterator[Machine]:
    machine = Machine()
    try:
        machine.up()
        machine.pinnace("image", "load", archives[0])
        yield machine
    finally:
        machine.remove()


def pod(kubectl: Kubectl, name: str = "stays") -> Any:
    return json.loads(kubectl("get", "pod", name, "-o", "json"))


def kill(machine: Machine) -> None:
    pid = json.loads((machine.data / "run.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


def test_containers_go_on_after_a_kill(there: Machine) -> None:
    kubectl = there.kubectl()
    kubectl("apply", "-f", "-", input=MANIFEST)
    kubectl("wait", "--for=condition=Ready", "pod/stays", "--timeout=30s")
    before = pod(kubectl)
    kill(there)
    there.up()
    after = pod(kubectl)
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert after["status"]["podIP"] == before["status"]["podIP"]
    kubectl("exec", "stays", "--", "true")
    numbers = [int(line) for line in kubectl("logs", "stays").split()]
    assert numbers == list(range(1, len(numbers) + 1)), "the log goes on without a gap"
    kubectl("patch", "configmap", "page", "-p", '{"data":{"text":"after"}}')
    eventually(lambda: kubectl("exec", "stays", "--", "cat", "/page/text") == "after", what="the volume to follow")
    ready = [c for c in pod(kubectl)["status"]["conditions"] if c["type"] == "Ready"]
    assert ready == [c for c in before["status"]["conditions"] if c["type"] == "Ready"], "it never was unready"


def test_down_ends_containers_and_up_starts_them_again(there: Machine) -> None:
    kubectl = there.kubectl()
    before = pod(kubectl)
    there.pinnace("down")
    uid = before["metadata"]["uid"]
    assert list(Path("/sys/fs/cgroup").glob(f"*/kubepods/*/pod{uid}")) == []
    assert str(there.directory) not in Path("/proc/self/mountinfo").read_text()
    there.up()
    kubectl("wait", "--for=condition=Ready", "pod/stays", "--timeout=30s")
    after = eventually(lambda: (found := pod(kubectl))["status"]["containerStatuses"][0]["restartCount"] == 1 and found)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    kubectl("delete", "pod", "stays", "--wait=true", "--timeout=20s")
