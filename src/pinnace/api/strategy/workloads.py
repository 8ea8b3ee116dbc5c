"""The apps group and ReplicationControllers."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.patches.json_patch import equal
from pinnace.api.strategy.rules import Rules
from pinnace.api.types import Object

#: How apps/v1 shows a DaemonSet's template generation, which has no field there.
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def _daemon_set_create(obj: Object) -> None:
    _set_template_generation(obj, 1)


def _daemon_set_update(new: Object, old: Object) -> None:
    held = meta.annotations(old).get(TEMPLATE_GENERATION, "")
    generation = int(held) if held.isascii() and held.isdigit() else 0
    before, after = (old.get("spec") or {}).get("template"), (new.get("spec") or {}).get("template")
    _set_template_generation(new, generation if equal(before, after) else generation + 1)


def _set_template_generation(obj: Object, generation: int) -> None:
    metadata = obj.setdefault("metadata", {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), TEMPLATE_GENERATION: str(generation)}


RULES = {
    ("apps", "Deployment"): Rules(
        generation="spec",
        generation_counts_annotations=True,
        status=True,
        initial_status={},
        status_keeps_labels=True,
    ),
    ("apps", "ReplicaSet"): Rules(generation="spec", status=True, initial_status={"replicas": 0}),
    ("apps", "StatefulSet"): Rules(
        generation="spec", status=True, initial_status={"replicas": 0, "availableReplicas": 0}
    ),
    ("apps", "DaemonSet"): Rules(
        generation="spec",
        status=True,
        initial_status={
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        },
        on_create=_daemon_set_create,
        on_update=_daemon_set_update,
    ),
    ("", "ReplicationController"): Rules(generation="spec", status=True, initial_status={"replicas": 0}),
}
