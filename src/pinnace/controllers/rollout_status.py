"""A Deployment's status and its conditions Available, Progressing and ReplicaFailure, computed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.controllers import conditions, rollout
from pinnace.core.clock import parse_timestamp

AVAILABLE = "Available"
PROGRESSING = "Progressing"
REPLICA_FAILURE = "ReplicaFailure"
#: Reasons of Progressing.
NEW_CREATED = "NewReplicaSetCreated"
NEW_FOUND = "FoundNewReplicaSet"
UPDATED = "ReplicaSetUpdated"
NEW_AVAILABLE = "NewReplicaSetAvailable"
CREATE_FAILED = "ReplicaSetCreateError"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"

#: A deadline this long means none.
_NO_DEADLINE = 2147483647


def has_deadline(deployment: Object) -> bool:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and int(seconds) != _NO_DEADLINE


def conditions_of(deployment: Object) -> list[Object]:
    return list((deployment.get("status") or {}).get("conditions") or ())


def with_progressing(found: list[Object], status: str, reason: str, message: str, now: float) -> list[Object]:
    return conditions.with_condition(found, PROGRESSING, status, reason, message, now, update_time=True)


def pause_conditions(deployment: Object, now: float) -> list[Object]:
    """The conditions after a look at ``spec.paused``: a paused rollout makes no progress that a deadline could miss."""
    found = conditions_of(deployment)
    if not has_deadline(deployment):
        return found
    current = conditions.find(found, PROGRESSING)
    if current is not None and current.get("reason") == TIMED_OUT:
        return found
    was_paused = current is not None and current.get("reason") == PAUSED
    if deployment["spec"].get("paused"):
        return found if was_paused else with_progressing(found, "Unknown", PAUSED, "Deployment is paused", now)
    return with_progressing(found, "Unknown", RESUMED, "Deployment is resumed", now) if was_paused else found


def counts(deployment: Object, replica_sets: list[Object], new: Object | None, now: float) -> Object:
    """The status without changes of Progressing and ReplicaFailure (``with_rollout`` makes those)."""
    status = deployment.get("status") or {}

    def sum_of(field: str, sets: Iterable[Object] = replica_sets) -> int:
        return sum(int((rs.get("status") or {}).get(field) or 0) for rs in sets)

    replicas = sum_of("replicas")
    available = sum_of("availableReplicas")
    unavailable = max(rollout.total(replica_sets) - available, 0)
    counted: Object = {
        "observedGeneration": meta.generation(deployment),
        "replicas": replicas,
        "updatedReplicas": sum_of("replicas", [new] if new is not None else []),
        "readyReplicas": sum_of("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": unavailable,
    }
    result = {name: value for name, value in counted.items() if value}
    if all("terminatingReplicas" in (rs.get("status") or {}) for rs in replica_sets):
        result["terminatingReplicas"] = sum_of("terminatingReplicas")
    if status.get("collisionCount") is not None:
        result["collisionCount"] = status["collisionCount"]
    enough = available >= rollout.replicas_of(deployment) - rollout.max_unavailable(deployment)
    state, reason, message = (
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        if enough
        else ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    )
    result["conditions"] = conditions.with_condition(
        conditions_of(deployment), AVAILABLE, state, reason, message, now, update_time=True
    )
    return result


def is_complete(deployment: Object, status: Object) -> bool:
    """Whether all Pods asked for are of the current template and available, and no old one is left."""
    desired = rollout.replicas_of(deployment)
    return (
        int(status.get("updatedReplicas") or 0) == desired
        and int(status.get("replicas") or 0) == desired
        and int(status.get("availableReplicas") or 0) == desired
        and int(status.get("observedGeneration") or 0) >= meta.generation(deployment)
    )


def is_progressing(old: Object, new: Object) -> bool:
    """Whether ``new`` shows more Pods updated, ready or available, or fewer old ones, than ``old`` did."""

    def count(status: Object, field: str) -> int:
        return int(status.get(field) or 0)

    def outdated(status: Object) -> int:
        return count(status, "replicas") - count(status, "updatedReplicas")

    return (
        count(new, "updatedReplicas") > count(old, "updatedReplicas")
        or outdated(new) < outdated(old)
        or count(new, "readyReplicas") > count(old, "readyReplicas")
        or count(new, "availableReplicas") > count(old, "availableReplicas")
    )


def deadline_left(deployment: Object, found: list[Object], now: float) -> float | None:
    """Seconds until the rollout counts as stuck (negative: it does); None if nothing is being waited for."""
    current = conditions.find(found, PROGRESSING)
    if not has_deadline(deployment) or current is None or current.get("reason") == NEW_AVAILABLE:
        return None
    since = parse_timestamp(str(current.get("lastUpdateTime") or current["lastTransitionTime"]))
    return since + int(deployment["spec"]["progressDeadlineSeconds"]) - now


def _is_timed_out(deployment: Object, found: list[Object], now: float) -> bool:
    current = conditions.find(found, PROGRESSING)
    if current is not None and current.get("reason") == TIMED_OUT:
        return True
    left = deadline_left(deployment, found, now)
    return left is not None and left < 0


def with_rollout(
    deployment: Object, counted: Object, replica_sets: list[Object], new: Object | None, now: float
) -> Object:
    """``counts`` with Progressing and ReplicaFailure brought up to date."""
    found: list[Object] = counted["conditions"]
    if not has_deadline(deployment):
        found = conditions.without(found, PROGRESSING)
    current = conditions.find(found, PROGRESSING)
    settled = (
        int(counted.get("replicas") or 0) == int(counted.get("updatedReplicas") or 0)
        and current is not None
        and current.get("reason") == NEW_AVAILABLE
    )
    if has_deadline(deployment) and not settled:
        subject = f'ReplicaSet "{meta.name(new)}"' if new is not None else f'Deployment "{meta.name(deployment)}"'
        if is_complete(deployment, counted):
            message = f"{subject} has successfully progressed."
            found = with_progressing(found, "True", NEW_AVAILABLE, message, now)
        elif is_progressing(deployment.get("status") or {}, counted):
            fresh = with_progressing(
                conditions.without(found, PROGRESSING), "True", UPDATED, f"{subject} is progressing.", now
            )
            if current is not None and current["status"] == "True":
                fresh[-1]["lastTransitionTime"] = current["lastTransitionTime"]
            found = fresh
        elif _is_timed_out(deployment, found, now):
            found = with_progressing(found, "False", TIMED_OUT, f"{subject} has timed out progressing.", now)
    failure = _replica_failure(replica_sets, new)
    if failure is not None:
        found = conditions.with_condition(
            found, REPLICA_FAILURE, failure["status"], failure["reason"], failure["message"], now, update_time=True
        )
    else:
        found = conditions.without(found, REPLICA_FAILURE)
    return {**counted, "conditions": found}


def _replica_failure(replica_sets: list[Object], new: Object | None) -> Object | None:
    """The current ReplicaSet's failure, or else that of any other."""
    candidates = ([new] if new is not None else []) + replica_sets
    for replica_set in candidates:
        if (failure := meta.condition(replica_set, REPLICA_FAILURE)) is not None:
            return failure
    return None
