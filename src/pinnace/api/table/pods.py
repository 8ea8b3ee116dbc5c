"""A Pod's row: its status in one word is worked out from phase, conditions and every container's state."""

from __future__ import annotations

from typing import Any

from pinnace.api.table import values as v
from pinnace.api.types import Object


def _restartable(container: Object | None) -> bool:
    return container is not None and container.get("restartPolicy") == "Always"


def _latest(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else max(a, b)


def _ended(terminated: Object, prefix: str = "") -> str:
    reason = v.text(terminated, "reason")
    if reason:
        return prefix + reason
    signal = v.number(terminated, "signal")
    return f"{prefix}Signal:{signal}" if signal else f"{prefix}ExitCode:{v.number(terminated, 'exitCode')}"


class _Summary:
    """What the container statuses add up to."""

    def __init__(self, pod: Object) -> None:
        self.pod = pod
        self.ready = 0
        self.restarts = 0
        self.last_restart: float | None = None
        self.reason = v.text(pod, "status", "reason") or v.text(pod, "status", "phase")
        for condition in v.children(pod, "status", "conditions"):
            if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
                self.reason = "SchedulingGated"

    def init_containers(self) -> bool:
        """Read the init containers; True while one of them holds the Pod up."""
        specs = {v.text(c, "name"): c for c in v.children(self.pod, "spec", "initContainers")}
        sidecar_restarts, sidecar_last = 0, None
        for index, status in enumerate(v.children(self.pod, "status", "initContainerStatuses")):
            sidecar = _restartable(specs.get(v.text(status, "name")))
            count, ended = v.number(status, "restartCount"), v.moment(status, "lastState", "terminated", "finishedAt")
            self.restarts += count
            self.last_restart = _latest(self.last_restart, ended)
            if sidecar:
                sidecar_restarts += count
                sidecar_last = _latest(sidecar_last, ended)
            terminated, waiting = v.at(status, "state", "terminated"), v.text(status, "state", "waiting", "reason")
            if isinstance(terminated, dict) and v.number(terminated, "exitCode") == 0:
                continue
            if sidecar and v.flag(status, "started"):
                self.ready += v.flag(status, "ready")
                continue
            if isinstance(terminated, dict):
                self.reason = _ended(terminated, "Init:")
            elif waiting and waiting != "PodInitializing":
                self.reason = f"Init:{waiting}"
            else:
                self.reason = f"Init:{index}/{v.size(self.pod, 'spec', 'initContainers')}"
            if not v.condition_true(self.pod, "Initialized"):
                return True
            break
        self.restarts, self.last_restart = sidecar_restarts, sidecar_last
        return False

    def app_containers(self) -> None:
        running, error = False, ""
        for status in reversed(v.children(self.pod, "status", "containerStatuses")):
            self.restarts += v.number(status, "restartCount")
            ended = v.moment(status, "lastState", "terminated", "finishedAt")
            self.last_restart = _latest(self.last_restart, ended)
            waiting, terminated = v.text(status, "state", "waiting", "reason"), v.at(status, "state", "terminated")
            if waiting:
                self.reason = waiting
            elif isinstance(terminated, dict):
                self.reason = _ended(terminated)
                if v.number(terminated, "exitCode"):
                    error = self.reason
            elif v.flag(status, "ready") and isinstance(v.at(status, "state", "running"), dict):
                running = True
                self.ready += 1
        if self.reason == "Completed":
            if running and v.condition_true(self.pod, "Ready"):
                self.reason = "Running"
            elif error or running:
                self.reason = error or "NotReady"


def pod(obj: Object, now: float) -> list[Any]:
    summary = _Summary(obj)
    if not summary.init_containers():
        summary.app_containers()
    reason = summary.reason
    if v.at(obj, "metadata", "deletionTimestamp"):
        if v.text(obj, "status", "reason") == "NodeLost":
            reason = "Unknown"
        elif v.text(obj, "status", "phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart is not None:
        restarts += f" ({v.since(now, summary.last_restart)} ago)"
    total = v.size(obj, "spec", "containers")
    total += sum(map(_restartable, v.children(obj, "spec", "initContainers")))
    addresses = v.children(obj, "status", "podIPs")
    return [
        v.name(obj),
        f"{summary.ready}/{total}",
        reason,
        restarts,
        v.age(obj, now),
        (v.text(addresses[0], "ip") if addresses else "") or v.NONE,
        v.text(obj, "spec", "nodeName") or v.NONE,
        v.text(obj, "status", "nominatedNodeName") or v.NONE,
        _readiness_gates(obj),
    ]


def _readiness_gates(obj: Object) -> str:
    gates = v.children(obj, "spec", "readinessGates")
    if not gates:
        return v.NONE
    return f"{sum(v.condition_true(obj, v.text(gate, 'conditionType')) for gate in gates)}/{len(gates)}"


def row_conditions(obj: Object) -> list[Object] | None:
    """That a Pod has ended, for clients that hide such rows."""
    phase = v.text(obj, "status", "phase")
    message = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}.get(phase)
    if message is None:
        return None
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]
