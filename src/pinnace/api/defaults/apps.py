"""Defaults of the apps group."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill, fill_empty, given, items
from pinnace.api.defaults.pod import pod_template
from pinnace.api.defaults.volumes import claim_template
from pinnace.api.types import Object


def deployment(obj: Object) -> None:
    spec = child(obj, "spec")
    fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = child(spec, "strategy")
    fill_empty(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(child(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")
    pod_template(spec)


def replica_set(obj: Object) -> None:
    spec = child(obj, "spec")
    fill(spec, replicas=1)
    pod_template(spec)


def daemon_set(obj: Object) -> None:
    spec = child(obj, "spec")
    fill(spec, revisionHistoryLimit=10)
    strategy = child(spec, "updateStrategy")
    fill_empty(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(child(strategy, "rollingUpdate"), maxUnavailable=1, maxSurge=0)
    pod_template(spec)


def stateful_set(obj: Object) -> None:
    spec = child(obj, "spec")
    fill_empty(spec, podManagementPolicy="OrderedReady")
    fill(spec, replicas=1, revisionHistoryLimit=10)
    strategy = child(spec, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        child(strategy, "rollingUpdate")
    rolling = given(strategy, "rollingUpdate")
    if strategy["type"] == "RollingUpdate" and rolling is not None:
        fill(rolling, partition=0, maxUnavailable=1)
    fill_empty(child(spec, "persistentVolumeClaimRetentionPolicy"), whenDeleted="Retain", whenScaled="Retain")
    for template in items(spec, "volumeClaimTemplates"):
        claim_template(template)
    pod_template(spec)


DEFAULTS = {
    ("apps", "Deployment"): deployment,
    ("apps", "ReplicaSet"): replica_set,
    ("apps", "DaemonSet"): daemon_set,
    ("apps", "StatefulSet"): stateful_set,
}
