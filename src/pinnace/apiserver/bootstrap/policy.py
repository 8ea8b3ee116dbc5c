"""The default roles, bindings, flow schemas and priority levels, as objects, from ``policy.json``.

``hack/update_bootstrap.py`` makes that file and says how its rules are written.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, cast

import orjson

from pinnace.api.types import Object
from pinnace.apiserver.auth.aggregation import aggregated_rules

RBAC = "rbac.authorization.k8s.io"
RBAC_VERSION = f"{RBAC}/v1"
FLOW_VERSION = "flowcontrol.apiserver.k8s.io/v1"
AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
AUTO_UPDATE_SPEC = "apf.kubernetes.io/autoupdate-spec"
BOOTSTRAP_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}


@cache
def _file() -> dict[str, Any]:
    return cast(dict[str, Any], orjson.loads((Path(__file__).parent / "policy.json").read_bytes()))


def rule(line: str) -> Object:
    """The PolicyRule that a line of the file stands for."""
    parts = [[item.strip() for item in part.split(",")] for part in line.split("|")]
    if len(parts) == 2:
        return {"verbs": parts[0], "nonResourceURLs": parts[1]}
    made: Object = {"verbs": parts[0], "apiGroups": parts[1], "resources": parts[2]}
    if len(parts) == 4:
        made["resourceNames"] = parts[3]
    return made


def _object(kind: str, where: str, **fields: Any) -> Object:
    space, _, name = where.rpartition("/")
    metadata: Object = {"name": name}
    if space:
        metadata["namespace"] = space
    if name not in _file()["unlabelled"]:
        metadata["labels"] = dict(BOOTSTRAP_LABELS)
        metadata["annotations"] = {AUTO_UPDATE: "true"}
    return {"kind": kind, "apiVersion": RBAC_VERSION, "metadata": metadata, **fields}


def _subject(text: str) -> Object:
    kind, _, name = text.partition(":")
    if kind != "ServiceAccount":
        return {"kind": kind, "apiGroup": RBAC, "name": name}
    space, _, name = name.partition("/")
    return {"kind": kind, "name": name, "namespace": space}


def _binding(kind: str, where: str, entry: dict[str, Any], role_kind: str) -> Object:
    made = _object(
        kind,
        where,
        roleRef={"apiGroup": RBAC, "kind": role_kind, "name": entry["role"]},
    )
    if entry["subjects"]:
        made["subjects"] = [_subject(text) for text in entry["subjects"]]
    return made


def cluster_roles() -> list[Object]:
    """Aggregated ones have their rules, as the aggregation will find them."""
    made = []
    for name, entry in _file()["clusterRoles"].items():
        role = _object("ClusterRole", name)
        role["metadata"].get("labels", {}).update(entry.get("labels", {}))
        if "aggregate" in entry:
            role["aggregationRule"] = {
                "clusterRoleSelectors": [{"matchLabels": labels} for labels in entry["aggregate"]]
            }
        role["rules"] = [rule(line) for line in entry.get("rules", ())]
        made.append(role)
    for _ in range(3):  # admin takes in edit, which takes in view
        for role in made:
            if "aggregationRule" in role:
                role["rules"] = aggregated_rules(role, made)
    return made


def rbac_objects() -> list[Object]:
    """Everything of the RBAC group, roles before the bindings to them."""
    file = _file()
    return [
        *cluster_roles(),
        *(_object("Role", where, rules=[rule(line) for line in lines]) for where, lines in file["roles"].items()),
        *(_binding("ClusterRoleBinding", w, e, "ClusterRole") for w, e in file["clusterRoleBindings"].items()),
        *(_binding("RoleBinding", w, e, "Role") for w, e in file["roleBindings"].items()),
    ]


def flow_objects() -> list[Object]:
    """Flow schemas and priority levels."""
    return [
        {
            "kind": kind,
            "apiVersion": FLOW_VERSION,
            "metadata": {"name": name, "generation": 1, "annotations": {AUTO_UPDATE_SPEC: "true"}},
            "spec": spec,
            "status": {},
        }
        for kind, section in (("PriorityLevelConfiguration", "priorityLevels"), ("FlowSchema", "flowSchemas"))
        for name, spec in _file()[section].items()
    ]
