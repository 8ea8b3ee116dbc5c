"""Defaults of RBAC: API groups of references."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill_empty, items
from pinnace.api.types import Object

_GROUP = "rbac.authorization.k8s.io"


def _binding(obj: Object) -> None:
    fill_empty(child(obj, "roleRef"), apiGroup=_GROUP)
    for subject in items(obj, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            fill_empty(subject, apiGroup=_GROUP)


DEFAULTS = {(_GROUP, "RoleBinding"): _binding, (_GROUP, "ClusterRoleBinding"): _binding}
