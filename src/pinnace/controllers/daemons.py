"""Which nodes a DaemonSet's Pods belong on, which Pods to create and to delete, and its status. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pinnace.api import meta, selectors
from pinnace.api.types import Object
from pinnace.controllers import podstate, rollout, tainteviction
from pinnace.controllers.revisions import HASH_LABEL

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_TOLERATED = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)


def tolerations(template_spec: Object) -> list[Object]:
    """The template's tolerations and those that every daemon has: it stays on, and comes to, a node in trouble."""
    result = list(template_spec.get("tolerations") or ())
    wanted = [*_TOLERATED, *([("network-unavailable", "NoSchedule")] if template_spec.get("hostNetwork") else [])]
    for key, effect in wanted:
        toleration = {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
        if toleration not in result:
            result.append(toleration)
    return result


def places(daemon_set: Object, node: Object) -> tuple[bool, bool]:
    """(whether a Pod should be created on the node, whether one that is there may stay)."""
    spec = daemon_set["spec"]["template"]["spec"]
    if spec.get("nodeName") and spec["nodeName"] != meta.name(node):
        return False, False
    if not selectors.match_node_affinity({"spec": spec}, node):
        return False, False
    accepted = tolerations(spec)
    untolerated = {
        taint["effect"]
        for taint in node["spec"].get("taints") or ()
        if not any(tainteviction.tolerates(toleration, taint) for toleration in accepted)
    }
    return not untolerated & {"NoSchedule", "NoExecute"}, "NoExecute" not in untolerated


def target_node(pod: Object) -> str:
    """The node the Pod is on, or is meant for."""
    if podstate.node_of(pod):
        return podstate.node_of(pod)
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for want in term.get("matchFields") or ():
            if want["key"] == "metadata.name" and want["operator"] == "In" and len(want.get("values") or ()) == 1:
                return str(want["values"][0])
    return ""


def new_pod(daemon_set: Object, node: str, digest: str) -> Object:
    """The Pod for a node; the scheduler places it, and can place it nowhere else."""
    pod = podstate.from_template(daemon_set["spec"]["template"], daemon_set)
    labels = pod["metadata"]["labels"]
    labels[HASH_LABEL] = digest
    if generation := meta.annotations(daemon_set).get(TEMPLATE_GENERATION):
        labels["pod-template-generation"] = generation
    spec = pod["spec"]
    spec["tolerations"] = tolerations(spec)
    only = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    # The node was matched against the other terms already; like upstream, this one takes their place.
    affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {
        **required,
        "nodeSelectorTerms": [{"matchFields": [only]}],
    }
    return pod


@dataclass
class Plan:
    """Nodes to create a Pod on, Pods to delete, and Pods that ended and are to be deleted after a back-off."""

    create: list[str] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    ended: list[Object] = field(default_factory=list)


def by_node(pods: Iterable[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for pod in pods:
        found.setdefault(target_node(pod), []).append(pod)
    return found


def bounds(daemon_set: Object, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in Pods, both rounded up."""
    rolling = (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = rollout.absolute(rolling.get("maxSurge"), desired, up=True)
    unavailable = rollout.absolute(rolling.get("maxUnavailable", 1), desired, up=True)
    return (0, 1) if surge == 0 and unavailable == 0 else (surge, unavailable)


def is_rolling(daemon_set: Object) -> bool:
    return bool((daemon_set["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def placement(daemon_set: Object, nodes: list[Object], pods: dict[str, list[Object]], digest: str) -> Plan:
    """Pods on the nodes that should have one, none on others, and not two on one."""
    plan = Plan()
    surges = is_rolling(daemon_set) and bounds(daemon_set, len(nodes))[0] > 0
    known = set()
    for node in nodes:
        name = meta.name(node)
        known.add(name)
        there = pods.get(name, [])
        run, stay = places(daemon_set, node)
        if run and not there:
            plan.create.append(name)
        elif not stay:
            plan.delete += [pod for pod in there if not meta.is_deleting(pod)]
        else:
            _weed_out(there, plan, digest, surges=surges)
    for name, stranded in pods.items():
        if name not in known:
            plan.delete += [pod for pod in stranded if not podstate.node_of(pod) and not meta.is_deleting(pod)]
    return plan


def _weed_out(there: list[Object], plan: Plan, digest: str, *, surges: bool) -> None:
    running: list[Object] = []
    for pod in there:
        if meta.is_deleting(pod):
            continue
        if podstate.is_terminal(pod):
            plan.ended.append(pod)
        else:
            running.append(pod)
    running.sort(key=lambda pod: (not podstate.node_of(pod), pod["metadata"].get("creationTimestamp") or ""))
    if surges:  # one of each revision may be there
        for current in (True, False):
            plan.delete += [pod for pod in running if (meta.labels(pod).get(HASH_LABEL) == digest) is current][1:]
    else:
        plan.delete += running[1:]


def update(daemon_set: Object, nodes: list[Object], pods: dict[str, list[Object]], digest: str, now: float) -> Plan:
    """The next step of a rolling update: old Pods that may go, nodes that may have a second, new one meanwhile."""
    plan = Plan()
    min_ready = int(daemon_set["spec"].get("minReadySeconds") or 0)
    wanted = [node for node in nodes if places(daemon_set, node)[0]]
    surge, unavailable_limit = bounds(daemon_set, len(wanted))
    unavailable = surging = 0
    broken: list[Object] = []
    candidates: list[Object] = []
    new_on: list[str] = []
    for node in wanted:
        name = meta.name(node)
        alive = [pod for pod in pods.get(name, ()) if not meta.is_deleting(pod) and not podstate.is_terminal(pod)]
        new = next((pod for pod in alive if meta.labels(pod).get(HASH_LABEL) == digest), None)
        old = next((pod for pod in alive if meta.labels(pod).get(HASH_LABEL) != digest), None)
        new_works = new is not None and podstate.is_available(new, min_ready, now)
        old_works = old is not None and podstate.is_available(old, min_ready, now)
        if not new_works and not old_works:
            unavailable += 1
        if old is not None and new_works:
            plan.delete.append(old)
        elif old is not None and new is not None:
            surging += 1
        elif old is not None:
            if surge:
                new_on.append(name) if old_works else plan.create.append(name)
            else:
                (candidates if old_works else broken).append(old)
    if surge:
        plan.create += new_on[: max(surge - surging, 0)]
    else:
        plan.delete += broken + candidates[: max(unavailable_limit - unavailable, 0)]
    return plan


def status(
    daemon_set: Object,
    nodes: list[Object],
    pods: dict[str, list[Object]],
    digest: str,
    collisions: int | None,
    now: float,
) -> Object:
    min_ready = int(daemon_set["spec"].get("minReadySeconds") or 0)
    desired = current = misplaced = ready = available = updated = 0
    for node in nodes:
        run, _ = places(daemon_set, node)
        there = sorted(pods.get(meta.name(node), ()), key=lambda pod: pod["metadata"].get("creationTimestamp") or "")
        there = [pod for pod in there if not meta.is_deleting(pod)] or there
        if not run:
            misplaced += bool(there)
            continue
        desired += 1
        if there:
            current += 1
            newest = there[-1]
            ready += any(podstate.is_ready(pod) for pod in there)
            available += any(podstate.is_available(pod, min_ready, now) for pod in there)
            updated += meta.labels(newest).get(HASH_LABEL) == digest
    result: Object = {
        "currentNumberScheduled": current,
        "numberMisscheduled": misplaced,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": meta.generation(daemon_set),
    }
    optional = {
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    result |= {name: value for name, value in optional.items() if value}
    if collisions is not None:
        result["collisionCount"] = collisions
    if held := (daemon_set.get("status") or {}).get("conditions"):
        result["conditions"] = held
    return result
