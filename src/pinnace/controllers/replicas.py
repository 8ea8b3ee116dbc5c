"""What a ReplicaSet or ReplicationController should do, and its status. Pure."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.controllers import conditions, podstate

#: Pods made or deleted in one round at most.
BURST = 500


def difference(owner: Object, active: list[Object]) -> int:
    """Pods to create (positive) or to delete (negative) in this round."""
    surplus = len(active) - int(owner["spec"].get("replicas", 1))
    return -max(-BURST, min(surplus, BURST))


def to_delete(active: list[Object], siblings: list[Object], count: int, now: float) -> list[Object]:
    """The ``count`` Pods that go first. ``siblings`` are the running Pods of all sets with the same owner (of a
    Deployment, old and new): Pods on the node that carries most of them go first."""
    if count >= len(active):
        return active
    per_node: dict[str, int] = {}
    for pod in siblings:
        if podstate.is_active(pod):
            node = podstate.node_of(pod)
            per_node[node] = per_node.get(node, 0) + 1
    return podstate.deletion_order(active, per_node, now)[:count]


def status(
    owner: Object, active: list[Object], terminating: int | None, failure: tuple[str, str] | None, now: float
) -> Object:
    """The new status. ``failure`` is (FailedCreate or FailedDelete, message) of this round; ``terminating`` is None
    for kinds without that field."""
    spec = owner["spec"]
    template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    min_ready = int(spec.get("minReadySeconds") or 0)
    wanted = template_labels.items()
    new: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(1 for pod in active if wanted <= meta.labels(pod).items()),
        "readyReplicas": sum(1 for pod in active if podstate.is_ready(pod)),
        "availableReplicas": sum(1 for pod in active if podstate.is_available(pod, min_ready, now)),
        "observedGeneration": meta.generation(owner),
    }
    if terminating is not None:
        new["terminatingReplicas"] = terminating
    found: list[Object] = list((owner.get("status") or {}).get("conditions") or ())
    if failure is not None:
        if conditions.find(found, "ReplicaFailure") is None:
            found = conditions.with_condition(found, "ReplicaFailure", "True", failure[0], failure[1], now)
    else:
        found = conditions.without(found, "ReplicaFailure")
    if found:
        new["conditions"] = found
    return _compact(new)


def _compact(status: Object) -> Object:
    """Zero counts are left out, as the API's ``omitempty`` has it; ``replicas`` is always there, and so is
    ``terminatingReplicas`` where it is known."""
    always = ("replicas", "terminatingReplicas")
    return {name: value for name, value in status.items() if value != 0 or name in always}
