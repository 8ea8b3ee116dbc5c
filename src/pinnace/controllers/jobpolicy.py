"""A Job's podFailurePolicy and successPolicy. Pure."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.controllers import jobindexes, podstate

FAIL_JOB, FAIL_INDEX, IGNORE, COUNT = "FailJob", "FailIndex", "Ignore", "Count"


def failure_action(job: Object, pod: Object) -> tuple[str, str]:
    """(action, message) of the first rule that a failed Pod matches; Count if none does."""
    policy = job["spec"].get("podFailurePolicy")
    if not policy or podstate.phase(pod) != "Failed":
        return COUNT, ""
    for number, rule in enumerate(policy.get("rules") or ()):
        action = str(rule["action"])
        if (codes := rule.get("onExitCodes")) and (hit := _matching_container(pod, codes)) is not None:
            name, code = hit
            where = f"{meta.namespace(pod)}/{meta.name(pod)}"
            ended = f"Container {name} for pod {where} failed with exit code {code}"
            return action, f"{ended} matching {action} rule at index {number}"
        for pattern in rule.get("onPodConditions") or ():
            condition = meta.condition(pod, str(pattern["type"]))
            if condition is not None and condition["status"] == (pattern.get("status") or "True"):
                where = f"{meta.namespace(pod)}/{meta.name(pod)}"
                return action, (
                    f"Pod {where} has condition {condition['type']} matching {action} rule at index {number}"
                )
    return COUNT, ""


def _matching_container(pod: Object, codes: Object) -> tuple[str, int] | None:
    status = pod.get("status") or {}
    for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        ended = (container.get("state") or {}).get("terminated")
        if ended is None or int(ended.get("exitCode") or 0) == 0:
            continue
        if codes.get("containerName") and codes["containerName"] != container["name"]:
            continue
        code = int(ended["exitCode"])
        if (code in codes["values"]) == (codes["operator"] == "In"):
            return str(container["name"]), code
    return None


def success_rule(job: Object, succeeded: set[int]) -> str | None:
    """The message of the successPolicy rule that the succeeded indexes meet; None if none is met."""
    policy = job["spec"].get("successPolicy")
    completions = int(job["spec"].get("completions") or 0)
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        wanted = jobindexes.parse(rule["succeededIndexes"], completions) if rule.get("succeededIndexes") else None
        have = succeeded if wanted is None else succeeded & wanted
        needed = rule.get("succeededCount")
        enough = len(have) >= int(needed) if needed is not None else wanted is not None and wanted <= succeeded
        if enough:
            return f"Matched rules at index {number}"
    return None
