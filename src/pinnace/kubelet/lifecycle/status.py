"""PodStatus: what the kubelet tells the API server of a Pod."""

from __future__ import annotations

from pinnace.api import meta, qos
from pinnace.api.types import Object
from pinnace.core.clock import timestamp
from pinnace.kubelet.lifecycle.conditions import conditions, disruption
from pinnace.kubelet.lifecycle.phase import phase as phase_of
from pinnace.kubelet.lifecycle.situation import EPHEMERAL, INIT, REGULAR, Situation, Waiting, containers_of, is_sidecar
from pinnace.kubelet.runtime.base import EXITED, RUNNING, Container

LOST = "The container could not be located when the pod was terminated"
LOST_RUNNING = "The container could not be located when the pod was deleted.  The container used to be Running"


def pod_status(s: Situation, runtime_name: str, *, ended: bool = False) -> Object:
    """The status of a Pod as its situation has it. ``ended``: none of its containers will ever start again."""
    pod, old = s.pod, s.pod.get("status") or {}
    sandbox = s.state.sandbox()
    statuses: dict[str, Object] = {}
    lists: dict[str, list[Object]] = {}
    fields = (
        (INIT, "initContainerStatuses"),
        (REGULAR, "containerStatuses"),
        (EPHEMERAL, "ephemeralContainerStatuses"),
    )
    for kind, field in fields:
        known = {status["name"]: status for status in old.get(field) or ()}
        for spec in containers_of(pod, kind):
            entry = _container_status(s, spec, kind, runtime_name, known.get(spec["name"]), ended=ended)
            statuses[spec["name"]] = entry
            lists.setdefault(field, []).append(entry)
    phase = phase_of(pod, statuses, ended=ended)
    if s.failure is not None and (ended or not any("running" in status["state"] for status in statuses.values())):
        phase = "Failed"
    if phase in ("Failed", "Succeeded") and any(c.state == RUNNING for c in s.state.containers):
        phase = old.get("phase") or "Running"  # a final phase promises that nothing runs any more
    if old.get("phase") in ("Failed", "Succeeded"):  # a phase that is final stays
        phase = old["phase"]
    host_network = bool(pod["spec"].get("hostNetwork"))
    ips = s.host_ips if host_network else (sandbox.ips if sandbox is not None else ())
    network_ready = sandbox is not None and sandbox.ready and (host_network or bool(ips))
    status: Object = {}
    if generation := meta.generation(pod):
        status["observedGeneration"] = generation
    status["phase"] = phase
    status["conditions"] = conditions(pod, statuses, phase, network_ready=network_ready, now=s.now)
    if s.disruption:
        status["conditions"].append(disruption(pod, s.disruption, s.now))
    if s.failure is not None:
        status["reason"], status["message"] = s.failure.reason, s.failure.message
    if s.host_ips:
        status["hostIP"] = s.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in s.host_ips]
    if not ips and old.get("podIPs"):
        ips = tuple(entry["ip"] for entry in old["podIPs"])
    if ips and (sandbox is not None or ended):
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]
    status["startTime"] = old.get("startTime") or timestamp(s.now)
    status.update(lists)
    status["qosClass"] = qos.pod_qos(pod)
    return status


def refused(s: Situation) -> Object:
    """The status of a Pod that the node did not take: ``s.failure`` says why."""
    assert s.failure is not None
    old = s.pod.get("status") or {}
    return {
        "phase": "Failed",
        "conditions": old.get("conditions") or [],
        "reason": s.failure.reason,
        "message": s.failure.message,
        "startTime": old.get("startTime") or timestamp(s.now),
        "qosClass": qos.pod_qos(s.pod),
    }


def terminated_state(container: Container, runtime_name: str) -> Object:
    state: Object = {"exitCode": container.exit_code}
    if container.exit_code > 128 and container.reason == "Signal":
        state["signal"] = container.exit_code - 128
    state["reason"] = container.reason or ("Completed" if container.exit_code == 0 else "Error")
    if container.message:
        state["message"] = container.message
    state["startedAt"] = timestamp(container.started_at) if container.started_at else None
    state["finishedAt"] = timestamp(container.finished_at) if container.finished_at else None
    state["containerID"] = f"{runtime_name}://{container.id}"
    return state


def _container_status(
    s: Situation, spec: Object, kind: str, runtime_name: str, old: Object | None, *, ended: bool
) -> Object:
    name = spec["name"]
    mine = [c for c in s.state.containers if c.name == name and c.state in (RUNNING, EXITED)]
    newest = mine[0] if mine else None
    status: Object = {"name": name, "state": {}, "lastState": {}, "ready": False, "restartCount": 0}
    status["image"] = newest.image if newest and newest.image else spec.get("image", "")
    status["imageID"] = newest.image_ref if newest else ""
    if newest is not None:
        status["restartCount"] = newest.attempt
        status["containerID"] = f"{runtime_name}://{newest.id}"
    before = mine[1] if len(mine) > 1 else None
    why = None if ended else s.waiting.get(name)
    started = False
    if newest is not None and newest.state == RUNNING:
        status["state"] = {"running": {"startedAt": timestamp(newest.started_at)}}
        started = _started(s, spec, newest)
    elif newest is not None and why is None:
        status["state"] = {"terminated": terminated_state(newest, runtime_name)}
    elif newest is not None and why is not None:
        status["state"] = {"waiting": _waiting(why.reason, why.message)}
        before = newest
    else:
        default = "PodInitializing" if containers_of(s.pod, INIT) else "ContainerCreating"
        _without_container(status, old, why or Waiting(default), ended=ended)
    if before is not None and before.state == EXITED:
        status["lastState"] = {"terminated": terminated_state(before, runtime_name)}
    elif newest is None and old and old.get("lastState") and not status["lastState"]:
        status["lastState"] = old["lastState"]
    status["ready"] = _is_ready(s, spec, kind, status, started)
    status["started"] = started
    _add_resources(status, spec, newest)
    return status


def _without_container(status: Object, old: Object | None, why: Waiting, *, ended: bool) -> None:
    """The state of a container that the runtime has nothing of, although it once may have."""
    status["state"] = {"waiting": _waiting(why.reason, why.message)}
    if old is None:
        was: Object = {}
    else:
        was = old.get("state") or {}
        status["restartCount"] = old.get("restartCount", 0)
    if old is not None and "terminated" in was:  # collected since
        status["state"] = {"terminated": was["terminated"]}
        status.update({field: old[field] for field in ("imageID", "containerID") if old.get(field)})
        return
    gone = {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None}
    gone["message"] = LOST_RUNNING if "running" in was else LOST
    if ended:
        status["state"] = {"terminated": gone}
    elif "running" in was:
        status["lastState"] = {"terminated": gone}
        status["restartCount"] += 1


def _waiting(reason: str, message: str) -> Object:
    return {"reason": reason, "message": message} if message else {"reason": reason}


def _started(s: Situation, spec: Object, container: Container) -> bool:
    if not spec.get("startupProbe"):
        return True
    probes = s.probes.get(spec["name"])
    return probes is not None and probes.container_id == container.id and bool(probes.started)


def _is_ready(s: Situation, spec: Object, kind: str, status: Object, started: bool) -> bool:
    state = status["state"]
    if kind == EPHEMERAL:
        return False
    if kind == INIT and not is_sidecar(spec):
        return bool("terminated" in state and state["terminated"]["exitCode"] == 0)
    if "running" not in state or not started:
        return False
    if not spec.get("readinessProbe"):
        return True
    probes = s.probes.get(spec["name"])
    return probes is not None and status["containerID"].endswith(f"/{probes.container_id}") and bool(probes.ready)


def _add_resources(status: Object, spec: Object, container: Container | None) -> None:
    resources = spec.get("resources") or {}
    if container is not None and container.state == RUNNING:
        if requests := resources.get("requests"):
            status["allocatedResources"] = requests
        status["resources"] = {key: resources[key] for key in ("limits", "requests") if resources.get(key)}
    if mounts := spec.get("volumeMounts"):
        status["volumeMounts"] = [_mount(mount) for mount in mounts]


def _mount(mount: Object) -> Object:
    shown: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        shown["readOnly"] = True
        shown["recursiveReadOnly"] = "Disabled"
    return shown
