"""A Pod's phase, from its containers' statuses."""

from __future__ import annotations

from collections.abc import Mapping

from pinnace.api.types import Object
from pinnace.kubelet.lifecycle.situation import INIT, REGULAR, containers_of, is_sidecar


def phase(pod: Object, statuses: Mapping[str, Object], *, ended: bool) -> str:
    """``statuses`` by container name; ``ended`` for a Pod whose containers will never start again."""
    policy = pod["spec"].get("restartPolicy", "Always")
    pending_init, pending_sidecars, failed_init = _init_counts(pod, statuses)
    if failed_init and policy == "Never":
        return "Failed"
    unknown = waiting = running = stopped = succeeded = 0
    for spec in containers_of(pod, REGULAR):
        status = statuses.get(spec["name"])
        state = status["state"] if status else {}
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"]["exitCode"] == 0
        elif "waiting" in state:
            assert status is not None
            if status.get("lastState", {}).get("terminated"):
                stopped += 1
            else:
                waiting += 1
        else:
            unknown += 1
    begun = running or stopped
    if pending_init or (pending_sidecars and not begun) or waiting:
        return "Failed" if ended else "Pending"
    if running and not unknown:
        return "Running"
    if not running and stopped and not unknown:
        if stopped == succeeded and (ended or policy != "Always"):
            return "Succeeded"
        if ended or policy == "Never":
            return "Failed"
        return "Running"
    return "Pending"


def _init_counts(pod: Object, statuses: Mapping[str, Object]) -> tuple[int, int, int]:
    """Init containers that have yet to succeed, sidecars that have yet to start, and init containers that failed."""
    pending = sidecars = failed = 0
    for spec in containers_of(pod, INIT):
        status = statuses.get(spec["name"])
        state = status["state"] if status else {}
        last = status.get("lastState", {}).get("terminated") if status else None
        if is_sidecar(spec):
            sidecars += not (status and status.get("started"))
        elif "terminated" in state:
            failed += state["terminated"]["exitCode"] != 0
        else:
            pending += 1
            failed += bool("waiting" in state and last and last["exitCode"] != 0)
    return pending, sidecars, failed
