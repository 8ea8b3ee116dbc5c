"""Whole PodStatuses at the turns of a Pod's life, as files in tests/golden/kubelet.

After a change that is meant: ``UPDATE_GOLDEN=1 pytest tests/unit/kubelet/test_golden.py``, and look at the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pinnace.kubelet.lifecycle.situation import Probes, Situation, Waiting
from pinnace.kubelet.lifecycle.status import pod_status
from pinnace.kubelet.runtime.base import EXITED, RUNNING, Container, PodState, Sandbox

GOLDEN = Path(__file__).parents[2] / "golden" / "kubelet"
NOW = 1_795_255_200.0
POD: dict[str, Any] = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "web", "namespace": "shop", "uid": "0f1e2d3c", "generation": 3},
    "spec": {
        "restartPolicy": "Always",
        "initContainers": [
            {"name": "setup", "image": "busybox:1"},
            {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"},
        ],
        "containers": [
            {
                "name": "app",
                "image": "app:1",
                "readinessProbe": {"tcpSocket": {"port": 80}},
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}},
                "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
            }
        ],
    },
}
BOX = Sandbox("box", 0, True, NOW - 60, ("10.244.1.7",))


def container(name: str, state: str, code: int = 0, attempt: int = 0, reason: str = "") -> Container:
    finished = NOW - 10 if state == EXITED else 0.0
    return Container(
        f"{name}-{attempt}",
        name,
        "box",
        attempt,
        state,
        NOW - 50 + attempt,
        NOW - 40 + attempt,
        finished,
        code,
        reason,
        image=f"docker.io/library/{name}:1",
        image_ref=f"docker.io/library/{name}@sha256:abc",
    )


SETUP = container("setup", EXITED, reason="Completed")
PROXY = container("proxy", RUNNING)
DEAD = container("app", EXITED, 137, reason="OOMKilled")

CASES: dict[str, tuple[dict[str, Any], tuple[Container, ...], dict[str, Any]]] = {
    "starting": ({}, (), {}),
    "initializing": ({}, (container("setup", RUNNING),), {}),
    "running-not-ready": ({}, (container("app", RUNNING), PROXY, SETUP), {}),
    "ready": ({}, (container("app", RUNNING), PROXY, SETUP), {"probes": {"app": Probes("app-0", ready=True)}}),
    "crash-loop": ({}, (DEAD, PROXY, SETUP), {"waiting": {"app": Waiting("CrashLoopBackOff", "back-off 10s")}}),
    "image-missing": ({}, (PROXY, SETUP), {"waiting": {"app": Waiting("ErrImagePull", "not found")}}),
    "failed": ({"restartPolicy": "Never"}, (DEAD, container("proxy", EXITED, reason="Completed"), SETUP), {}),
    "deadline": (
        {},
        (DEAD, container("proxy", EXITED), SETUP),
        {"failure": Waiting("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_status(name: str) -> None:
    changes, containers, more = CASES[name]
    pod = {**POD, "spec": {**POD["spec"], **changes}}
    state = PodState("0f1e2d3c", "web", "shop", (BOX,) if name != "starting" else (), containers)
    situation = Situation(pod, state, NOW, host_ips=("192.0.2.1",), **more)
    told = pod_status(situation, "containerd", ended=name in ("failed", "deadline"))
    path = GOLDEN / f"{name}.json"
    text = json.dumps(told, indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text
