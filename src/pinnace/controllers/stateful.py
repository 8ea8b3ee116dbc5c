"""A StatefulSet's Pods by ordinal: which to create, to delete, to wait for, and its status. Pure.

OrderedReady: at most one Pod is not running, ready and available at a time; Pods come in the order of their ordinals
and go in the reverse. Parallel: Pods come and go at once; updates still go one by one, or ``maxUnavailable`` at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.controllers import podstate, rollout
from pinnace.controllers.revisions import HASH_LABEL

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


@dataclass
class Plan:
    """What to do now. ``recreate`` are Pods that ended: deleted, to be created again next time."""

    create: list[int] = field(default_factory=list)
    recreate: list[Object] = field(default_factory=list)
    #: Pods to remove for good, and Pods to remove for the sake of a new template.
    condemn: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)


def ordinal(owner: Object, pod: Object) -> int | None:
    """The Pod's number, None if it is none of the set's by its name."""
    prefix, _, number = meta.name(pod).rpartition("-")
    return int(number) if prefix == meta.name(owner) and number.isascii() and number.isdigit() else None


def ordinals(owner: Object) -> range:
    start = int((owner["spec"].get("ordinals") or {}).get("start") or 0)
    return range(start, start + rollout.replicas_of(owner))


def is_parallel(owner: Object) -> bool:
    return bool(owner["spec"].get("podManagementPolicy") == "Parallel")


def min_ready_seconds(owner: Object) -> int:
    return int(owner["spec"].get("minReadySeconds") or 0)


def is_healthy(pod: Object) -> bool:
    return podstate.phase(pod) == "Running" and podstate.is_ready(pod) and not meta.is_deleting(pod)


def partition(owner: Object) -> int:
    """Ordinals from this one on get the new template."""
    rolling = (owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return ordinals(owner).start + int(rolling.get("partition") or 0)


def is_rolling(owner: Object) -> bool:
    return bool((owner["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def wants_current(owner: Object, number: int) -> bool:
    """Whether a Pod that is created now still gets the old template: below the partition."""
    return is_rolling(owner) and number < partition(owner)


def plan(owner: Object, pods: list[Object], update_revision: str, now: float) -> Plan:
    result = Plan()
    if meta.is_deleting(owner):
        return result
    numbered = {number: pod for pod in pods if (number := ordinal(owner, pod)) is not None}
    min_ready = min_ready_seconds(owner)
    strict = not is_parallel(owner)
    for number in ordinals(owner):
        pod = numbered.get(number)
        if pod is None:
            result.create.append(number)
            if strict:
                return result
        elif podstate.is_terminal(pod):
            if not meta.is_deleting(pod):
                result.recreate.append(pod)
            if strict:
                return result
        elif strict and not (is_healthy(pod) and podstate.is_available(pod, min_ready, now)):
            return result
    condemned = sorted((number for number in numbered if number not in ordinals(owner)), reverse=True)
    unhealthy = [number for number in sorted(numbered) if not is_healthy(numbered[number])]
    for number in condemned:
        pod = numbered[number]
        if meta.is_deleting(pod):
            if strict:
                return result
            continue
        if strict and not is_healthy(pod) and unhealthy[:1] != [number]:
            return result  # another is in trouble as well; wait until it is over
        result.condemn.append(pod)
        if strict:
            return result
    if is_rolling(owner) and not result.create and not result.recreate:
        _plan_update(owner, numbered, update_revision, min_ready, now, result)
    return result


def _plan_update(
    owner: Object, numbered: dict[int, Object], update_revision: str, min_ready: int, now: float, result: Plan
) -> None:
    rolling = (owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    limit = max(rollout.absolute(rolling.get("maxUnavailable", 1), len(ordinals(owner)), up=True), 1)
    targets = [numbered[number] for number in reversed(ordinals(owner)) if number in numbered]
    unavailable = sum(1 for pod in targets if not (is_healthy(pod) and podstate.is_available(pod, min_ready, now)))
    for pod in targets:
        number = ordinal(owner, pod)
        if number is None or number < partition(owner) or meta.is_deleting(pod):
            continue
        if meta.labels(pod).get(HASH_LABEL) == update_revision:
            continue
        if not is_healthy(pod):  # broken anyhow; counts already
            result.update.append(pod)
        elif unavailable < limit:
            unavailable += 1
            result.update.append(pod)
        if len(result.update) >= limit:
            return


def claim_name(template: Object, owner: Object, number: int) -> str:
    return f"{meta.name(template)}-{meta.name(owner)}-{number}"


def claims(owner: Object, number: int) -> list[Object]:
    """The PersistentVolumeClaims of one Pod."""
    found: list[Object] = []
    policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        claim = meta.copy(template)
        held = claim.get("metadata") or {}
        metadata = {k: v for k, v in held.items() if k in ("annotations", "labels")}
        metadata["name"] = claim_name(template, owner, number)
        metadata["namespace"] = meta.namespace(owner)
        wanted = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
        metadata["labels"] = {**(held.get("labels") or {}), **wanted}
        if policy.get("whenDeleted") == "Delete":
            metadata["ownerReferences"] = [meta.owner_reference(owner)]
        claim.update(apiVersion="v1", kind="PersistentVolumeClaim", metadata=metadata)
        claim.pop("status", None)
        found.append(claim)
    return found


def new_pod(owner: Object, template: Object, revision: str, number: int) -> Object:
    """Pod ``number``: its name, host name and volumes are its own for as long as the set lives."""
    pod = podstate.from_template(template, owner)
    metadata, spec = pod["metadata"], pod["spec"]
    del metadata["generateName"]
    name = metadata["name"] = f"{meta.name(owner)}-{number}"
    metadata["labels"] |= {HASH_LABEL: revision, POD_NAME: name, POD_INDEX: str(number)}
    spec["hostname"] = name
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    templates = owner["spec"].get("volumeClaimTemplates") or ()
    if templates:
        own = {meta.name(claim) for claim in templates}
        volumes = [volume for volume in spec.get("volumes") or () if volume["name"] not in own]
        for claim in templates:
            source = {"claimName": claim_name(claim, owner, number)}
            volumes.append({"name": meta.name(claim), "persistentVolumeClaim": source})
        spec["volumes"] = volumes
    return pod


def status(owner: Object, pods: list[Object], current: str, updated: str, collisions: int | None, now: float) -> Object:
    """The new status; ``current`` and ``updated`` name the revisions before and after the update under way."""
    min_ready = min_ready_seconds(owner)

    def of_revision(name: str) -> int:
        return sum(1 for pod in pods if not meta.is_deleting(pod) and meta.labels(pod).get(HASH_LABEL) == name)

    ready = sum(1 for pod in pods if podstate.phase(pod) == "Running" and podstate.is_ready(pod))
    counts = {"currentReplicas": of_revision(current), "updatedReplicas": of_revision(updated)}
    desired = rollout.replicas_of(owner)
    if is_rolling(owner) and counts["updatedReplicas"] == len(pods) == ready == desired:
        current = updated
        counts["currentReplicas"] = counts["updatedReplicas"]
    result: Object = {
        "replicas": len(pods),
        "observedGeneration": meta.generation(owner),
        "availableReplicas": sum(
            1 for pod in pods if podstate.phase(pod) == "Running" and podstate.is_available(pod, min_ready, now)
        ),
        "currentRevision": current,
        "updateRevision": updated,
        "collisionCount": collisions or 0,
    }
    if ready:
        result["readyReplicas"] = ready
    result |= {name: value for name, value in counts.items() if value}
    return result
