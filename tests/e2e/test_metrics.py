"""``kubectl top`` of real containers: what their control groups have counted."""

from __future__ import annotations

import json

from tests.tools import Kubectl

BUSY = {
    "name": "busy",
    "image": "busybox",
    "command": ["sh", "-c", "while true; do true; done"],
    "resources": {"limits": {"cpu": "100m", "memory": "32Mi"}},
}
IDLE = {"name": "idle", "image": "busybox", "command": ["sleep", "1000"]}


def test_kubectl_top(kubectl: Kubectl):
    spec = {"terminationGracePeriodSeconds": 0, "containers": [BUSY, IDLE]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "measured"}, "spec": spec}
    kubectl("apply", "-f", "-", input=json.dumps(pod))
    kubectl("wait", "pod/measured", "--for=condition=Ready", "--timeout=60s")

    def top(*arguments: str) -> list[list[str]]:
        return [line.split() for line in kubectl("top", *arguments, "--no-headers").splitlines()]

    def measure() -> None:
        (_, busy, cpu, memory), (_, idle, *little) = top("pod", "measured", "--containers")
        assert (busy, idle) == ("busy", "idle")
        assert 20 <= int(cpu.removesuffix("m")) <= 150
        assert int(memory.removesuffix("Mi")) < 32
        assert int(little[0].removesuffix("m")) <= 5

    measure()  # the first time is as good as any other
    measure()
    ((node, cpu, _, memory, _),) = top("nodes")
    assert int(cpu.removesuffix("m")) >= 20
    assert int(memory.removesuffix("Mi")) > 50
    raw = json.loads(kubectl("get", "--raw", f"/apis/metrics.k8s.io/v1beta1/nodes/{node}"))
    assert 1.0 <= float(raw["window"].removesuffix("s")) <= 60.0
    assert raw["usage"]["cpu"].endswith("n")
    kubectl("delete", "pod", "measured", "--now")
    assert "measured" not in kubectl("top", "pods", "--all-namespaces")
