"""Nobody grants more than they have: writes of roles and bindings are checked against the writer's own rules.

``escalate`` on a role and ``bind`` on the role that a binding names are the ways around, as is ``system:masters``.
"""

from __future__ import annotations

from collections.abc import Sequence

from pinnace.api import errors
from pinnace.api.errors import go_quote
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import CREATE, UPDATE, View, refuse
from pinnace.apiserver.auth import rules
from pinnace.apiserver.auth.authorize import MASTERS
from pinnace.apiserver.auth.policy import GROUP
from pinnace.apiserver.auth.rbac import RbacAuthorizer
from pinnace.apiserver.auth.rules import Rule
from pinnace.apiserver.request import AdmissionAttributes, Attributes, Authorizer, User

_ROLES = {"roles", "clusterroles"}
_EVERYTHING = (
    Rule(frozenset("*"), frozenset("*"), frozenset("*")),
    Rule(frozenset("*"), paths=frozenset("*")),
)


class EscalationChecks:
    name = "EscalationChecks"

    def __init__(self, view: View, authorizer: Authorizer, rbac: RbacAuthorizer) -> None:
        self._view = view
        self._authorizer = authorizer
        self._rbac = rbac

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return group == GROUP and operation in (CREATE, UPDATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        if MASTERS in attributes.user.groups or attributes.object is None:
            return
        if attributes.resource.plural in _ROLES:
            self._role(attributes, attributes.object, attributes.old_object)
        else:
            self._binding(attributes, attributes.object, attributes.old_object)

    def _role(self, attributes: AdmissionAttributes, new: Object, old: Object | None) -> None:
        same = old is not None and all(
            (new.get(f) or None) == (old.get(f) or None) for f in ("rules", "aggregationRule")
        )
        if same:
            return
        verb = Attributes(
            attributes.user,
            "escalate",
            "",
            GROUP,
            "v1",
            attributes.resource.plural,
            "",
            attributes.namespace,
            attributes.name,
        )
        if self._authorizer.authorize(verb)[0]:
            return
        owned, _ = self._rbac.rules(attributes.user, attributes.namespace)
        if new.get("aggregationRule") and rules.uncovered(_EVERYTHING, owned):
            raise refuse(attributes, "must have cluster-admin privileges to use an aggregationRule")
        self._check(attributes, rules.compile_rules(new.get("rules")), owned)

    def _binding(self, attributes: AdmissionAttributes, new: Object, old: Object | None) -> None:
        if old is not None and all(new.get(field) == old.get(field) for field in ("roleRef", "subjects")):
            return
        reference = new.get("roleRef") or {}
        name, cluster = str(reference.get("name") or ""), reference.get("kind") == "ClusterRole"
        plural = "clusterroles" if cluster else "roles"
        verb = Attributes(attributes.user, "bind", "", GROUP, "v1", plural, "", attributes.namespace, name)
        if self._authorizer.authorize(verb)[0]:
            return
        role = self._view.get(GROUP, plural, "" if cluster else attributes.namespace, name)
        if role is None:
            raise errors.not_found(GROUP, plural, name)
        owned, _ = self._rbac.rules(attributes.user, attributes.namespace)
        self._check(attributes, rules.compile_rules(role.get("rules")), owned)

    def _check(self, attributes: AdmissionAttributes, wanted: Sequence[Rule], owned: Sequence[Rule]) -> None:
        missing = rules.uncovered(wanted, owned)
        if missing:
            raise refuse(
                attributes,
                f"{_shown(attributes.user)} is attempting to grant RBAC permissions not currently held:\n"
                + "\n".join(_compact(missing)),
            )


def _shown(user: User) -> str:
    return f"user {go_quote(user.name)} (groups=[{' '.join(map(go_quote, user.groups))}])"


def _compact(single: Sequence[Rule]) -> list[str]:
    """Single rules as text, those that differ in their verb alone in one line."""
    verbs: dict[Rule, list[str]] = {}
    for rule in single:
        rest = Rule(frozenset(), rule.groups, rule.resources, rule.names, rule.paths)
        verbs.setdefault(rest, []).extend(rule.verbs)
    return sorted(
        "{"
        + ", ".join(
            f"{field}:[{' '.join(map(go_quote, sorted(values)))}]"
            for field, values in (
                ("APIGroups", rest.groups),
                ("Resources", rest.resources),
                ("NonResourceURLs", rest.paths),
                ("ResourceNames", rest.names),
                ("Verbs", frozenset(held)),
            )
            if values
        )
        + "}"
        for rest, held in verbs.items()
    )
