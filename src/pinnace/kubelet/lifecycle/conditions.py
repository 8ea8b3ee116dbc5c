"""A Pod's conditions, with upstream's reasons and messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core.clock import timestamp
from pinnace.kubelet.lifecycle.situation import INIT, REGULAR, containers_of, is_sidecar


def conditions(
    pod: Object, statuses: Mapping[str, Object], phase: str, *, network_ready: bool, now: float
) -> list[Object]:
    """The conditions that the kubelet owns; one whose status did not change keeps its transition time."""
    ready = _containers_ready(pod, statuses, phase)
    wanted = [
        ("PodReadyToStartContainers", "True" if network_ready else "False", "", ""),
        ("Initialized", *_initialized(pod, statuses, phase)),
        ("Ready", *_ready(pod, ready)),
        ("ContainersReady", *ready),
        ("PodScheduled", "True", "", ""),
    ]
    return [_condition(pod, *entry, now) for entry in wanted]


def disruption(pod: Object, why: str, now: float) -> Object:
    """The condition of a Pod that the node ended for its own sake."""
    return _condition(pod, "DisruptionTarget", "True", "TerminationByKubelet", why, now)


def _condition(pod: Object, type: str, status: str, reason: str, message: str, now: float) -> Object:
    old = meta.condition(pod, type)
    since = old.get("lastTransitionTime") if old is not None and old.get("status") == status else None
    entry: Object = {
        "type": type,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": since or timestamp(now),
    }
    if reason:
        entry["reason"] = reason
    if message:
        entry["message"] = message
    if generation := meta.generation(pod):
        entry["observedGeneration"] = generation
    return entry


def _names(what: str, names: Sequence[str]) -> str:
    return f"containers with {what} status: [{' '.join(names)}]"


def _initialized(pod: Object, statuses: Mapping[str, Object], phase: str) -> tuple[str, str, str]:
    inits = containers_of(pod, INIT)
    if not inits:
        return ("True", "PodCompleted", "") if phase == "Succeeded" else ("True", "", "")
    unknown = [spec["name"] for spec in inits if spec["name"] not in statuses]
    incomplete = []
    for spec in inits:
        status = statuses.get(spec["name"])
        if status is not None:
            done = status.get("started") if is_sidecar(spec) else status.get("ready")
            if not done:
                incomplete.append(spec["name"])
    begun = any(
        "running" in state or "terminated" in state or statuses[spec["name"]].get("lastState", {}).get("terminated")
        for spec in containers_of(pod, REGULAR)
        if (state := statuses.get(spec["name"], {}).get("state")) is not None
    )
    if phase == "Succeeded":
        return "True", "PodCompleted", ""
    if begun:
        return "True", "", ""
    parts = ([_names("unknown", unknown)] if unknown else []) + (
        [_names("incomplete", incomplete)] if incomplete else []
    )
    return ("False", "ContainersNotInitialized", ", ".join(parts)) if parts else ("True", "", "")


def _containers_ready(pod: Object, statuses: Mapping[str, Object], phase: str) -> tuple[str, str, str]:
    if phase == "Succeeded":
        return "False", "PodCompleted", ""
    if phase == "Failed":
        return "False", "PodFailed", ""
    unknown: list[str] = []
    unready: list[str] = []
    sidecars = [spec for spec in containers_of(pod, INIT) if is_sidecar(spec)]
    for spec in [*sidecars, *containers_of(pod, REGULAR)]:
        status = statuses.get(spec["name"])
        if status is None:
            unknown.append(spec["name"])
        elif not status.get("ready"):
            unready.append(spec["name"])
    parts = ([_names("unknown", unknown)] if unknown else []) + ([_names("unready", unready)] if unready else [])
    return ("False", "ContainersNotReady", ", ".join(parts)) if parts else ("True", "", "")


def _ready(pod: Object, containers: tuple[str, str, str]) -> tuple[str, str, str]:
    if containers[0] != "True":
        return containers
    messages = []
    for gate in pod["spec"].get("readinessGates") or ():
        type = gate["conditionType"]
        found = meta.condition(pod, type)
        if found is None:
            messages.append(f'corresponding condition of pod readiness gate "{type}" does not exist.')
        elif found.get("status") != "True":
            messages.append(f'the status of pod readiness gate "{type}" is not "True", but {found.get("status")}')
    return ("False", "ReadinessGatesNotReady", ", ".join(messages)) if messages else ("True", "", "")
