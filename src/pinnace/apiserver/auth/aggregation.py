"""Aggregated ClusterRoles: the rules of all roles that a role's selectors choose."""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import meta, selectors
from pinnace.api.types import Object


def aggregated_rules(role: Object, roles: Iterable[Object]) -> list[Object]:
    """The rules ``role`` gets from ``roles`` by its ``aggregationRule``: by the roles' names, each rule once."""
    chosen: list[Object] = []
    known: set[str] = set()
    for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
        matches = selectors.label_selector(selector).matches
        for other in sorted(roles, key=meta.name):
            if meta.name(other) == meta.name(role) or not matches(meta.labels(other)):
                continue
            for rule in other.get("rules") or ():
                text = repr(sorted(rule.items()))
                if text not in known:
                    known.add(text)
                    chosen.append(rule)
    return chosen
