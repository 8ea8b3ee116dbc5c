"""RBAC policy rules, compiled: does a rule allow a request, and does a set of rules cover another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pinnace.api.types import Object
from pinnace.apiserver.request import Attributes

ALL = "*"


class Rule(NamedTuple):
    """One PolicyRule."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    def allows(self, attributes: Attributes) -> bool:
        verbs = self.verbs
        if attributes.verb not in verbs and ALL not in verbs:
            return False
        if not attributes.resource:
            return path_matches(self.paths, attributes.path)
        groups = self.groups
        if attributes.group not in groups and ALL not in groups:
            return False
        if self.names and attributes.name not in self.names:
            return False
        return resource_matches(self.resources, attributes.resource, attributes.subresource)


def resource_matches(resources: frozenset[str], resource: str, subresource: str) -> bool:
    """``pods``, ``pods/log``, ``*/scale`` or ``*``."""
    if ALL in resources:
        return True
    if not subresource:
        return resource in resources
    return f"{resource}/{subresource}" in resources or f"*/{subresource}" in resources


def path_matches(paths: Iterable[str], path: str) -> bool:
    """Exactly, or by a pattern that ends in ``*``."""
    return any(pattern in (ALL, path) or (pattern[-1:] == ALL and path.startswith(pattern[:-1])) for pattern in paths)


def compile_rules(rules: Sequence[Object] | None) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            verbs=frozenset(rule.get("verbs") or ()),
            groups=frozenset(rule.get("apiGroups") or ()),
            resources=frozenset(rule.get("resources") or ()),
            names=frozenset(rule.get("resourceNames") or ()),
            paths=frozenset(rule.get("nonResourceURLs") or ()),
        )
        for rule in rules or ()
    )


def decompile(rule: Rule) -> Object:
    """The PolicyRule object."""
    shown: Object = {"verbs": sorted(rule.verbs)}
    for field, values in (
        ("apiGroups", rule.groups),
        ("resources", rule.resources),
        ("resourceNames", rule.names),
        ("nonResourceURLs", rule.paths),
    ):
        if values:
            shown[field] = sorted(values)
    return shown


def break_down(rule: Rule) -> list[Rule]:
    """The same as rules of one verb, one group, one resource, one name or one path each."""
    single = [
        Rule(frozenset((verb,)), frozenset((group,)), frozenset((resource,)), frozenset((name,) if name else ()))
        for group in sorted(rule.groups)
        for resource in sorted(rule.resources)
        for verb in sorted(rule.verbs)
        for name in (sorted(rule.names) or [""])
    ]
    single += [
        Rule(frozenset((verb,)), paths=frozenset((p,))) for p in sorted(rule.paths) for verb in sorted(rule.verbs)
    ]
    return single


def uncovered(wanted: Iterable[Rule], owned: Sequence[Rule]) -> list[Rule]:
    """Of ``wanted``, broken down, what ``owned`` does not allow."""
    return [single for rule in wanted for single in break_down(rule) if not any(_covers(o, single) for o in owned)]


def _covers(owner: Rule, single: Rule) -> bool:
    if not (ALL in owner.verbs or single.verbs <= owner.verbs):
        return False
    if single.paths:
        return all(path_matches(owner.paths, path) for path in single.paths)
    if not (ALL in owner.groups or single.groups <= owner.groups):
        return False
    if not _covers_resource(owner.resources, next(iter(single.resources))):
        return False
    return not owner.names or bool(single.names and single.names <= owner.names)


def _covers_resource(owned: frozenset[str], resource: str) -> bool:
    if ALL in owned or resource in owned:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in owned
